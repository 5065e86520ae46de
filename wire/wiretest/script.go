package wiretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Script is a conversation as one side sees it: what it expects and what it sends, in order.
// It plays the server for a client under test, or the client for a server under test.
//
//	err := wiretest.Script{
//		wiretest.AcceptStartup(),
//		wiretest.Expect(&wire.Query{SQL: "select 1"}),
//		wiretest.Send(&wire.CommandComplete{Tag: "SELECT 1"}, wiretest.Ready()),
//		wiretest.ExpectEnd(),
//	}.RunServer(ctx, conn)
type Script []Step

// A Step is one thing a scripted peer does.
type Step struct {
	name string
	do   func(p *Peer) error
}

// A Peer is the state of a running script, for steps made by Do.
type Peer struct {
	Conn net.Conn
	// Side is whom the script plays.
	Side wire.Side
	R    *wire.Reader
	W    *wire.Writer
}

// readyForQuery ends most steps of a server.
var readyForQuery = &wire.ReadyForQuery{TxStatus: wire.TxIdle}

// Ready returns ReadyForQuery outside of a transaction.
func Ready() wire.Message { return readyForQuery }

// RunServer plays the script as a server on a connection, and closes it.
func (s Script) RunServer(ctx context.Context, conn net.Conn) error {
	return s.run(ctx, conn, wire.Backend)
}

// RunClient plays the script as a client on a connection, and closes it.
func (s Script) RunClient(ctx context.Context, conn net.Conn) error {
	return s.run(ctx, conn, wire.Frontend)
}

func (s Script) run(ctx context.Context, conn net.Conn, side wire.Side) (err error) {
	defer func() { err = errors.Join(err, conn.Close()) }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	other := wire.Backend
	if side == wire.Backend {
		other = wire.Frontend
	}
	p := &Peer{Conn: conn, Side: side, R: wire.NewReader(conn, other, 0), W: wire.NewWriter(conn)}
	for i, step := range s {
		if err := step.do(p); err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, step.name, err)
		}
	}
	return nil
}

// Do makes a step of a function.
func Do(name string, f func(p *Peer) error) Step { return Step{name, f} }

// Send sends messages, in one write.
func Send(messages ...wire.Message) Step {
	return Step{"send", func(p *Peer) error {
		for _, m := range messages {
			if err := p.W.Send(m); err != nil {
				return err
			}
		}
		return p.W.Flush()
	}}
}

// SendBytes sends bytes as they are.
func SendBytes(b []byte) Step {
	return Step{"send bytes", func(p *Peer) error {
		_, err := p.Conn.Write(b)
		return err
	}}
}

// Expect waits for one message and demands that it is exactly this one.
func Expect(m wire.Message) Step {
	return Step{fmt.Sprintf("expect %T", m), func(p *Peer) error {
		want, err := wire.Append(nil, m)
		if err != nil {
			return err
		}
		f, err := p.frame(m)
		if err != nil {
			return err
		}
		if !bytes.Equal(f.Raw, want) {
			return fmt.Errorf("got %s, want %s", p.show(f), p.show(wire.Frame{Type: f.Type, Body: want[len(f.Raw)-len(f.Body):], Raw: want}))
		}
		return nil
	}}
}

func (p *Peer) frame(want wire.Message) (wire.Frame, error) {
	if _, ok := want.(wire.StartupPacket); ok {
		return p.R.ReadStartup()
	}
	return p.R.ReadFrame()
}

// show prints a message for an error.
func (p *Peer) show(f wire.Frame) string {
	side := wire.Frontend
	if p.Side == wire.Frontend {
		side = wire.Backend
	}
	body := f.Body
	if len(body) > 200 {
		body = body[:200]
	}
	return fmt.Sprintf("%s %q", side.Name(f.Type), body)
}

// ExpectType waits for one message of a type, whatever is in it. What it is told, if it is not
// nil, gets the body.
func ExpectType(t wire.Type, look func(body []byte) error) Step {
	return Step{fmt.Sprintf("expect a message of type %v", t), func(p *Peer) error {
		f, err := p.R.ReadFrame()
		if err != nil {
			return err
		}
		if f.Type != t {
			return fmt.Errorf("got %s", p.show(f))
		}
		if look == nil {
			return nil
		}
		return look(f.Body)
	}}
}

// SkipUntil reads messages up to and with one of a type.
func SkipUntil(t wire.Type) Step {
	return Step{fmt.Sprintf("skip until %v", t), func(p *Peer) error {
		for {
			f, err := p.R.ReadFrame()
			if err != nil || f.Type == t {
				return err
			}
		}
	}}
}

// ExpectEnd demands that the other side closes the connection, after Terminate or without.
func ExpectEnd() Step {
	return Step{"expect the end", func(p *Peer) error {
		for {
			f, err := p.R.ReadFrame()
			switch {
			case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
				return nil
			case err != nil:
				return err
			case f.Type != wire.TypeTerminate || p.Side == wire.Frontend:
				return fmt.Errorf("got %s", p.show(f))
			}
		}
	}}
}

// AcceptStartup plays a server's part of a startup that trusts everybody: it refuses
// encryption, and answers the startup message with what a client must see before its first
// query.
func AcceptStartup() Step {
	return Step{"accept startup", func(p *Peer) error {
		for {
			f, err := p.R.ReadStartup()
			if err != nil {
				return err
			}
			packet, err := wire.DecodeStartup(f.Body)
			if err != nil {
				return err
			}
			switch packet.(type) {
			case *wire.SSLRequest, *wire.GSSENCRequest:
				if _, err := p.Conn.Write([]byte{wire.NotAccepted}); err != nil {
					return err
				}
				continue
			case *wire.StartupMessage:
			default:
				return fmt.Errorf("got %T", packet)
			}
			return Send(
				&wire.AuthenticationOk{},
				&wire.ParameterStatus{Name: "client_encoding", Value: "UTF8"},
				&wire.ParameterStatus{Name: "standard_conforming_strings", Value: "on"},
				&wire.BackendKeyData{PID: 1, Key: []byte{0, 0, 0, 1}},
				readyForQuery,
			).do(p)
		}
	}}
}

// Startup plays a client's part of a startup without authentication, up to ReadyForQuery.
func Startup(user, database string) Step {
	return Step{"startup", func(p *Peer) error {
		m := &wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: user}, {Name: "database", Value: database}}}
		if err := Send(m).do(p); err != nil {
			return err
		}
		return SkipUntil(wire.TypeReadyForQuery).do(p)
	}}
}
