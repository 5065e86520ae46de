package proxy

import (
	"bytes"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

// answered is the kind of request that a message answers.
func answered(typ wire.Type) asked {
	switch typ {
	case wire.TypeParseComplete:
		return askedParse
	case wire.TypeBindComplete:
		return askedBind
	case wire.TypeNoData:
		return askedDescribe
	}
	return askedExecute // PortalSuspended
}

// ends passes over requests that have no answer.
func (s *session) ends() {
	if q := &s.queue; q.head < len(q.items) && q.items[q.head].kind == copyEnd {
		s.endsAll()
	}
}

func (s *session) endsAll() {
	for r := s.queue.first(); r != nil && r.kind == copyEnd; r = s.queue.first() {
		s.queue.pop()
	}
}

// complete notes that a statement is complete.
func (s *session) complete(r *request, body []byte) {
	s.copying = 0
	tag, _, _ := cut(body)
	if changesSchema(tag) {
		s.ddl = true
		s.p.statements.epoch.Add(1)
	}
	if s.server != nil {
		s.server.Pool().Counters.Completed(tag)
	}
	if r.text != nil {
		s.did(r.text, r.at, r.values)
	}
	r.at++
	if s.pinned != "" && bytes.Equal(tag, []byte("ROLLBACK")) {
		s.probe = true // what pinned may have been undone
	}
	if len(s.pending) > 0 {
		switch {
		case bytes.Equal(tag, []byte("COMMIT")) || bytes.Equal(tag, []byte("PREPARE TRANSACTION")):
			s.commit()
		case bytes.Equal(tag, []byte("ROLLBACK")) && !rollsBackTo(r):
			s.pending = s.pending[:0]
		}
	}
	if r.kind == askedExecute {
		s.queue.pop()
	}
}

// changesSchema says by its tag whether a command may have changed a schema.
func changesSchema(tag []byte) bool {
	if len(tag) < 2 {
		return false
	}
	switch tag[0] {
	case 'C':
		return bytes.HasPrefix(tag, []byte("CREATE "))
	case 'A':
		return bytes.HasPrefix(tag, []byte("ALTER "))
	case 'D':
		return bytes.HasPrefix(tag, []byte("DROP ")) || len(tag) == 2 // DO
	}
	return false
}

// rollsBackTo says that the statement that is complete now was ROLLBACK TO.
func rollsBackTo(r *request) bool {
	if r.text == nil {
		return false
	}
	for _, e := range r.text.Effects {
		if e.Kind == effect.RollbackTo && e.Statement == r.at-1 {
			return true
		}
	}
	return false
}

// copyIn notes that the server waits for data. A Sync or Flush that it gets before the data's
// end has no answer.
func (s *session) copyIn(r *request) {
	ended := false
	kept := s.queue.items[:s.queue.head+1]
	for _, q := range s.queue.items[s.queue.head+1:] {
		ended = ended || q.kind == copyEnd
		if q.kind == askedSync && !ended && r.kind == askedExecute {
			s.unsynced = true
			continue
		}
		kept = append(kept, q)
	}
	clear(s.queue.items[len(kept):])
	s.queue.items = kept
	if !ended {
		s.copying = wire.TypeCopyInResponse
	}
}

// parameterStatus forwards what is news to the client.
func (s *session) parameterStatus(c *pool.Conn, m, body []byte, n int, d *delivery) error {
	var p wire.ParameterStatus
	if err := p.Decode(body); err != nil {
		return err
	}
	c.Reported = c.Reported.With(p.Name, p.Value)
	if v, ok := s.reported.Get(p.Name); !ok || v != p.Value {
		s.reported = s.reported.With(p.Name, p.Value)
		d.pass(n, n+len(m))
	}
	return nil
}

// serverError deals with an error: what was asked for up to the next Sync has no answer.
func (s *session) serverError(c *pool.Conn, m, body []byte, n int, d *delivery) error {
	s.failed = true
	s.doing.errors.Add(1)
	c.Pool().Counters.Errors.Add(1)
	c.Tally.Errors.Add(1)
	s.copying = 0
	var e wire.ErrorResponse
	if err := e.Decode(body); err != nil {
		return err
	}
	s.lastWords = s.lastWords || e.Error.Severity != wire.SeverityError
	fatal := e.Error.Severity == wire.SeverityFatal || e.Error.Severity == wire.SeverityPanic
	name := ""
	var instead []byte
	if r := s.queue.first(); r != nil && !fatal {
		if name = r.name; r.refused != nil {
			instead = r.instead()
		}
		if e.Error.Code == wire.CodeFeatureNotSupported && e.Error.Routine == "RevalidateCachedQuery" && r.stmt != nil {
			// "cached plan must not change result type": whoever uses it next prepares anew.
			r.stmt.version.Add(1)
		}
		switch {
		case r.drop && r.kind == askedQuery:
			r.probe, s.failed = false, false
			return nil
		case r.kind != askedQuery && r.kind != askedFunction:
			s.skip(c)
		case r.prepares:
			c.Statements.Remove(r.stmt.id)
			if s.names[r.name] == r.stmt {
				delete(s.names, r.name)
				s.p.statements.release(r.stmt)
			}
			r.prepares, r.added = false, false
		}
	}
	if s.pinned != "" {
		s.probe = true // what was to pin may not have happened
	}
	if instead != nil {
		d.put(instead)
		return nil
	}
	if s.aside && e.Error.Code == wire.CodeReadOnlySQLTransaction {
		d.put(s.hintAside(&e.Error, bytes.Clone(m)))
		return nil
	}
	if bytes.Contains(body, []byte(serverPrefix)) {
		d.put(renamed(&e.Error, name, m))
		return nil
	}
	d.pass(n, n+len(m))
	return nil
}

// renamed puts the client's name of a statement for the server's.
func renamed(e *wire.Error, name string, raw []byte) []byte {
	var b strings.Builder
	rest := e.Message
	for {
		before, after, ok := strings.Cut(rest, `"`+serverPrefix)
		if b.WriteString(before); !ok {
			break
		}
		digits := strings.TrimLeft(after, "0123456789")
		b.WriteString(`"` + name)
		rest = digits
	}
	e.Message = b.String()
	if name == "" && e.Code == wire.CodeInvalidSQLStatementName {
		e.Message = "unnamed prepared statement does not exist" // as exec_bind_message has it
	}
	out, err := wire.Append(nil, e.Response())
	if err != nil {
		return bytes.Clone(raw)
	}
	return out
}
