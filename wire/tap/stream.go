package tap

import (
	"slices"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A stream finds the messages of one direction of a session.
type stream struct {
	c       *conn
	from    wire.Side
	scanner wire.Scanner
	front   wire.FrontendDecoder
	back    wire.BackendDecoder
	body    []byte // of the message that is being received
	broken  bool   // what came was no message
}

func newStream(from wire.Side, c *conn) *stream {
	s := &stream{c: c, from: from}
	s.scanner.Init(from, 0)
	return s
}

func (s *stream) source() Source {
	if s.from == wire.Frontend {
		return Client
	}
	return Server
}

// feed looks at bytes on their way and reports the messages that end in them.
func (s *stream) feed(chunk []byte) {
	if s.broken {
		return
	}
	now := time.Now()
	s.c.tap.report.Lock()
	defer s.c.tap.report.Unlock()
	for len(chunk) > 0 {
		span, rest, err := s.scanner.Next(chunk)
		if err != nil {
			s.broken = true
			s.c.tap.Report(Event{
				Time: now, Conn: s.c.id, From: s.source(), Message: "Unknown",
				Fields: []Field{{"error", err.Error()}, {"note", "what follows is passed on untold"}},
			})
			return
		}
		chunk = rest
		body := span.Body
		if !span.Whole() {
			if room := maxBody - len(s.body); room > 0 {
				s.body = append(s.body, body[:min(room, len(body))]...)
			}
			body = s.body
		}
		if !span.End {
			continue
		}
		s.message(now, span.Type, span.Size, body)
		if s.body = s.body[:0]; cap(s.body) > 64<<10 {
			s.body = nil
		}
	}
}

// message reports one message, after it has been noted what it means for those to come.
func (s *stream) message(now time.Time, t wire.Type, size int, body []byte) {
	c := s.c
	e := Event{Time: now, Conn: c.id, From: s.source(), Message: s.from.Name(t), Size: size}
	whole := len(body) == size-wire.HeaderLen
	switch {
	case t == wire.TypeAuthResponse && s.from == wire.Frontend:
		e.Message, e.Fields = authResponse(c.auth, body)
	case !whole:
		e.Fields = []Field{{"note", "too long to be decoded"}}
	default:
		m, err := s.decode(t, body)
		if err != nil {
			e.Fields = []Field{{"error", err.Error()}}
			break
		}
		s.note(m)
		e.Message, e.Fields = c.describe.message(e.Message, m, c.both)
	}
	s.time(&e, t)
	c.tap.Report(e)
}

func (s *stream) decode(t wire.Type, body []byte) (wire.Message, error) {
	if s.from == wire.Frontend {
		return s.front.Decode(t, body)
	}
	return s.back.Decode(t, body)
}

// note remembers what changes the meaning of later messages.
func (s *stream) note(m wire.Message) {
	switch m.(type) {
	case *wire.AuthenticationCleartextPassword:
		s.c.auth = wire.AuthCleartextPassword
	case *wire.AuthenticationMD5Password:
		s.c.auth = wire.AuthMD5Password
	case *wire.AuthenticationSASL:
		s.c.auth = wire.AuthSASL
	case *wire.AuthenticationSASLContinue:
		s.c.auth = wire.AuthSASLContinue
	case *wire.AuthenticationGSS, *wire.AuthenticationGSSContinue, *wire.AuthenticationSSPI:
		s.c.auth = wire.AuthGSS
	case *wire.CopyBothResponse:
		s.c.both = true
	case *wire.ReadyForQuery, *wire.ErrorResponse:
		s.c.both = false
	}
}

// time measures how long the server took. A request is a Query or FunctionCall, or what
// comes up to a Sync.
func (s *stream) time(e *Event, t wire.Type) {
	c := s.c
	if s.from == wire.Frontend {
		switch t {
		case wire.TypeCopyData, wire.TypeCopyDone, wire.TypeCopyFail, wire.TypeTerminate, wire.TypeAuthResponse:
			return
		}
		if c.asked.IsZero() {
			c.asked = e.Time
		}
		switch t {
		case wire.TypeQuery, wire.TypeFunctionCall, wire.TypeSync:
			if len(c.waiting) < 1<<16 { // as many as a client may reasonably have open
				c.waiting = append(c.waiting, c.asked)
			}
			c.asked = time.Time{}
		}
		return
	}
	switch t {
	case wire.TypeReadyForQuery, wire.TypeCommandComplete, wire.TypeErrorResponse:
	default:
		return
	}
	began := c.asked
	if len(c.waiting) > 0 {
		began = c.waiting[0]
	}
	if !began.IsZero() {
		e.Took = e.Time.Sub(began)
	}
	if t == wire.TypeReadyForQuery && len(c.waiting) > 0 {
		if began.Equal(c.asked) { // the startup message
			c.asked = time.Time{}
		}
		c.waiting = slices.Delete(c.waiting, 0, 1)
	}
}
