package tap

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A conn is one client's connection.
type conn struct {
	tap    *Tap
	id     uint64
	client net.Conn

	// Below is what both directions know; Tap.report guards it.
	auth     wire.AuthCode // the last request for authentication
	both     bool          // CopyData carries replication
	asked    time.Time     // the first request since the last that waits
	waiting  []time.Time   // of each ReadyForQuery that is to come
	describe describer
}

// tell reports something that is no message of the session's.
func (c *conn) tell(from Source, name string, size int, fields ...Field) {
	c.tap.report.Lock()
	defer c.tap.report.Unlock()
	c.tap.Report(Event{Time: time.Now(), Conn: c.id, From: from, Message: name, Size: size, Fields: fields})
}

func (c *conn) run(ctx context.Context) {
	defer c.tap.untrack(c.client)
	c.describe = describer{hide: c.tap.HideValues, limit: c.tap.MaxValue}
	if c.describe.limit == 0 {
		c.describe.limit = DefaultMaxValue
	}
	c.tell(Self, "Opened", 0, Field{"peer", c.client.RemoteAddr().String()})
	began := time.Now()
	err := c.serve(ctx)
	fields := []Field{{"after", time.Since(began).Round(time.Microsecond).String()}}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		fields = append(fields, Field{"error", err.Error()})
	}
	c.tell(Self, "Closed", 0, fields...)
}

// serve deals with the packets that open a connection and then passes bytes on.
func (c *conn) serve(ctx context.Context) error {
	_ = c.client.SetReadDeadline(time.Now().Add(cmp.Or(c.tap.StartupTimeout, time.Minute)))
	r := wire.NewReader(c.client, wire.Frontend, 0)
	for {
		first, err := r.Peek(1)
		if err != nil {
			return err
		}
		if first[0] == 0x16 { // a TLS ClientHello, without an SSLRequest
			return c.directTLS(ctx, r)
		}
		frame, err := r.ReadStartup()
		if err != nil {
			return c.refuse(err)
		}
		packet, err := wire.DecodeStartup(frame.Body)
		if err != nil {
			return c.refuse(err)
		}
		size := len(frame.Raw)
		switch m := packet.(type) {
		case *wire.SSLRequest:
			if done, err := c.encrypt(ctx, r, "SSLRequest", wire.SSLAccepted, frame.Raw); done || err != nil {
				return err
			}
		case *wire.GSSENCRequest:
			if done, err := c.encrypt(ctx, r, "GSSENCRequest", wire.GSSAccepted, frame.Raw); done || err != nil {
				return err
			}
		case *wire.CancelRequest:
			c.tell(Client, "CancelRequest", size, Field{"pid", m.PID}, Field{"key", secret})
			return c.pass(ctx, frame.Raw)
		case *wire.StartupMessage:
			c.asked = time.Now()
			c.waiting = append(c.waiting, c.asked)
			c.tell(Client, "StartupMessage", size, startupFields(m)...)
			return c.session(ctx, append([]byte(nil), frame.Raw...), r)
		}
	}
}

// refuse tells of a first packet that is none, and the client as well.
func (c *conn) refuse(err error) error {
	var e *wire.Error
	if !errors.As(err, &e) {
		return err
	}
	if b, err := wire.Append(nil, e.Response()); err == nil {
		_, _ = c.client.Write(b) // it may be gone
	}
	return err
}

func startupFields(m *wire.StartupMessage) []Field {
	fields := []Field{{"version", m.Version.String()}}
	for _, p := range m.Params {
		fields = append(fields, Field{p.Name, maskPasswords(p.Value)})
	}
	return fields
}

// encrypt declines a request for encryption, or passes it on and, when the server agrees,
// everything after it.
func (c *conn) encrypt(ctx context.Context, r *wire.Reader, name string, yes byte, raw []byte) (done bool, err error) {
	c.tell(Client, name, len(raw))
	if !c.tap.PassTLS {
		c.tell(Self, "declined", 1, Field{"answer", "N"})
		_, err := c.client.Write([]byte{wire.NotAccepted})
		return false, err
	}
	server, err := c.dial(ctx)
	if err != nil {
		return true, err
	}
	defer c.tap.untrack(server)
	if _, err := server.Write(raw); err != nil {
		return true, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(server, answer[:]); err != nil {
		return true, err
	}
	c.tell(Server, "answer", 1, Field{"answer", string(answer[:])})
	if _, err := c.client.Write(answer[:]); err != nil {
		return true, err
	}
	if answer[0] != yes {
		// The client may go on in the clear; it does so on a fresh connection to the server.
		return answer[0] != wire.NotAccepted, nil
	}
	c.tell(Self, "encrypted", 0, Field{"note", "passed on, nothing more can be told"})
	return true, c.blind(server, r.Detach())
}

func (c *conn) directTLS(ctx context.Context, r *wire.Reader) error {
	if !c.tap.PassTLS {
		c.tell(Self, "declined", 0, Field{"note", "the client begins with TLS (sslnegotiation=direct), which the tap declines"})
		return nil
	}
	server, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer c.tap.untrack(server)
	c.tell(Self, "encrypted", 0, Field{"note", "direct TLS, passed on, nothing more can be told"})
	return c.blind(server, r.Detach())
}

// blind passes bytes on without looking at them.
func (c *conn) blind(server net.Conn, ahead []byte) error {
	_ = c.client.SetReadDeadline(time.Time{})
	if _, err := server.Write(ahead); err != nil {
		return err
	}
	return c.relay(server, func([]byte) {}, func([]byte) {})
}

// pass sends one packet to the server and waits for it to close the connection, as it does
// after a CancelRequest.
func (c *conn) pass(ctx context.Context, raw []byte) error {
	server, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer c.tap.untrack(server)
	if _, err := server.Write(raw); err != nil {
		return err
	}
	_, err = io.Copy(c.client, server)
	return err
}

// dial connects to the server; a client that waits for an answer gets the reason as an
// error.
func (c *conn) dial(ctx context.Context) (net.Conn, error) {
	server, err := c.tap.dial(ctx)
	if err != nil {
		e := wire.Errorf(wire.CodeConnectionFailure, "the tap cannot reach the server: %w", err)
		e.Severity = wire.SeverityFatal
		return nil, c.refuse(e)
	}
	return server, nil
}

// session passes a session on, from its startup message to its end.
func (c *conn) session(ctx context.Context, startup []byte, r *wire.Reader) error {
	server, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer c.tap.untrack(server)
	_ = c.client.SetReadDeadline(time.Time{})
	front, back := newStream(wire.Frontend, c), newStream(wire.Backend, c)
	ahead := r.Detach()
	if len(ahead) > 0 {
		front.feed(ahead)
	}
	if _, err := server.Write(append(startup, ahead...)); err != nil {
		return err
	}
	return c.relay(server, front.feed, back.feed)
}

// relay passes bytes on in both directions until the server is done, or a connection
// fails.
func (c *conn) relay(server net.Conn, fromClient, fromServer func([]byte)) error {
	var wg sync.WaitGroup
	wg.Go(func() {
		err := pump(server, c.client, fromClient)
		if err == nil {
			err = closeWrite(server)
		}
		if err != nil {
			_ = server.Close() // and the other direction ends
		}
	})
	err := pump(c.client, server, fromServer)
	_ = c.client.Close()
	wg.Wait()
	return err
}

// pump passes bytes on from src to dst until src ends.
func pump(dst, src net.Conn, look func([]byte)) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			look(buf[:n])
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// closeWrite says that no more bytes will come.
func closeWrite(nc net.Conn) error {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nc.Close()
}
