package proxy

import (
	"context"
	"crypto/subtle"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// cancelPatience is how long a query may go on after it has been cancelled because it took too
// long; cancelTimeout is how long a cancel request may take.
const (
	cancelPatience = 5 * time.Second
	cancelTimeout  = 10 * time.Second
)

// cancel does what a cancel request asks for. Whoever asks learns nothing of whether the key
// was right.
func (p *Proxy) cancel(_ context.Context, pid uint32, key []byte) {
	if !p.Cancel(pid, key) && p.cfg.CancelElsewhere != nil {
		p.cfg.CancelElsewhere(pid, key)
	}
}

// Cancel cancels what the client of that number and key has asked for, and reports whether
// there is such a client here.
func (p *Proxy) Cancel(pid uint32, key []byte) bool {
	p.mu.Lock()
	s := p.sessions[pid]
	p.mu.Unlock()
	if s == nil || subtle.ConstantTimeCompare(s.key(), key) != 1 {
		return false
	}
	s.cancelled()
	return true
}

// cancelled does what a client's cancel request asks for.
func (s *session) cancelled() {
	s.mu.Lock()
	if s.busy == nil {
		s.mu.Unlock()
		return
	}
	if s.shards() != nil {
		asking := s.delivering
		s.mu.Unlock()
		if asking {
			s.cancelSharded()
		}
		return
	}
	c := s.server
	if c == nil || s.queue.len() == 0 {
		if s.waiting != nil {
			s.waiting.GiveUp(errCancelled)
		}
		s.mu.Unlock()
		return
	}
	c.Hold() // until the signal has been sent, the connection stays this client's
	s.mu.Unlock()
	s.cancelQuery(c)
}

// cancelQuery cancels what runs on a connection that the caller holds.
func (s *session) cancelQuery(c *pool.Conn) {
	defer c.Release()
	ctx, done := context.WithTimeout(context.Background(), cancelTimeout)
	defer done()
	if err := c.Cancel(ctx); err != nil {
		s.log().Warn("cancel a query", "error", err)
	}
}
