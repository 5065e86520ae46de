package pool

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/setting"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Pool keeps connections to one backend. It is safe for concurrent use. It does nothing
// until somebody wants a connection; Close ends it.
type Pool struct {
	backend *Backend
	cfg     Config
	log     *slog.Logger
	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	wg      sync.WaitGroup

	resynced, outOfSync, forced                     atomic.Int64
	cleaned, rollbacks, connects, errors, checkouts atomic.Int64
	waitTime, connectTime                           atomic.Int64 // nanoseconds
	received, sent                                  atomic.Int64 // of connections that are closed

	// Counters are counted by who uses the connections.
	Counters Counters

	mu      sync.Mutex
	closed  bool
	paused  bool
	wave    int // connections of an older one are replaced
	all     map[*Conn]struct{}
	idle    []*Conn // the last one is used first
	dialing int
	first   *waiter // of those who wait
	last    *waiter
	waiting int
	used    bool // somebody wanted a connection, so that Min holds
	drained chan struct{}
	keeper  *time.Timer
	expiry  *time.Timer // of who waits without a goroutine
	spare   *time.Timer // the same, for the reserve
	lastErr error       // of the last attempt to connect, nil after one that succeeded

	limits []*Limit
	shared []interface { // the same, for others
		Max() int
		String() string
	}
	wake     chan struct{} // there may be room for a connection
	starved  chan *Limit   // there was none
	watching bool          // somebody looks at both
}

// New makes a pool. It connects when there is a need, as far as the limits allow.
func New(b *Backend, cfg Config, log *slog.Logger, limits ...*Limit) *Pool {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Pool{backend: b, cfg: cfg.withDefaults(), log: log.With("server", b.Name, "login", b.Login.String()), all: map[*Conn]struct{}{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	if p.limits = limits; len(limits) > 0 {
		p.wake, p.starved = make(chan struct{}, 1), make(chan *Limit, 1)
	}
	for _, l := range limits {
		p.shared = append(p.shared, l)
		l.add(p)
	}
	return p
}

// Backend returns what the pool connects to.
func (p *Pool) Backend() *Backend { return p.backend }

// Active is how many connections are in use.
func (p *Pool) Active() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all) - len(p.idle)
}

// Closed reports that Close was called.
func (p *Pool) Closed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// Config returns the configuration with its defaults.
func (p *Pool) Config() Config { return p.cfg }

// Get returns a connection, which the caller holds until he calls Release. It waits behind
// those who came before for at most CheckoutTimeout, and then returns an error with code
// 53300; or ctx's cause, if that ends first.
func (p *Pool) Get(ctx context.Context) (*Conn, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	p.used = true
	if !p.paused && p.first == nil {
		if c := p.takeIdle(time.Now()); c != nil {
			p.mu.Unlock()
			p.lend(c)
			p.Counters.Checkout.Observe(0)
			return c, nil
		}
	}
	w := newWaiter()
	p.enqueue(w)
	p.grow(0)
	p.mu.Unlock()
	return p.wait(ctx, w)
}

// TryGet returns a connection if one is idle and nobody waits, else nil. now is the time.
func (p *Pool) TryGet(now time.Time) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.paused || p.first != nil {
		return nil
	}
	c := p.takeIdle(now)
	if c != nil {
		p.lend(c)
	}
	return c
}

// Lend is TryGet and AttachPrompt in one, for who wants a connection that a loop drives and that has
// just these parameters.
func (p *Pool) Lend(now time.Time, s Sink, have, reported setting.Set) *Conn {
	p.mu.Lock()
	n := len(p.idle) - 1
	if n < 0 || p.closed || p.paused || p.first != nil {
		p.mu.Unlock()
		return nil
	}
	c := p.idle[n]
	ok := c.lc != nil && !c.lc.Paused() && p.fit(c, now)
	if ok {
		c.mu.Lock()
		if ok = !c.ended && c.sink == nil && !c.Unknown && c.Have == have && c.Reported == reported; ok {
			c.sink, c.resting, p.idle = s, false, p.idle[:n]
			p.lend(c)
		}
		c.mu.Unlock()
	}
	p.mu.Unlock()
	if !ok {
		return nil
	}
	return c
}

func (p *Pool) lend(c *Conn) {
	c.refs.Store(1)
	p.checkouts.Add(1)
}

// takeIdle returns the connection that was used last and can be used on.
func (p *Pool) takeIdle(now time.Time) *Conn {
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		c.resting = false
		if p.fit(c, now) {
			return c
		}
		p.forget(c, "too old")
	}
	return nil
}

// fit says whether a connection can be used on.
func (p *Pool) fit(c *Conn, now time.Time) bool {
	return !c.Broken() && c.wave == p.wave && (c.expires.IsZero() || now.Before(c.expires))
}

// forget closes a connection that nobody holds.
func (p *Pool) forget(c *Conn, why string) {
	if _, ok := p.all[c]; !ok {
		return
	}
	delete(p.all, c)
	p.giveRoom()
	p.received.Add(c.BytesIn.Load())
	p.sent.Add(c.BytesOut.Load())
	if c.resting {
		p.idle = slices.DeleteFunc(p.idle, func(o *Conn) bool { return o == c })
		c.resting = false
	}
	if !c.Broken() {
		// A polite goodbye, as far as it can be said at once.
		_ = c.nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		if b, err := wire.Append(nil, &wire.Terminate{}); err == nil {
			_, _ = c.nc.Write(b)
		}
		c.Break(why)
	}
	p.settle()
}

// settle tells who waits for the end of all connections.
func (p *Pool) settle() {
	if p.drained != nil && len(p.all) == 0 && p.dialing == 0 {
		close(p.drained)
		p.drained = nil
	}
}

// put takes back a connection that nobody holds any more. A zero time means that nobody knows it.
func (p *Pool) put(c *Conn, now time.Time) {
	if now.IsZero() {
		now = time.Now()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !p.fit(c, now) {
		p.forget(c, "too old")
		p.grow(0)
		return
	}
	if len(p.limits) > 0 && p.overfull() {
		p.forget(c, "its room is needed for another pool")
		p.grow(0)
		return
	}
	if w := p.first; w != nil && !p.paused {
		p.dequeue(w)
		p.lend(c)
		p.tell(w, result{conn: c}, now)
		return
	}
	c.idleSince, c.resting = now, true
	p.idle = append(p.idle, c)
	p.schedule()
}

// lost notes that a connection has ended. Whoever holds it still releases it.
func (p *Pool) lost(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.resting {
		p.log.Info("an idle server connection ended", "reason", c.Why())
		p.forget(c, "")
		p.grow(0)
	}
}
