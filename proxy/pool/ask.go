package pool

import "time"

// A Waiter waits for a connection without a goroutine.
type Waiter struct {
	p *Pool
	w waiter
}

// Ask is Get for who cannot wait: answer is called once, with a connection that he holds or an
// error, perhaps before Ask returns and from whichever goroutine it is that gives something
// back. It must neither wait nor call the pool. Who asks and who waits in Get are served in one
// order.
func (p *Pool) Ask(answer func(*Conn, error)) *Waiter {
	w := &Waiter{p: p, w: waiter{since: time.Now(), call: answer}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		answer(nil, ErrClosed)
		return w
	}
	p.used = true
	if !p.paused && p.first == nil {
		if c := p.takeIdle(); c != nil {
			p.lend(c)
			p.Counters.Checkout.Observe(0)
			answer(c, nil)
			return w
		}
	}
	p.enqueue(&w.w)
	p.grow(0)
	if d := p.cfg.CheckoutTimeout; d > 0 && p.expiry == nil {
		p.expiry = time.AfterFunc(d, p.expire)
	}
	if p.cfg.Reserve > 0 && p.cfg.ReserveTimeout > 0 {
		time.AfterFunc(p.cfg.ReserveTimeout, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if w.w.queued {
				p.grow(p.cfg.Reserve)
			}
		})
	}
	return w
}

// GiveUp ends the wait: answer gets err, unless it has got something already.
func (w *Waiter) GiveUp(err error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.w.queued {
		w.p.dequeue(&w.w)
		w.p.tell(&w.w, result{err: err})
	}
}

// tell answers a waiter that was dequeued. It is called with the lock held.
func (p *Pool) tell(w *waiter, r result) {
	if w.call == nil {
		w.answer <- r
		return
	}
	d := time.Since(w.since)
	p.waitTime.Add(int64(d))
	p.Counters.Checkout.Observe(d)
	w.call(r.conn, r.err)
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
		if w.call == nil {
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
		p.tell(w, result{err: err})
		w = next
	}
}
