package proxy

import (
	"bytes"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

func cut(b []byte) (before, after []byte, ok bool) { return bytes.Cut(b, []byte{0}) }

func serverName(id uint64) string { return pool.StatementName(id) }

// Data takes what the server has sent and forwards what is for the client.
func (s *session) Data(c *pool.Conn, b []byte) (int, error) {
	s.mu.Lock()
	if s.server != c {
		s.mu.Unlock()
		return 0, pool.ErrDetached
	}
	if s.now = (time.Time{}); s.lc != nil {
		if s.express && s.answerExpress(c, b) {
			s.mu.Unlock()
			return len(b), nil
		}
		s.express = false // what comes next may begin within a message
		s.now = c.Came()
	}
	d := &s.delivery
	d.b = b
	n, err := s.serverBytes(c, d)
	d.cut()
	s.delivering = true
	if s.lc == nil { // else it does not wait
		s.mu.Unlock()
	}
	if e := s.deliver(d.parts); e != nil {
		_ = s.nc.Close() // the client's goroutine finds out and cleans up
	}
	if s.lc == nil {
		s.mu.Lock()
	}
	clear(d.parts)
	*d = delivery{parts: d.parts[:0]}
	if s.server == c && err == nil && (s.slow(c) || s.withheld && s.barrier(c)) {
		s.mu.Unlock()
		return n, nil // Drained goes on, or what is to come first
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
		if r.probe && r.version == s.pins && !s.unsaid {
			if _, set := s.want.Get(pinByHand); !set || !s.pinnedByHand() {
				s.pinned = "" // nothing is left, and nothing new has been asked for meanwhile
			}
		}
		s.queue.pop()
		s.nowReady(c, wire.TxStatus(body[0]), drop)
		if s.withheld = !drop && s.hears(c); s.withheld {
			return nil
		}
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
	case r.added && s.queue.sentAgain(r.stmt.id):
	case r.added && r.again:
		c.Statements.Add(r.stmt.id, ^uint64(0)) // if its Close was skipped, too, it is there
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
	now := s.clock()
	s.stats.queryTime.Add(int64(max(0, now.Sub(s.asked))))
	n := &c.Pool().Counters
	n.Queried(s.asked, now)
	if status == wire.TxIdle && !s.begun.IsZero() {
		n.Transacted(s.begun, now)
		s.stats.xactTime.Add(int64(max(0, now.Sub(s.begun))))
		c.Tally.Xacts.Add(1)
		s.begun = time.Time{}
		if s.queue.len() > 0 { // the next one is under way
			s.begun = now
		}
	}
	s.answered, s.asked, s.timedOut = s.p.instant(now), now, false
	if status == wire.TxIdle {
		s.aside = false
		if s.ddl {
			s.ddl = false
			s.p.statements.epoch.Add(1) // now others see it
		}
		if s.failed {
			s.pending = s.pending[:0]
		} else if len(s.pending) > 0 {
			s.commit()
		}
		s.closePortals()
	} else if s.db.Mode == Statement {
		s.p.background(func() { // what its text did not tell
			fatal := *errBlock
			fatal.Severity = wire.SeverityFatal
			s.kill(&fatal)
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
	s.wakeAll()
	s.mu.Unlock()
	c.Release()
	if !told {
		s.goodbye(wire.Errorf(wire.CodeConnectionFailure, "the server connection of this session has ended: %w", err))
	}
	s.finished(err)
	_ = s.nc.Close()
}
