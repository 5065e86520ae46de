package lease

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// A Pool lends a source's items, each to one holder at a time, in the order in which they
// were asked for. It is safe for concurrent use. Who has started it must Close it.
//
// An item is in one place at any time: ready, lent, being made, being recycled, or kept.
// Making and recycling happen in the background; a grant does no I/O.
type Pool struct {
	cfg PoolConfig
	src Source
	log *slog.Logger

	checker Checker // src, or nil

	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{}  // something changed for the keeper
	work   sync.WaitGroup // the keeper, makers and recyclers
	slots  chan struct{}  // bounds recyclers
	ended  chan struct{}  // closed when closing and nothing is lent

	mu      sync.Mutex
	ready   fifo[*Item]
	waiting fifo[*Request] // cancelled ones are passed over
	queued  int            // those that are not cancelled
	leases  map[string]*Lease
	making  int
	recycle int
	kept    []*Item
	closing bool
	asleep  bool
	last    time.Time // when somebody last wanted something
	fail    failure
	demand  demand
	stats   counters

	readings readings
}

// A failure is why the last attempt to make an item failed.
type failure struct {
	err   error
	count int
	retry time.Time
}

// NewPool returns a pool of what src makes. logger may be nil.
func NewPool(cfg PoolConfig, src Source, logger *slog.Logger) *Pool {
	cfg = cfg.WithDefaults()
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Pool{
		cfg: cfg, src: src, log: logger.With("pool", cfg.Name), ctx: ctx, cancel: cancel,
		wake: make(chan struct{}, 1), slots: make(chan struct{}, cfg.Parallel), ended: make(chan struct{}),
		leases: map[string]*Lease{}, demand: newDemand(cfg),
	}
	p.checker, _ = src.(Checker)
	if n, ok := src.(Notifier); ok {
		n.Notify(p.poke)
	}
	return p
}

// Config returns the pool's configuration, defaults filled in.
func (p *Pool) Config() PoolConfig { return p.cfg }

// Start begins to make items ahead of demand. Before it, requests wait.
func (p *Pool) Start() {
	p.mu.Lock()
	p.last = time.Now()
	p.mu.Unlock()
	p.work.Go(p.keep)
}

// A Holder is who asks for an item, for a status.
type Holder struct {
	PID     int    `json:"pid,omitempty"`
	Command string `json:"command,omitempty"`
	Label   string `json:"label,omitempty"`
	// End, if not nil, is called when the lease ends by force: TTL, Kick, Close. why says
	// it to a person. It must not block.
	End func(why string) `json:"-"`
}

// Request asks for an item without waiting for it: requests are served in the order of
// these calls. The caller waits for Done and then calls Lease, or calls Cancel.
func (p *Pool) Request(h Holder) *Request {
	r := &Request{holder: h}
	p.ask(r)
	return r
}

// ask is Request with one whose holder is filled in, and perhaps its witness.
func (p *Pool) ask(r *Request) {
	read := p.readVersion()
	r.pool, r.since = p, time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.asleep = r.since, false
	switch {
	case p.closing:
		r.refuse(&RefusedError{Reason: "the lease server is ending"})
		return
	case *p.cfg.Count == 0:
		// As in pgmanager: such a pool makes everybody wait.
	case p.fail.err != nil && errors.Is(p.fail.err, ErrHopeless) && time.Now().Before(p.fail.retry):
		r.refuse(&RefusedError{Reason: p.fail.err.Error()})
		return
	}
	p.waiting.push(r)
	p.queued++
	p.demand.asked(p.ready.len() > 0)
	p.match(p.newest(read))
	if !r.settled && p.cfg.Wait > 0 {
		r.timer = time.AfterFunc(p.cfg.Wait, func() { r.expire(p.cfg.Wait) })
	}
	// Names are made once: waking the keeper for nothing would cost the client more than
	// its grant, on a machine with few processors.
	if !p.cfg.NamesOnly() || p.ready.len()+len(p.leases) < *p.cfg.Count {
		p.poke()
	}
}

// Acquire asks for an item and waits until it is granted, or ctx ends.
func (p *Pool) Acquire(ctx context.Context, h Holder) (*Lease, error) {
	r := p.Request(h)
	select {
	case <-r.Done():
	case <-ctx.Done():
		r.Cancel()
		return nil, context.Cause(ctx)
	}
	return r.Lease()
}

// match grants ready items to those who wait. p.mu is held.
func (p *Pool) match(version string) {
	for p.queued > 0 && p.ready.len() > 0 {
		it := p.ready.pop()
		if !p.good(it, version) {
			p.discard(it)
			continue
		}
		r := p.waiting.pop()
		for r.settled {
			r = p.waiting.pop()
		}
		p.queued--
		now := time.Now()
		if r.witness != nil {
			r.witness.granted(it.Name)
		}
		l := &Lease{ID: newID(), Item: it, pool: p, holder: r.holder, since: now}
		p.leases[l.ID] = l
		p.stats.granted(now.Sub(r.since), len(p.leases))
		p.demand.granted(now)
		if p.cfg.TTL > 0 {
			l.setTTL(p.cfg.TTL)
		}
		r.grant(l)
	}
}

// good reports whether a ready item may be lent.
func (p *Pool) good(it *Item, version string) bool {
	return it.Version == version && (p.checker == nil || p.checker.Alive(it))
}

// discard removes a ready item in the background. p.mu is held.
func (p *Pool) discard(it *Item) {
	p.recycle++
	p.work.Go(func() {
		p.slots <- struct{}{}
		defer func() { <-p.slots }()
		err := p.src.Destroy(context.WithoutCancel(p.ctx), it)
		if err != nil {
			p.log.Warn("remove", "name", it.Name, "err", err)
		}
		p.mu.Lock()
		p.recycle--
		p.mu.Unlock()
		p.poke()
	})
}

// giveBack takes an item from a lease that has ended. p.mu is held, the lease is gone
// from p.leases.
func (p *Pool) giveBack(l *Lease, use Use) {
	p.last = time.Now()
	if l.keep {
		p.kept = append(p.kept, l.Item)
		p.log.Info("kept", "name", l.Item.Name, "reason", l.keepWhy, "url", l.Item.URL)
		p.stats.kept++
		if k, ok := p.src.(Keeper); ok {
			p.work.Go(func() {
				if err := k.Keep(context.WithoutCancel(p.ctx), l.Item, l.keepWhy); err != nil {
					p.log.Warn("mark as kept", "name", l.Item.Name, "err", err)
				}
			})
		}
		p.poke()
		return
	}
	if n, ok := p.src.(*Names); ok && n != nil {
		p.ready.push(l.Item) // at the end of the queue, without a goroutine
		p.match("")
		return
	}
	p.recycle++
	p.work.Go(func() { p.recycleItem(l.Item, use) })
}

func (p *Pool) recycleItem(it *Item, use Use) {
	p.slots <- struct{}{}
	began := time.Now()
	again, err := p.src.Recycle(context.WithoutCancel(p.ctx), it, use)
	<-p.slots
	if err != nil {
		p.log.Warn("clean", "name", it.Name, "err", err)
	}
	read := p.readVersion()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recycle--
	p.stats.recycled(again != nil, time.Since(began))
	switch {
	case again != nil && p.closing:
		p.discard(again)
	case again != nil:
		p.ready.push(again)
		p.match(p.newest(read))
	}
	p.poke()
}

// Close refuses those who wait, ends what leases there are, removes what is ready, waits
// for all of it, and closes the source.
func (p *Pool) Close(ctx context.Context) error {
	p.stop("the lease server is ending")
	p.mu.Lock()
	leases := p.list()
	p.mu.Unlock()
	for _, l := range leases {
		l.end("the lease server is ending")
	}
	p.cancel()
	p.work.Wait()
	return p.src.Close(ctx)
}

// Drain refuses those who wait and lends nothing more. It returns when the last lease has
// ended, or with ctx.
func (p *Pool) Drain(ctx context.Context) error {
	p.stop("the lease server is ending")
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *Pool) stop(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return
	}
	p.closing = true
	p.refuse(&RefusedError{Reason: why})
	for p.ready.len() > 0 {
		p.discard(p.ready.pop())
	}
	p.checkEnded()
	p.poke()
}

// checkEnded tells Drain. p.mu is held.
func (p *Pool) checkEnded() {
	if p.closing && len(p.leases) == 0 {
		select {
		case <-p.ended:
		default:
			close(p.ended)
		}
	}
}

// refuse tells everybody who waits that there will be nothing. p.mu is held.
func (p *Pool) refuse(err error) {
	for p.waiting.len() > 0 {
		if r := p.waiting.pop(); !r.settled {
			r.refuse(err)
		}
	}
	p.queued = 0
}

// Kick ends a lease by force and reports whether there was one of that id.
func (p *Pool) Kick(id, why string) bool {
	p.mu.Lock()
	l := p.leases[id]
	p.mu.Unlock()
	return l != nil && l.end(why)
}

// list returns the leases. p.mu is held.
func (p *Pool) list() []*Lease {
	out := make([]*Lease, 0, len(p.leases))
	for _, l := range p.leases {
		out = append(out, l)
	}
	return out
}

func (p *Pool) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func newID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
