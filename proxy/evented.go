package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// An evented session has no goroutine: a loop calls it when its client has sent something, and
// the loop of its server connection when the server has. It runs the same code as the others.
// Where they would wait it stalls: the client is not listened to until what it waits for is
// there, and what it has sent and is not dealt with is dealt with then.

// errStalled says that a message has to wait. It comes again.
var errStalled = errors.New("the session has stalled")

// A stall is what a client is not listened to for.
type stall uint8

const (
	flowing      stall = iota
	forConn            // a server connection is being got
	forRelease         // the last one is being given back
	forServer          // the server has not taken all that it was sent
	forClient          // the client has not taken all that it was sent
	forShard           // a single shard has been asked
	forGoroutine       // one has the session
)

// adopt gives the client's connection to a loop, if that can drive it. Where statements are judged
// that may take as long as whoever judges: others must not wait for it.
func (s *session) adopt(t *pgserver.Takeover) {
	if s.p.cfg.Loops == nil || s.replication() != "" || s.db.Router.Advised() ||
		s.db.Sharded != nil && (s.shardServers() == nil || s.db.Sharded.Advised()) {
		return
	}
	s.departed = true // until it begins, whoever logs it in cares for its end
	if !t.Swap(func(nc net.Conn) net.Conn {
		lc, err := s.p.cfg.Loops.Adopt(nc, s)
		if err != nil {
			return nil
		}
		s.lc = lc
		return lc
	}) {
		s.departed = false
		return
	}
	s.nc = t.Conn
	t.Detach(&s.detached, s.lc)
	s.own.end(nil)
	s.own = nil
	if s.db.Sharded != nil {
		ctx, end := context.WithCancelCause(s.p.ctx)
		s.own = &own{ctx: ctx, end: end, patient: newPatient()}
	}
}

// begin has the loop listen to the client from now on.
func (s *session) begin(received []byte) {
	s.in = bytes.Clone(received)
	if s.db.Sharded != nil {
		if err := s.beginSharded(); err != nil {
			s.mu.Lock()
			s.departed = false
			s.mu.Unlock()
			s.finish(err)
			return
		}
	}
	s.mu.Lock()
	s.departed = false
	quiet := s.busy == nil && !s.over
	s.mu.Unlock()
	if quiet && len(received) == 0 && !s.encrypted() {
		// Nearly always: the loop need not wake up for it.
		if s.lc.Resume(); s.lc.Dead() {
			s.finish(net.ErrClosed)
		}
		return
	}
	s.lc.Post(func() {
		if s.lc.Dead() {
			s.finish(net.ErrClosed)
			return
		}
		s.resume()
	})
}

// Prompt implements pool.Prompt.
func (s *session) Prompt() bool { return s.lc != nil }

// encrypted reports whether there may be bytes that the loop knows nothing of.
func (s *session) encrypted() bool {
	_, ok := s.nc.(*tls.Conn)
	return ok
}

// minSpace is how much room there is for what is read.
const minSpace = 16 << 10

// Readable implements loop.Handler.
func (s *session) Readable(lc *loop.Conn, buf []byte) {
	if s.nc == net.Conn(lc) && len(s.in) == 0 && s.hurry(lc, buf) {
		return
	}
	for {
		s.mu.Lock()
		stalled := s.over || s.busy != nil && s.stalled != flowing
		away := stalled && s.own != nil && s.own.away
		if stalled && !away {
			lc.Pause() // with the lock held: whoever ends the stall resumes after that
		}
		s.mu.Unlock()
		switch {
		case away:
			s.overhear(buf)
			return
		case stalled:
			return
		}
		b, had, own := buf, copy(buf, s.in), false
		if len(s.in)+minSpace > len(buf) {
			// A message that is wanted whole: no more is believed than has come.
			s.in = slices.Grow(s.in, max(len(s.in), len(buf)))
			b, had, own = s.in[:cap(s.in)], len(s.in), true
		}
		n, err := s.nc.Read(b[had:])
		if n > 0 {
			s.stats.received.Add(int64(n))
			if had > 0 || !s.encrypted() || !s.rush(b[:n]) {
				s.advance(b[:had+n], own)
			}
		}
		switch {
		case err == nil && s.encrypted():
		case err == nil: // the loop says when there is more
			return
		case errors.Is(err, loop.ErrAgain):
			return
		default:
			s.finish(err)
			return
		}
	}
}

// advance deals with what the client has sent; own says that b is s.in, and longer.
func (s *session) advance(b []byte, own bool) {
	deal := s.clientBytes
	if s.directly() != nil {
		deal = s.shardedBytes
	}
	n, err := deal(b, s.lc.Now())
	switch {
	case n == len(b):
		s.p.rests.put(s.in)
		s.in = nil // an idle client costs little
	case n == 0 && own:
		s.in = b
	default:
		if rest := len(b) - n; s.in == nil && rest <= restSize {
			s.in = s.p.rests.get()
		}
		s.in = append(s.in[:0], b[n:]...)
	}
	if err != nil && !errors.Is(err, errStalled) {
		s.finish(err)
	}
}

// resume goes on after a stall. The client's loop calls it.
func (s *session) resume() {
	s.mu.Lock()
	if s.busy != nil {
		s.stalled = flowing
	}
	over := s.over || s.departed // whoever ends it has it
	err := s.takeHeard()
	last := err != nil && !over && len(s.in) > 0
	if last { // what came before the client's end is dealt with first
		s.handOver(s.in)
		s.in = nil
	}
	s.mu.Unlock()
	switch {
	case over || last:
		return
	case err != nil:
		s.finish(err)
		return
	}
	if len(s.in) > 0 {
		s.advance(s.in, true)
	}
	s.mu.Lock()
	stalled := s.busy != nil && s.stalled != flowing
	if !stalled {
		s.retire()
		s.calm()
	}
	sharded := s.shards() != nil
	s.mu.Unlock()
	if sharded && !stalled && len(s.in) == 0 && s.p.closing.Load() {
		s.finish(errShutdown)
		return
	}
	if !stalled {
		s.lc.Resume()
		if s.encrypted() {
			s.lc.Again() // TLS may have read more than it has given
		}
	}
}

// Drained implements loop.Handler: the client has taken everything.
func (s *session) Drained(*loop.Conn) {
	s.mu.Lock()
	waiting := s.busy != nil && s.stalled == forClient
	if s.own != nil && s.own.away {
		s.own.patient.writable.ring()
	}
	if s.busy != nil && s.behind {
		s.behind = false
		if o := s.directly(); o != nil && o.conn != nil {
			o.conn.c.Resume()
		}
		if c := s.server; c != nil && c.Evented() && (!s.withheld || !s.barrier(c)) {
			s.settle(c, nil)
			if s.server == c {
				c.Resume()
			}
		}
		s.wakeAll()
	}
	s.mu.Unlock()
	if waiting {
		s.resume()
	}
}

// Taken implements pool.Prompt: the server has taken everything.
func (s *session) Taken(c *pool.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != c || s.stalled != forServer {
		return
	}
	s.writing = false
	s.written() // the server may have answered without having read everything
	s.lc.Post(s.resume)
}

// Closed implements loop.Handler.
func (s *session) Closed(*loop.Conn) {
	s.mu.Lock()
	away := s.own != nil && s.own.away
	if away {
		// Whoever has the session finds out, and ends it.
		s.own.patient.err = net.ErrClosed
		s.own.patient.readable.ring()
		s.own.patient.writable.ring()
	}
	s.mu.Unlock()
	if !away {
		s.finish(net.ErrClosed)
	}
}

// finish ends the session.
func (s *session) finish(err error) {
	s.mu.Lock()
	departed := s.departed
	s.departed = true
	idle := s.busy == nil && !s.over
	s.mu.Unlock()
	if departed {
		return
	}
	s.lc.Pause()
	if idle && !s.p.cfg.LogDisconnections && (errors.Is(err, io.EOF) || errors.Is(err, errGoodbye)) {
		_ = s.depart(err) // nothing of it takes time
		return
	}
	s.p.background(func() {
		if err := s.depart(err); err != nil {
			s.p.log.Info("connection ended", "remote", s.nc.RemoteAddr(), "error", err)
		}
	})
}

// slow reports, after something was sent to the client, whether it has to take that before the
// server may go on. The lock is held.
func (s *session) slow(c *pool.Conn) bool {
	if s.lc == nil || s.lc.Pending() == 0 || s.over {
		return false
	}
	s.behind = true
	if c.Evented() {
		c.Pause()
		return true
	}
	for s.behind && !s.over {
		s.wait()
	}
	s.behind = false
	return false
}

// flushEvented is flush for an evented session: what the server does not take at once stalls
// the client.
func (s *session) flushEvented(c *pool.Conn, out []byte) {
	if c.Evented() {
		_, _ = c.Write(out)
		if c.Pending() > 0 {
			s.stalled, s.writing = forServer, true
		}
		return
	}
	if s.stalled = forServer; s.writing {
		s.behindOut = append(s.behindOut, out...)
		return
	}
	s.writing = true
	b := bytes.Clone(out)
	s.p.background(func() {
		for len(b) > 0 {
			_, _ = c.Write(b)
			s.mu.Lock()
			b, s.behindOut = s.behindOut, nil
			if len(b) == 0 {
				s.writing = false
				s.written()
				s.lc.Post(s.resume)
			}
			s.mu.Unlock()
		}
	})
}

// attachEvented is the part of attach that may take time.
func (s *session) attachEvented(role route.Role) error {
	for {
		c, err := s.got, s.gotErr
		s.got, s.gotErr = nil, nil
		if err != nil {
			return err
		}
		if c != nil && s.gotRole != role {
			s.giveUp(c)
			c = nil
		}
		var p *pool.Pool
		if c == nil && s.held == nil {
			p, c = s.quick(role)
		}
		if c == nil {
			return s.order(role, p)
		}
		if c.Evented() && c.AttachPrompt(s) || !c.Evented() && c.Attach(s) {
			s.server = c
			s.stats.transactions.Add(1)
			s.begunOn()
			return nil
		}
		s.giveUp(c)
	}
}

// order asks for a connection of a pool; nil: which one takes time to tell. The session stalls until
// there is one.
func (s *session) order(role route.Role, p *pool.Pool) error {
	if s.stalled = forConn; s.waiting != nil {
		return errStalled // whoever resumed the session did not know
	}
	s.waitFrom, s.gotRole = s.clock(), role
	if p != nil {
		s.waiting = &s.waiter
		p.Ask(&s.waiter, s, s.waitFrom)
		s.noticeLater()
		return errStalled
	}
	s.fetch(nil, role, nil, nil)
	return errStalled
}

// noticeLater tells the client that it waits, if it does so for WaitNotify. The lock is held.
func (s *session) noticeLater() {
	if s.p.cfg.WaitNotify <= 0 {
		return
	}
	from := s.waitFrom
	time.AfterFunc(s.p.cfg.WaitNotify, func() {
		s.lc.Post(func() {
			s.mu.Lock()
			waits := s.busy != nil && s.waiting != nil && s.waitFrom.Equal(from) && !s.over
			s.mu.Unlock()
			if b, err := waitNotice(s.client.Database); waits && err == nil {
				_ = s.toClient(b) // only the loop ends this wait
			}
		})
	})
}

// Answered implements pool.Asker.
func (s *session) Answered(*pool.Waiter) { s.lc.PostTask((*grant)(s)) }

// A grant is a session whose pool has answered.
type grant session

// Do implements loop.Task.
func (g *grant) Do() { (*session)(g).granted() }

// granted takes what a pool has answered.
func (s *session) granted() {
	s.mu.Lock()
	role := s.gotRole
	p, c, _, err := s.waiter.Answer()
	s.waiting = nil
	switch {
	case s.over || err != nil && (errors.Is(err, errCancelled) || errors.Is(err, errGoodbye)):
		s.hand(role, c, err)
	case err != nil:
		s.fetch(p, role, nil, err)
		s.mu.Unlock()
		return
	case !s.fits(c):
		s.fetch(p, role, c, nil)
		s.mu.Unlock()
		return
	default:
		s.hand(role, c, nil)
	}
	over := s.over
	s.mu.Unlock()
	if !over {
		s.resume()
	}
}

// hand keeps what was asked for until attach takes it. The lock is held.
func (s *session) hand(role route.Role, c *pool.Conn, err error) {
	s.stats.wait.Add(int64(time.Since(s.waitFrom)))
	if s.over {
		if c != nil {
			s.giveUp(c)
		}
		return
	}
	if err != nil {
		err = s.unserved(err)
	}
	s.got, s.gotRole, s.gotErr = c, role, err
}

// fetch gets a connection where that may take time, or has the server make one that there is as
// the client wants it. err is what became of the first attempt at the pool p. The lock is held.
func (s *session) fetch(p *pool.Pool, role route.Role, c *pool.Conn, err error) {
	ctx, cancel := context.WithCancelCause(s.context())
	s.waiting = cancelling(cancel)
	s.p.background(func() {
		if c == nil {
			notified := s.notifying()
			c, err = s.checkoutAfter(ctx, role, p, err)
			notified()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			if err = s.adapt(c, false); err != nil {
				c = nil
			}
		}
		s.waiting = nil
		cancel(nil)
		s.hand(role, c, err)
		s.lc.Post(s.resume)
	})
}

// restartLater is restart where nobody can wait for it.
func (s *session) restartLater(c *pool.Conn) error {
	s.stalled = forConn
	s.p.background(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.restart(c); err != nil {
			s.lc.Post(func() { s.finish(err) })
			return
		}
		s.lc.Post(s.resume)
	})
	return errStalled
}

// depart ends what is left of a session whose client goes.
func (s *session) depart(err error) error {
	if s.id != 0 {
		s.p.remove(s)
	}
	s.p.dismiss(s)
	if e, ok := errors.AsType[*wire.Error](err); ok && !s.isOver() {
		s.goodbye(e)
	}
	s.leave()
	if s.p.cfg.LogDisconnections {
		s.log().Info("client disconnected", "queries", s.stats.queries.Load(), "transactions", s.stats.transactions.Load(), "after", time.Since(s.p.time(s.since)), "reason", err)
	}
	s.detached.Done()
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, errGoodbye) {
		return nil
	}
	return err
}
