package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
)

// A RawConn speaks the protocol in bytes, after startup. It is not safe for concurrent
// use.
type RawConn struct {
	conn net.Conn
}

// Raw opens a connection for messages that the caller makes itself.
func (d *DB) Raw(ctx context.Context) (*RawConn, error) {
	c, err := engines.Connect(ctx, d.srv, d.database)
	if err != nil {
		return nil, err
	}
	h, err := c.PgConn().Hijack()
	if err != nil {
		return nil, err
	}
	return &RawConn{h.Conn}, nil
}

// Exec sends whole messages and returns everything up to and with the last of the
// ReadyForQuery messages that they call for: one for each Query, Sync and FunctionCall.
func (r *RawConn) Exec(ctx context.Context, messages []byte) ([]byte, error) {
	var out []byte
	err := r.Stream(ctx, messages, func(m []byte) error {
		out = append(out, m...)
		return nil
	})
	return out, err
}

// Stream is Exec with a function that is called with each message as it comes; the bytes
// are good during the call only.
func (r *RawConn) Stream(ctx context.Context, messages []byte, f func(message []byte) error) error {
	ready := 0
	for rest := messages; len(rest) > 0; {
		if len(rest) < headerLen {
			return errors.New("send messages: the last one is not whole")
		}
		n := uint64(binary.BigEndian.Uint32(rest[1:])) + 1
		if n < headerLen || n > uint64(len(rest)) {
			return errors.New("send messages: the last one is not whole")
		}
		switch rest[0] {
		case 'Q', 'S', 'F':
			ready++
		}
		rest = rest[n:]
	}
	stop := context.AfterFunc(ctx, func() { _ = r.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	sent := make(chan error, 1)
	go func() {
		_, err := r.conn.Write(messages)
		sent <- err
	}()
	err := r.receive(ready, f)
	if serr := <-sent; err == nil {
		err = serr
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (r *RawConn) receive(ready int, f func([]byte) error) error {
	var buf []byte
	for ready > 0 {
		if cap(buf) < headerLen {
			buf = make([]byte, headerLen, 8192)
		}
		buf = buf[:headerLen]
		if _, err := io.ReadFull(r.conn, buf); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint32(buf[1:])) + 1
		if n > cap(buf) {
			buf = append(make([]byte, 0, n), buf...)
		}
		buf = buf[:n]
		if _, err := io.ReadFull(r.conn, buf[headerLen:]); err != nil {
			return err
		}
		if err := f(buf); err != nil {
			return err
		}
		if buf[0] == 'Z' {
			ready--
		}
	}
	return nil
}

// Close ends the connection.
func (r *RawConn) Close() error { return r.conn.Close() }

// ExecProtocolRaw sends whole protocol messages on a connection of their own and returns
// the answer; see RawConn.Exec.
func (d *DB) ExecProtocolRaw(ctx context.Context, messages []byte) ([]byte, error) {
	r, err := d.Raw(ctx)
	if err != nil {
		return nil, err
	}
	out, err := r.Exec(ctx, messages)
	return out, errors.Join(err, r.Close())
}
