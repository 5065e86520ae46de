package walsender

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Conn is a connection on which a client has been let in, with the startup parameter
// "replication" set to "database".
type Conn struct {
	Net      net.Conn
	Reader   *wire.Reader // of what the client sends
	Writer   *wire.Writer
	PID      uint32 // unique among the publisher's connections, and not 0
	Database string
	// Timeout is as in [StreamOptions].
	Timeout time.Duration
}

// Serve answers commands on c until the client leaves, which is no error, or ctx ends. It
// begins with ReadyForQuery. The caller closes the connection. A server that has a loop of
// its own uses a [Session] instead.
func (p *Publisher) Serve(ctx context.Context, c Conn) error {
	l := &loop{c: c, s: p.Session(SessionOptions{PID: c.PID, Database: c.Database, Timeout: c.Timeout})}
	defer l.s.Close()
	out := &connResponse{ctx: ctx, nc: c.Net, r: c.Reader, w: c.Writer}
	ready := true
	for {
		if ready {
			if err := c.Writer.Send(&wire.ReadyForQuery{TxStatus: l.s.TxStatus()}); err != nil {
				return err
			}
			if err := c.Writer.Flush(); err != nil {
				return err
			}
		}
		f, err := l.read(ctx)
		if errors.Is(err, io.EOF) || err == nil && f.Type == wire.TypeTerminate {
			return nil
		}
		if err != nil {
			return err
		}
		ready = true
		switch f.Type {
		case wire.TypeQuery:
			var q wire.Query
			if err = q.Decode(f.Body); err == nil {
				err = l.s.Query(ctx, q.SQL, out)
			}
		case wire.TypeSync:
		case wire.TypeCopyData, wire.TypeCopyDone, wire.TypeCopyFail: // what is left of a stream
			ready = false
		default:
			err = l.skipToSync(ctx, f.Type)
		}
		if err != nil {
			if err := l.report(ctx, err); err != nil {
				return err
			}
		}
	}
}

// A loop is one run of Serve.
type loop struct {
	c Conn
	s *Session
}

func (l *loop) read(ctx context.Context) (wire.Frame, error) {
	stop := interrupt(ctx, l.c.Net)
	defer stop()
	f, err := l.c.Reader.ReadFrame()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return f, err
}

// report tells the client of an error; it returns those that have ended the connection.
func (l *loop) report(ctx context.Context, err error) error {
	var e *wire.Error
	var encode *wire.EncodeError
	if ctx.Err() != nil || !errors.As(err, &e) && !errors.As(err, &encode) {
		return err
	}
	return l.c.Writer.Send(wire.AsError(err).Response())
}

// skipToSync refuses the extended protocol.
func (l *loop) skipToSync(ctx context.Context, t wire.Type) error {
	for {
		f, err := l.read(ctx)
		if err != nil {
			return err
		}
		if f.Type == wire.TypeSync {
			// As forbidden_in_wal_sender in tcop/postgres.c.
			return wire.Errorf(wire.CodeProtocolViolation, "extended query protocol not supported in a replication connection (%s)", wire.Frontend.Name(t))
		}
	}
}
