package pool

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Direct talks to a server message by message: for what the pool itself asks, and for
// whoever merges the answers of several. It is used by one goroutine.
type Direct struct {
	conn  *Conn
	chunk chan []byte
	done  chan int
	quit  chan struct{}
	gone  chan struct{}
	err   error // of the connection; set before gone is closed

	lost  sync.Once
	inbox inbox  // of a connection that a loop drives, instead of chunk and done
	bytes []byte // what is left of the chunk
	used  int
	open  bool // a chunk is being looked at
	skip  int  // bytes of a message of which the beginning went elsewhere
}

// Direct attaches to the connection, which must be held, to talk to it message by message.
// Close ends that.
func (c *Conn) Direct() *Direct {
	d := &Direct{conn: c, chunk: make(chan []byte), done: make(chan int), quit: make(chan struct{}), gone: make(chan struct{})}
	d.inbox.more = make(chan struct{}, 1)
	if !c.Attach(d) {
		d.Lost(c, errors.New(c.Why()))
	}
	return d
}

// Conn returns the connection.
func (d *Direct) Conn() *Conn { return d.conn }

// Send sends whole messages.
func (d *Direct) Send(frames []byte) error {
	_, err := d.conn.Write(frames)
	return err
}

// Buffered returns how many bytes have come that Receive has not returned yet.
func (d *Direct) Buffered() int {
	if !d.open {
		return 0
	}
	return len(d.bytes) // what is in the inbox beyond that is like what is in the socket
}

// Receive returns the next message, which is valid until the next call. A ReadyForQuery and a
// ParameterStatus are also noted in the connection.
func (d *Direct) Receive(ctx context.Context) (typ wire.Type, body []byte, err error) {
	for {
		if m, ok, err := d.frame(); err != nil {
			return 0, nil, err
		} else if ok {
			return wire.Type(m[0]), m[wire.HeaderLen:], d.note(wire.Type(m[0]), m[wire.HeaderLen:])
		}
		if d.conn.lc != nil && d.collect() {
			continue
		}
		if d.open && d.conn.lc == nil {
			d.open = false
			d.done <- d.used
		}
		select {
		case <-d.inbox.more:
		case d.bytes = <-d.chunk:
			d.open, d.used = true, 0
		case <-d.gone:
			return 0, nil, d.err
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		}
	}
}

// frame takes a whole message from the chunk.
func (d *Direct) frame() (m []byte, ok bool, err error) {
	if n := min(d.skip, len(d.bytes)); n > 0 && d.open {
		d.skip -= n
		d.used += n
		d.bytes = d.bytes[n:]
	}
	if !d.open || len(d.bytes) < wire.HeaderLen {
		return nil, false, nil
	}
	n := frameLen(d.bytes)
	if n < 4 || n > wire.MaxLargeMessage {
		return nil, false, wire.Errorf(wire.CodeProtocolViolation, "the server sent a message of %d bytes", n)
	}
	if len(d.bytes) < n+1 {
		return nil, false, nil
	}
	m = d.bytes[:n+1]
	d.bytes = d.bytes[n+1:]
	d.used += n + 1
	return m, true, nil
}

func (d *Direct) note(typ wire.Type, body []byte) error {
	switch typ {
	case wire.TypeReadyForQuery:
		if len(body) != 1 {
			return wire.Errorf(wire.CodeProtocolViolation, "ReadyForQuery of %d bytes", len(body))
		}
		d.conn.Status = wire.TxStatus(body[0])
	case wire.TypeParameterStatus:
		var p wire.ParameterStatus
		if err := p.Decode(body); err != nil {
			return err
		}
		d.conn.Reported = d.conn.Reported.With(p.Name, p.Value)
	}
	return nil
}

// Close ends the conversation. If the connection is still in use, with something unread, it is
// broken by that.
func (d *Direct) Close() {
	if d.conn.lc != nil {
		d.closeEvented()
		return
	}
	if d.open {
		d.open = false
		d.done <- d.used
	}
	close(d.quit)
	d.conn.mu.Lock()
	if d.conn.sink == Sink(d) {
		d.conn.sink = nil
	}
	d.conn.mu.Unlock()
}

// Data gives the conversation what has come and waits until it has been looked at.
func (d *Direct) Data(c *Conn, b []byte) (int, error) {
	if c.lc != nil {
		d.inbox.put(c, b)
		return len(b), nil
	}
	select {
	case d.chunk <- b:
		return <-d.done, nil
	case <-d.quit:
		return 0, ErrDetached
	}
}

// Lost ends the conversation.
func (d *Direct) Lost(_ *Conn, err error) {
	d.lost.Do(func() {
		d.err = err
		close(d.gone)
	})
}

// Exec runs one simple query and returns the first column of its last row as text. An error of
// the server's leaves the conversation as it is.
func (d *Direct) Exec(ctx context.Context, sql string) (value string, err error) {
	b, err := wire.Append(nil, &wire.Query{SQL: sql})
	if err != nil {
		return "", err
	}
	d.conn.Unnamed = 0 // a simple query ends it
	if err := d.Send(b); err != nil {
		return "", err
	}
	var failed error
	for {
		typ, body, err := d.Receive(ctx)
		if err != nil {
			return "", errors.Join(failed, err)
		}
		switch typ {
		case wire.TypeDataRow:
			var row wire.DataRow
			if err := row.Decode(body); err != nil {
				return "", err
			}
			if len(row.Values) > 0 {
				value = string(row.Values[0])
			}
		case wire.TypeErrorResponse:
			var e wire.ErrorResponse
			if err := e.Decode(body); err != nil {
				return "", err
			}
			failed = &e.Error
		case wire.TypeCopyInResponse, wire.TypeCopyOutResponse, wire.TypeCopyBothResponse:
			return "", io.ErrUnexpectedEOF
		case wire.TypeReadyForQuery:
			return value, failed
		}
	}
}
