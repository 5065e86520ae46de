package session

import (
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// backend settles what the queue waits for.
func (t *Tracker) backend(typ wire.Type, body []byte, event func(Event)) error {
	switch typ {
	case wire.TypeParameterStatus, wire.TypeBackendKeyData, wire.TypeNotificationResponse:
		return t.asynchronous(typ, body, event)
	case wire.TypeErrorResponse:
		return t.failure(body, event)
	case wire.TypeReadyForQuery:
		return t.ready(body, event)
	case wire.TypeCopyInResponse, wire.TypeCopyOutResponse, wire.TypeCopyBothResponse:
		t.start()
		t.copying = typ
		event(Event{Kind: CopyStarted, Type: typ})
		return nil
	case wire.TypeCommandComplete, wire.TypeEmptyQueryResponse, wire.TypePortalSuspended:
		return t.commandEnds(typ, body, event)
	case wire.TypeRowDescription:
		if head := t.head(); head == nil || head.t != wire.TypeDescribe {
			t.start() // of a Query
			return nil
		}
		return t.described(typ, body, event)
	case wire.TypeParameterDescription, wire.TypeNoData:
		return t.described(typ, body, event)
	case wire.TypeParseComplete:
		r, err := t.pop(wire.TypeParse)
		if err != nil {
			return err
		}
		if r.statement == nil {
			return t.undecoded(typ)
		}
		t.statement(r.statement)
		event(Event{Kind: Prepared, Statement: r.statement})
	case wire.TypeBindComplete:
		r, err := t.pop(wire.TypeBind)
		if err != nil {
			return err
		}
		if r.statement == nil {
			return t.undecoded(typ)
		}
		p := &Portal{Name: r.name, Statement: t.Statements[r.statement.Name]}
		if t.Portals == nil {
			t.Portals = map[string]*Portal{}
		}
		t.Portals[r.name] = p
		event(Event{Kind: Bound, Portal: p})
	case wire.TypeCloseComplete:
		r, err := t.pop(wire.TypeClose)
		if err != nil {
			return err
		}
		if r.kind == wire.StatementKind {
			delete(t.Statements, r.name)
		} else {
			delete(t.Portals, r.name)
		}
		event(Event{Kind: Closed, Type: wire.Type(r.kind), Name: r.name})
	}
	return nil
}

func (t *Tracker) asynchronous(typ wire.Type, body []byte, event func(Event)) error {
	switch typ {
	case wire.TypeParameterStatus:
		var m wire.ParameterStatus
		if err := m.Decode(body); err != nil {
			return err
		}
		if t.Reported == nil {
			t.Reported = map[string]string{}
		}
		t.Reported[m.Name] = m.Value
		event(Event{Kind: Reported, Name: m.Name, Value: m.Value})
	case wire.TypeBackendKeyData:
		var m wire.BackendKeyData
		if err := m.Decode(body); err != nil {
			return err
		}
		t.PID, t.Key = m.PID, slices.Clone(m.Key)
	case wire.TypeNotificationResponse:
		var m wire.NotificationResponse
		if err := m.Decode(body); err != nil {
			return err
		}
		event(Event{Kind: Notified, Name: m.Channel, Value: m.Payload})
	}
	return nil
}

func (t *Tracker) head() *request {
	if len(t.queue) == 0 {
		return nil
	}
	return &t.queue[0]
}

func (t *Tracker) unexpected(typ wire.Type) error {
	return &wire.Error{
		Severity: wire.SeverityFatal, Code: wire.CodeProtocolViolation,
		Message: "the server sent " + wire.Backend.Name(typ) + ", which nothing asked for",
	}
}

// undecoded is the error for the success of a message that made no sense to us: the server
// and we disagree about what the session has, which only its end can settle.
func (t *Tracker) undecoded(typ wire.Type) error {
	return &wire.Error{
		Severity: wire.SeverityFatal, Code: wire.CodeProtocolViolation,
		Message: "the server sent " + wire.Backend.Name(typ) + " for a message that is malformed",
	}
}

// pop takes the request that a message answers off the queue.
func (t *Tracker) pop(want wire.Type) (request, error) {
	h := t.head()
	if h == nil || h.t != want {
		got := map[wire.Type]wire.Type{
			wire.TypeParse: wire.TypeParseComplete, wire.TypeBind: wire.TypeBindComplete, wire.TypeClose: wire.TypeCloseComplete,
		}[want]
		return request{}, t.unexpected(got)
	}
	r := *h
	t.drop(1)
	return r, nil
}

func (t *Tracker) drop(n int) {
	if t.queue = t.queue[n:]; len(t.queue) == 0 {
		t.queue = nil // an idle session costs little
	}
}

// start notes that the server works on a Query, which ends the unnamed statement and portal.
func (t *Tracker) start() {
	if h := t.head(); h != nil && h.t == wire.TypeQuery {
		delete(t.Statements, "")
		delete(t.Portals, "")
	}
}

func (t *Tracker) described(typ wire.Type, body []byte, event func(Event)) error {
	h := t.head()
	if h == nil || h.t != wire.TypeDescribe {
		return t.unexpected(typ)
	}
	var s *Statement
	if h.kind == wire.StatementKind {
		s = t.Statements[h.name]
	} else if p := t.Portals[h.name]; p != nil {
		s = p.Statement
	}
	switch typ {
	case wire.TypeParameterDescription:
		var m wire.ParameterDescription
		if err := m.Decode(body); err != nil {
			return err
		}
		if s != nil {
			s.Params = slices.Clone(m.OIDs)
		}
		return nil // RowDescription or NoData follows
	case wire.TypeRowDescription:
		var m wire.RowDescription
		if err := m.Decode(body); err != nil {
			return err
		}
		if s != nil && h.kind == wire.StatementKind {
			s.Fields = slices.Clone(m.Fields)
		}
	}
	statement := h.kind == wire.StatementKind
	t.drop(1)
	if s != nil && statement {
		s.Described = true
		event(Event{Kind: Described, Statement: s})
	}
	return nil
}

// commandEnds is the end of an Execute, or of one statement of a Query.
func (t *Tracker) commandEnds(typ wire.Type, body []byte, event func(Event)) error {
	h := t.head()
	if h == nil || h.t != wire.TypeQuery && h.t != wire.TypeExecute {
		return t.unexpected(typ)
	}
	t.start()
	if t.copying != 0 {
		t.copying = 0
		event(Event{Kind: CopyEnded})
	}
	var m wire.CommandComplete
	if typ == wire.TypeCommandComplete {
		if err := m.Decode(body); err != nil {
			return err
		}
		t.tag = m.Tag
	}
	sql := ""
	if h.t == wire.TypeQuery {
		sql = h.statement.SQL
	} else {
		p := t.Portals[h.name]
		if p != nil && p.Statement != nil {
			sql = p.Statement.SQL
		}
		if p != nil {
			p.Suspended = typ == wire.TypePortalSuspended
		}
		t.drop(1)
		if typ == wire.TypePortalSuspended {
			event(Event{Kind: Suspended, Portal: p})
			return nil
		}
	}
	t.byTag(m.Tag)
	event(Event{Kind: Completed, Tag: m.Tag, SQL: sql})
	return nil
}

// byTag does what a command tag alone says about the session.
func (t *Tracker) byTag(tag string) {
	switch tag {
	case "DISCARD ALL":
		clear(t.Statements)
		clear(t.Portals)
		t.Unlisten("")
		t.ResetParam("")
	case "DEALLOCATE ALL":
		t.Deallocate("")
	case "CLOSE CURSOR ALL":
		clear(t.Portals)
	}
}

// failure drops the requests that the error ends.
func (t *Tracker) failure(body []byte, event func(Event)) error {
	var m wire.ErrorResponse
	if err := m.Decode(body); err != nil {
		return err
	}
	t.failed = true
	t.start()
	if t.copying != 0 {
		t.copying = 0
		event(Event{Kind: CopyEnded})
	}
	if h := t.head(); h != nil && h.t != wire.TypeQuery && h.t != wire.TypeFunctionCall {
		if h.t == wire.TypeParse && h.name == "" {
			delete(t.Statements, "") // it is gone before the new one is looked at
		}
		if h.t == wire.TypeBind && h.name == "" {
			delete(t.Portals, "")
		}
		// Everything up to Sync is skipped; what the client has not sent yet of it is taken
		// off when it comes to ReadyForQuery.
		n := slices.IndexFunc(t.queue, func(r request) bool { return r.t == wire.TypeSync })
		if n < 0 {
			n = len(t.queue)
		}
		t.drop(n)
	}
	event(Event{Kind: Failed, Code: m.Error.Code})
	return nil
}

// ready is the end of a Query, FunctionCall or series, or of the startup.
func (t *Tracker) ready(body []byte, event func(Event)) error {
	var m wire.ReadyForQuery
	if err := m.Decode(body); err != nil {
		return err
	}
	if n := slices.IndexFunc(t.queue, func(r request) bool {
		return r.t == wire.TypeQuery || r.t == wire.TypeSync || r.t == wire.TypeFunctionCall
	}); n >= 0 {
		t.start()
		t.drop(n + 1)
	}
	before := t.inTx()
	t.Tx = m.TxStatus
	if t.Tx == wire.TxIdle {
		clear(t.Portals) // they end with their transaction
		switch {
		case before:
			t.endTx(!t.failed && !strings.HasPrefix(t.tag, "ROLLBACK"))
		default:
			t.undo = undo{}
		}
	}
	t.failed = false
	event(Event{Kind: Ready, Tx: m.TxStatus})
	return nil
}
