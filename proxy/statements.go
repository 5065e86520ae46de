package proxy

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

// Names of prepared statements on servers. None of them is one that a client would choose.
const (
	serverPrefix = pool.StatementPrefix
	// nobody is a name that no statement has: closing it always succeeds, and using it fails
	// as the use of a missing statement does.
	nobody = serverPrefix + "0"
)

// A statement is a text with parameter types that some client has prepared. All who prepare
// the same share it.
type statement struct {
	id   uint64
	name string // on servers
	key  string // the Parse message after the name: text, 0, types
	sent string // the same as servers are sent it, if that is something else
	text effect.Text
	role roleHint
	// path and epoch are of its key in the cache.
	path  string
	epoch uint64

	// version counts up when servers must prepare it anew.
	version atomic.Uint64

	refs int // of sessions; guarded by the cache's lock, and so is:

	expires time.Time // if nobody uses it; zero: never
}

// memory is about what the statement takes, in bytes.
func (s *statement) memory() int64 {
	return int64(unsafe.Sizeof(*s)) + int64(len(s.key)+len(s.sent)+len(s.name)+len(s.path)) + 96 // its place in the cache
}

// memory is about what all statements take, in bytes.
func (c *cache) memory() (n int64) {
	c.each(func(s *statement) { n += s.memory() })
	return n
}

// appendParse appends the Parse message that makes the statement on a server.
func (s *statement) appendParse(b []byte) []byte {
	if s.sent != "" {
		return appendParse(b, s.name, s.sent)
	}
	return appendParse(b, s.name, s.key)
}

func appendParse[T string | []byte](b []byte, name string, rest T) []byte {
	b = appendHeader(b, wire.TypeParse, len(name)+1+len(rest))
	b = append(b, name...)
	b = append(b, 0)
	return append(b, rest...)
}

func appendHeader(b []byte, t wire.Type, body int) []byte {
	n := body + 4
	return append(b, byte(t), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// appendNamed appends Close or Describe of a statement.
func appendNamed(b []byte, t wire.Type, name string) []byte {
	b = appendHeader(b, t, len(name)+2)
	b = append(b, byte(wire.StatementKind))
	b = append(b, name...)
	return append(b, 0)
}

// A cache holds the statements that are in use, and some that were.
type cache struct {
	max         int           // statements that no session uses which are kept
	ttl, jitter time.Duration // and for how long; 0: as long as there is room
	// epoch counts up when a schema may have changed. What the server has found out of a
	// statement's types was true at its time, and stays so for whoever prepared it then; who
	// prepares it later gets another statement.
	epoch atomic.Uint64

	mu     sync.Mutex
	last   uint64
	byKey  map[statementKey]*statement
	unused []*statement // oldest first; some are in use again
}

func newCache(max int, ttl, jitter time.Duration) *cache {
	return &cache{max: max, ttl: ttl, jitter: jitter, byKey: map[statementKey]*statement{}}
}

// A statementKey is what is equal for clients that can share a statement: the rest of a Parse
// message after the name, and what the meaning of names in it depends on.
type statementKey struct {
	rest, path string
	epoch      uint64
}

// intern returns the statement for the rest of a Parse message after the name, as a session
// with that search_path means it, with one more reference.
func (c *cache) intern(rest []byte, path string, scan func(sql string) (effect.Text, roleHint)) *statement {
	epoch := c.epoch.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.byKey[statementKey{string(rest), path, epoch}]; s != nil {
		s.refs++
		return s
	}
	c.last++
	s := &statement{id: c.last, name: serverName(c.last), key: string(rest), path: path, epoch: epoch, refs: 1}
	if i := bytes.IndexByte(rest, 0); i >= 0 {
		s.text, s.role = scan(s.key[:i])
		if sql := unlistened(s.key[:i], &s.text); len(sql) != i && !strings.HasSuffix(path, ownListen) {
			s.sent = sql + s.key[i:]
		}
	}
	c.byKey[statementKey{s.key, path, epoch}] = s
	return s
}

// release takes references back.
func (c *cache) release(s *statement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.refs--; s.refs > 0 {
		return
	}
	if c.ttl > 0 {
		s.expires = time.Now().Add(c.ttl)
		if c.jitter > 0 {
			s.expires = s.expires.Add(time.Duration(rand.Int64N(int64(2*c.jitter)+1)) - c.jitter)
		}
	}
	c.unused = append(c.unused, s)
	for len(c.unused) > c.max {
		old := c.unused[0]
		c.unused[0] = nil
		c.unused = c.unused[1:]
		c.drop(old)
	}
}

// drop forgets a statement, unless it is in use again. The lock is held.
func (c *cache) drop(old *statement) {
	if key := (statementKey{old.key, old.path, old.epoch}); old.refs == 0 && c.byKey[key] == old {
		delete(c.byKey, key)
	}
}

// expire forgets the statements that nobody has used for their time.
func (c *cache) expire(now time.Time) {
	if c.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unused = slices.DeleteFunc(c.unused, func(s *statement) bool {
		if s.refs == 0 && now.Before(s.expires) {
			return false
		}
		c.drop(s)
		return true // one that is in use again comes back when it is not
	})
}

// len is how many statements there are.
func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byKey)
}

// each calls f for every statement, with the lock held.
func (c *cache) each(f func(s *statement)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.byKey {
		f(s)
	}
}

// forget drops the statements that no session uses, and returns how many there were.
func (c *cache) forget() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for key, s := range c.byKey {
		if s.refs == 0 {
			delete(c.byKey, key)
			n++
		}
	}
	c.unused = nil
	return n
}
