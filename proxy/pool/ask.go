package pool

import "time"

// An Asker is told that a pool has answered.
type Asker interface {
	// Answered says that w has its answer. It is called once for each Ask, perhaps before that
	// returns and from whichever goroutine it is that gives something back. It must neither wait
	// nor call the pool.
	Answered(w *Waiter)
}

// A Waiter waits for a connection without a goroutine. The zero value is ready; one that has its
// answer can be used again.
type Waiter struct {
	p      *Pool
	asker  Asker
	got    result
	waited time.Duration
	w      waiter
}

// Ask is Get for who cannot wait: a is told when w has a connection that its owner holds, or an
// error. Who asks and who waits in Get are served in one order. now is the time.
func (p *Pool) Ask(w *Waiter, a Asker, now time.Time) {
	*w = Waiter{p: p, asker: a, w: waiter{since: now, owner: w}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.tell(&w.w, result{err: ErrClosed}, now)
		return
	}
	p.used = true
	if !p.paused && p.first == nil {
		if c := p.takeIdle(now); c != nil {
			p.lend(c)
			p.tell(&w.w, result{conn: c}, now)
			return
		}
	}
	p.enqueue(&w.w)
	p.grow(0)
	if d := p.cfg.CheckoutTimeout; d > 0 && p.expiry == nil {
		p.expiry = time.AfterFunc(d, p.expire)
	}
	p.spareLater(p.cfg.ReserveTimeout)
}

// Answer returns what the waiter was answered, and how long it has waited for that.
func (w *Waiter) Answer() (p *Pool, c *Conn, waited time.Duration, err error) {
	return w.p, w.got.conn, w.waited, w.got.err
}

// GiveUp ends the wait: the answer is err, unless there is one already. Ask must not be called for
// the waiter meanwhile.
func (w *Waiter) GiveUp(err error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.w.queued {
		w.p.dequeue(&w.w)
		w.p.tell(&w.w, result{err: err}, time.Now())
	}
}

// spareLater sees to it that the reserve is used for who has asked and waits for too long. One timer
// is enough.
func (p *Pool) spareLater(d time.Duration) {
	if p.cfg.Reserve > 0 && p.cfg.ReserveTimeout > 0 && p.spare == nil {
		p.spare = time.AfterFunc(d, p.useReserve)
	}
}

func (p *Pool) useReserve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spare = nil
	if p.closed || p.first == nil {
		return
	}
	left := p.cfg.ReserveTimeout - time.Since(p.first.since)
	if left <= 0 {
		p.grow(p.cfg.Reserve)
		left = p.cfg.ReserveTimeout // those behind
	}
	p.spareLater(left)
}

// tell answers a waiter that was dequeued. It is called with the lock held.
func (p *Pool) tell(w *waiter, r result, now time.Time) {
	if w.owner == nil {
		w.answer <- r
		return
	}
	o := w.owner
	o.got, o.waited = r, max(0, now.Sub(w.since)) // each loop has a time of its own
	p.waitTime.Add(int64(o.waited))
	p.Counters.Checkout.Observe(o.waited)
	o.asker.Answered(o)
}

// expire answers those who have asked and waited for too long. One timer is enough: who comes
// later may wait as long.
func (p *Pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expiry = nil
	if p.closed {
		return
	}
	now := time.Now()
	for w := p.first; w != nil; {
		next := w.next
		if w.owner == nil {
			w = next
			continue // it has a timer of its own
		}
		left := p.cfg.CheckoutTimeout - now.Sub(w.since)
		if left > 0 {
			p.expiry = time.AfterFunc(left, p.expire)
			return
		}
		err := timeoutError(p.backend.Name, p.cfg.CheckoutTimeout, p.stats(), p.full())
		if p.lastErr != nil && len(p.all) == 0 {
			err = connectError(p.backend.Name, p.lastErr)
		}
		p.dequeue(w)
		p.tell(w, result{err: err}, now)
		w = next
	}
}
