package session

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// MaxQueue bounds the requests that wait for an answer; a client that sends more before it
// reads is refused with code 53400.
const MaxQueue = 1 << 16

// A request is a message of the client that the server owes an answer for.
type request struct {
	t         wire.Type
	kind      wire.Kind // of Describe and Close
	name      string    // of the statement or portal
	statement *Statement
}

// A Tracker follows one session. The zero value is ready for one whose startup packet has been
// sent. It is not safe for concurrent use: feed both directions under one lock.
type Tracker struct {
	State

	fe, be  direction
	queue   []request
	undo    undo
	tag     string // of the last command, for the end of its transaction
	failed  bool   // the running Query or series had an error
	copying wire.Type
}

// direction finds the messages of one side and keeps what is needed of the one that is
// incomplete.
type direction struct {
	scanner wire.Scanner
	begun   bool
	body    []byte
}

// Feed takes bytes that side from has sent, in pieces of any size, and calls event for each
// thing that happened. Events hold no memory of chunk. An error is an *wire.Error: the bytes
// are no protocol, and the session must end.
func (t *Tracker) Feed(from wire.Side, chunk []byte, event func(Event)) error {
	d := &t.fe
	if from == wire.Backend {
		d = &t.be
	}
	if !d.begun {
		d.scanner.Init(from, 0)
		d.begun = true
	}
	for len(chunk) > 0 {
		var span wire.Span
		var err error
		span, chunk, err = d.scanner.Next(chunk)
		if err != nil {
			return err
		}
		if span.Size == 0 {
			continue // the header is incomplete
		}
		body := span.Body
		if !span.Whole() {
			if n := keep(from, span.Type) - len(d.body); n > 0 {
				d.body = append(d.body, body[:min(n, len(body))]...)
			}
			if !span.End {
				continue
			}
			body = d.body
		}
		if err := t.message(from, span.Type, body, event); err != nil {
			return err
		}
		if d.body = d.body[:0]; cap(d.body) > 4096 {
			d.body = nil
		}
	}
	return nil
}

// Message takes one whole message, for owners that have frames. body is not kept.
func (t *Tracker) Message(from wire.Side, typ wire.Type, body []byte, event func(Event)) error {
	return t.message(from, typ, body, event)
}

// keep says how much of a message's body is needed. Rows and COPY data are passed over.
func keep(from wire.Side, typ wire.Type) int {
	if from == wire.Frontend {
		switch typ {
		case wire.TypeCopyData, wire.TypeAuthResponse, wire.TypeFunctionCall:
			return 0
		case wire.TypeBind:
			return 4096 // the two names, which is all that is read
		}
		return wire.MaxLargeMessage
	}
	switch typ {
	case wire.TypeDataRow, wire.TypeCopyData, wire.TypeAuthentication, wire.TypeFunctionCallResponse:
		return 0
	}
	return wire.MaxLargeMessage
}

func (t *Tracker) message(from wire.Side, typ wire.Type, body []byte, event func(Event)) error {
	if from == wire.Frontend {
		return t.frontend(typ, body, event)
	}
	return t.backend(typ, body, event)
}

// frontend queues what the server will answer.
func (t *Tracker) frontend(typ wire.Type, body []byte, event func(Event)) error {
	r := request{t: typ}
	sql := ""
	switch typ {
	case wire.TypeQuery:
		var m wire.Query
		if err := m.Decode(body); err != nil {
			sql = "" // the server answers with an error and ReadyForQuery
		} else {
			sql = m.SQL
		}
		r.statement = &Statement{SQL: sql}
	case wire.TypeParse:
		var m wire.Parse
		if m.Decode(body) == nil {
			sql, r.name = m.SQL, m.Name
			r.statement = &Statement{Name: m.Name, SQL: m.SQL, ParamTypes: slices.Clone(m.ParamOIDs)}
		}
	case wire.TypeBind:
		names := bytes.SplitN(body, []byte{0}, 3)
		if len(names) == 3 {
			r.name = string(names[0])
			r.statement = &Statement{Name: string(names[1])} // resolved when it is bound
		}
	case wire.TypeDescribe, wire.TypeClose:
		if len(body) > 1 {
			r.kind, r.name = wire.Kind(body[0]), string(bytes.TrimSuffix(body[1:], []byte{0}))
		}
	case wire.TypeExecute:
		r.name, _, _ = strings.Cut(string(body), "\x00")
	case wire.TypeSync, wire.TypeFunctionCall:
	case wire.TypeCopyDone, wire.TypeCopyFail, wire.TypeCopyData, wire.TypeFlush, wire.TypeAuthResponse:
		return nil
	case wire.TypeTerminate:
		event(Event{Kind: Terminated})
		return nil
	}
	if len(t.queue) >= MaxQueue {
		return &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeConfigurationLimit,
			Message: fmt.Sprintf("more than %d requests wait for an answer", MaxQueue),
		}
	}
	t.queue = append(t.queue, r)
	event(Event{Kind: Asked, Type: typ, Name: r.name, SQL: sql})
	return nil
}

// Pending returns how many requests the server has not answered yet.
func (t *Tracker) Pending() int { return len(t.queue) }

// Idle reports that nothing is asked for and no transaction is open: the server connection can
// serve another session.
func (t *Tracker) Idle() bool { return len(t.queue) == 0 && t.Tx == wire.TxIdle && t.copying == 0 }

// Copying returns the type of the server's response that began the running COPY, or 0.
func (t *Tracker) Copying() wire.Type { return t.copying }

func (t *Tracker) statement(s *Statement) {
	if t.Statements == nil {
		t.Statements = map[string]*Statement{}
	}
	t.Statements[s.Name] = s
}
