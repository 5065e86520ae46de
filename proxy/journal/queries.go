package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Queries writes clients' queries, without their parameters: to a file, one JSON object a line,
// and to the log. It is safe for concurrent use.
type Queries struct {
	path string
	log  *slog.Logger // nil: not to the log
	warn *slog.Logger

	mu    sync.Mutex
	file  *os.File // nil: none, or it cannot be written
	out   *bufio.Writer
	timer *time.Timer // flushes; nil: nothing waits for that
	sick  bool        // it was said that it cannot be written
}

// A Query is a line of the file.
type Query struct {
	Time     time.Time `json:"time"`
	User     string    `json:"user"`
	Database string    `json:"database"`
	Client   string    `json:"client"`
	Query    string    `json:"query"`
}

// flushAfter is how long a query may wait to be written to the file.
const flushAfter = 100 * time.Millisecond

// OpenQueries opens the file for appending, which is made if need be, for its owner only; an
// empty path is none. log gets the queries too, unless it is nil; warn is told of failures.
func OpenQueries(path string, log, warn *slog.Logger) (*Queries, error) {
	q := &Queries{path: path, log: log, warn: warn}
	return q, q.Reopen()
}

// Reopen closes the file and opens it anew, after it was moved away.
func (q *Queries) Reopen() error {
	if q.path == "" {
		return nil
	}
	f, err := os.OpenFile(q.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of queries: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	err = q.close()
	q.file, q.out, q.sick = f, bufio.NewWriterSize(f, 64<<10), false
	return err
}

// close flushes and closes the file. It is called with the lock held.
func (q *Queries) close() error {
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
	if q.file == nil {
		return nil
	}
	err := errors.Join(q.out.Flush(), q.file.Close())
	q.file = nil
	return err
}

// Close writes what is left.
func (q *Queries) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.close()
}

// Write notes a query. A file that cannot be written is told of once, and given up until Reopen.
func (q *Queries) Write(e Query) {
	if q.log != nil {
		q.log.Info("query", "user", e.User, "database", e.Database, "client", e.Client, "query", e.Query)
	}
	if q.path == "" {
		return
	}
	b, err := json.Marshal(e)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.file == nil {
		return
	}
	if err == nil {
		_, err = q.out.Write(append(b, '\n'))
	}
	if err != nil {
		q.fail(err)
	} else if q.timer == nil {
		q.timer = time.AfterFunc(flushAfter, q.flush)
	}
}

func (q *Queries) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.timer = nil
	if q.file == nil {
		return
	}
	if err := q.out.Flush(); err != nil {
		q.fail(err)
	}
}

func (q *Queries) fail(err error) {
	if !q.sick {
		q.sick = true
		q.warn.Error("the log of queries cannot be written; a reload tries again", "error", err)
	}
	_ = q.close()
}
