package proxy

import (
	"context"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A server tells a client that listens, before it is ready for the next query, what others have sent
// who know already that they have (ProcessNotifyInterrupt in async.c). Where one connection listens
// for all, that one is asked whether there is anything before the client is told ReadyForQuery. Who
// does not listen does not wait.

// barrierTimeout is how long that may take. After that what comes is late.
const barrierTimeout = time.Second

// hears says that the client listens, and nothing else is under way.
func (s *session) hears(c *pool.Conn) bool {
	if s.ears == nil || c.Status != wire.TxIdle || s.queue.len() > 0 {
		return false
	}
	for _, on := range s.ears.channels {
		if on {
			return true
		}
	}
	return false
}

// barrier tells the client what has been sent to it, and then that the server is ready. It returns
// whether that takes place later. The lock is held, but not while it waits.
func (s *session) barrier(c *pool.Conn) (later bool) {
	flush := func() {
		if e := s.ears; e != nil {
			s.mu.Unlock()
			ctx, cancel := context.WithTimeout(s.context(), barrierTimeout)
			_ = e.hub.Barrier(ctx) // what has not come will be late
			cancel()
			s.mu.Lock()
		}
		s.withheld = false
		var out []byte
		if s.ears != nil {
			s.ears.collect()
			out = s.ears.news()
		}
		out = append(out, byte(wire.TypeReadyForQuery), 0, 0, 0, 5, byte(wire.TxIdle))
		if s.server != c || s.over {
			return
		}
		if s.lc == nil {
			s.mu.Unlock()
			defer s.mu.Lock()
		}
		if s.toClient(out) != nil {
			_ = s.nc.Close() // the client's side finds out and cleans up
		}
	}
	if s.lc == nil || !c.Evented() {
		flush()
		return false
	}
	c.Pause()
	s.p.background(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		flush()
		s.now = time.Time{}
		if s.server != c {
			s.delivering = false
			s.wakeAll()
			return
		}
		s.settle(c, nil)
		if s.server == c {
			c.Resume()
		}
	})
	return true
}
