package pool

import (
	"context"
	"time"
)

// A waiter is somebody who waits for a connection. The list of them is doubly linked, so that
// one who gives up leaves at once.
type waiter struct {
	answer     chan result // of one: whoever dequeues a waiter answers it
	owner      *Waiter     // told instead, with the pool's lock held
	since      time.Time
	queued     bool
	prev, next *waiter
}

type result struct {
	conn *Conn
	err  error
}

func newWaiter() *waiter {
	return &waiter{answer: make(chan result, 1), since: time.Now()}
}

func (p *Pool) enqueue(w *waiter) {
	w.queued = true
	if w.prev = p.last; w.prev == nil {
		p.first = w
	} else {
		w.prev.next = w
	}
	p.last = w
	p.waiting++
}

func (p *Pool) dequeue(w *waiter) {
	if w.prev == nil {
		p.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		p.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	p.waiting--
}

// wait waits for the answer to a waiter in the queue.
func (p *Pool) wait(ctx context.Context, w *waiter) (*Conn, error) {
	defer func() {
		d := time.Since(w.since)
		p.waitTime.Add(int64(d))
		p.Counters.Checkout.Observe(d)
	}()
	var deadline <-chan time.Time
	if d := p.cfg.CheckoutTimeout; d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		deadline = t.C
	}
	if p.cfg.Reserve > 0 && p.cfg.ReserveTimeout > 0 {
		t := time.AfterFunc(p.cfg.ReserveTimeout, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if w.queued {
				p.grow(p.cfg.Reserve)
			}
		})
		defer t.Stop()
	}
	var err error
	select {
	case r := <-w.answer:
		return r.conn, r.err
	case <-deadline:
		err = timeoutError(p.backend.Name, p.cfg.CheckoutTimeout, p.Stats(), p.full())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.mu.Lock()
	if w.queued {
		p.dequeue(w)
		if p.lastErr != nil && len(p.all) == 0 {
			err = connectError(p.backend.Name, p.lastErr)
		}
		p.mu.Unlock()
		return nil, err
	}
	p.mu.Unlock()
	// The answer was faster.
	r := <-w.answer
	return r.conn, r.err
}
