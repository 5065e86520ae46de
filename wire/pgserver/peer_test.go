package pgserver_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// peer is a client that sends what it likes.
type peer struct {
	t  testing.TB
	nc net.Conn
	r  *wire.Reader
	w  *wire.Writer
}

func dial(t testing.TB, addr string) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return newPeer(t, nc)
}

func newPeer(t testing.TB, nc net.Conn) *peer {
	_ = nc.SetDeadline(time.Now().Add(2 * time.Minute))
	return &peer{t: t, nc: nc, r: wire.NewReader(nc, wire.Backend, 0), w: wire.NewWriter(nc)}
}

// open dials and starts a session.
func open(t testing.TB, addr string, params ...wire.Param) *peer {
	t.Helper()
	p := dial(t, addr)
	p.send(&wire.StartupMessage{Version: wire.Version30, Params: append([]wire.Param{{Name: "user", Value: "joe"}}, params...)})
	p.until(wire.TypeReadyForQuery)
	return p
}

func (p *peer) send(messages ...wire.Message) {
	p.t.Helper()
	for _, m := range messages {
		if err := p.w.Send(m); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := p.w.Flush(); err != nil {
		p.t.Logf("send: %v", err)
	}
}

// raw sends bytes and expects nothing of it.
func (p *peer) raw(b []byte) {
	if _, err := p.nc.Write(b); err != nil {
		p.t.Logf("send: %v", err)
	}
}

func (p *peer) next() (wire.Type, wire.BackendMessage, error) {
	f, err := p.r.ReadFrame()
	if err != nil {
		return 0, nil, err
	}
	m, err := wire.DecodeBackend(f.Type, append([]byte(nil), f.Body...))
	return f.Type, m, err
}

// until reads up to a message of the type and returns what came, in short; see shorthand.
func (p *peer) until(t wire.Type) string {
	p.t.Helper()
	var out []string
	for {
		typ, m, err := p.next()
		if err != nil {
			p.t.Fatalf("after %v: %v", out, err)
		}
		out = append(out, shorthand(typ, m))
		if typ == t {
			return strings.Join(out, " ")
		}
	}
}

// end reads up to the end of the connection.
func (p *peer) end() string {
	var out []string
	for {
		typ, m, err := p.next()
		var ne net.Error
		switch {
		case err == nil:
			out = append(out, shorthand(typ, m))
			continue
		case errors.As(err, &ne) && ne.Timeout():
			out = append(out, "waits")
		case errors.Is(err, io.EOF) || strings.Contains(err.Error(), "reset"):
			out = append(out, "closed")
		default:
			out = append(out, err.Error())
		}
		return strings.Join(out, " ")
	}
}

// shorthand is a message's type with the part that tests look at.
func shorthand(typ wire.Type, m wire.BackendMessage) string {
	switch m := m.(type) {
	case *wire.ErrorResponse:
		return fmt.Sprintf("%s:%s", m.Error.Severity, m.Error.Code)
	case *wire.ReadyForQuery:
		return "Z" + string(m.TxStatus)
	case *wire.CommandComplete:
		return "C(" + m.Tag + ")"
	case *wire.DataRow:
		var v []string
		for _, x := range m.Values {
			if x == nil {
				v = append(v, "NULL")
				continue
			}
			v = append(v, string(x))
		}
		return "D(" + strings.Join(v, ",") + ")"
	case *wire.NoticeResponse:
		return "N:" + string(m.Error.Code)
	case *wire.NotificationResponse:
		return "A(" + m.Channel + "," + m.Payload + ")"
	case *wire.ParameterStatus:
		return "S(" + m.Name + "=" + m.Value + ")"
	case *wire.NegotiateProtocolVersion:
		return fmt.Sprintf("v(%v %v)", m.Version, m.Unrecognized)
	case *wire.CopyData:
		return "d(" + strings.TrimSuffix(string(m.Data), "\n") + ")"
	}
	return string(typ)
}

// addrOf takes the address out of a URL that start returned.
func addrOf(url string) string {
	_, rest, _ := strings.Cut(url, "@")
	addr, _, _ := strings.Cut(rest, "/")
	return addr
}
