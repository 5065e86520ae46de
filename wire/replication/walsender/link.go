package walsender

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A connLink is a [Link] over a connection.
type connLink struct {
	nc   net.Conn
	r    *wire.Reader
	w    *wire.Writer
	done bool // CopyDone has come
}

func (l *connLink) Send(m wire.Message) error { return l.w.Send(m) }

func (l *connLink) Flush() error { return l.w.Flush() }

func (l *connLink) Receive(ctx context.Context) ([]byte, error) {
	stop := interrupt(ctx, l.nc)
	defer stop()
	for {
		f, err := l.r.ReadFrame()
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err == io.EOF { // not the end of the stream but of the connection
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		switch f.Type {
		case wire.TypeCopyData:
			return f.Body, nil
		case wire.TypeCopyDone:
			l.done = true
			return nil, io.EOF
		case wire.TypeTerminate:
			return nil, io.ErrUnexpectedEOF
		case wire.TypeFlush, wire.TypeSync: // as ProcessRepliesIfAny does in copy mode
		default:
			return nil, wire.Errorf(wire.CodeProtocolViolation, "invalid standby message type %q", byte(f.Type))
		}
	}
}

// finish ends copy mode: it sends CopyDone and waits for the subscriber's.
func (l *connLink) finish(ctx context.Context) error {
	if err := l.Send(&wire.CopyDone{}); err != nil {
		return err
	}
	return l.drain(ctx)
}

// drain waits for the subscriber's CopyDone.
func (l *connLink) drain(ctx context.Context) error {
	if err := l.Flush(); err != nil {
		return err
	}
	for !l.done {
		if _, err := l.Receive(ctx); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

// interrupt makes the end of ctx interrupt reading from nc.
func interrupt(ctx context.Context, nc net.Conn) (stop func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		_ = nc.SetReadDeadline(time.Unix(1, 0))
		close(done)
	})
	return func() {
		if !cancel() {
			<-done
			_ = nc.SetReadDeadline(time.Time{})
		}
	}
}
