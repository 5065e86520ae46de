package balance

import (
	"context"
	"errors"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Errors of those who wait for a primary.
var (
	// ErrNoPrimary reports that no primary was found in time.
	ErrNoPrimary error = &wire.Error{
		Code: wire.CodeCannotConnectNow, Message: "no primary server is known",
		Hint: "Each server of the shard is in recovery or cannot be reached; the proxy promotes none.",
	}
	// ErrTooManyHeld reports that too many wait already.
	ErrTooManyHeld error = &wire.Error{
		Code: wire.CodeTooManyConnections, Message: "no primary server is known, and too many clients wait for one already",
	}
)

// A waiter waits for a primary.
type waiter struct {
	ready      func(target int, err error)
	prev, next *waiter
	list       *waiters
}

// waiters are those who wait, in order.
type waiters struct {
	first, last *waiter
	n           int
}

func (l *waiters) push(w *waiter) {
	w.list, w.prev = l, l.last
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
	l.n++
}

func (l *waiters) remove(w *waiter) bool {
	if w.list != l {
		return false
	}
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.list, w.prev, w.next = nil, nil, nil
	l.n--
	return true
}

// take empties the list if there is a primary now.
func (l *waiters) take(primary int) ([]*waiter, int) {
	if primary < 0 || l.n == 0 {
		return nil, primary
	}
	out := make([]*waiter, 0, l.n)
	for w := l.first; w != nil; {
		next := w.next
		w.list, w.prev, w.next = nil, nil, nil
		out = append(out, w)
		w = next
	}
	*l = waiters{}
	return out, primary
}

// Hold calls ready once, with the primary: at once if there is one, else when there is, in
// the order in which they came and on the goroutine that found it, so it must not block.
// Until then cancel takes the waiter away; it returns false if ready has been or will be
// called. The error is ErrTooManyHeld; ready is not called then.
func (g *Group) Hold(ready func(target int, err error)) (cancel func() bool, err error) {
	g.mu.Lock()
	if i := g.writable(); i >= 0 {
		g.mu.Unlock()
		ready(i, nil)
		return func() bool { return false }, nil
	}
	if g.held.n >= g.cfg.MaxHeld {
		g.mu.Unlock()
		return nil, ErrTooManyHeld
	}
	w := &waiter{ready: ready}
	g.held.push(w)
	suspected, n := g.cfg.suspected, len(g.targets)
	first := g.held.n == 1
	g.mu.Unlock()
	if first && suspected != nil { // somebody wants to know
		for i := range n {
			suspected(i)
		}
	}
	return func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.held.remove(w)
	}, nil
}

// Release calls every waiter's ready with an error, because the group is given up.
func (g *Group) Release(err error) {
	g.mu.Lock()
	all, _ := g.held.take(0)
	g.mu.Unlock()
	for _, w := range all {
		w.ready(-1, err)
	}
}

// WaitPrimary returns the primary, waiting for one as long as ctx allows. The error is
// ErrTooManyHeld, or wraps ErrNoPrimary and the context's cause.
func (g *Group) WaitPrimary(ctx context.Context) (int, error) {
	type result struct {
		target int
		err    error
	}
	got := make(chan result, 1)
	cancel, err := g.Hold(func(target int, err error) { got <- result{target, err} })
	if err != nil {
		return -1, err
	}
	select {
	case r := <-got:
		return r.target, r.err
	case <-ctx.Done():
		if !cancel() {
			r := <-got
			return r.target, r.err
		}
		return -1, errors.Join(ErrNoPrimary, context.Cause(ctx))
	}
}
