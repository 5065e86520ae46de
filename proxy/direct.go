package proxy

import (
	"bytes"
	"errors"
	"net"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A session on several shards whose connection a loop has needs no goroutine for what one shard
// answers by itself outside of a transaction, which is most of what is asked: the loop sends it
// there and passes the answer on. For all else a goroutine is begun, which has the session until
// nothing is left that the loop could not go on with. The state of both is the same
// scatter.Session, which one of them uses at a time.

// A directly is where the answer of a shard goes that a session has asked by a loop.
type directly struct {
	s        *session
	conn     *shardConn // that has been asked; nil: none
	out      []byte     // memory for what it is sent
	delivery delivery
	more     bool // the client has sent more behind the request

	got       *pool.Conn // that was waited for
	gotErr    error
	elsewhere bool // it was in vain, and a goroutine is to try again
}

// beginSharded begins what serves a client of several shards by a loop.
func (s *session) beginSharded() error {
	if err := s.openSharded(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own.direct = &directly{s: s}
	return nil
}

// directly is what asks single shards for the session; nil: nothing does.
func (s *session) directly() *directly {
	if s.own == nil {
		return nil
	}
	return s.own.direct
}

// shardedBytes deals with what the client has sent and returns how much of it is done with.
func (s *session) shardedBytes(b []byte, now time.Time) (consumed int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(b) > consumed && !s.over && s.stalled == flowing {
		rest := b[consumed:]
		if wire.Type(rest[0]) == wire.TypeTerminate && len(rest) >= wire.HeaderLen {
			return consumed, errGoodbye
		}
		need, n, v := s.own.sharded.Direct(rest)
		switch {
		case v == scatter.Unfinished:
			return consumed, nil
		case v == scatter.Direct && s.ask1(need, rest[:n], n < len(rest), now):
			if s.stalled != forConn {
				consumed += n
			}
		default:
			s.handOver(rest)
			consumed = len(b)
		}
	}
	if s.stalled == flowing && s.lc.Pending() > 0 {
		s.stalled = forClient
	}
	return consumed, nil
}

// ask1 asks a shard for what is in b, if its server can be asked by a loop; it may have to wait for a
// connection first. more says that the client has sent more. The lock is held.
func (s *session) ask1(need scatter.Need, b []byte, more bool, now time.Time) bool {
	cfg, o := &s.p.cfg, s.own.direct
	if o.elsewhere {
		o.elsewhere = false
		return false
	}
	if s.tape != nil || cfg.LongQuery > 0 && len(b) > cfg.LongQuery || cfg.MaxMessage > 0 && len(b) > cfg.MaxMessage {
		return false
	}
	c, err := s.lent(need, now)
	switch {
	case err != nil:
		s.works(now)
		o.note()
		o.tell(s.own.sharded.Refused(need.Shard, err))
		s.worked(now)
		s.stats.transactions.Add(1)
		return true
	case s.stalled == forConn:
		return true
	case c == nil:
		return false
	}
	if !c.c.Attach(o) {
		c.c.Release()
		return false
	}
	o.conn, o.more = c, more || s.encrypted()
	s.stalled = forShard
	s.works(now)
	o.note()
	o.out = s.own.sharded.Begin(&c.statements, o.out[:0])
	_, _ = c.c.Write(o.out) // of an error Lost tells
	if cap(o.out) > maxKept {
		o.out = nil
	}
	return true
}

// note notes what is asked for. The lock is held.
func (o *directly) note() {
	s := o.s
	s.stats.queries.Add(1)
	if sql := s.own.sharded.Asked(s.p.cfg.Queries != nil); sql != "" {
		s.sample(sql)
	}
}

// lent returns a connection to a shard, as it is needed; nil: there is none that could be used as it
// is, or the session stalls for one. An error is one of waiting for it. The lock is held.
func (s *session) lent(need scatter.Need, now time.Time) (*shardConn, error) {
	o, servers := s.own.direct, s.shardServers()
	got, err := o.got, o.gotErr
	o.got, o.gotErr = nil, nil
	if err != nil {
		return nil, err
	}
	p := servers.Ready(need.Shard, need.Role)
	if got != nil {
		if got.Pool() != p {
			got.Release() // what has been waited for is not what is needed now
			return nil, nil
		}
		return servers.lend(got, need.Settings, now), nil
	}
	if p == nil {
		return nil, nil
	}
	if c := p.TryGet(now); c != nil {
		p.Counters.Checkout.Observe(0)
		return servers.lend(c, need.Settings, now), nil
	}
	s.stalled, s.waiting = forConn, &s.waiter
	s.works(now)
	p.Ask(&s.waiter, o, now)
	return nil, nil
}

// Answered implements pool.Asker.
func (o *directly) Answered(*pool.Waiter) { o.s.lc.PostTask((*lending)(o)) }

// A lending is a directly whose pool has answered.
type lending directly

// Do implements loop.Task.
func (l *lending) Do() {
	o := (*directly)(l)
	s := o.s
	s.mu.Lock()
	_, c, _, err := s.waiter.Answer()
	s.waiting = nil
	if s.over {
		s.mu.Unlock()
		if c != nil {
			c.Release()
		}
		return
	}
	o.got, o.gotErr = c, err
	if errors.Is(err, pool.ErrClosed) {
		// A reload has put another one in its place, which a goroutine finds.
		o.gotErr = nil
		o.elsewhere = true
	}
	s.mu.Unlock()
	s.resume()
}

// shardServers are what lends connections to single shards; nil: nothing does without waiting.
func (s *session) shardServers() *ShardServers {
	if sv, ok := s.db.Sharded.Servers().(*ShardServers); ok && sv.Ready != nil {
		return sv
	}
	return nil
}

// Prompt implements pool.Prompt.
func (o *directly) Prompt() bool { return true }

// Taken implements pool.Prompt: a server that is slow to read is slow to answer.
func (o *directly) Taken(*pool.Conn) {}

// Data implements pool.Sink.
func (o *directly) Data(c *pool.Conn, b []byte) (int, error) {
	s := o.s
	s.mu.Lock()
	defer s.mu.Unlock() // at the end: writing to the client does not wait
	if o.conn == nil || o.conn.c != c {
		return 0, pool.ErrDetached
	}
	d := &o.delivery
	d.b = b
	n, done, err := s.own.sharded.Answers(b, (*news)(o))
	d.cut()
	if done && err == nil {
		c.Status = wire.TxStatus(b[n-1])
	}
	if e := s.deliver(d.parts); e != nil {
		_ = s.nc.Close() // Closed follows
	}
	clear(d.parts)
	*d = delivery{parts: d.parts[:0]}
	switch {
	case done:
		o.finish(err, c.Came())
		return n, nil
	case err == nil:
		s.slow(c)
	}
	return n, err
}

// A news is a directly that is told what there is in an answer.
type news directly

// Pass implements scatter.Delivery.
func (o *news) Pass(from, to int) {
	if to > from {
		o.delivery.pass(from, to)
	}
}

// Put implements scatter.Delivery.
func (o *news) Put(m []byte) { o.delivery.put(m) }

// Reported implements scatter.Delivery.
func (o *news) Reported(name, value string) {
	o.conn.c.Reported = o.conn.c.Reported.With(name, value)
}

// Failed implements scatter.Delivery.
func (o *news) Failed() { o.conn.countAt(wire.TypeErrorResponse, time.Time{}) }

// finish is done when the request is answered. With an error the connection is of no more use. The
// lock is held.
func (o *directly) finish(err error, now time.Time) {
	s, c := o.s, o.conn
	o.conn = nil
	if err == nil {
		c.countAt(wire.TypeReadyForQuery, now)
	}
	if err != nil || c.c.Status != wire.TxIdle {
		c.c.Break("a session on several shards has given it up")
		s.shardServers().forget(c)
	}
	c.c.ReleaseAt(now)
	s.worked(now)
	s.stats.transactions.Add(1)
	switch {
	case s.over:
	case s.lc.Pending() > 0:
		s.stalled = forClient
	case o.more || s.p.closing.Load():
		s.lc.PostTask((*resumption)(s))
	default:
		s.stalled = flowing
		s.lc.Resume()
	}
}

// A resumption is a session that goes on after a stall.
type resumption session

// Do implements loop.Task.
func (r *resumption) Do() { (*session)(r).resume() }

// Lost implements pool.Sink: the client is told, and its session goes on.
func (o *directly) Lost(c *pool.Conn, err error) {
	s := o.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.conn == nil || o.conn.c != c {
		return
	}
	if last := s.own.sharded.Lost(err); last == nil {
		_ = s.nc.Close() // Closed follows
	} else {
		o.tell(last)
	}
	o.finish(err, time.Now())
}

// tell writes to the client. The lock is held.
func (o *directly) tell(b []byte) {
	if err := o.s.toClient(b); err != nil {
		_ = o.s.nc.Close() // Closed follows
	}
}

// holdDirect holds the connection that has been asked, for who cancels that; nil: there is none.
func (s *session) holdDirect() *pool.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.directly()
	if o == nil || o.conn == nil {
		return nil
	}
	o.conn.c.Hold()
	return o.conn.c
}

// leaveDirect gives back what a session has that a loop has served. The lock is held.
func (s *session) leaveDirect() {
	o := s.directly()
	if o == nil {
		return
	}
	c, got := o.conn, o.got
	o.conn, o.got = nil, nil
	s.delivering = false
	var a pool.Abandoned
	known := false
	if c != nil {
		a.Skip, known = s.own.sharded.Leave()
		a.Readies, a.Cancel = 1, true
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	if got != nil {
		got.Release()
	}
	switch {
	case c == nil:
	case known:
		c.c.Recover(a)
	default:
		s.shardServers().forget(c)
		c.c.Hold()
		s.cancelQuery(c.c)
		c.c.Break("its client is gone in the middle of something")
		c.c.Release()
	}
	s.own.sharded.Close()
}

// handOver gives the session, and what its client has sent, to a goroutine. The lock is held.
func (s *session) handOver(b []byte) {
	s.stalled = forGoroutine
	s.own.away = true
	if o := s.own.direct; o.got != nil || o.gotErr != nil {
		if o.got != nil {
			o.got.Release() // the goroutine gets one itself, and must not wait for this one
		}
		o.got, o.gotErr = nil, nil
	}
	s.hearOn() // which it may not do since it waited for a shard
	first := bytes.Clone(b)
	s.p.background(func() {
		err := s.serveSharded(first)
		s.mu.Lock()
		s.own.away = false
		s.mu.Unlock()
		if err == nil && s.lc.Dead() {
			err = net.ErrClosed // which Closed may have told nobody but this goroutine
		}
		if err != nil {
			s.finish(err)
			return
		}
		s.lc.PostTask((*resumption)(s))
	})
}
