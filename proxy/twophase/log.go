package twophase

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// LogOptions say how a log is kept. Zero fields are the defaults.
type LogOptions struct {
	// FsyncInterval is how long records are gathered before they are synced together.
	// Default: 2 ms; negative: they are synced at once.
	FsyncInterval time.Duration
	// SegmentSize is how large a segment grows before a checkpoint, in bytes. Default: 16 MiB.
	SegmentSize int64
	// CheckpointInterval is how often a checkpoint is made, if anything has been written.
	// Default: 60 s.
	CheckpointInterval time.Duration
	// Log gets what is not an error. Nil discards it.
	Log *slog.Logger
}

const (
	magic        = "pgx2pc1\n"
	suffix       = ".2pc"
	instanceFile = "instance"
	lockFile     = "lock"
)

// ErrCorrupt says that a log cannot be read.
var ErrCorrupt = errors.New("the two-phase commit log is damaged")

// A Log is a durable set of decisions. It is safe for concurrent use. Close ends its
// goroutine.
type Log struct {
	dir      string
	opt      LogOptions
	instance string
	lock     *os.File

	mu      sync.Mutex
	work    sync.Cond
	file    *os.File
	number  uint64
	size    int64
	buf     []byte
	waiters []chan error
	open    map[string][]int // decided and not ended: the shards
	dirty   bool             // records since the last checkpoint
	failed  error
	closed  bool
	done    chan struct{}
}

// OpenLog opens the log in dir, which is made if it is not there, and reads it. A second
// opener, in any process, is refused.
func OpenLog(dir string, opt LogOptions) (*Log, error) {
	if opt.FsyncInterval == 0 {
		opt.FsyncInterval = 2 * time.Millisecond
	}
	if opt.SegmentSize <= 0 {
		opt.SegmentSize = 16 << 20
	}
	if opt.CheckpointInterval <= 0 {
		opt.CheckpointInterval = time.Minute
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the two-phase commit log: %w", err)
	}
	l := &Log{dir: dir, opt: opt, open: map[string][]int{}, done: make(chan struct{})}
	l.work.L = &l.mu
	var err error
	if l.lock, err = lockDir(filepath.Join(dir, lockFile)); err != nil {
		return nil, fmt.Errorf("two-phase commit log %s: %w", dir, err)
	}
	if err = l.identify(); err == nil {
		if err = l.read(); err == nil {
			err = l.checkpoint()
		}
	}
	if err != nil {
		_ = l.lock.Close()
		return nil, err
	}
	go l.flush()
	return l, nil
}

// Instance is the log's own name: 16 hexadecimal digits.
func (l *Log) Instance() string { return l.instance }

// identify reads the instance's name, or makes one.
func (l *Log) identify() error {
	path := filepath.Join(l.dir, instanceFile)
	b, err := os.ReadFile(path)
	if err == nil {
		l.instance = strings.TrimSpace(string(b))
		if _, err := hex.DecodeString(l.instance); err != nil || len(l.instance) != 16 {
			return fmt.Errorf("%w: %s does not hold an instance's name", ErrCorrupt, path)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the two-phase commit log: %w", err)
	}
	// A log that has lost its name must not be taken for a new one: its transactions would
	// be nobody's.
	if names, err := l.segments(); err != nil || len(names) > 0 {
		return fmt.Errorf("%w: %s is missing (%w)", ErrCorrupt, path, errors.Join(err, fs.ErrNotExist))
	}
	var id [8]byte
	_, _ = rand.Read(id[:])
	l.instance = hex.EncodeToString(id[:])
	return l.place(path, []byte(l.instance+"\n"))
}

// place writes a file durably, whole or not at all.
func (l *Log) place(path string, data []byte) error {
	f, err := os.CreateTemp(l.dir, "tmp-*")
	if err != nil {
		return fmt.Errorf("write the two-phase commit log: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(l.dir)
	}
	if err != nil {
		return fmt.Errorf("write the two-phase commit log: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// segments returns the numbers of the segments in order.
func (l *Log) segments() ([]uint64, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("read the two-phase commit log: %w", err)
	}
	var out []uint64
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok {
			n, err := strconv.ParseUint(name, 16, 64)
			if err != nil {
				return nil, fmt.Errorf("%w: %s is no segment", ErrCorrupt, e.Name())
			}
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (l *Log) path(number uint64) string {
	return filepath.Join(l.dir, fmt.Sprintf("%016x%s", number, suffix))
}

// read reads all segments.
func (l *Log) read() error {
	numbers, err := l.segments()
	if err != nil {
		return err
	}
	for i, n := range numbers {
		b, err := os.ReadFile(l.path(n))
		if err != nil {
			return fmt.Errorf("read the two-phase commit log: %w", err)
		}
		if err := l.replay(b, l.path(n), i == len(numbers)-1); err != nil {
			return err
		}
		l.number = n
	}
	return nil
}

// replay takes in a segment. Only the last one may end in a part of a record.
func (l *Log) replay(b []byte, path string, last bool) error {
	if !bytes.HasPrefix(b, []byte(magic)) {
		return fmt.Errorf("%w: %s does not begin as a segment", ErrCorrupt, path)
	}
	for at := len(magic); at < len(b); {
		r, n, err := readRecord(b[at:])
		if err != nil {
			if last && torn(b[at:]) {
				l.opt.Log.Warn("the two-phase commit log ends in a part of a record, which was never acknowledged", "segment", path, "offset", at)
				return nil
			}
			return fmt.Errorf("%w: %s at offset %d: %w", ErrCorrupt, path, at, err)
		}
		l.apply(r)
		at += n
	}
	return nil
}

// torn reports whether no whole record follows: what is there was not synced yet.
func torn(b []byte) bool {
	for at := 1; at < len(b); at++ {
		if _, _, err := readRecord(b[at:]); err == nil {
			return false
		}
	}
	return true
}

func (l *Log) apply(r record) {
	if r.kind == decided {
		l.open[r.name] = r.shards
	} else {
		delete(l.open, r.name)
	}
}

// Open returns the transactions that are decided and not ended, with their shards.
func (l *Log) Open() map[string][]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string][]int, len(l.open))
	maps.Copy(out, l.open)
	return out
}

// Decide writes that a transaction is committed, and returns when that is durable. After an
// error it is not known whether it is: nothing must be done about the transaction until the
// log has been opened anew.
func (l *Log) Decide(name string, shards []int) error {
	return l.append(record{decided, name, shards}, true)
}

// End writes that a transaction needs nothing any more. It does not wait.
func (l *Log) End(name string) error { return l.append(record{ended, name, nil}, false) }

func (l *Log) append(r record, wait bool) error {
	l.mu.Lock()
	if l.failed != nil || l.closed {
		err := l.failed
		l.mu.Unlock()
		if err == nil {
			err = fs.ErrClosed
		}
		return fmt.Errorf("write the two-phase commit log: %w", err)
	}
	l.buf = appendRecord(l.buf, r)
	l.apply(r)
	l.dirty = true
	var ch chan error
	if wait {
		ch = make(chan error, 1)
		l.waiters = append(l.waiters, ch)
		l.work.Signal()
	}
	l.mu.Unlock()
	if !wait {
		return nil
	}
	return <-ch
}

// flush writes and syncs what has gathered, until Close.
func (l *Log) flush() {
	defer close(l.done)
	last := time.Now()
	timer := time.AfterFunc(l.opt.CheckpointInterval, l.work.Broadcast)
	defer timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.waiters) == 0 && !l.closed && time.Since(last) < l.opt.CheckpointInterval {
			l.work.Wait()
		}
		if l.closed && len(l.waiters) == 0 {
			_ = l.write()
			return
		}
		if len(l.waiters) > 0 && l.opt.FsyncInterval > 0 && !l.closed {
			l.mu.Unlock()
			<-time.After(l.opt.FsyncInterval) // for others to come along: group commit
			l.mu.Lock()
		}
		err := l.write()
		due := time.Since(last) >= l.opt.CheckpointInterval
		if err == nil && (l.size > l.opt.SegmentSize || due && l.dirty) {
			err = l.checkpoint()
		}
		if due {
			last = time.Now()
			timer.Reset(l.opt.CheckpointInterval)
		}
		if err != nil && l.failed == nil {
			l.failed = err
			l.opt.Log.Error("the two-phase commit log cannot be written: no transaction on several shards can be committed until the proxy is started anew", "error", err)
		}
	}
}

// write writes and syncs the buffer and tells those who wait. The lock is held, but not
// during the sync.
func (l *Log) write() error {
	if len(l.buf) == 0 {
		return nil
	}
	buf, waiters := l.buf, l.waiters
	l.buf, l.waiters = nil, nil
	f, err := l.file, l.failed
	l.mu.Unlock()
	if err == nil {
		if _, err = f.Write(buf); err == nil {
			err = f.Sync()
		}
	}
	for _, w := range waiters {
		w <- err
	}
	l.mu.Lock()
	l.size += int64(len(buf))
	return err
}

// checkpoint begins a segment that holds all that is open, and removes the others. The lock
// is held, or nobody else has the log yet.
func (l *Log) checkpoint() error {
	b := []byte(magic)
	names := make([]string, 0, len(l.open))
	for name := range l.open {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b = appendRecord(b, record{decided, name, l.open[name]})
	}
	// What waits in the buffer is in l.open, but it must not be acknowledged before it is
	// synced: it will be written once more.
	next := l.number + 1
	if err := l.place(l.path(next), b); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path(next), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("write the two-phase commit log: %w", err)
	}
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file, l.number, l.size, l.dirty = f, next, int64(len(b)), false
	old, err := l.segments()
	if err != nil {
		return err
	}
	for _, n := range old {
		if n < next {
			if err := os.Remove(l.path(n)); err != nil {
				l.opt.Log.Warn("an old segment of the two-phase commit log stays", "error", err)
			}
		}
	}
	return nil
}

// Close writes what is left and gives the log up. A second Close does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.work.Broadcast()
	l.mu.Unlock()
	<-l.done
	err := l.file.Close()
	return errors.Join(err, l.lock.Close())
}
