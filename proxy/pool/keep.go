package pool

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// keepEvery is how often a pool that has connections looks after them.
const keepEvery = time.Second

// schedule makes sure that the pool is looked after while there is something to look after. It
// is called with the lock held.
func (p *Pool) schedule() {
	if p.keeper != nil || p.closed || len(p.all) == 0 && p.cfg.Min == 0 {
		return
	}
	p.keeper = time.AfterFunc(keepEvery, p.keep)
}

// keep closes what is idle for too long or too old, opens what is missing, and tries those
// that have not been used for a while.
func (p *Pool) keep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keeper = nil
	if p.closed {
		return
	}
	now := time.Now()
	// The first ones are those that have been idle longest.
	for _, c := range slices.Clone(p.idle) {
		switch {
		case !p.fit(c, now):
			p.forget(c, "too old")
		case p.cfg.IdleTimeout > 0 && len(p.all) > p.cfg.Min && now.Sub(c.idleSince) >= p.cfg.IdleTimeout:
			p.forget(c, "idle for too long")
		case p.cfg.HealthInterval > 0 && now.Sub(c.idleSince) >= p.cfg.HealthInterval && now.Sub(c.checked) >= p.cfg.HealthInterval:
			p.idle = slices.DeleteFunc(p.idle, func(o *Conn) bool { return o == c })
			c.resting = false
			c.checked = now
			c.refs.Store(1)
			p.wg.Go(func() { p.check(c) })
		case expired(c, now):
			p.idle = slices.DeleteFunc(p.idle, func(o *Conn) bool { return o == c })
			c.resting = false
			c.refs.Store(1)
			p.wg.Go(func() { p.tidy(c) })
		}
	}
	p.grow(0)
	p.schedule()
}

func expired(c *Conn, now time.Time) bool {
	_, ok := c.Statements.Expired(now)
	return ok
}

// tidy closes what a connection has and nobody uses.
func (p *Pool) tidy(c *Conn) {
	since := c.idleSince
	p.evict(c)
	c.Release()
	p.mu.Lock()
	if c.resting {
		c.idleSince = since
	}
	p.mu.Unlock()
}

// converse sends messages that end in Sync, and reads up to the answer to that.
func (p *Pool) converse(c *Conn, messages []byte) error {
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.HealthTimeout)
	defer cancel()
	d := c.Direct()
	defer d.Close()
	if err := d.Send(messages); err != nil {
		return err
	}
	for {
		typ, body, err := d.Receive(ctx)
		switch {
		case err != nil:
			return err
		case typ == wire.TypeErrorResponse:
			var e wire.ErrorResponse
			if err := e.Decode(body); err != nil {
				return err
			}
			return &e.Error
		case typ == wire.TypeReadyForQuery:
			return nil
		}
	}
}

// check tries a connection with an empty query.
func (p *Pool) check(c *Conn) {
	since := c.idleSince
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.HealthTimeout)
	defer cancel()
	c.Tally.Checks.Add(1)
	d := c.Direct()
	_, err := d.Exec(ctx, ";")
	d.Close()
	if err != nil {
		p.errors.Add(1)
		p.log.Warn("a server connection failed its health check", "error", err)
		c.Break("the health check failed: " + err.Error())
	}
	c.Release()
	p.mu.Lock()
	if c.resting {
		c.idleSince = since // a check is no use
	}
	p.mu.Unlock()
}

// Check tries the backend with a connection of the pool, or a new one, and an empty query.
func (p *Pool) Check(ctx context.Context) error {
	c, err := p.Get(ctx)
	if err != nil {
		return err
	}
	d := c.Direct()
	_, err = d.Exec(ctx, ";")
	d.Close()
	if err != nil {
		c.Break("the health check failed: " + err.Error())
	}
	c.Release()
	return err
}

// Stats are a pool's figures.
type Stats struct {
	Size, Idle, Active, Waiting, Connecting int
	MaxWait                                 time.Duration // of who waits longest now
	Paused                                  bool
	// Totals since the pool was made.
	Checkouts, Connects, Errors, Cleaned, Rollbacks int64
	WaitTime, ConnectTime                           time.Duration
	Received, Sent                                  int64 // bytes
	// Resynced are connections that a client left in the middle of something and that were kept,
	// OutOfSync those that were closed for the state they were in. Forced are all that were closed
	// while somebody had them.
	Resynced, OutOfSync, Forced int64
	LastError                   error // of the last attempt to connect
}

// Stats returns the pool's figures.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats()
}

func (p *Pool) stats() Stats {
	s := Stats{
		Size: p.cfg.Size, Idle: len(p.idle), Active: len(p.all) - len(p.idle), Waiting: p.waiting, Connecting: p.dialing,
		Paused: p.paused, LastError: p.lastErr,
		Checkouts: p.checkouts.Load(), Connects: p.connects.Load(), Errors: p.errors.Load(), Cleaned: p.cleaned.Load(),
		Rollbacks: p.rollbacks.Load(), WaitTime: time.Duration(p.waitTime.Load()), ConnectTime: time.Duration(p.connectTime.Load()),
		Received: p.received.Load(), Sent: p.sent.Load(),
		Resynced: p.resynced.Load(), OutOfSync: p.outOfSync.Load(), Forced: p.forced.Load(),
	}
	if p.first != nil {
		s.MaxWait = time.Since(p.first.since)
	}
	for c := range p.all {
		s.Received += c.BytesIn.Load()
		s.Sent += c.BytesOut.Load()
	}
	return s
}

// Conns returns the connections there are now.
func (p *Pool) Conns() []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*Conn, 0, len(p.all))
	for c := range p.all {
		out = append(out, c)
	}
	return out
}

// Ends are a connection's addresses, the version of its TLS, empty without, and whether it is closed
// as soon as nobody uses it.
func (c *Conn) Ends() (local, remote net.Addr, version string, closing bool) {
	if t, ok := c.nc.(*tls.Conn); ok {
		st := t.ConnectionState()
		version = tls.VersionName(st.Version) + "/" + tls.CipherSuiteName(st.CipherSuite)
	}
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.nc.LocalAddr(), c.nc.RemoteAddr(), version, c.wave != c.pool.wave
}
