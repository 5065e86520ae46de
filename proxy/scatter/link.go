package scatter

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A link is a connection that the session holds.
type link struct {
	s        *Session
	conn     Conn
	shard    int
	role     route.Role
	settings *Settings // that the connection has; nil: not known
	buf      []byte    // waits to be sent
	joining  bool      // the answer to what began the transaction is still to come
	joinErr  error
	inTx     bool // BEGIN has been sent
	unsynced bool // extended messages have been sent since the last Sync
	synced   bool // the Sync that ends the pipeline has been put behind it
	running  bool // the answer to a query is being read
	wrote    bool // in this transaction
	dead     bool
	mute     bool // notices are not passed on
	echo     *echo
	claimed  bool // in the executor's claims
	oids     *oids
}

// acquire returns the session's connection to a shard, which has joined the transaction if
// there is one.
func (s *Session) acquire(ctx context.Context, shard int, role route.Role) (*link, error) {
	return s.acquireFor(ctx, shard, role, false)
}

// acquireAlone is acquire for a statement that, outside of a transaction, needs no other
// shard's connection.
func (s *Session) acquireAlone(ctx context.Context, shard int, role route.Role) (*link, error) {
	return s.acquireFor(ctx, shard, role, s.tx.none() && s.Idle())
}

func (s *Session) acquireFor(ctx context.Context, shard int, role route.Role, alone bool) (*link, error) {
	l := s.links[shard]
	if l == nil {
		settings := s.settings
		if s.tx.open() {
			settings = s.tx.settings
		}
		if !alone {
			if err := s.claim(ctx, shard, role); err != nil {
				return nil, err
			}
		}
		conn, err := s.ex.cfg.Servers.Acquire(ctx, shard, role, settings)
		if err != nil {
			if !alone {
				s.ex.claims.Give(&s.holder, shard)
			}
			return nil, acquireError(shard, err)
		}
		if !alone {
			s.ex.claims.Got(&s.holder)
		}
		l = &link{s: s, conn: conn, shard: shard, role: role, settings: settings, claimed: !alone, oids: s.ex.oidsOf(shard)}
		s.ex.learn(l)
		s.links[shard] = l
		s.hold(l)
	}
	if !l.busy() {
		l.oids = s.ex.oidsOf(shard) // DDL may have been done since
	}
	if s.tx.open() && !l.inTx {
		if err := s.join(l); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func acquireError(shard int, err error) error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		c := *e
		if c.Detail == "" {
			c.Detail = fmt.Sprintf("The server of shard %d was asked for.", shard)
		}
		return &c
	}
	return wire.Errorf(wire.CodeConnectionFailure, "connect to shard %d: %w", shard, err)
}

// release gives a connection back.
func (s *Session) release(l *link) {
	s.noteWrite(l)
	s.links[l.shard] = nil
	s.drop(l)
	defer s.unclaim(l)
	if l.dead || l.busy() || l.unsynced || l.inTx || len(l.buf) > 0 {
		s.ex.cfg.Servers.Discard(l.conn)
		return
	}
	s.ex.cfg.Servers.Release(l.conn, l.settings)
}

// hold takes down that the session has a connection, drop that it has it no more.
func (s *Session) hold(l *link) {
	shard := l.shard
	if l.role != route.Primary {
		shard = -1 // of another server, perhaps
	}
	s.mu.Lock()
	s.active[l.conn] = shard
	n := len(s.active)
	s.mu.Unlock()
	if n == 2 {
		s.ex.deadlocks.enter(s)
	}
}

func (s *Session) drop(l *link) {
	s.mu.Lock()
	delete(s.active, l.conn)
	n := len(s.active)
	s.mu.Unlock()
	if n == 1 {
		s.ex.deadlocks.leave(s)
	}
}

// busy reports that answers are still to come.
func (l *link) busy() bool { return l.joining || l.running }

// lost is the error for a connection that has failed.
func (l *link) lost(err error) error {
	l.dead = true
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // it is no end of rows
	}
	e := wire.Errorf(wire.CodeConnectionFailure, "the connection to shard %d was lost: %w", l.shard, err)
	switch {
	case l.inTx:
		e.Detail = "The transaction has not been committed on any shard."
	case l.wrote:
		e.Detail = "Whether the statement has taken effect there is not known."
	}
	return e
}

// put appends a message to what is to be sent.
func (l *link) put(m wire.Message) error {
	if p, ok := m.(*wire.Parse); ok {
		m = l.oids.parse(p)
	}
	b, err := wire.Append(l.buf, m)
	if err == nil {
		l.buf = b
	}
	return err
}

// putAll appends messages.
func (l *link) putAll(list ...wire.Message) error {
	for _, m := range list {
		if err := l.put(m); err != nil {
			return err
		}
	}
	return nil
}

// query appends a simple query.
func (l *link) query(sql string) error { return l.put(&wire.Query{SQL: sql}) }

// push sends what waits.
func (l *link) push() error {
	if l.dead {
		return l.lost(errors.New("it has failed before"))
	}
	if len(l.buf) == 0 {
		return nil
	}
	l.s.awaitDoom()
	err := l.conn.Send(l.buf)
	l.buf = l.buf[:0]
	if cap(l.buf) > 1<<17 {
		l.buf = nil
	}
	if err != nil {
		return l.lost(err)
	}
	return nil
}

// next returns the next message that answers something. What the server sends on its own
// goes to the client.
func (l *link) next() (wire.Type, []byte, error) {
	for {
		typ, body, err := l.receive()
		if err != nil {
			return 0, nil, err
		}
		if !l.joining {
			return typ, body, nil
		}
		switch typ {
		case wire.TypeErrorResponse:
			l.joinErr = l.errorOf(body)
		case wire.TypeReadyForQuery:
			l.joining = false
			if l.joinErr != nil {
				// What follows it has been refused too, or must not be believed.
				l.dead = true
				return 0, nil, l.joinErr
			}
		}
	}
}

func (l *link) receive() (wire.Type, []byte, error) {
	if l.dead {
		return 0, nil, l.lost(errors.New("it has failed before"))
	}
	for {
		if l.conn.Buffered() < wire.HeaderLen && l.s.out.Buffered() > 0 {
			if err := l.s.flush(); err != nil {
				return 0, nil, err
			}
		}
		waits := l.conn.Buffered() < wire.HeaderLen
		if waits {
			l.s.beats.Add(1)
		}
		typ, body, err := l.conn.Receive()
		if waits {
			l.s.beats.Add(1)
		}
		if err != nil {
			return 0, nil, l.lost(err)
		}
		switch typ {
		case wire.TypeNoticeResponse, wire.TypeNotificationResponse:
			if typ == wire.TypeNoticeResponse && (l.joining || l.mute || l.echo.heard(l, body)) {
				continue
			}
			err = l.s.raw(typ, body)
		case wire.TypeParameterStatus:
			err = l.s.parameter(body)
		case wire.TypeRowDescription, wire.TypeParameterDescription:
			l.oids.rewrite(typ, body)
			return typ, body, nil
		default:
			return typ, body, nil
		}
		if err != nil {
			return 0, nil, err
		}
	}
}

// An echo knows the notices of the first of several shards that do the same: the others' are
// not news to the client.
type echo struct {
	first *link
	told  map[string]bool
}

// heard reports whether the first shard has said the same.
func (e *echo) heard(l *link, notice []byte) bool {
	if e == nil {
		return false
	}
	if l == e.first {
		e.told[string(notice)] = true
		return false
	}
	return e.told[string(notice)]
}

// parameter tells the client of a parameter, if it has another value than it knows.
func (s *Session) parameter(body []byte) error {
	var m wire.ParameterStatus
	if err := m.Decode(body); err != nil {
		return err
	}
	if old, ok := s.reported[m.Name]; ok && old == m.Value {
		return nil
	}
	s.report(m.Name, m.Value)
	return s.raw(wire.TypeParameterStatus, body)
}

// errorOf decodes an error of the server. One that ends the server's connection does not
// end the client's.
func (l *link) errorOf(body []byte) error {
	var m wire.ErrorResponse
	if err := m.Decode(body); err != nil {
		return l.lost(err)
	}
	e := m.Error
	if d := l.s.deadlocked(&e); d != nil {
		return d
	}
	if e.Severity == wire.SeverityFatal || e.Severity == wire.SeverityPanic {
		l.dead = true
		e.Severity, e.LocalSeverity = wire.SeverityError, ""
		e.Message = fmt.Sprintf("the server of shard %d has ended the connection: %s", l.shard, e.Message)
		if l.inTx && e.Detail == "" {
			e.Detail = "The transaction has not been committed on any shard."
		}
	}
	return &e
}

// drain reads up to ReadyForQuery. It returns the last tag and the first error of the
// server; an error of the connection goes before.
func (l *link) drain() (tag string, err error) {
	for {
		typ, body, failure := l.next()
		if failure != nil {
			if err != nil && !broken(failure) {
				failure = err
			}
			l.running = false
			return tag, failure
		}
		switch typ {
		case wire.TypeCommandComplete:
			tag = tagOf(body)
		case wire.TypeErrorResponse:
			if e := l.errorOf(body); err == nil {
				err = e
			}
			if l.dead {
				l.running = false
				return tag, err
			}
		case wire.TypeCopyInResponse:
			if err := l.put(&wire.CopyFail{Message: "COPY FROM STDIN is not expected here"}); err != nil {
				return tag, err
			}
			if err := l.push(); err != nil {
				return tag, err
			}
		case wire.TypeReadyForQuery:
			l.rest()
			return tag, err
		}
	}
}

// rest takes down that the server is ready.
func (l *link) rest() { l.running, l.unsynced, l.synced = false, false, false }

func tagOf(body []byte) string {
	if n := len(body); n > 0 && body[n-1] == 0 {
		return string(body[:n-1])
	}
	return string(body)
}

// exec runs SQL whose rows, if any, are not wanted.
func (l *link) exec(sql string) (tag string, err error) {
	if err := l.query(sql); err != nil {
		return "", err
	}
	if err := l.push(); err != nil {
		return "", err
	}
	l.running = true
	return l.drain()
}

// abort brings a connection to rest whose answer is not wanted any more, by a cancel request
// if it may be long.
func (l *link) abort(ctx context.Context, cancel bool) {
	if l.dead || !l.running {
		return
	}
	if cancel {
		if err := l.conn.Cancel(ctx); err != nil {
			l.s.ex.cfg.Log.Debug("cancel", "shard", l.shard, "error", err)
			cancel = false
		}
	}
	if _, err := l.drain(); err != nil && l.dead || !cancel {
		return
	}
	// The request may reach the server after its query: one that does nothing takes it.
	if _, err := l.exec(";"); err != nil && !l.dead {
		_, _ = l.exec(";")
	}
}

// Shard implements [Part].
func (l *link) Shard() int { return l.shard }

// Start implements [Part].
func (l *link) Start(sql string) error {
	if err := l.query(sql); err != nil {
		return err
	}
	if err := l.push(); err != nil {
		return err
	}
	l.running = true
	return nil
}

// Wait implements [Part].
func (l *link) Wait() error {
	if l.dead {
		return l.lost(errors.New("it has failed before"))
	}
	_, err := l.drain()
	return err
}

// Lost implements [Part].
func (l *link) Lost() bool { return l.dead }
