package proxy

import (
	"bytes"
	"context"
	"sync"
	"time"

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
	// Ready returns the same pool if that can be told at once, nil if not. Nil: it never can, and
	// every session on several shards has a goroutine.
	Ready func(shard int, role route.Role) *pool.Pool

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
func (c *shardConn) count(typ wire.Type) { c.countAt(typ, time.Now()) }

func (c *shardConn) countAt(typ wire.Type, now time.Time) {
	n := &c.c.Pool().Counters
	if typ == wire.TypeErrorResponse {
		n.Errors.Add(1)
		c.c.Tally.Errors.Add(1)
		c.second = false
		return
	}
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

// PID is the number of the server's process.
func (c *shardConn) PID() uint32 { return c.c.PID() }

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
	if c.fits(settings) {
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

// fits says that a connection has exactly these settings. One that has settings of ours says to others
// that they are unknown, and whoever else has had it meanwhile has changed that.
func (c *shardConn) fits(settings *scatter.Settings) bool {
	return c.settings == settings.Key() && c.c.Unknown == (c.settings != "") && c.c.Have.Len() == 0
}

// lend returns what is known of a connection that a loop drives and that can be used as it is; nil:
// it cannot, and is released.
func (s *ShardServers) lend(conn *pool.Conn, settings *scatter.Settings, now time.Time) *shardConn {
	c := s.remembered(conn)
	if !conn.Evented() || !c.fits(settings) {
		conn.Release()
		return nil
	}
	c.asked, c.begun = now, now
	conn.Unnamed = 0
	return c
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
		s.forget(c)
	}
	c.d.Close()
	c.d = nil
	c.c.Release()
}

// forget drops what is known of a connection that is broken.
func (s *ShardServers) forget(c *shardConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, c.c)
}
