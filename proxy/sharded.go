package proxy

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/proxy/setting"
	"github.com/pgx-dev/pgx-dev/wire"
)

// ShardServers lends the connections of pools to sessions on several shards. It is safe for
// concurrent use.
type ShardServers struct {
	// Pick returns the pool of a shard's server in a role. It may wait for one to appear.
	// Required.
	Pick func(ctx context.Context, shard int, role route.Role) (*pool.Pool, error)

	mu    sync.Mutex
	known map[*pool.Conn]*shardConn // of connections that are open
}

// A shardConn is a connection that a session on several shards uses, and what is known of it
// beyond what its pool knows.
type shardConn struct {
	c          *pool.Conn
	d          *pool.Direct
	settings   string // what the connection has been set to; "" if it is as it was opened
	statements scatter.Statements
	// asked is when the shard was asked for what it has not answered yet, begun when its
	// transaction began; zero: there is no such thing.
	asked, begun time.Time
	answered     time.Time // the last time
	second       bool      // the second phase of a commit was sent
}

// secondPhase is what the second phase of a commit begins with; clients may not say it.
var secondPhase = []byte("COMMIT PREPARED '")

// Send implements scatter.Conn.
func (c *shardConn) Send(b []byte) error {
	if c.asked.IsZero() {
		c.asked = time.Now()
		if c.begun.IsZero() {
			c.begun = c.asked
		} else {
			c.c.Pool().Counters.Idled(c.asked.Sub(c.answered))
		}
	}
	c.second = c.second || bytes.HasPrefix(b[min(len(b), wire.HeaderLen):], secondPhase)
	return c.d.Send(b)
}

// Receive implements scatter.Conn.
func (c *shardConn) Receive() (wire.Type, []byte, error) {
	typ, body, err := c.d.Receive(context.Background())
	if err == nil && (typ == wire.TypeReadyForQuery || typ == wire.TypeErrorResponse) {
		c.count(typ)
	}
	return typ, body, err
}

// count counts an answer, as a session on one server does. A series of the extended protocol is
// one query to a shard.
func (c *shardConn) count(typ wire.Type) {
	n := &c.c.Pool().Counters
	if typ == wire.TypeErrorResponse {
		n.Errors.Add(1)
		c.c.Tally.Errors.Add(1)
		c.second = false
		return
	}
	now := time.Now()
	n.Queries.Add(1)
	c.c.Tally.Queries.Add(1)
	c.answered = now
	if c.second {
		c.second = false
		n.TwoPhased.Add(1)
	}
	if !c.asked.IsZero() {
		n.Queried(c.asked, now)
		c.asked = time.Time{}
	}
	if c.c.Status == wire.TxIdle && !c.begun.IsZero() {
		n.Transacted(c.begun, now)
		c.c.Tally.Xacts.Add(1)
		c.begun = time.Time{}
	}
}

// Buffered implements scatter.Conn.
func (c *shardConn) Buffered() int { return c.d.Buffered() }

// Cancel implements scatter.Conn.
func (c *shardConn) Cancel(ctx context.Context) error { return c.c.Cancel(ctx) }

// Hold implements scatter.Conn.
func (c *shardConn) Hold() (release func()) {
	c.c.Hold()
	return c.c.Release
}

// Bound says how many connections there are like this one, and how long sessions wait for one.
func (c *shardConn) Bound() (connections int, patience time.Duration) {
	cfg := c.c.Pool().Config()
	return cfg.Size, max(0, cfg.CheckoutTimeout)
}

// Statements implements scatter.Conn.
func (c *shardConn) Statements() *scatter.Statements { return &c.statements }

// Acquire implements scatter.Servers.
func (s *ShardServers) Acquire(ctx context.Context, shard int, role route.Role, settings *scatter.Settings) (scatter.Conn, error) {
	p, err := s.Pick(ctx, shard, role)
	if err != nil {
		return nil, err
	}
	conn, err := p.Get(ctx)
	if err != nil {
		return nil, err
	}
	c := s.remembered(conn)
	c.d = conn.Direct()
	c.asked, c.begun = time.Time{}, time.Time{}
	conn.Unnamed = 0
	// A connection that has settings of ours says to others that they are unknown, and whoever
	// else has had it meanwhile has changed that.
	if c.settings == settings.Key() && conn.Unknown == (c.settings != "") && conn.Have.Len() == 0 {
		return c, nil
	}
	sql := "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; " + settings.SQL()
	conn.Unknown = true // until it is done, and for whoever else gets it
	if _, err := c.d.Exec(ctx, sql); err != nil {
		s.giveBack(c, conn.Status != wire.TxIdle)
		return nil, err
	}
	c.settings = settings.Key()
	conn.Have = setting.Set{}
	conn.Unknown = c.settings != ""
	return c, nil
}

// remembered returns what is known of a connection.
func (s *ShardServers) remembered(conn *pool.Conn) *shardConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.known[conn]; c != nil {
		return c
	}
	if s.known == nil {
		s.known = map[*pool.Conn]*shardConn{}
	}
	for old := range s.known {
		if old.Broken() {
			delete(s.known, old)
		}
	}
	c := &shardConn{c: conn}
	s.known[conn] = c
	return c
}

// Release implements scatter.Servers.
func (s *ShardServers) Release(x scatter.Conn, settings *scatter.Settings) {
	c := x.(*shardConn)
	if settings == nil {
		c.settings, c.c.Unknown = "?", true
	} else if c.settings != settings.Key() {
		c.settings = settings.Key()
		c.c.Unknown = c.settings != ""
	}
	s.giveBack(c, false)
}

// Discard implements scatter.Servers.
func (s *ShardServers) Discard(x scatter.Conn) { s.giveBack(x.(*shardConn), true) }

func (s *ShardServers) giveBack(c *shardConn, broken bool) {
	if broken {
		c.c.Break("a session on several shards has given it up")
		s.mu.Lock()
		delete(s.known, c.c)
		s.mu.Unlock()
	}
	c.d.Close()
	c.d = nil
	c.c.Release()
}

// runSharded serves the client of a database on several shards until it goes.
func (s *session) runSharded(received []byte) error {
	var base *scatter.Settings
	hint := route.NoHint()
	var path []string
	var list []scatter.Setting
	for _, p := range s.startup.All() {
		if known, err := hint.Set(p.Name, plainValue(p.Value)); err != nil {
			return err
		} else if known {
			continue
		}
		if p.Name == "search_path" {
			path = scatter.SearchPath(plainValue(p.Value))
		}
		list = append(list, scatter.Setting{Name: p.Name, SQL: effect.Statement(p)})
	}
	base = scatter.NewSettings(list)
	reported := map[string]string{}
	for _, p := range s.reported.All() {
		reported[statusName(p.Name)] = p.Value
	}
	out := wire.NewWriter(writerFunc(func(b []byte) (int, error) { return len(b), s.toClient(b) }))
	session := s.db.Sharded.NewSession(out, scatter.Options{Settings: base, Path: path, Hint: hint, Reported: reported})
	s.mu.Lock()
	s.wakeUp()
	s.own.sharded = session
	s.mu.Unlock()
	defer session.Close()
	// Whoever ends the session also ends what its servers do for it.
	stop := context.AfterFunc(s.context(), func() {
		ctx, done := context.WithTimeout(context.Background(), cancelTimeout)
		defer done()
		session.Cancel(ctx)
	})
	defer stop()
	r := wire.NewReader(&rejoined{s: s, first: received}, wire.Frontend, s.p.cfg.MaxMessage)
	var handling sync.Mutex // held while messages are dealt with, or notifications delivered
	var wg sync.WaitGroup
	gone := make(chan struct{})
	defer wg.Wait()
	defer close(gone)
	listening := false
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return err
		}
		s.noteSharded(f)
		handling.Lock()
		s.working(true)
		err = session.Handle(s.context(), f.Type, f.Body)
		s.own.open = !session.Idle()
		s.working(false)
		s.keepSharded(f, err)
		handling.Unlock()
		if come := session.Notified(); come != nil && !listening {
			listening = true
			wg.Go(func() { s.notify(session, &handling, come, gone) })
		}
		if !s.own.open && (f.Type == wire.TypeQuery || f.Type == wire.TypeSync || f.Type == wire.TypeFunctionCall) {
			s.stats.transactions.Add(1)
		}
		switch {
		case scatter.Terminated(err):
			return errGoodbye
		case err != nil:
			return err
		case s.p.closing.Load() && !s.own.open && r.Buffered() == 0:
			return errShutdown
		}
	}
}

// notify sends the client what has come on the channels that it listens to, while it says
// nothing itself.
func (s *session) notify(session *scatter.Session, handling *sync.Mutex, come, gone <-chan struct{}) {
	for {
		select {
		case <-gone:
			return
		case <-come:
		}
		handling.Lock()
		err := session.Deliver()
		handling.Unlock()
		if err != nil {
			return // the client has gone, which its next message tells
		}
	}
}

// noteSharded notes what the client asks for.
func (s *session) noteSharded(f wire.Frame) {
	sql := ""
	s.long(f.Type, f.Body)
	switch f.Type {
	case wire.TypeQuery:
		sql, _ = text(f.Body)
	case wire.TypeParse:
		sql, _ = textOfParse(f.Body)
	}
	if f.Type == wire.TypeQuery || f.Type == wire.TypeExecute {
		s.stats.queries.Add(1)
	}
	if sql != "" {
		s.mu.Lock()
		s.sample(sql)
		s.mu.Unlock()
	}
}

// keepSharded keeps what was asked for, to be mirrored.
func (s *session) keepSharded(f wire.Frame, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tape == nil || err != nil {
		return
	}
	m := appendHeader(nil, f.Type, len(f.Body))
	s.keep(f.Type, append(m, f.Body...))
	if f.Type == wire.TypeQuery || f.Type == wire.TypeSync || f.Type == wire.TypeFunctionCall {
		status := wire.TxIdle
		if s.own.open {
			status = wire.TxActive
		}
		s.tapeReady(status, false)
	}
}

// textOfParse is the query of a Parse message.
func textOfParse(body []byte) (string, bool) {
	_, rest, _ := cut(body)
	sql, _, ok := cut(rest)
	return string(sql), ok
}

// working notes that a message of the client's is being dealt with, for timeouts.
func (s *session) working(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delivering = yes
	if yes {
		if s.p.instant(s.asked) <= s.answered {
			s.asked = time.Now()
		}
		if s.begun.IsZero() {
			s.begun = time.Now()
		}
		return
	}
	now := time.Now()
	s.stats.queryTime.Add(int64(now.Sub(s.asked)))
	if !s.own.open {
		s.begun = time.Time{}
	}
	s.own.holds = s.own.open
	s.timedOut = false
	s.answered, s.asked = s.p.instant(now), now
	s.wakeAll()
}

// overdueSharded does what the timeouts of a session on several shards demand.
func (s *session) overdueSharded(now time.Time) {
	over := func(limit time.Duration, since time.Time) bool { return limit > 0 && now.Sub(since) > limit }
	cfg := &s.p.cfg
	var why error
	s.mu.Lock()
	switch {
	case !s.begun.IsZero() && over(cfg.TransactionTimeout, s.begun):
		why = errTransactionTimeout
	case s.delivering && over(cfg.QueryTimeout, s.asked) && !s.timedOut:
		s.timedOut = true
		s.p.background(s.cancelSharded)
	case s.delivering:
	case s.own.holds && over(cfg.IdleInTransactionTimeout, s.p.time(s.answered)):
		why = &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeIdleInTransactionTimeout,
			Message: "terminating connection due to idle-in-transaction timeout",
		}
	case !s.own.holds && over(cfg.IdleTimeout, s.p.time(s.answered)):
		why = &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeIdleSessionTimeout,
			Message: "terminating connection due to idle-session timeout",
		}
	}
	s.mu.Unlock()
	if why != nil {
		s.kill(why)
	}
}

// cancelSharded cancels what a session on several shards does.
func (s *session) cancelSharded() {
	ctx, done := context.WithTimeout(context.Background(), cancelTimeout)
	defer done()
	s.own.sharded.Cancel(ctx)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// rejoined reads what came before, then what comes.
type rejoined struct {
	s     *session
	first []byte
}

func (r *rejoined) Read(b []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(b, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	n, err := r.s.nc.Read(b)
	r.s.stats.received.Add(int64(n))
	return n, err
}
