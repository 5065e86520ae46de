package proxy

import (
	"context"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/wire"
)

// busies are what sessions have while they are busy, for the next one: few are at a time, and the
// one that was used last is the next, so that it is in the processor's caches.
type busies struct {
	mu   sync.Mutex
	free []*busy
}

// maxBusies is how many are kept for the next one.
const maxBusies = 64

func (p *busies) get() *busy {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free) - 1
	if n < 0 {
		return &busy{}
	}
	b := p.free[n]
	p.free[n], p.free = nil, p.free[:n]
	return b
}

// maxKept is how many bytes for the server, requests and pending changes there may be room for in
// what is kept.
const maxKept = 4 << 10

// put takes one back that is as it was at first but for its memory.
func (p *busies) put(b *busy) {
	if cap(b.out) > maxKept || cap(b.queue.items) > maxIdleQueue || cap(b.pending) > maxIdleQueue || cap(b.delivery.parts) > maxIdleQueue {
		return
	}
	out, items, pending, parts := b.out[:0], b.queue.items[:0], b.pending[:0], b.delivery.parts[:0]
	*b = busy{} // in its place: to copy one takes twice the time
	b.out, b.queue.items, b.pending, b.delivery.parts = out, items, pending, parts
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < maxBusies {
		p.free = append(p.free, b)
	}
}

// restSize is how long what has to wait is nearly always: a query, or a series of messages.
const restSize = 512

// rests are where what has to wait does.
type rests struct{ sync.Pool }

func (r *rests) get() []byte {
	if p, ok := r.Get().(*[restSize]byte); ok {
		return p[:0]
	}
	return new([restSize]byte)[:0]
}

func (r *rests) put(b []byte) {
	if cap(b) == restSize {
		r.Put((*[restSize]byte)(b[:restSize]))
	}
}

// wakeUp makes the session busy. The lock is held.
func (s *session) wakeUp() {
	if s.busy == nil {
		s.busy = s.p.busies.get()
	}
	s.busy.express = false
}

// calm ends that if there is nothing any more that anybody needs to know. The lock is held.
func (s *session) calm() {
	if b := s.busy; b != nil && s.server == nil && !s.over && s.shards() == nil && b.calm() {
		s.busy = nil
		s.p.busies.put(b)
	}
}

func (b *busy) calm() bool {
	return !b.scanning && b.queue.len() == 0 && len(b.out) == 0 && b.waiting == nil && b.stalled == flowing && !b.writing && !b.delivering &&
		!b.unsynced && !b.skipping && b.copying == 0 && b.pass == 0 && b.serverPass == 0 && len(b.pending) == 0 && b.pinned == "" &&
		!b.behind && len(b.behindOut) == 0 && b.got == nil && b.gotErr == nil && len(b.real) == 0 && b.held == nil && b.heldPortal == nil && len(b.said) == 0 &&
		b.tape == nil && b.ears == nil
}

// shards is what serves a session on several shards, which is busy for good; nil for others.
func (s *session) shards() *scatter.Session {
	if s.own == nil {
		return nil
	}
	return s.own.sharded
}

// resting says that nothing is being asked for. The lock is held.
func (s *session) resting() bool {
	b := s.busy
	return b == nil || b.queue.len() == 0 && !b.delivering && b.waiting == nil && b.stalled == flowing
}

// endable says that the session can end now and its client loses nothing. The lock is held.
func (s *session) endable() bool {
	return s.resting() && (s.busy == nil || !s.unsynced && s.held == nil) && (s.server == nil || s.server.Status == wire.TxIdle) && (s.own == nil || !s.own.holds)
}

// clock is when what is being dealt with came, or a little later. The lock is held.
func (s *session) clock() time.Time {
	if s.now.IsZero() {
		s.now = time.Now()
	}
	return s.now
}

// wait waits for delivered. The lock is held, but not meanwhile.
func (s *session) wait() {
	if s.own == nil {
		s.own = &own{}
	}
	if s.own.delivered.L == nil {
		s.own.delivered.L = &s.mu
	}
	s.own.delivered.Wait()
}

// wakeAll wakes those who wait. The lock is held.
func (s *session) wakeAll() {
	if s.own != nil {
		s.own.delivered.Broadcast()
	}
}

// context ends with the session, or later.
func (s *session) context() context.Context {
	if s.own != nil && s.own.ctx != nil {
		return s.own.ctx
	}
	return s.p.ctx
}

// finished ends the context, if it is the session's own.
func (s *session) finished(why error) {
	if s.own != nil && s.own.end != nil {
		s.own.end(why)
	}
}

// unnamedID is what the client's unnamed statement is called; 0: it has none. The lock is held.
func (s *session) unnamedID() uint64 {
	if s.unnamed == nil {
		return 0
	}
	return s.unnamed.id
}

// dropUnnamed ends the client's unnamed statement. The lock is held.
func (s *session) dropUnnamed() {
	if s.unnamed != nil {
		s.unnamed.id = 0
	}
}

// An instant is a time in nanoseconds since the proxy was made.
type instant int64

// instant is what stands for a time.
func (p *Proxy) instant(t time.Time) instant { return instant(t.Sub(p.made)) }

// time is the time that an instant stands for.
func (p *Proxy) time(i instant) time.Time { return p.made.Add(time.Duration(i)) }
