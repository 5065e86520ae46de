package scatter_test

import (
	"net"
	"testing"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A dialogue speaks the protocol message by message.
type dialogue struct {
	t testing.TB
	c net.Conn
	r *wire.Reader
}

func newDialogue(t testing.TB, f *fleet) *dialogue {
	c, err := f.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	s := &dialogue{t, c, wire.NewReader(c, wire.Backend, 0)}
	s.send(&wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "u"}}})
	s.until(wire.TypeReadyForQuery)
	return s
}

func (s *dialogue) send(list ...wire.Message) {
	s.t.Helper()
	var b []byte
	for _, m := range list {
		var err error
		if b, err = wire.Append(b, m); err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := s.c.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

// until reads up to a message and returns how often each type came.
func (s *dialogue) until(last wire.Type) map[wire.Type]int {
	s.t.Helper()
	seen := map[wire.Type]int{}
	for {
		f, err := s.r.ReadFrame()
		if err != nil {
			s.t.Fatal(err)
		}
		if f.Type == wire.TypeErrorResponse {
			var e wire.ErrorResponse
			_ = e.Decode(f.Body)
			s.t.Fatal(&e.Error)
		}
		if seen[f.Type]++; f.Type == last {
			return seen
		}
	}
}

func (s *dialogue) query(sql string) {
	s.t.Helper()
	s.send(&wire.Query{SQL: sql})
	s.until(wire.TypeReadyForQuery)
}

func (s *dialogue) bind(portal, sql string) {
	s.t.Helper()
	s.send(&wire.Parse{SQL: sql}, &wire.Bind{Portal: portal}, &wire.Sync{})
	s.until(wire.TypeReadyForQuery)
}

func (s *dialogue) execute(portal string, limit uint32) (rows int, suspended bool) {
	s.t.Helper()
	s.send(&wire.Execute{Portal: portal, MaxRows: limit}, &wire.Sync{})
	seen := s.until(wire.TypeReadyForQuery)
	return seen[wire.TypeDataRow], seen[wire.TypePortalSuspended] > 0
}
