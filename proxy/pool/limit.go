package pool

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Limit bounds the connections of several pools together: those of all users to one server,
// or of one user to all servers. A pool that finds no room takes that of connections which are
// idle in the others; if there are none, it waits for the next one to come back. It is safe for
// concurrent use. Its lock is taken with a pool's held, never the other way round.
type Limit struct {
	name   string
	max    atomic.Int64 // 0: no limit
	hungry atomic.Int64 // pools that wait for room

	mu      sync.Mutex
	used    int
	pools   []*Pool
	waiting []hungry
}

// A hungry is a pool that waits for room since somebody in it began to wait.
type hungry struct {
	pool  *Pool
	since time.Time
}

// NewLimit makes a limit, which name tells people of. max is how many connections there may
// be; 0 is no limit.
func NewLimit(name string, max int) *Limit {
	l := &Limit{name: name}
	l.max.Store(int64(max))
	return l
}

// Max is how many connections there may be; 0 is no limit.
func (l *Limit) Max() int { return int(l.max.Load()) }

// String is the name.
func (l *Limit) String() string { return l.name }

// SetMax changes how many there may be. Connections beyond it stay until they are given back.
func (l *Limit) SetMax(max int) {
	l.max.Store(int64(max))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next()
}

// Used is how many connections there are, those that are being opened included.
func (l *Limit) Used() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used
}

func (l *Limit) add(p *Pool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pools = append(l.pools, p)
}

func (l *Limit) remove(p *Pool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pools = slices.DeleteFunc(l.pools, func(o *Pool) bool { return o == p })
	l.forget(p)
	l.next()
}

// take takes room for one connection. If there is none, the pool is noted as one that waits,
// with the time since when.
func (l *Limit) take(p *Pool, since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.max.Load(); m > 0 && int64(l.used) >= m {
		if !slices.ContainsFunc(l.waiting, func(h hungry) bool { return h.pool == p }) {
			l.waiting = append(l.waiting, hungry{p, since})
			l.hungry.Store(int64(len(l.waiting)))
		}
		return false
	}
	l.used++
	l.forget(p)
	return true
}

// give gives room back.
func (l *Limit) give() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used--
	l.next()
}

func (l *Limit) forget(p *Pool) {
	l.waiting = slices.DeleteFunc(l.waiting, func(h hungry) bool { return h.pool == p })
	l.hungry.Store(int64(len(l.waiting)))
}

// next wakes the pool that waits longest, if there is room. It takes that, or wakes the next
// one.
func (l *Limit) next() {
	if m := l.max.Load(); len(l.waiting) == 0 || m > 0 && int64(l.used) >= m {
		return
	}
	select {
	case l.waiting[0].pool.wake <- struct{}{}:
	default: // it is awake
	}
}

// pass wakes the pool that waits longest, but for p, which wanted no more.
func (l *Limit) pass(p *Pool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(p)
	l.next()
}

// Limits are those that bound the pool's connections together with other pools', each a [*Limit].
// They must not be changed.
func (p *Pool) Limits() []interface {
	Max() int
	String() string
} {
	return p.shared
}

// sated reports that nobody else has waited for room for long, so that a connection may stay
// where it is; waiting is since when somebody waits there, zero if nobody does.
func (l *Limit) sated(p *Pool, waiting time.Time) bool {
	if l.hungry.Load() == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.waiting {
		if h.pool != p && (waiting.IsZero() || h.since.Add(unfair).Before(waiting)) {
			return false
		}
	}
	return true
}

// unfair is how much longer somebody in another pool must have waited before a connection is
// closed for him that somebody in its own pool could use at once.
const unfair = 200 * time.Millisecond

// evict closes an idle connection of another pool than p, and reports whether there was one.
func (l *Limit) evict(p *Pool) bool {
	l.mu.Lock()
	others := slices.Clone(l.pools)
	l.mu.Unlock()
	for _, o := range others {
		if o != p && o.shed() {
			return true
		}
	}
	return false
}

// shed closes the connection that has been idle longest.
func (p *Pool) shed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 || p.first != nil {
		return false
	}
	p.forget(p.idle[0], "its room is needed for another pool")
	return true
}

// room takes room of all the pool's limits for a connection. If there is none, somebody is
// asked for it. It is called with the lock held.
func (p *Pool) room() bool {
	since := time.Now()
	if p.first != nil {
		since = p.first.since
	}
	for i, l := range p.limits {
		if l.take(p, since) {
			continue
		}
		for _, got := range p.limits[:i] {
			got.give()
		}
		if p.waiting == 0 { // it is only for Min
			l.pass(p)
			return false
		}
		if !p.watching {
			p.watching = true
			p.wg.Go(p.watchLimits)
		}
		select {
		case p.starved <- l:
		default: // it is being seen to
		}
		return false
	}
	return true
}

// giveRoom gives back what room has taken.
func (p *Pool) giveRoom() {
	for _, l := range p.limits {
		l.give()
	}
}

// watchLimits sees to it that those who wait get a connection when there is room for one.
func (p *Pool) watchLimits() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case l := <-p.starved:
			l.evict(p) // which wakes us, or who has waited longer
			continue
		case <-p.wake:
		}
		p.mu.Lock()
		extra := p.extra()
		p.grow(extra)
		done := p.closed || p.paused || p.dialing >= p.waiting || len(p.all)+p.dialing >= p.cfg.Size+extra
		p.mu.Unlock()
		if done {
			for _, l := range p.limits {
				l.pass(p)
			}
		}
	}
}

// extra is the reserve, if somebody has waited for it long enough.
func (p *Pool) extra() int {
	if w := p.first; w != nil && p.cfg.Reserve > 0 && p.cfg.ReserveTimeout > 0 && time.Since(w.since) >= p.cfg.ReserveTimeout {
		return p.cfg.Reserve
	}
	return 0
}

// overfull says that a connection which came back is to be closed for another pool's sake.
func (p *Pool) overfull() bool {
	var since time.Time
	if p.first != nil {
		since = p.first.since
	}
	for _, l := range p.limits {
		if !l.sated(p, since) {
			return true
		}
	}
	return false
}

// full returns what a limit is called that leaves no room, or "".
func (p *Pool) full() string {
	for _, l := range p.limits {
		l.mu.Lock()
		full := l.max.Load() > 0 && int64(l.used) >= l.max.Load()
		l.mu.Unlock()
		if full {
			return fmt.Sprintf("%s (%d)", l.name, l.max.Load())
		}
	}
	return ""
}
