package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
)

// ErrClosed reports that the server has closed the connection without a word.
var ErrClosed = errors.New("the server closed the connection")

// A Mode says what a replication connection is for.
type Mode string

const (
	// Physical connections take base backups and stream WAL; they belong to no database.
	Physical Mode = "true"
	// Logical connections belong to a database. They stream its changes and take SQL by the
	// simple protocol, besides all that physical ones do.
	Logical Mode = "database"
)

// A Conn is a replication connection. It does one thing at a time and is not safe for
// concurrent use, except for Close.
//
// A context that ends in the middle of a command breaks the connection, as does an error
// other than one that the server has sent in answer to a command; [Conn.Err] then tells
// the reason, and so does every later call.
type Conn struct {
	nc      net.Conn
	r       *wire.Reader
	w       *wire.Writer
	params  map[string]string
	pid     uint32
	version int
	notice  func(*wire.Error)
	err     error

	stream  atomic.Pointer[Stream]
	closing sync.Once
}

// Connect opens a replication connection. cfg is what [pgconn.ParseConfig] returned; it is
// not changed. Its DialFunc, TLS settings, password and runtime parameters hold; its
// OnNotice hook does not, see [Conn.OnNotice]. The role needs the attribute REPLICATION.
func Connect(ctx context.Context, cfg *pgconn.Config, mode Mode) (*Conn, error) {
	cfg = cfg.Copy()
	cfg.RuntimeParams["replication"] = string(mode)
	pc, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open replication connection: %w", err)
	}
	h, err := pc.Hijack()
	if err != nil {
		_ = pc.Close(ctx)
		return nil, fmt.Errorf("open replication connection: %w", err)
	}
	c := &Conn{
		nc:     h.Conn,
		r:      wire.NewReader(h.Conn, wire.Backend, 0),
		w:      wire.NewWriter(h.Conn),
		params: h.ParameterStatuses,
		pid:    h.PID,
	}
	// What pgconn has read beyond ReadyForQuery can only be asynchronous messages.
	for h.Frontend.ReadBufferLen() > 0 {
		if _, err := h.Frontend.Receive(); err != nil {
			c.Close()
			return nil, fmt.Errorf("open replication connection: %w", err)
		}
	}
	if err := h.Conn.SetDeadline(time.Time{}); err != nil {
		c.Close()
		return nil, fmt.Errorf("open replication connection: %w", err)
	}
	if c.version, err = ParseVersion(c.params["server_version"]); err != nil {
		c.Close()
		return nil, fmt.Errorf("open replication connection: %w", err)
	}
	return c, nil
}

// OnNotice makes f get the notices that the server sends. It is called by whatever method
// of the connection is running.
func (c *Conn) OnNotice(f func(*wire.Error)) { c.notice = f }

// PID returns the process id of the server's end (walsender).
func (c *Conn) PID() uint32 { return c.pid }

// Version returns the server's version as server_version_num has it, for instance 150020.
func (c *Conn) Version() int { return c.version }

// Parameter returns what the server last reported for a setting, such as TimeZone.
func (c *Conn) Parameter(name string) string { return c.params[name] }

// Err returns what broke the connection, or nil.
func (c *Conn) Err() error { return c.err }

// Close closes the connection; a command that runs meanwhile ends with an error.
func (c *Conn) Close() error {
	var err error
	c.closing.Do(func() {
		// Politeness only: the server notices the end of the connection anyway.
		_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.nc.Write((&wire.Terminate{}).AppendTo(nil))
		err = c.nc.Close()
		if s := c.stream.Load(); s != nil {
			s.finish()
		}
	})
	return err
}

// breakWith marks the connection as unusable.
func (c *Conn) breakWith(err error) error {
	if c.err == nil {
		c.err = err
	}
	return err
}

// ctxError returns why ctx has ended if that is what has made an operation time out.
func ctxError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || !isTimeout(err) {
		return err
	}
	return context.Cause(ctx)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// watch makes the end of ctx interrupt what the connection is doing. The caller calls stop
// when it is done.
func (c *Conn) watch(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		_ = c.nc.SetDeadline(time.Unix(1, 0))
		close(done)
	})
	return func() {
		if !cancel() {
			<-done
			_ = c.nc.SetDeadline(time.Time{}) // ctx may have ended after all was done
		}
	}
}

// send writes a message and flushes it.
func (c *Conn) send(m wire.Message) error {
	if c.err != nil {
		return fmt.Errorf("replication connection is broken: %w", c.err)
	}
	if err := c.w.Send(m); err != nil {
		return err // either nothing was written or the writer repeats it
	}
	if err := c.w.Flush(); err != nil {
		return c.breakWith(err)
	}
	return nil
}

// receive returns the next message that is not asynchronous. It is valid until the next
// call. An ErrorResponse of severity FATAL breaks the connection and is the error.
func (c *Conn) receive() (wire.Type, []byte, error) {
	for {
		f, err := c.r.ReadFrame()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = ErrClosed
		}
		if err != nil {
			return 0, nil, c.breakWith(err)
		}
		switch f.Type {
		case wire.TypeNoticeResponse:
			var m wire.NoticeResponse
			if err := m.Decode(f.Body); err != nil {
				return 0, nil, c.breakWith(err)
			}
			if c.notice != nil {
				c.notice(&m.Error)
			}
		case wire.TypeParameterStatus:
			var m wire.ParameterStatus
			if err := m.Decode(f.Body); err != nil {
				return 0, nil, c.breakWith(err)
			}
			c.params[m.Name] = m.Value
		case wire.TypeNotificationResponse:
		case wire.TypeErrorResponse:
			e, err := decodeError(f.Body)
			if err != nil {
				return 0, nil, c.breakWith(err)
			}
			if e.Severity == wire.SeverityFatal || e.Severity == wire.SeverityPanic {
				return 0, nil, c.breakWith(e)
			}
			return f.Type, f.Body, nil
		default:
			return f.Type, f.Body, nil
		}
	}
}

func decodeError(body []byte) (*wire.Error, error) {
	var m wire.ErrorResponse
	if err := m.Decode(body); err != nil {
		return nil, err
	}
	return &m.Error, nil
}

// untilReady passes over messages up to ReadyForQuery, after an error or at a command's
// end, and returns the first error among them.
func (c *Conn) untilReady() (*wire.Error, error) {
	var first *wire.Error
	for {
		t, body, err := c.receive()
		switch {
		case err != nil:
			return first, err
		case t == wire.TypeReadyForQuery:
			return first, nil
		case t == wire.TypeErrorResponse && first == nil:
			if first, err = decodeError(body); err != nil {
				return nil, c.breakWith(err)
			}
		}
	}
}

// unexpected is the error for a message that has no place where it came.
func (c *Conn) unexpected(t wire.Type, doing string) error {
	return c.breakWith(wire.Errorf(wire.CodeProtocolViolation,
		"unexpected message %s (%v) while %s", wire.Backend.Name(t), t, doing))
}
