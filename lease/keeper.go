package lease

import (
	"context"
	"errors"
	"time"
)

// How the keeper tries again after a failure: at once, then ever more slowly.
const (
	firstRetry    = 100 * time.Millisecond
	lastRetry     = 5 * time.Second
	hopelessRetry = time.Second // how long a hopeless failure is believed
)

// keep makes items until the pool closes: as many as are waited for, and as many more as
// the demand of late tells to have ready.
func (p *Pool) keep() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := p.refill()
		timer.Reset(next)
		select {
		case <-p.ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// refill starts what makers are wanted and returns when to look again at the latest.
func (p *Pool) refill() time.Duration {
	read := p.readVersion()
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return time.Hour
	}
	version := p.newest(read)
	p.match(version)
	if wait := p.rest(now); wait == 0 {
		return time.Hour // asleep until somebody asks
	}
	if wait := p.fail.retry.Sub(now); p.fail.err != nil && wait > 0 {
		return wait
	}
	if p.fail.err != nil && errors.Is(p.fail.err, ErrHopeless) && p.queued == 0 {
		return time.Hour // the next one who asks makes us try
	}
	target := p.demand.target(now)
	p.trim(version, target, now)
	room := *p.cfg.Count - p.ready.len() - len(p.leases) - p.making - p.recycle
	n := min(p.queued+target-p.ready.len()-p.making, room, p.cfg.Parallel-p.making)
	if p.fail.err != nil {
		n = min(n, 1-p.making) // one to try
	}
	for range n {
		p.making++
		p.work.Go(p.makeOne)
	}
	return min(p.demand.lookAgain(now), p.cfg.Idle)
}

// rest drops everything when nothing was wanted for long, and returns the time until
// then. Where something is kept, so is the server. p.mu is held.
func (p *Pool) rest(now time.Time) time.Duration {
	if p.cfg.NamesOnly() || len(p.leases) > 0 || p.queued > 0 {
		return p.cfg.Idle
	}
	if left := p.cfg.Idle - now.Sub(p.last); left > 0 {
		return left
	}
	if p.asleep {
		return 0
	}
	if p.making > 0 || p.recycle > 0 {
		return time.Second // their end wakes us
	}
	p.asleep = true
	keeps := len(p.kept) > 0
	p.demand.reset()
	var items []*Item
	for p.ready.len() > 0 {
		items = append(items, p.ready.pop())
	}
	p.log.Info("idle", "dropped", len(items))
	// As a maker, so that nothing is made meanwhile.
	p.making += p.cfg.Parallel
	p.work.Go(func() {
		ctx := context.WithoutCancel(p.ctx)
		for _, it := range items {
			if err := p.src.Destroy(ctx, it); err != nil {
				p.log.Warn("remove", "name", it.Name, "err", err)
			}
		}
		if !keeps {
			if err := p.src.Close(ctx); err != nil {
				p.log.Warn("let go of the server", "err", err)
			}
		}
		p.mu.Lock()
		p.making -= p.cfg.Parallel
		p.mu.Unlock()
		p.poke()
	})
	return 0
}

// trim removes ready items that are out of date, or that were more than wanted for long.
// p.mu is held.
func (p *Pool) trim(version string, target int, now time.Time) {
	if p.cfg.NamesOnly() {
		return
	}
	surplus := 0
	if p.demand.calm(now) {
		surplus = p.ready.len() - target
	}
	for range p.ready.len() {
		it := p.ready.pop()
		switch {
		case !p.good(it, version):
			p.discard(it)
		case surplus > 0:
			surplus--
			p.discard(it)
		default:
			p.ready.push(it)
		}
	}
}

// makeOne makes one item.
func (p *Pool) makeOne() {
	began := time.Now()
	it, err := p.src.Create(p.ctx)
	took := time.Since(began)
	read := p.readVersion()

	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.poke()
	p.making--
	if err != nil {
		if p.ctx.Err() == nil {
			p.failed(err)
		}
		return
	}
	p.fail = failure{}
	p.stats.made(began, took)
	p.demand.made(took)
	if p.closing {
		p.discard(it)
		return
	}
	p.ready.push(it)
	p.match(p.newest(read))
}

// failed notes why nothing could be made. p.mu is held.
func (p *Pool) failed(err error) {
	p.stats.failures++
	p.fail.err = err
	p.fail.count++
	wait := min(firstRetry<<min(p.fail.count-1, 10), lastRetry)
	if errors.Is(err, ErrHopeless) {
		wait = hopelessRetry
		p.refuse(&RefusedError{Reason: err.Error()})
	}
	p.fail.retry = time.Now().Add(wait)
	if p.fail.count <= 3 || p.fail.count%10 == 0 {
		p.log.Warn("make", "err", err, "attempt", p.fail.count, "waiting", p.queued)
	}
}
