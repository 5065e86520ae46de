package pool

import (
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// StatementPrefix is what the names of shared prepared statements begin with on servers.
const StatementPrefix = "__pgx_dev_"

// StatementName is the name of a statement on servers.
func StatementName(id uint64) string { return StatementPrefix + strconv.FormatUint(id, 10) }

// Statements are the prepared statements that one connection has, by a number that stands for
// the text, the least recently used ones last. The zero value is empty.
type Statements struct {
	at   map[uint64]*statement
	head statement // of a ring; next is the most recently used

	ttl, jitter time.Duration // of those that are not used; 0: they stay
	count       *atomic.Int64 // is told how many there are; nil: nobody is
}

type statement struct {
	id, version uint64
	prev, next  *statement

	used time.Time // the last time, if that counts
	ttl  time.Duration
}

// Len is how many there are.
func (s *Statements) Len() int { return len(s.at) }

// Use reports whether the connection has the statement, in that version, and makes it the most
// recently used one.
func (s *Statements) Use(id, version uint64) (has, stale bool) {
	e := s.at[id]
	if e == nil {
		return false, false
	}
	if s.head.next != e {
		e.unlink()
		s.push(e)
	}
	s.touch(e)
	return e.version == version, e.version != version
}

// Add notes that the connection has a statement.
func (s *Statements) Add(id, version uint64) {
	if s.at == nil {
		s.at = map[uint64]*statement{}
		s.head.next, s.head.prev = &s.head, &s.head
	}
	if e := s.at[id]; e != nil {
		e.version = version
		s.touch(e)
		return
	}
	e := &statement{id: id, version: version, ttl: s.ttl}
	if s.jitter > 0 {
		e.ttl += time.Duration(rand.Int64N(int64(2*s.jitter)+1)) - s.jitter
	}
	s.at[id] = e
	s.touch(e)
	s.push(e)
	s.tell()
}

// tell tells how many there are.
func (s *Statements) tell() {
	if s.count != nil {
		s.count.Store(int64(len(s.at)))
	}
}

// Oldest returns the least recently used statement.
func (s *Statements) Oldest() (id uint64, ok bool) {
	if len(s.at) == 0 {
		return 0, false
	}
	return s.head.prev.id, true
}

// Remove notes that a statement is gone.
func (s *Statements) Remove(id uint64) {
	if e := s.at[id]; e != nil {
		e.unlink()
		delete(s.at, id)
		s.tell()
	}
}

// Clear notes that all are gone.
func (s *Statements) Clear() {
	*s = Statements{ttl: s.ttl, jitter: s.jitter, count: s.count}
	s.tell()
}

func (s *Statements) touch(e *statement) {
	if s.ttl > 0 {
		e.used = time.Now()
	}
}

// Expired returns a statement that was not used for its time.
func (s *Statements) Expired(now time.Time) (id uint64, ok bool) {
	if s.ttl <= 0 || len(s.at) == 0 {
		return 0, false
	}
	// The times differ by the jitter only, so that the ones used least recently tell.
	for e := s.head.prev; e != &s.head && now.Sub(e.used) >= s.ttl-s.jitter; e = e.prev {
		if now.Sub(e.used) >= e.ttl {
			return e.id, true
		}
	}
	return 0, false
}

// evict closes the statements of a connection that were not used for their time.
func (p *Pool) evict(c *Conn) {
	now := time.Now()
	var out []byte
	var err error
	for {
		id, ok := c.Statements.Expired(now)
		if !ok {
			break
		}
		c.Statements.Remove(id)
		p.Counters.Evictions.Add(1)
		if out, err = wire.Append(out, &wire.Close{Kind: wire.StatementKind, Name: StatementName(id)}); err != nil {
			c.Break(err.Error())
			return
		}
	}
	if out, err = wire.Append(out, &wire.Sync{}); err != nil {
		c.Break(err.Error())
		return
	}
	if err := p.converse(c, out); err != nil {
		c.Break("close prepared statements: " + err.Error())
	}
}

func (s *Statements) push(e *statement) {
	e.prev, e.next = &s.head, s.head.next
	e.prev.next, e.next.prev = e, e
}

func (e *statement) unlink() { e.prev.next, e.next.prev = e.next, e.prev }
