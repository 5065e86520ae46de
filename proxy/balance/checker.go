package balance

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// CheckerConfig says when servers are checked. Zero fields mean the default.
type CheckerConfig struct {
	// Interval is how often each server is. Default: 30 seconds.
	Interval time.Duration
	// Delay is how long after the start the first checks are. Default: none. A server whose
	// role has to be found out is checked at once.
	Delay time.Duration
	// Timeout is how long a check may take, with its connection. Default: 5 seconds.
	Timeout time.Duration
	// Urgent is how often servers are checked while writers have no primary. Default: 250
	// milliseconds.
	Urgent time.Duration
}

// CheckerConfigOf returns what the proxy's configuration says. Where roles or lag have to be
// known, servers are checked as often as lag is measured.
func CheckerConfigOf(g *conf.General, auto bool) CheckerConfig {
	c := CheckerConfig{Interval: g.IdleHealthcheckInterval, Delay: g.IdleHealthcheckDelay, Timeout: g.HealthcheckTimeout}
	if g.LSNCheckDelay != nil {
		c.Interval, c.Delay = min(c.Interval, g.LSNCheckInterval), min(c.Delay, *g.LSNCheckDelay)
	}
	if auto || g.BanReplicaLag > 0 || g.BanReplicaLagBytes > 0 {
		c.Interval = min(c.Interval, g.LSNCheckInterval)
	}
	if g.LSNCheckTimeout > 0 && (c.Timeout == 0 || g.LSNCheckTimeout < c.Timeout) {
		c.Timeout = g.LSNCheckTimeout // one query tells both
	}
	return c
}

// A Checker asks a group's servers what they are, in the background.
type Checker struct {
	group *Group
	cfg   CheckerConfig
	dial  func(ctx context.Context, target int) (net.Conn, error)
	kicks []chan struct{}
}

// NewChecker returns a checker of g. dial opens a connection to a server that has logged in
// and is idle; the checker keeps one for each server and closes it. A group has one checker.
func NewChecker(g *Group, cfg CheckerConfig, dial func(ctx context.Context, target int) (net.Conn, error)) *Checker {
	cfg.Interval = cmp.Or(cfg.Interval, 30*time.Second)
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	cfg.Urgent = cmp.Or(cfg.Urgent, 250*time.Millisecond)
	c := &Checker{group: g, cfg: cfg, dial: dial}
	for range g.targets {
		c.kicks = append(c.kicks, make(chan struct{}, 1))
	}
	g.mu.Lock()
	g.cfg.suspected = c.Kick
	g.mu.Unlock()
	return c
}

// Kick has a server checked at once, if Run runs.
func (c *Checker) Kick(target int) {
	select {
	case c.kicks[target] <- struct{}{}:
	default: // it will be
	}
}

// Run checks until ctx ends, and returns when every connection is closed.
func (c *Checker) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range c.kicks {
		wg.Go(func() { c.watch(ctx, i) })
	}
	wg.Wait()
}

// watch checks one server.
func (c *Checker) watch(ctx context.Context, i int) {
	var conn net.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	delay := c.cfg.Delay
	if c.group.unknown(i) {
		delay = 0
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.kicks[i]:
		}
		var o Observation
		var err error
		if conn, o, err = c.check(ctx, i, conn); ctx.Err() != nil {
			return
		}
		if err != nil {
			c.group.Failed(i, err)
		} else {
			c.group.Observe(i, o)
		}
		timer.Reset(c.next())
	}
}

// next returns the time until the next check.
func (c *Checker) next() time.Duration {
	if _, ok := c.group.Primary(); !ok && c.group.movable() {
		return c.cfg.Urgent
	}
	return c.cfg.Interval
}

// check asks a server, over the connection that is there or a new one. A connection that is
// found broken is replaced before the server is blamed.
func (c *Checker) check(ctx context.Context, i int, conn net.Conn) (net.Conn, Observation, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.Timeout, fmt.Errorf("no answer within %v", c.cfg.Timeout))
	defer cancel()
	if conn != nil {
		if o, err := probe(ctx, conn); err == nil {
			return conn, o, nil
		}
		_ = conn.Close()
	}
	conn, err := c.dial(ctx, i)
	if err != nil {
		return nil, Observation{}, cause(ctx, err)
	}
	o, err := probe(ctx, conn)
	if err != nil {
		_ = conn.Close()
		return nil, Observation{}, cause(ctx, err)
	}
	return conn, o, nil
}

func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// probe is Probe, bounded by ctx.
func probe(ctx context.Context, conn net.Conn) (Observation, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	o, err := Probe(conn)
	if !stop() && err == nil {
		err = context.Cause(ctx) // the deadline stays on the connection
	}
	return o, err
}

// unknown reports whether a server's role has to be found out.
func (g *Group) unknown(i int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.targets[i].role == conf.Auto || g.cfg.RequireCheck && !g.targets[i].checked
}

// movable reports whether a check might find a primary.
func (g *Group) movable() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.auto
}
