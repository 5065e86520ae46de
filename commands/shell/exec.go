package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
)

// A query is a string of SQL and what becomes of its results.
type query struct {
	sql  string
	file string // that sql comes from, if it is one, and its first line there
	line int
	rows rows.Options
	out  io.Writer
	// copyIn are the data for COPY FROM STDIN, copyOut takes those of COPY TO STDOUT.
	copyIn  io.Reader
	copyOut io.Writer
	// apart says that out or copyOut is a file that a command named: to fail with it is no
	// reason to end.
	apart bool
}

// exec sends a query and shows its results as they come. The error is errStatement when
// the server refused it; any other means that the connection or an output is lost.
func (s *shell) exec(ctx context.Context, q query) error {
	if s.conn == nil {
		return s.complain("there is no connection; \\c makes one")
	}
	begin := time.Now()
	s.running = &q
	defer func() { s.running = nil }()
	defer s.cancelOn(ctx)()
	front := s.conn.Frontend()
	front.Send(&pgproto3.Query{String: q.sql})
	if err := front.Flush(); err != nil {
		return s.lost(ctx, err)
	}
	r := receiver{s: s, q: q}
	for {
		msg, err := s.conn.ReceiveMessage(context.Background())
		if err != nil {
			return s.lost(ctx, errors.Join(err, r.abort()))
		}
		if _, ok := msg.(*pgproto3.ReadyForQuery); ok {
			break
		}
		if err := r.receive(msg); err != nil {
			return s.lost(ctx, err)
		}
	}
	if s.timing {
		fmt.Fprintln(s.out, elapsed(time.Since(begin)))
	}
	if errors.Is(r.outErr, errInterrupted) && !r.failed {
		fmt.Fprintln(s.Stderr, "Output interrupted")
	}
	switch {
	case r.outErr != nil && q.apart:
		return s.complain("%v", r.outErr)
	case r.outErr != nil && !errors.Is(r.outErr, errInterrupted):
		return fmt.Errorf("write the results: %w", r.outErr)
	case r.failed, r.outErr != nil:
		return errStatement
	}
	return nil
}

// A receiver takes the answer to one query.
type receiver struct {
	s      *shell
	q      query
	set    rows.Writer // of the result set under way
	failed bool
	outErr error // the first error of an output; the answer is read to its end all the same
	copied bool  // COPY's data went where the command tag would go
}

// receive takes one message. Its error means that the connection is of no more use.
func (r *receiver) receive(msg pgproto3.BackendMessage) error {
	switch msg := msg.(type) {
	case *pgproto3.RowDescription:
		r.endSet() // a rule's further queries come without a tag between them
		r.set = rows.New(r.q.out, r.q.rows, rows.Set{Columns: columns(msg)})
	case *pgproto3.DataRow:
		if r.set != nil && r.outErr == nil {
			r.keep(r.set.Row(msg.Values))
		}
	case *pgproto3.CommandComplete:
		r.complete(string(msg.CommandTag))
	case *pgproto3.ErrorResponse:
		r.failed = true
		r.keep(r.abort())
		r.s.report(pgconn.ErrorResponseToPgError(msg), r.q)
	case *pgproto3.CopyOutResponse:
		r.copied = r.q.copyOut == r.q.out
	case *pgproto3.CopyData:
		if r.outErr == nil {
			_, err := r.q.copyOut.Write(msg.Data)
			r.keep(err)
		}
	case *pgproto3.CopyInResponse:
		return r.s.sendCopy(r.q, r)
	case *pgproto3.CopyBothResponse:
		return errors.New("the server began replication, which this shell cannot do")
	}
	return nil
}

// keep remembers the first error of an output, and stops the server from sending more.
func (r *receiver) keep(err error) {
	if err == nil || r.outErr != nil {
		return
	}
	r.outErr = err
	r.s.sendCancel(r.s.conn)
}

func (r *receiver) abort() error {
	if r.set == nil {
		return nil
	}
	set := r.set
	r.set = nil
	return set.Abort()
}

// endSet shows what is left of the result set under way.
func (r *receiver) endSet() {
	if r.set != nil && r.outErr == nil {
		r.keep(r.set.Close(nil))
	}
	r.set = nil
}

func (r *receiver) complete(tag string) {
	returned := r.set != nil
	r.endSet()
	copied := r.copied
	r.copied = false
	if r.s.quiet || copied || r.outErr != nil {
		return
	}
	verb, _, _ := strings.Cut(tag, " ")
	if returned && verb != "INSERT" && verb != "UPDATE" && verb != "DELETE" && verb != "MERGE" {
		return
	}
	switch r.q.rows.Format {
	case rows.CSV, rows.JSON, rows.JSONL: // a tag would be no row
	default:
		_, err := fmt.Fprintln(r.q.out, tag)
		r.keep(err)
	}
}

func columns(d *pgproto3.RowDescription) []rows.Column {
	var out []rows.Column
	for _, f := range d.Fields {
		out = append(out, rows.Column{Name: string(f.Name), Type: f.DataTypeOID})
	}
	return out
}

// elapsed formats a time as psql's \timing does.
func elapsed(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if d < time.Second {
		return fmt.Sprintf("Time: %.3f ms", ms)
	}
	seconds := d.Seconds()
	minutes := int(seconds / 60)
	seconds -= float64(minutes) * 60
	if minutes < 60 {
		return fmt.Sprintf("Time: %.3f ms (%02d:%06.3f)", ms, minutes, seconds)
	}
	return fmt.Sprintf("Time: %.3f ms (%02d:%02d:%06.3f)", ms, minutes/60, minutes%60, seconds)
}
