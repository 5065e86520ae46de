package pool

import (
	"context"
	"time"
)

// Pause lets nobody have a connection until Resume, and returns once all are idle or ctx ends,
// when it stays paused all the same.
func (p *Pool) Pause(ctx context.Context) error {
	p.mu.Lock()
	p.paused = true
	p.mu.Unlock()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		p.mu.Lock()
		busy := len(p.all) - len(p.idle)
		p.mu.Unlock()
		if busy == 0 {
			tick.Stop()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return context.Cause(ctx)
		}
	}
}

// Hold is Pause without a wait for those who use connections.
func (p *Pool) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = true
}

// Resume ends Pause and Hold.
func (p *Pool) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = false
	for w, now := p.first, time.Now(); w != nil; w = p.first {
		c := p.takeIdle(now)
		if c == nil {
			break
		}
		p.dequeue(w)
		p.lend(c)
		p.tell(w, result{conn: c}, now)
	}
	p.grow(0)
}

// Reconnect replaces all connections: idle ones now, the others when they come back.
func (p *Pool) Reconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wave++
	for len(p.idle) > 0 {
		p.forget(p.idle[len(p.idle)-1], errReplaced.Error())
	}
	p.grow(0)
}

// Close refuses whoever wants a connection from now on, and those who wait. It returns when
// all connections have come back and are closed; when ctx ends, it breaks those that have not.
func (p *Pool) Close(ctx context.Context) {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		if p.keeper != nil {
			p.keeper.Stop()
		}
		if p.expiry != nil {
			p.expiry.Stop()
		}
		if p.spare != nil {
			p.spare.Stop()
		}
		for w := p.first; w != nil; w = p.first {
			p.dequeue(w)
			p.tell(w, result{err: ErrClosed}, time.Now())
		}
		for len(p.idle) > 0 {
			p.forget(p.idle[len(p.idle)-1], "the pool is closed")
		}
	}
	var done chan struct{}
	if len(p.all)+p.dialing > 0 {
		if p.drained == nil {
			p.drained = make(chan struct{})
		}
		done = p.drained
	}
	p.mu.Unlock()
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	p.stop()
	p.mu.Lock()
	for c := range p.all {
		c.Break("the pool is closed")
	}
	p.mu.Unlock()
	p.wg.Wait()
	for _, l := range p.limits {
		l.remove(p)
	}
}
