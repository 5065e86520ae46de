package walsender

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Response takes the answer to one query. Its methods are called in the order in which
// the protocol has them; after CopyBoth, Complete is called twice.
type Response interface {
	// Columns begins a result with rows.
	Columns(fields []wire.Field) error
	// Row sends a row in text format; nil is NULL.
	Row(values [][]byte) error
	// Complete ends the statement with a command tag; an empty one stands for
	// EmptyQueryResponse.
	Complete(tag string) error
	// CopyOut begins COPY TO STDOUT of lines in text format. Each Write is one message. Close
	// ends the data.
	CopyOut(columns int) (io.WriteCloser, error)
	// CopyBoth begins a stream in both directions.
	CopyBoth() (Link, error)
}

// A connResponse is a Response on a connection.
type connResponse struct {
	ctx context.Context // that of Serve
	nc  net.Conn
	r   *wire.Reader
	w   *wire.Writer
}

func (c *connResponse) Columns(fields []wire.Field) error {
	return c.w.Send(&wire.RowDescription{Fields: fields})
}

func (c *connResponse) Row(values [][]byte) error { return c.w.Send(&wire.DataRow{Values: values}) }

func (c *connResponse) Complete(tag string) error {
	if tag == "" {
		return c.w.Send(&wire.EmptyQueryResponse{})
	}
	return c.w.Send(&wire.CommandComplete{Tag: tag})
}

func (c *connResponse) CopyOut(columns int) (io.WriteCloser, error) {
	return copyOut{c.w}, c.w.Send(&wire.CopyOutResponse{Columns: make([]wire.Format, columns)})
}

// A copyOut writes CopyData.
type copyOut struct{ w *wire.Writer }

func (o copyOut) Write(p []byte) (int, error) { return len(p), o.w.Send(&wire.CopyData{Data: p}) }

func (o copyOut) Close() error { return o.w.Send(&wire.CopyDone{}) }

func (c *connResponse) CopyBoth() (Link, error) {
	if err := c.w.Send(&wire.CopyBothResponse{}); err != nil {
		return nil, err
	}
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	l := &connLink{nc: c.nc, r: c.r, w: c.w}
	l.ctx, l.cancel = context.WithCancel(c.ctx)
	return l, nil
}

// A connLink is a Link on a connection.
type connLink struct {
	nc     net.Conn
	r      *wire.Reader
	w      *wire.Writer
	ctx    context.Context // of the link's life
	cancel context.CancelFunc
}

func (l *connLink) Send(data []byte) error { return l.w.Send(&wire.CopyData{Data: data}) }

func (l *connLink) Flush() error { return l.w.Flush() }

func (l *connLink) Interrupt() { l.cancel() }

func (l *connLink) Close() error {
	defer l.cancel()
	if err := l.w.Send(&wire.CopyDone{}); err != nil {
		return err
	}
	return l.w.Flush()
}

func (l *connLink) Receive() ([]byte, error) {
	stop := interrupt(l.ctx, l.nc)
	defer stop()
	for {
		f, err := l.r.ReadFrame()
		if err != nil {
			if l.ctx.Err() != nil {
				return nil, context.Cause(l.ctx)
			}
			if errors.Is(err, io.EOF) { // not the end of the stream but of the connection
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		switch f.Type {
		case wire.TypeCopyData:
			return f.Body, nil
		case wire.TypeCopyDone:
			return nil, io.EOF
		case wire.TypeTerminate:
			return nil, io.ErrUnexpectedEOF
		case wire.TypeFlush, wire.TypeSync: // as ProcessRepliesIfAny does in copy mode
		default:
			return nil, wire.Errorf(wire.CodeProtocolViolation, "invalid standby message type %q", byte(f.Type))
		}
	}
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
