package proxy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A Proxy serves clients. It is safe for concurrent use.
type Proxy struct {
	cfg        Config
	log        *slog.Logger
	front      *pgserver.Server
	statements *cache
	closing    atomic.Bool
	buffers    buffers
	scanners   scanners
	busies     busies
	rests      rests
	idle       idleness
	logins     atomic.Int64
	mirrors    mirrors
	unnamed    atomic.Uint64 // unnamed statements so far
	made       time.Time
	secret     [32]byte        // what clients' keys are made of
	stop       chan struct{}   // closed when the watcher must end
	ctx        context.Context // of evented sessions
	cancelAll  context.CancelCauseFunc
	once       sync.Once
	wg         sync.WaitGroup

	mu       sync.Mutex
	sessions map[uint32]*session
	last     uint32
	crowds   crowds
}

// maxLogins bounds the clients that have not logged in yet.
const maxLogins = 4096

// New makes a proxy. It does no I/O.
func New(cfg Config) (*Proxy, error) {
	if cfg.Lookup == nil {
		return nil, errors.New("proxy: the configuration has no Lookup")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Statements <= 0 {
		cfg.Statements = 10_000
	}
	p := &Proxy{cfg: cfg, log: cfg.Log, statements: newCache(cfg.Statements, cfg.StatementTTL, cfg.StatementJitter), stop: make(chan struct{}), sessions: map[uint32]*session{}}
	p.made = time.Now()
	_, _ = rand.Read(p.secret[:])
	p.ctx, p.cancelAll = context.WithCancelCause(context.Background())
	var seed [4]byte
	_, _ = rand.Read(seed[:])
	p.last = binary.BigEndian.Uint32(seed[:]) >> 2
	p.front = &pgserver.Server{
		Auth: cfg.Auth, TLS: cfg.TLS, RequireTLS: cfg.RequireTLS, StartupTimeout: cfg.LoginTimeout,
		MaxConns: cfg.mostClients(), MaxPreAuthConns: maxLogins,
		ErrorLog: cfg.Log, Takeover: p.serve, Cancel: p.cancel,
	}
	if cfg.Console != nil {
		p.front.Handler = cfg.Console
		p.front.Stays = func(s *pgserver.Session) bool { return cfg.IsConsole(s.User(), s.Database()) }
	}
	return p, nil
}

// Serve accepts clients on all of the listeners until Shutdown, which closes them, and then
// returns nil; or until accepting fails on one of them. It may be called once.
func (p *Proxy) Serve(ctx context.Context, listeners ...net.Listener) error {
	p.background(p.watch)
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		p.wg.Go(func() { failed <- p.front.Serve(l) })
	}
	var err error
	for range listeners {
		select {
		case e := <-failed:
			if !errors.Is(e, pgserver.ErrServerClosed) {
				return e
			}
		case <-ctx.Done():
			err = context.Cause(ctx)
			return err
		}
	}
	return nil
}

// background runs f, and Shutdown waits for it.
func (p *Proxy) background(f func()) { p.wg.Go(f) }

// Drain stops accepting, and returns when all clients have gone by themselves, or with ctx's
// error when that ends first. Shutdown has to follow.
func (p *Proxy) Drain(ctx context.Context) error { return p.front.Drain(ctx) }

// Shutdown stops accepting, ends the sessions of clients that are not in a transaction, lets
// the others end theirs, and returns when all are over. When ctx ends it closes those that are
// left: their queries are cancelled and their transactions rolled back.
func (p *Proxy) Shutdown(ctx context.Context) error {
	p.closing.Store(true)
	for _, s := range p.all(nil) {
		s.mu.Lock()
		idle := s.endable()
		s.mu.Unlock()
		if idle {
			s.kill(errShutdown)
		}
	}
	err := p.front.Shutdown(ctx)
	if err != nil {
		p.cancelAll(errShutdown)
		for _, s := range p.all(nil) {
			s.kill(errShutdown)
		}
		_ = p.front.Close()
	}
	p.cancelAll(errShutdown)
	p.once.Do(func() { close(p.stop) })
	p.wg.Wait()
	return err
}

// all appends the sessions.
func (p *Proxy) all(out []*session) []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	out = slices.Grow(out, len(p.sessions))
	for _, s := range p.sessions {
		out = append(out, s)
	}
	return out
}

// add gives a session a number, which its client takes for a process id: a positive int32. It
// is the one wanted, unless that is 0 or taken.
func (p *Proxy) add(s *session, wanted uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first, n := p.cfg.FirstID, p.cfg.IDs
	if n == 0 {
		n = 1 << 31
	}
	if wanted != 0 && wanted-first < n && wanted <= 0x7fffffff && p.sessions[wanted] == nil {
		s.id = wanted
		p.sessions[s.id] = s
		return
	}
	for {
		p.last = (p.last + 1) % n
		if s.id = first + p.last; s.id != 0 && p.sessions[s.id] == nil {
			break
		}
	}
	p.sessions[s.id] = s
}

func (p *Proxy) remove(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, s.id)
}

// Stats are a proxy's figures.
type Stats struct {
	Clients, Active, Waiting, Pinned, Statements int
	StatementMemory                              int64 // bytes, about
}

// Stats returns the figures of now.
func (p *Proxy) Stats() (out Stats) {
	for _, s := range p.all(nil) {
		out.Clients++
		s.mu.Lock()
		if s.server != nil {
			out.Active++
		}
		if s.busy != nil && s.waiting != nil {
			out.Waiting++
		}
		if s.busy != nil && s.pinned != "" {
			out.Pinned++
		}
		s.mu.Unlock()
	}
	out.Statements, out.StatementMemory = p.statements.len(), p.statements.memory()
	return out
}

// A Holding is how many of a pool's connections clients hold without asking for anything.
type Holding struct{ IdleInTransaction, Pinned int }

// Holdings counts them by pool.
func (p *Proxy) Holdings() map[*pool.Pool]Holding {
	out := map[*pool.Pool]Holding{}
	for _, s := range p.all(nil) {
		s.mu.Lock()
		if c := s.server; c != nil && s.busy != nil {
			h := out[c.Pool()]
			if s.pinned != "" {
				h.Pinned++
			}
			if s.resting() && c.Status != wire.TxIdle {
				h.IdleInTransaction++
			}
			out[c.Pool()] = h
		}
		s.mu.Unlock()
	}
	return out
}

// watch looks after the sessions' timeouts.
func (p *Proxy) watch() {
	every := time.Second
	for _, d := range []time.Duration{p.cfg.IdleTimeout, p.cfg.IdleInTransactionTimeout, p.cfg.QueryTimeout, p.cfg.TransactionTimeout} {
		if d > 0 {
			every = min(every, max(d/4, 10*time.Millisecond))
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var all []*session
	for {
		select {
		case <-p.stop:
			return
		case now := <-tick.C:
			all = p.all(all[:0])
			for _, s := range all {
				s.overdue(now)
				s.trim(now)
			}
			clear(all)
			p.statements.expire(now)
			p.idle.rest(p.logins.Load(), now)
		}
	}
}

// overdue does what a session's timeouts demand.
func (s *session) overdue(now time.Time) {
	over := func(limit time.Duration, since time.Time) bool { return limit > 0 && now.Sub(since) > limit }
	cfg := &s.p.cfg
	var why error
	s.mu.Lock()
	if s.shards() != nil {
		s.mu.Unlock()
		s.overdueSharded(now)
		return
	}
	resting, answered := s.resting(), s.p.time(s.answered)
	switch c := s.server; {
	case s.busy != nil && !s.begun.IsZero() && over(cfg.TransactionTimeout, s.begun):
		why = errTransactionTimeout
	case c != nil && !resting && over(cfg.QueryTimeout, s.asked):
		if !s.timedOut {
			s.timedOut = true
			if doing := s.doing.String(); cfg.SampleLength > 0 && doing != "" {
				doing = strings.ToValidUTF8(doing[:min(cfg.SampleLength, len(doing))], "")
				s.log().Warn("a query took longer than query_timeout and is cancelled", "query", doing)
			}
			c.Hold()
			s.p.background(func() { s.cancelQuery(c) })
		} else if over(cfg.QueryTimeout+cancelPatience, s.asked) {
			c.Break("a query did not end when it was cancelled")
		}
	case c != nil && resting && c.Status != wire.TxIdle && over(cfg.IdleInTransactionTimeout, answered):
		why = errIdleInTransaction
		c.Pool().Counters.IdleTimeouts.Add(1)
	case s.busy != nil && s.held != nil:
		switch {
		case over(cfg.TransactionTimeout, s.held.since):
			why = errTransactionTimeout
		case resting && over(cfg.IdleInTransactionTimeout, answered):
			why = errIdleInTransaction
		}
	case resting && (c == nil || c.Status == wire.TxIdle) && over(cfg.IdleTimeout, answered):
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
