package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// clientBytes deals with what the client has sent and returns how much of it is done with.
// It came now, or, if that is zero, when somebody first asks.
func (s *session) clientBytes(b []byte, now time.Time) (consumed int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeUp()
	if s.ears != nil && s.quiet() {
		// What has come already comes before the answer to what is asked now.
		if err := s.hearOut(); err != nil {
			return 0, err
		}
	}
	s.scanning, s.now = true, now
	for len(b) > consumed && err == nil {
		rest := b[consumed:]
		if s.pass > 0 {
			n := min(s.pass, len(rest))
			if s.pass -= n; s.sendTo && s.server != nil {
				s.out = append(s.out, rest[:n]...)
				if s.tape != nil {
					s.tape.keep(step{ready: s.pass == 0 && s.calling(), copy: !s.calling()}, rest[:n])
				}
			}
			consumed += n
			continue
		}
		if len(rest) < wire.HeaderLen {
			break
		}
		typ, size := wire.Type(rest[0]), 1+int(uint32(rest[1])<<24|uint32(rest[2])<<16|uint32(rest[3])<<8|uint32(rest[4]))
		if err = s.check(typ, size); err != nil {
			break
		}
		switch typ {
		case wire.TypeCopyData:
			s.pass, s.sendTo = size, s.server != nil && !s.skipping
			continue
		case wire.TypeFunctionCall:
			if err = s.function(size); err == nil {
				continue
			}
		}
		if err != nil || len(rest) < size {
			break
		}
		if err = s.message(typ, rest[:size], rest[size:]); err == nil {
			consumed += size
			if s.tape != nil && s.server != nil {
				s.keep(typ, rest[:size])
			}
		}
	}
	s.flush()
	if e := s.speak(); err == nil {
		err = e
	}
	if err == nil {
		s.written()
	}
	if s.lc != nil && s.server == nil && s.stalled == flowing && s.lc.Pending() > 0 {
		s.stalled = forClient
	}
	if s.scanning = false; err == nil {
		s.retire()
	}
	s.calm()
	return consumed, err
}

// retire ends a session without a server connection, which would be given back otherwise, while the
// proxy shuts down: unless it is in the middle of something, which its client has the end of first.
func (s *session) retire() {
	if s.p.closing.Load() && s.server == nil && s.shards() == nil && !s.over && s.endable() {
		s.p.background(func() { s.kill(errShutdown) })
	}
}

// check refuses what is no message of a client, or too long.
func (s *session) check(typ wire.Type, size int) error {
	limit, known := wire.Frontend.Limit(typ)
	if !known || typ == wire.TypeAuthResponse {
		return protocolError("invalid frontend message type %d", byte(typ))
	}
	if size < wire.HeaderLen || size > limit+1 {
		return protocolError("invalid message length")
	}
	if m := s.p.cfg.MaxMessage; m > 0 && size > m+1 && typ != wire.TypeCopyData {
		return &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeProgramLimitExceeded,
			Message: fmt.Sprintf("a message of %d bytes is longer than the proxy allows", size),
			Hint:    fmt.Sprintf("query_size_limit is %d bytes.", m),
		}
	}
	return nil
}

// long logs a query that is longer than it should be.
func (s *session) long(typ wire.Type, body []byte) {
	limit := s.p.cfg.LongQuery
	if limit <= 0 || len(body) <= limit || typ != wire.TypeQuery && typ != wire.TypeParse {
		return
	}
	log := s.log().With("bytes", len(body), "query_size_limit", limit)
	if typ == wire.TypeParse {
		_, body, _ = cut(body)
	}
	if n := min(s.p.cfg.SampleLength, len(body)); n > 0 {
		log = log.With("query", strings.ToValidUTF8(string(body[:n]), ""))
	}
	log.Warn("a query is longer than query_size_limit")
}

func protocolError(format string, args ...any) error {
	return &wire.Error{Severity: wire.SeverityFatal, Code: wire.CodeProtocolViolation, Message: fmt.Sprintf(format, args...)}
}

// flush sends what has gathered. The lock is not held meanwhile.
func (s *session) flush() {
	if len(s.out) == 0 {
		return
	}
	c, out := s.server, s.out
	if s.out = out[:0]; cap(out) > maxIdleBuffer {
		s.out = nil
	}
	if c == nil {
		return // it is lost, and the client knows
	}
	if s.lc != nil {
		s.flushEvented(c, out)
		return
	}
	s.writing = true
	s.mu.Unlock()
	_, _ = c.Write(out) // of an error the connection's own goroutine tells the client
	s.mu.Lock()
	s.writing = false
}

// message takes one whole message; after is what has come behind it.
func (s *session) message(typ wire.Type, m, after []byte) error {
	if s.queue.len() >= maxQueue {
		return &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeConfigurationLimit,
			Message: fmt.Sprintf("more than %d requests wait for an answer", maxQueue),
		}
	}
	if len(s.out) > 64<<10 {
		s.flush()
	}
	body := m[wire.HeaderLen:]
	s.long(typ, body)
	switch typ {
	case wire.TypeTerminate:
		return errGoodbye
	case wire.TypeSync:
		return s.sync(m)
	}
	if s.skipping {
		return nil // as the server would
	}
	switch typ {
	case wire.TypeQuery:
		return s.query(m, body)
	case wire.TypeParse:
		return s.parse(m, body, after)
	case wire.TypeBind:
		return s.bind(m, body, after)
	case wire.TypeDescribe, wire.TypeClose:
		return s.named(typ, m, body, after)
	case wire.TypeExecute:
		return s.execute(m, body)
	case wire.TypeFlush:
		if s.server != nil {
			s.out = append(s.out, m...)
		}
		return nil
	case wire.TypeCopyDone, wire.TypeCopyFail:
		if s.server == nil {
			return nil // the server would pass over it
		}
		s.copying = 0
		if s.queue.len() > 0 {
			s.ask(request{kind: copyEnd})
		}
		s.out = append(s.out, m...)
		return nil
	}
	return protocolError("invalid frontend message type %d", byte(typ))
}

// ask queues a request that is about to be sent.
func (s *session) ask(r request) {
	if s.queue.len() == 0 {
		s.asked = s.clock()
		if s.ears != nil {
			s.ears.collect() // without what the client does not listen to yet
		}
		switch c := s.server; {
		case c == nil:
		case c.Status == wire.TxIdle:
			s.begun = s.asked
		default:
			c.Pool().Counters.Idled(s.asked.Sub(s.p.time(s.answered)))
		}
	}
	s.queue.push(r)
}

// query takes a simple query.
func (s *session) query(m, body []byte) error {
	sql, ok := passingText(body)
	if !ok {
		return s.refuseQuery(protocolError("invalid string in message"))
	}
	if s.db.Mode == Statement && s.p.scanners.opens(sql) {
		return s.forbid(wire.TypeQuery, errBlock)
	}
	if !s.listened() {
		// Where it runs does not depend on what it says, which is looked at once it can.
		if err := s.attach(need{}); err != nil {
			return s.refuseQuery(err)
		}
	}
	if s.db.Router != nil {
		if err := s.settled(); err != nil {
			return s.refuseQuery(err)
		}
	}
	t := s.p.scanners.scan(sql)
	if len(t.Effects) > 0 || s.listened() {
		// It is kept, or may be.
		sql = strings.Clone(sql)
		t = s.p.scanners.scan(sql)
	}
	if err := s.poaching(&t); err != nil {
		return s.forbid(wire.TypeQuery, err)
	}
	n := need{}
	if s.db.Router.Advised() {
		var err error
		if n.hint, err = s.judge(sql, &t, &route.Binding{}); err != nil {
			return s.forbid(wire.TypeQuery, err)
		}
	} else if s.server == nil || s.server.Pool().Backend().Role != pool.Primary {
		n.hint = s.hint(sql, &t)
	}
	if done, err := s.heldQuery(sql, &t); done {
		return err
	}
	if key := s.shareable(sql, &t); key != "" {
		return s.prepareShared(t.Effects[0].Name, sql, key)
	}
	if err := s.hear(&t); err != nil {
		return s.unable(wire.TypeQuery, err)
	}
	if err := s.attach(n); err != nil {
		return s.refuseQuery(err)
	}
	if o := s.db.observer.Load(); o != nil {
		(*o)(sql, nil, nil)
	}
	// A simple query ends the unnamed statement.
	s.dropUnnamed()
	s.server.Unnamed = 0
	s.sample(sql)
	s.stats.queries.Add(1)
	s.server.Pool().Counters.Queries.Add(1)
	s.server.Tally.Queries.Add(1)
	r := request{kind: askedQuery, explains: s.db.Explain && route.ExplainsAsText(sql)}
	if len(t.Effects) > 0 {
		kept := t
		r.text = &kept
		s.asks(r.text)
		if spliced, ok := s.splice(sql, &t); ok {
			s.ask(r)
			s.out = appendHeader(s.out, wire.TypeQuery, len(spliced)+1)
			s.out = append(s.out, spliced...)
			s.out = append(s.out, 0)
			return nil
		}
	}
	s.ask(r)
	s.out = append(s.out, m...)
	return nil
}

// listened says that somebody is told of texts, who may keep them.
func (s *session) listened() bool {
	return s.db.Router != nil || s.db.observer.Load() != nil || s.p.cfg.Queries != nil
}

// passingText is text without a copy: it is there as long as the message is.
func passingText(body []byte) (string, bool) {
	n := len(body) - 1
	if n < 0 || bytes.IndexByte(body, 0) != n {
		return "", false
	}
	return unsafe.String(unsafe.SliceData(body), n), true
}

// text is a body that is one string.
func text(body []byte) (string, bool) {
	i := bytes.IndexByte(body, 0)
	if i < 0 || i != len(body)-1 {
		return "", false
	}
	return string(body[:i]), true
}

// refuseQuery answers a simple query that no server gets.
func (s *session) refuseQuery(err error) error {
	if e := s.refusal(err); e != nil {
		return e
	}
	return s.ready()
}

// refuse answers an extended message that no server gets.
func (s *session) refuse(err error) error {
	if e := s.refusal(err); e != nil {
		return e
	}
	s.skipping, s.unsynced = true, true
	return nil
}

// refusal tells the client of an error that came before a server was involved. Errors that end
// the session are returned.
func (s *session) refusal(err error) error {
	if errors.Is(err, errStalled) {
		return err
	}
	e := wire.AsError(err)
	if e.Severity == wire.SeverityFatal || s.over || s.server != nil {
		return err
	}
	if s.held != nil {
		s.held.failed = true
	}
	if err := s.speak(); err != nil {
		return err
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	return s.fail(e)
}

// ready says ReadyForQuery where no server does.
func (s *session) ready() error {
	status := wire.TxIdle
	switch {
	case s.held == nil:
	case s.held.failed:
		status = wire.TxFailed
	default:
		status = wire.TxActive
	}
	s.say([]byte{byte(wire.TypeReadyForQuery), 0, 0, 0, 5, byte(status)})
	return s.speak()
}

// sync takes a Sync.
func (s *session) sync(m []byte) error {
	if s.server == nil {
		s.skipping, s.unsynced = false, false
		return s.ready()
	}
	s.out = append(s.out, m...)
	if s.copying == wire.TypeCopyInResponse {
		return nil // within COPY data it means nothing
	}
	s.skipping, s.unsynced = false, false
	s.ask(request{kind: askedSync})
	return nil
}

// function takes the beginning of a FunctionCall, whose rest is passed on.
func (s *session) function(size int) error {
	if s.skipping {
		s.pass, s.sendTo = size, false
		return nil
	}
	if s.db.Router.Advised() {
		return wire.Errorf(wire.CodeFeatureNotSupported, "function calls of the protocol are refused where statements are judged")
	}
	if err := s.attach(need{}); err != nil {
		if err := s.refuseQuery(err); err != nil {
			return err
		}
		s.pass, s.sendTo = size, false
		return nil
	}
	s.ask(request{kind: askedFunction})
	s.pass, s.sendTo = size, true
	return nil
}

// calling says that what was asked for last is a FunctionCall.
func (s *session) calling() bool {
	return s.queue.len() > 0 && s.queue.items[len(s.queue.items)-1].kind == askedFunction
}

// execute takes an Execute.
func (s *session) execute(m, body []byte) error {
	if s.db.Defer {
		name, _, _ := bytes.Cut(body, []byte{0})
		if done, err := s.heldExecute(name); done {
			return err
		}
	}
	if name, _, ok := bytes.Cut(body, []byte{0}); ok && len(s.portals) > 0 {
		if err := s.hear(s.portals[string(name)].text); err != nil {
			return s.unable(wire.TypeExecute, err)
		}
	}
	if err := s.attach(need{}); err != nil {
		return s.refuse(err)
	}
	s.unsynced = true
	s.stats.queries.Add(1)
	s.server.Pool().Counters.Queries.Add(1)
	s.server.Tally.Queries.Add(1)
	r := request{kind: askedExecute}
	if len(s.portals) > 0 {
		if name, _, ok := bytes.Cut(body, []byte{0}); ok {
			if p, ok := s.portals[string(name)]; ok {
				r.text, r.values, r.explains = p.text, p.args, p.explains
				s.asks(p.text)
			}
		}
	}
	s.ask(r)
	s.out = append(s.out, m...)
	return nil
}

// unable answers a message that cannot be served for an error of the proxy's.
func (s *session) unable(typ wire.Type, err error) error {
	if errors.Is(err, errStalled) {
		return err
	}
	return s.forbid(typ, err)
}

// splice puts the servers' names for the client's into EXECUTE and DEALLOCATE.
func (s *session) splice(sql string, t *effect.Text) (string, bool) {
	changed, plain, shares := false, s.plainNames(), s.sharesListen()
	for i := len(t.Effects) - 1; i >= 0; i-- {
		e := &t.Effects[i]
		if e.Kind == effect.Listen && shares {
			sql = sql[:e.Start] + "UNLISTEN" + sql[e.End:]
			changed = true
		}
		if plain {
			continue
		}
		if e.Kind != effect.Execute && (e.Kind != effect.Deallocate || e.Name == "") {
			continue
		}
		st := s.names[e.Name]
		if st == nil {
			continue
		}
		if _, there := s.real[e.Name]; there {
			if e.Kind == effect.Deallocate {
				delete(s.real, e.Name)
				delete(s.names, e.Name)
				s.p.statements.release(st)
			}
			continue
		}
		if s.server.Status != wire.TxFailed && s.ensure(st) {
			s.syncNow() // the statement must be there when the query is read
		}
		sql = sql[:e.Start] + `"` + st.name + `"` + sql[e.End:]
		changed = true
		if e.Kind == effect.Deallocate {
			delete(s.names, e.Name)
			s.server.Statements.Remove(st.id)
			s.p.statements.release(st)
		}
	}
	return sql, changed
}
