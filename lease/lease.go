package lease

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Request waits for an item. It is safe for concurrent use.
type Request struct {
	pool    *Pool
	holder  Holder
	since   time.Time
	witness witness // or nil

	// guarded by the pool's mutex
	settled bool
	timer   *time.Timer
	done    chan struct{} // nil until somebody wants to know

	lease *Lease // both are set when it is settled, and not changed afterwards
	err   error
}

// A witness learns what becomes of a request before anybody else does, and before the pool
// makes its notes. It is called once, with the pool's mutex held, perhaps before the request
// has returned. It must neither block nor call the pool.
type witness interface {
	granted(name string)
	refused(err error)
}

// Done is closed when the request has been granted or refused.
func (r *Request) Done() <-chan struct{} {
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	if r.done == nil {
		r.done = make(chan struct{})
		if r.settled {
			close(r.done)
		}
	}
	return r.done
}

// Lease returns what the request came to, after Done. The error is a *RefusedError.
func (r *Request) Lease() (*Lease, error) { return r.lease, r.err }

// grant settles a request with a lease, whose witness knows of it. The pool's mutex is held.
func (r *Request) grant(l *Lease) {
	r.lease = l
	r.settle()
}

// refuse settles a request without a lease. The pool's mutex is held.
func (r *Request) refuse(err error) {
	r.err = err
	if r.witness != nil {
		r.witness.refused(err)
	}
	r.settle()
}

func (r *Request) settle() {
	r.settled = true
	if r.timer != nil {
		r.timer.Stop()
	}
	if r.done != nil {
		close(r.done)
	}
}

// Cancel stops waiting. A lease that was granted before ends.
func (r *Request) Cancel() {
	if r.giveUp(errCancelled) {
		return
	}
	if r.lease != nil {
		r.lease.Release()
	}
}

var errCancelled = errors.New("cancelled")

// giveUp settles a request that still waits.
func (r *Request) giveUp(err error) bool {
	p := r.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.settled {
		return false
	}
	r.refuse(err)
	p.queued--
	p.stats.gaveUp++
	return true
}

// expire refuses a request that has waited for so long.
func (r *Request) expire(after time.Duration) {
	reason := fmt.Sprintf("none was free within %v", after)
	r.pool.mu.Lock()
	if err := r.pool.fail.err; err != nil {
		reason += ": " + err.Error()
	}
	r.pool.mu.Unlock()
	r.giveUp(&RefusedError{Reason: reason})
}

// A Lease is an item that is lent. It is safe for concurrent use; whoever got it must
// Release it.
type Lease struct {
	// ID names the lease for a status and for Kick.
	ID string
	// Item is what is lent.
	Item *Item

	pool  *Pool
	since time.Time

	// guarded by the pool's mutex
	holder  Holder
	ended   bool
	clean   bool
	keep    bool
	keepWhy string
	expiry  time.Time
	ttl     *time.Timer
	busy    chan struct{} // closed when a Reset under way is done
}

// Release ends the lease. Further calls do nothing.
func (l *Lease) Release() { l.finish(false) }

// finish ends the lease once and reports whether this call did.
func (l *Lease) finish(forced bool) bool {
	p := l.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.ended {
		return false
	}
	l.ended = true
	if l.ttl != nil {
		l.ttl.Stop()
	}
	if busy := l.busy; busy != nil { // the source must not be called twice for one item
		p.work.Go(func() {
			<-busy
			p.mu.Lock()
			defer p.mu.Unlock()
			l.leave(Use{Ended: forced})
		})
		return true
	}
	l.leave(Use{Clean: l.clean, Ended: forced})
	return true
}

// leave hands the item back. The pool's mutex is held.
func (l *Lease) leave(use Use) {
	delete(l.pool.leases, l.ID)
	l.pool.giveBack(l, use)
	l.pool.checkEnded()
}

// end ends the lease by force.
func (l *Lease) end(why string) bool {
	if !l.finish(true) {
		return false
	}
	l.pool.log.Info("lease ended", "id", l.ID, "name", l.Item.Name, "why", why)
	if l.holder.End != nil {
		l.holder.End(why)
	}
	return true
}

// SetTTL ends the lease by force in d from now; 0 is never.
func (l *Lease) SetTTL(d time.Duration) {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.setTTL(d)
}

// setTTL is SetTTL with the pool's mutex held.
func (l *Lease) setTTL(d time.Duration) {
	if l.ttl != nil {
		l.ttl.Stop()
	}
	l.ttl, l.expiry = nil, time.Time{}
	if d > 0 && !l.ended {
		l.expiry = time.Now().Add(d)
		l.ttl = time.AfterFunc(d, func() { l.end(fmt.Sprintf("its time of %v is over", d)) })
	}
}

// SetLabel changes what a status shows beside the holder.
func (l *Lease) SetLabel(label string) {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.holder.Label = label
}

// Clean is the holder's word that it has changed nothing.
func (l *Lease) Clean() {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.clean = true
}

// Keep makes the item stay as it is after the lease, for somebody to look at.
func (l *Lease) Keep(reason string) {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.keep, l.keepWhy = true, reason
}

// Reset makes the item as new now, ending every session in it.
func (l *Lease) Reset(ctx context.Context) error {
	src, ok := l.pool.src.(Resetter)
	if !ok {
		return errors.New("this pool lends names only: there is nothing it could reset")
	}
	p := l.pool
	p.mu.Lock()
	if l.ended || l.busy != nil {
		p.mu.Unlock()
		return errors.New("the lease has ended or is being reset")
	}
	busy := make(chan struct{})
	l.busy, l.clean = busy, false
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		l.busy = nil
		p.mu.Unlock()
		close(busy)
	}()
	return src.Reset(ctx, l.Item)
}
