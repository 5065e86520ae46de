package proxy

import (
	"bytes"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/wire"
)

// Names of prepared statements on servers. None of them is one that a client would choose.
const (
	serverPrefix = "__pgx_dev_"
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
	text effect.Text
	role roleHint

	// version counts up when servers must prepare it anew.
	version atomic.Uint64

	refs int // of sessions; guarded by the cache's lock
}

// appendParse appends the Parse message that makes the statement on a server.
func (s *statement) appendParse(b []byte) []byte { return appendParse(b, s.name, s.key) }

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
	max int // statements that no session uses which are kept

	mu     sync.Mutex
	last   uint64
	byKey  map[string]*statement
	unused []*statement // oldest first; some are in use again
}

func newCache(max int) *cache { return &cache{max: max, byKey: map[string]*statement{}} }

// intern returns the statement for the rest of a Parse message after the name, with one more
// reference.
func (c *cache) intern(rest []byte, scan func(sql string) (effect.Text, roleHint)) *statement {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.byKey[string(rest)]; s != nil {
		s.refs++
		return s
	}
	c.last++
	s := &statement{id: c.last, name: serverPrefix + strconv.FormatUint(c.last, 10), key: string(rest), refs: 1}
	if i := bytes.IndexByte(rest, 0); i >= 0 {
		s.text, s.role = scan(s.key[:i])
	}
	c.byKey[s.key] = s
	return s
}

// release takes references back.
func (c *cache) release(s *statement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.refs--; s.refs > 0 {
		return
	}
	c.unused = append(c.unused, s)
	for len(c.unused) > c.max {
		old := c.unused[0]
		c.unused[0] = nil
		c.unused = c.unused[1:]
		if old.refs == 0 && c.byKey[old.key] == old {
			delete(c.byKey, old.key)
		}
	}
}

// len is how many statements there are.
func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byKey)
}
