package scatter

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Delivery takes what the client gets of a direct request's answer.
type Delivery interface {
	// Pass passes on what the server has sent, as it is.
	Pass(from, to int)
	// Put sends something else.
	Put(message []byte)
	// Reported says that the server has reported a parameter.
	Reported(name, value string)
	// Failed says that the server has reported an error.
	Failed()
}

// Asked is the text of the request that Direct has found, if it has one; kept says that it may be kept.
func (s *Session) Asked(kept bool) string {
	d := &s.direct
	switch {
	case d.q.extended && d.parse == nil:
		return ""
	case kept:
		return strings.Clone(d.q.sql)
	}
	return d.q.sql
}

// Begin appends what the shard's server is to be sent for the request that Direct has just found, by
// a connection that has the settings it needs and these statements. From now on it must be answered
// by Answers, or ended by Lost.
func (s *Session) Begin(has *Statements, out []byte) []byte {
	d := &s.direct
	s.ex.cfg.Router.Take(&s.decision)
	if d.turn {
		s.ex.next.Add(1)
	}
	d.statements, d.preparing, d.hides, d.drops, d.left = has, "", false, false, 0
	d.wrote = s.decision.Plan.Write
	switch st := d.q.st; {
	case d.rewritten:
		return (&wire.Query{SQL: d.sql}).AppendTo(out)
	case d.parse != nil && st == nil:
		s.statements[""] = &statement{sql: strings.Clone(d.q.sql), types: slices.Clone(d.q.types)}
		return append(out, d.raw...)
	case d.parse != nil, !d.q.extended:
		return append(out, d.raw...)
	}
	st := d.q.st
	known, drop := false, ""
	if st.server != "" {
		known, drop = has.use(st.server)
	}
	if drop != "" {
		d.drops = true
		out = (&wire.Close{Kind: wire.StatementKind, Name: drop}).AppendTo(out)
	}
	if !known {
		d.hides, d.preparing = true, st.server
		out = d.oids.parse(&wire.Parse{Name: st.server, SQL: st.sql, ParamOIDs: st.types}).AppendTo(out)
	}
	// The Bind, with the server's name of the statement for the client's.
	out = wire.Header{Type: wire.TypeBind, Len: 1 + len(st.server) + 1 + len(d.args)}.AppendTo(out)
	out = append(append(append(out, 0), st.server...), 0)
	return append(append(out, d.args...), d.rest...)
}

// bulk is how much has to come at once for a row at its end to be passed on before it is whole.
const bulk = 32 << 10

// Answers looks at what the server has sent, n bytes of which are dealt with; what is left is to come
// again, with more. done says that the request is answered and the session at rest; the last byte
// of the n is the server's transaction status then. With an error the connection is of no more use,
// and unless the request is done Lost has to follow.
func (s *Session) Answers(b []byte, out Delivery) (n int, done bool, err error) {
	d := &s.direct
	from := 0
	for !done && err == nil {
		if k := min(d.left, len(b)-n); k > 0 {
			d.left -= k
			n += k
		}
		if len(b)-n < wire.HeaderLen {
			break
		}
		m := b[n:]
		typ, size := wire.Type(m[0]), 1+int(binary.BigEndian.Uint32(m[1:]))
		if limit, known := wire.Backend.Limit(typ); !known || size < wire.HeaderLen || size > limit+1 {
			err = wire.Errorf(wire.CodeProtocolViolation, "the server sent a message of type %q and %d bytes", byte(typ), size)
			break
		}
		if size > len(m) {
			if typ == wire.TypeDataRow && (size > bulk || len(b) > bulk) {
				d.left = size
				continue
			}
			break
		}
		if typ == wire.TypeDataRow {
			n += size
			continue
		}
		var passes bool
		var instead []byte
		if passes, instead, done, err = s.answer1(typ, m[wire.HeaderLen:size], out); err != nil && !done {
			break
		}
		if !passes {
			out.Pass(from, n)
			if from = n + size; len(instead) > 0 {
				out.Put(instead)
			}
		}
		n += size
	}
	out.Pass(from, n)
	if done {
		s.directDone()
	}
	return n, done, err
}

// readyMessage is ReadyForQuery, outside of a transaction.
var readyMessage = []byte{byte(wire.TypeReadyForQuery), 0, 0, 0, 5, byte(wire.TxIdle)}

// answer1 looks at one message: whether it is passed on as it is, or what is instead.
func (s *Session) answer1(typ wire.Type, body []byte, out Delivery) (passes bool, instead []byte, done bool, err error) {
	d := &s.direct
	outOfTurn := func() error {
		return wire.Errorf(wire.CodeProtocolViolation, "unexpected message of type %q", byte(typ))
	}
	switch typ {
	case wire.TypeReadyForQuery:
		if len(body) != 1 {
			return false, nil, false, outOfTurn()
		}
		return body[0] == byte(wire.TxIdle), readyMessage, true, nil
	case wire.TypeErrorResponse:
		if d.hides {
			d.statements.forget(d.preparing)
			d.hides = false
		}
		out.Failed()
		return s.directError(body)
	case wire.TypeRowDescription:
		d.oids.rewrite(typ, body)
	case wire.TypeParseComplete:
		if d.hides {
			d.hides = false
			return false, nil, false, nil
		}
	case wire.TypeCloseComplete:
		if !d.drops {
			return false, nil, false, outOfTurn()
		}
		d.drops = false
		return false, nil, false, nil
	case wire.TypeParameterStatus:
		var m wire.ParameterStatus
		if err := m.Decode(body); err != nil {
			return false, nil, false, err
		}
		out.Reported(m.Name, m.Value)
		old, ok := s.reported[m.Name]
		if s.report(m.Name, m.Value); ok && old == m.Value {
			return false, nil, false, nil
		}
	case wire.TypeBindComplete, wire.TypeNoData, wire.TypeCommandComplete, wire.TypeEmptyQueryResponse, wire.TypeNoticeResponse, wire.TypeNotificationResponse:
	default:
		return false, nil, false, outOfTurn()
	}
	return true, nil, false, nil
}

// directError looks at an error. One that ends the server's connection does not end the client's.
func (s *Session) directError(body []byte) (passes bool, instead []byte, done bool, err error) {
	d := &s.direct
	l := &link{s: s, shard: d.shard, wrote: d.wrote}
	e := wire.AsError(l.errorOf(body))
	switch {
	case l.dead:
		return false, failed(e), true, e
	case d.rewritten:
		b, err := wire.Append(nil, wire.AsError(unplaced(e)).Response())
		return false, b, false, err
	}
	return true, nil, false, nil
}

// failed is what a client gets for a request that has failed.
func failed(e *wire.Error) []byte {
	if e.Severity == wire.SeverityFatal || e.Severity == wire.SeverityPanic {
		c := *e
		c.Severity, c.LocalSeverity = wire.SeverityError, ""
		e = &c
	}
	b, err := wire.Append(nil, e.Response())
	if err != nil {
		b, _ = wire.Append(nil, wire.Errorf(e.Code, "the connection to a shard was lost").Response())
	}
	return append(b, readyMessage...)
}

// Refused is what the client gets for a direct request for which there is no connection.
func (s *Session) Refused(shard int, why error) []byte {
	return failed(wire.AsError(acquireError(shard, why)))
}

// Lost ends a direct request whose connection is of no more use, and returns what the client gets. It
// is nil where that cannot be told any more: in the middle of a row.
func (s *Session) Lost(why error) []byte {
	d := &s.direct
	s.directDone()
	if d.hides {
		d.statements.forget(d.preparing)
	}
	if d.left > 0 {
		return nil
	}
	l := &link{s: s, shard: d.shard, wrote: d.wrote}
	return failed(wire.AsError(l.lost(why)))
}

// Leave ends a direct request that nobody waits for any more. skip is how many bytes are to come of a
// message that has begun; known says that the connection is as Begin had it, once it is at rest.
func (s *Session) Leave() (skip int, known bool) {
	s.directDone()
	return s.direct.left, !s.direct.hides && !s.direct.drops
}

// maxKeptValues is for how many parameters there is memory kept for the next request.
const maxKeptValues = 64

// directDone takes down what a direct request has done.
func (s *Session) directDone() {
	if d := &s.direct; cap(d.values) > maxKeptValues {
		d.values, d.formats, d.results, d.q, d.binding = nil, nil, nil, request{}, route.Binding{}
	}
	if s.direct.wrote {
		if s.wrote == nil {
			s.wrote = map[int]time.Time{}
		}
		s.wrote[s.direct.shard] = time.Now()
	}
}
