package proxy

import (
	"bytes"
	"errors"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// Nearly every transaction is one plain query, or one series of messages around the unnamed statement,
// that comes whole, finds a server connection idle, and is answered whole. Little has to be done for
// it, but that is spread over the code that can do everything else, which the processor has to fetch
// anew after each system call: that takes longer than to run it. Here is the same in one place. It
// looks first, and changes nothing unless all is as it expects. Then the session is as if it had gone
// the long way, on which it goes on with whatever else happens.

// expressible says that nothing about the database, or the proxy, is in the way.
func (s *session) expressible() bool {
	db, cfg := s.db, &s.p.cfg
	return db.Router == nil && db.Mode == Transaction && !db.Defer && db.Sharded == nil && !db.Explain && !db.KeepNames && db.observer.Load() == nil &&
		cfg.Queries == nil && cfg.LongQuery <= 0 && cfg.MaxMessage <= 0 && !s.p.closing.Load()
}

// maxExpress is how many messages a series may have.
const maxExpress = 8

// A series is what a client asks for at a time.
type series struct {
	kinds    [maxExpress]asked
	n        int
	sql      string
	parse    []byte // the Parse after the name; nil: it is a simple query
	binds    int64
	executes int64
}

func messageSize(b []byte) int {
	return 1 + int(uint32(b[1])<<24|uint32(b[2])<<16|uint32(b[3])<<8|uint32(b[4]))
}

// read takes a client's bytes apart, and reports whether they are such a series and nothing else.
func (q *series) read(b []byte) bool {
	if len(b) <= wire.HeaderLen {
		return false
	}
	size := messageSize(b)
	if size <= wire.HeaderLen || size > len(b) {
		return false
	}
	body := b[wire.HeaderLen:size]
	switch wire.Type(b[0]) {
	case wire.TypeQuery:
		sql, ok := passingText(body)
		q.sql, q.kinds[0], q.n, q.executes = sql, askedQuery, 1, 1
		return ok && size == len(b)
	case wire.TypeParse:
		end := bytes.IndexByte(body[1:], 0)
		if body[0] != 0 || end < 0 {
			return false
		}
		q.parse = body[1:]
		q.sql, _ = passingText(q.parse[:end+1])
		q.kinds[0], q.n = askedParse, 1
		return q.follow(b[size:])
	}
	return false
}

// follow reads what comes after the Parse: messages that name no other statement, up to one Sync.
func (q *series) follow(b []byte) bool {
	for len(b) >= wire.HeaderLen && q.n < maxExpress {
		size := messageSize(b)
		if size < wire.HeaderLen || size > len(b) {
			return false
		}
		body := b[wire.HeaderLen:size]
		kind := asked(0)
		switch wire.Type(b[0]) {
		case wire.TypeBind:
			end := bytes.IndexByte(body, 0)
			if end < 0 || end+1 >= len(body) || body[end+1] != 0 {
				return false
			}
			kind = askedBind
			q.binds++
		case wire.TypeDescribe:
			if len(body) < 2 || len(body) > maxNameExpress || body[len(body)-1] != 0 || wire.Kind(body[0]) == wire.StatementKind && len(body) > 2 {
				return false
			}
			kind = askedDescribe
		case wire.TypeExecute:
			if len(body) > maxNameExpress {
				return false
			}
			kind = askedExecute
			q.executes++
		case wire.TypeSync:
			q.kinds[q.n] = askedSync
			q.n++
			return size == wire.HeaderLen && size == len(b)
		default:
			return false
		}
		q.kinds[q.n] = kind
		q.n++
		b = b[size:]
	}
	return false
}

// maxNameExpress is how long the name of a portal may be, more or less. Beyond the protocol's limit for
// such messages is an error.
const maxNameExpress = 1 << 10

// rush deals with what a client has said, if it is idle and that can go the short way.
func (s *session) rush(b []byte) bool {
	s.mu.Lock()
	sent := s.busy == nil && !s.over && s.sendExpress(b)
	s.mu.Unlock()
	return sent
}

// hurry reads what a client has said, if it is idle, and deals with it. It reports whether it did.
func (s *session) hurry(lc *loop.Conn, buf []byte) bool {
	s.mu.Lock()
	if s.busy != nil || s.over {
		s.mu.Unlock()
		return false
	}
	n, err := lc.Read(buf)
	sent := err == nil && s.sendExpress(buf[:n])
	s.mu.Unlock()
	switch {
	case err == nil:
		if s.stats.received.Add(int64(n)); !sent {
			s.advance(buf[:n], false)
		}
	case !errors.Is(err, loop.ErrAgain):
		s.finish(err)
	}
	return true
}

// sendExpress sends what an idle client has said to a server, if that is all there is to do, and
// reports whether it was. The lock is held.
func (s *session) sendExpress(b []byte) bool {
	var q series
	if s.own != nil || !s.expressible() || !q.read(b) || !effect.Plain(q.sql) {
		return false
	}
	r, ok := s.db.Servers.(ready)
	if !ok {
		return false
	}
	p := r.Ready(route.Primary)
	if p == nil || p.ResetsAlways() {
		return false
	}
	now := s.lc.Now()
	c := p.Lend(now, s, s.want, s.reported)
	if c == nil {
		return false
	}
	x, ok := c.Kept.(*busy)
	if c.Kept = nil; !ok {
		x = s.p.busies.get()
	}
	s.busy, s.server = x, c
	x.express, x.asked, x.begun, x.now = true, now, now, now
	items := x.queue.items[:0]
	for _, kind := range q.kinds[:q.n] {
		items = append(items, request{kind: kind})
	}
	x.queue.items, x.queue.head = items, 0
	s.doing.set(q.sql)
	n := &p.Counters
	if q.parse == nil {
		s.dropUnnamed()
		c.Unnamed = 0
	} else {
		items[0].unnamed = true
		x.queue.series++
		if s.unnamed == nil {
			s.unnamed = &unnamed{}
		}
		u := s.unnamed
		u.id = s.p.unnamed.Add(1)
		u.msg, u.text, u.role = append(u.msg[:0], q.parse...), effect.Text{Statements: 1}, roleHint{}
		c.Unnamed = u.id
		if q.binds > 0 {
			n.Binds.Add(q.binds)
		}
	}
	s.stats.transactions.Add(1)
	if q.executes > 0 {
		s.stats.queries.Add(q.executes)
		n.Queries.Add(q.executes)
		c.Tally.Queries.Add(q.executes)
	}
	_, _ = c.Write(b)
	if c.Pending() > 0 {
		x.stalled, x.writing = forServer, true
	}
	return true
}

// answersExpress says that bytes of the server are the whole answer to what was sent on the short way,
// and nothing else: no error, and no notice of any kind.
func (q *queue) answersExpress(b []byte, c *pool.Conn) bool {
	const end = wire.HeaderLen + 1
	if len(b) < end || wire.Type(b[len(b)-end]) != wire.TypeReadyForQuery || b[len(b)-1] != byte(wire.TxIdle) {
		return false
	}
	i, tag := 0, []byte(nil)
	for len(b) >= wire.HeaderLen && i < len(q.items) {
		kind := q.items[i].kind
		size := messageSize(b)
		if size < wire.HeaderLen || size > len(b) {
			return false
		}
		switch wire.Type(b[0]) {
		case wire.TypeDataRow, wire.TypeParameterDescription:
		case wire.TypeRowDescription:
			if kind == askedDescribe {
				i++
			}
		case wire.TypeParseComplete:
			if kind != askedParse || size != wire.HeaderLen {
				return false
			}
			i++
		case wire.TypeBindComplete:
			if kind != askedBind || size != wire.HeaderLen {
				return false
			}
			i++
		case wire.TypeNoData:
			if kind != askedDescribe || size != wire.HeaderLen {
				return false
			}
			i++
		case wire.TypeCommandComplete:
			if tag != nil || size <= wire.HeaderLen+6 || size > maxNameExpress {
				return false
			}
			tag = b[wire.HeaderLen : size-1]
			switch string(tag[:6]) {
			case "SELECT", "INSERT", "UPDATE", "DELETE":
			default:
				return false // it may have to be known what they have done
			}
			if kind == askedExecute {
				i++
			}
		case wire.TypeReadyForQuery:
			if kind != askedQuery && kind != askedSync || i+1 != len(q.items) || size != end || size != len(b) {
				return false
			}
			if tag != nil {
				c.Pool().Counters.Completed(tag)
			}
			return true
		default:
			return false
		}
		b = b[size:]
	}
	return false
}

// answerExpress sends the server's answer on and gives the connection back, if that is all there is to
// do, and reports whether it was. The lock is held.
func (s *session) answerExpress(c *pool.Conn, b []byte) bool {
	x := s.busy
	if s.over || x.tape != nil || x.stalled != flowing || s.own != nil || s.p.closing.Load() || !x.queue.answersExpress(b, c) {
		return false
	}
	n, err := s.nc.Write(b)
	s.stats.sent.Add(int64(n))
	if err != nil {
		_ = s.nc.Close() // the client's loop finds out and cleans up
	}
	now := c.Came()
	took := max(0, now.Sub(x.asked)) // each loop has a time of its own
	s.stats.queryTime.Add(int64(took))
	s.stats.xactTime.Add(int64(took))
	counters := &c.Pool().Counters
	counters.Query.Observe(took)
	counters.Xact.Observe(took)
	counters.Xacts.Add(1)
	c.Tally.Xacts.Add(1)
	c.Status = wire.TxIdle
	s.answered = s.p.instant(now)
	x.queue.items = x.queue.items[:0]
	x.asked, x.begun, x.now, x.timedOut, x.express = now, time.Time{}, now, false, false
	if s.lc.Pending() > 0 {
		x.delivering, x.behind = true, true
		c.Pause()
		return true // Drained goes on
	}
	s.server, s.busy = nil, nil
	x.asked, x.now, x.queue.series = time.Time{}, time.Time{}, 0
	c.Kept = x
	c.ReleaseAt(now)
	return true
}
