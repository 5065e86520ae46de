package proxy

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

func cut(b []byte) (before, after []byte, ok bool) { return bytes.Cut(b, []byte{0}) }

func serverName(id uint64) string { return pool.StatementName(id) }

// A delivery is what goes to the client of what the server has sent: ranges of it as they are,
// and messages that were changed.
type delivery struct {
	b        []byte // what the server has sent
	from, to int    // a range of it that goes on as it is
	parts    [][]byte
}

// pass forwards bytes as they are.
func (d *delivery) pass(from, to int) {
	if d.to != from {
		d.cut()
		d.from = from
	}
	d.to = to
}

func (d *delivery) cut() {
	if d.to > d.from {
		d.parts = append(d.parts, d.b[d.from:d.to])
	}
	d.from, d.to = 0, 0
}

// put forwards something else.
func (d *delivery) put(m []byte) {
	d.cut()
	d.parts = append(d.parts, m)
}

// Data takes what the server has sent and forwards what is for the client.
func (s *session) Data(c *pool.Conn, b []byte) (int, error) {
	s.mu.Lock()
	if s.server != c {
		s.mu.Unlock()
		return 0, pool.ErrDetached
	}
	d := &s.delivery
	d.b = b
	n, err := s.serverBytes(c, d)
	d.cut()
	s.delivering = true
	s.mu.Unlock()
	if e := s.deliver(d.parts); e != nil {
		_ = s.nc.Close() // the client's goroutine finds out and cleans up
	}
	s.mu.Lock()
	clear(d.parts)
	*d = delivery{parts: d.parts[:0]}
	if s.server == c && err == nil && s.slow(c) {
		s.mu.Unlock()
		return n, nil // Drained goes on
	}
	s.settle(c, err)
	s.mu.Unlock()
	return n, err
}

// settle is done when the client has got what the server has sent. The lock is held.
func (s *session) settle(c *pool.Conn, err error) {
	s.delivering = false
	if s.server == c && err == nil {
		switch {
		case s.mayRelease():
			s.release()
		case s.p.closing.Load() && s.queue.len() == 0 && c.Status == wire.TxIdle && !s.writing && !s.unsynced:
			s.p.background(func() { s.kill(errShutdown) }) // pinned, or in session mode
		case s.probe && s.mayProbe(c):
			s.probing()
		}
	}
	s.wakeAll()
	if s.stalled == forRelease {
		s.lc.Post(s.resume)
		return
	}
	if s.ears != nil && s.quiet() {
		s.rung() // for what came meanwhile
	}
	s.calm()
}

func (s *session) deliver(parts [][]byte) error {
	switch len(parts) {
	case 0:
		return nil
	case 1:
		return s.toClient(parts[0])
	}
	return s.toClient(slices.Concat(parts...))
}

// serverBytes looks at the server's messages.
func (s *session) serverBytes(c *pool.Conn, d *delivery) (n int, err error) {
	b := d.b
	for n < len(b) {
		if s.serverPass > 0 {
			k := min(s.serverPass, len(b)-n)
			if !s.dropServer {
				d.pass(n, n+k)
			}
			s.serverPass -= k
			n += k
			continue
		}
		if len(b)-n < wire.HeaderLen {
			break
		}
		m := b[n:]
		typ, size := wire.Type(m[0]), 1+int(uint32(m[1])<<24|uint32(m[2])<<16|uint32(m[3])<<8|uint32(m[4]))
		limit, known := wire.Backend.Limit(typ)
		if !known || size < wire.HeaderLen || size > limit+1 {
			return n, wire.Errorf(wire.CodeProtocolViolation, "the server sent a message of type %q and %d bytes", byte(typ), size)
		}
		switch typ {
		case wire.TypeDataRow, wire.TypeCopyData, wire.TypeRowDescription, wire.TypeParameterDescription, wire.TypeNoticeResponse,
			wire.TypeNotificationResponse, wire.TypeFunctionCallResponse:
			s.ends()
			r := s.queue.first()
			s.dropServer = r != nil && r.drop && typ != wire.TypeNoticeResponse && typ != wire.TypeNotificationResponse
			if typ == wire.TypeDataRow && s.dropServer && r.probe {
				break // the answer is wanted whole
			}
			if typ == wire.TypeRowDescription && r != nil && r.kind == askedDescribe {
				s.queue.pop()
			}
			s.serverPass = size
			continue
		}
		if len(m) < size {
			break
		}
		if err := s.serverMessage(c, typ, m[:size], n, d); err != nil {
			return n, err
		}
		n += size
		s.ends()
	}
	return n, nil
}

// serverMessage takes a whole message of the server, which is at n in the delivery.
func (s *session) serverMessage(c *pool.Conn, typ wire.Type, m []byte, n int, d *delivery) error {
	body := m[wire.HeaderLen:]
	s.ends()
	r := s.queue.first()
	if r == nil && typ != wire.TypeParameterStatus && typ != wire.TypeErrorResponse {
		return wire.Errorf(wire.CodeProtocolViolation, "the server sent %s, which nobody asked for", wire.Backend.Name(typ))
	}
	drop := r != nil && r.drop
	switch typ {
	case wire.TypeParameterStatus:
		return s.parameterStatus(c, m, body, n, d)
	case wire.TypeErrorResponse:
		return s.serverError(c, m, body, n, d)
	case wire.TypeReadyForQuery:
		if r.kind != askedQuery && r.kind != askedSync && r.kind != askedFunction || len(body) != 1 {
			return wire.Errorf(wire.CodeProtocolViolation, "the server is ready for a query before it has answered the last one")
		}
		if _, set := s.want.Get(pinByHand); r.probe && r.version == s.pins && !(set && s.pinnedByHand()) {
			s.pinned = "" // nothing is left, and nothing new has been asked for meanwhile
		}
		s.queue.pop()
		s.nowReady(c, wire.TxStatus(body[0]), drop)
	case wire.TypeParseComplete, wire.TypeBindComplete, wire.TypeNoData, wire.TypePortalSuspended:
		if r.kind != answered(typ) {
			return wire.Errorf(wire.CodeProtocolViolation, "the server sent %s out of turn", wire.Backend.Name(typ))
		}
		s.queue.pop()
	case wire.TypeCloseComplete:
		swap := r.kind == askedParse && r.swap
		if r.kind != askedClose && !swap {
			return wire.Errorf(wire.CodeProtocolViolation, "the server sent CloseComplete out of turn")
		}
		s.queue.pop()
		if swap {
			d.put([]byte{byte(wire.TypeParseComplete), 0, 0, 0, 4})
			return nil
		}
	case wire.TypeCommandComplete, wire.TypeEmptyQueryResponse:
		if r.explains && bytes.Equal(body, []byte("EXPLAIN\x00")) {
			d.put(whereItRan(c))
		}
		if s.listening(r) && bytes.Equal(body, []byte("UNLISTEN\x00")) {
			s.complete(r, body)
			d.put(listened())
			return nil
		}
		s.complete(r, body)
	case wire.TypeCopyInResponse:
		s.copyIn(r)
	case wire.TypeDataRow: // of a probe
		if string(body) != "\x00\x01\x00\x00\x00\x010" {
			r.probe = false // there is something left
		}
	case wire.TypeCopyDone, wire.TypeCopyOutResponse:
	case wire.TypeCopyBothResponse:
		return wire.Errorf(wire.CodeFeatureNotSupported, "replication on a connection that is not for it")
	case wire.TypeBackendKeyData, wire.TypeAuthentication, wire.TypeNegotiateProtocolVersion:
		return wire.Errorf(wire.CodeProtocolViolation, "the server sent %s out of turn", wire.Backend.Name(typ))
	}
	if !drop {
		d.pass(n, n+len(m))
	}
	return nil
}

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
	s.stats.errors.Add(1)
	c.Pool().Counters.Errors.Add(1)
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

// skip drops the requests up to the next Sync.
func (s *session) skip(c *pool.Conn) {
	for r := s.queue.first(); r != nil; r = s.queue.first() {
		if r.kind == askedSync {
			return
		}
		s.undo(c, r)
		s.queue.pop()
	}
	s.skipping = true
}

// undo takes back what a request would have changed.
func (s *session) undo(c *pool.Conn, r *request) {
	switch {
	case r.added:
		c.Statements.Remove(r.stmt.id)
	case r.removed:
		c.Statements.Add(r.stmt.id, ^uint64(0)) // it is there, and too old for whoever wants it
	}
	if r.kind != askedParse {
		return
	}
	if r.unnamed {
		c.Unnamed = 0
		if !r.drop {
			s.dropUnnamed()
		}
	}
	if r.stmt != nil && !r.drop && s.names[r.name] == r.stmt {
		delete(s.names, r.name)
		s.p.statements.release(r.stmt)
	}
}

// nowReady deals with ReadyForQuery.
func (s *session) nowReady(c *pool.Conn, status wire.TxStatus, drop bool) {
	c.Status = status
	if drop {
		return
	}
	now := time.Now()
	s.stats.queryTime.Add(int64(now.Sub(s.asked)))
	n := &c.Pool().Counters
	n.Queried(s.asked, now)
	if status == wire.TxIdle && !s.begun.IsZero() {
		n.Transacted(s.begun, now)
		s.begun = time.Time{}
		if s.queue.len() > 0 { // the next one is under way
			s.begun = now
		}
	}
	s.answered, s.asked, s.timedOut = s.p.instant(now), now, false
	if status == wire.TxIdle {
		if s.ddl {
			s.ddl = false
			s.p.statements.epoch.Add(1) // now others see it
		}
		if s.failed {
			s.pending = s.pending[:0]
		} else if len(s.pending) > 0 {
			s.commit()
		}
		clear(s.portals)
	} else if s.db.Mode == Statement {
		s.p.background(func() {
			s.kill(&wire.Error{
				Severity: wire.SeverityFatal, Code: wire.CodeFeatureNotSupported,
				Message: "transaction blocks are not allowed in statement pooling mode",
			})
		})
	}
	if s.tape != nil {
		s.tapeReady(status, s.failed)
	}
	if s.ears != nil && status == wire.TxIdle && s.queue.len() == 0 {
		s.tidy()
	}
	s.failed = false
}

// Lost ends the session whose server connection has ended.
func (s *session) Lost(c *pool.Conn, err error) {
	s.mu.Lock()
	if s.server != c {
		s.mu.Unlock()
		return
	}
	s.server = nil
	s.over = true
	told := s.lastWords
	s.mu.Unlock()
	c.Release()
	if !told {
		s.goodbye(wire.Errorf(wire.CodeConnectionFailure, "the server connection of this session has ended: %w", err))
	}
	s.finished(err)
	_ = s.nc.Close()
}
