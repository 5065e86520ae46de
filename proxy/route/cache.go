package route

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A cache holds plans by key, and by text those of statements without literals. It is
// bounded in entries and bytes; of a few entries taken at random, the one that was used
// longest ago goes first. Reading takes a shared lock and allocates nothing.
type cache struct {
	most, mostBytes int
	tick            atomic.Uint64
	textHits        atomic.Uint64
	hits            atomic.Uint64
	misses          atomic.Uint64
	evicted         atomic.Uint64

	mu     sync.RWMutex
	byText map[string]*entry
	byKey  map[string]*entry
	bytes  int
}

// variants bounds the plans under one key that differ in pinned literals.
const variants = 16

type entry struct {
	key   string
	path  []string
	plan  *Plan
	next  *entry // another plan for the same key
	used  atomic.Uint64
	bytes int
	text  bool
}

func newCache(most, bytes int) *cache {
	return &cache{most: most, mostBytes: bytes, byText: map[string]*entry{}, byKey: map[string]*entry{}}
}

func (c *cache) text(path []string, sql string) *entry {
	c.mu.RLock()
	e := c.byText[sql]
	c.mu.RUnlock()
	if e == nil || !slices.Equal(e.path, path) {
		return nil
	}
	e.used.Store(c.tick.Load())
	c.textHits.Add(1)
	return e
}

func (c *cache) key(path []string, key []byte, sql string, toks []lex.Token) *entry {
	c.mu.RLock()
	e := c.byKey[string(key)]
	for ; e != nil; e = e.next {
		if slices.Equal(e.path, path) && pinned(e.plan.pins, sql, toks) {
			break
		}
	}
	c.mu.RUnlock()
	if e == nil {
		c.misses.Add(1)
		return nil
	}
	e.used.Store(c.tick.Load())
	c.hits.Add(1)
	return e
}

func pinned(pins []pin, sql string, toks []lex.Token) bool {
	for _, p := range pins {
		if toks[p.tok].Text(sql) != p.text {
			return false
		}
	}
	return true
}

// add puts a plan into the cache.
func (c *cache) add(path []string, key string, p *Plan) {
	literals := slices.ContainsFunc(p.tokens, lex.Token.Literal)
	e := &entry{key: key, path: slices.Clone(path), plan: p, bytes: 2048 + 3*len(p.text) + 64*len(p.tokens) + len(key)}
	e.used.Store(c.tick.Add(1))
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for x := c.byKey[key]; x != nil; x = x.next {
		n++
	}
	if n >= variants {
		c.drop(c.byKey[key])
	}
	e.next = c.byKey[key]
	c.byKey[key] = e
	c.bytes += e.bytes
	// A text that begins or ends in something that is no token would not be itself again.
	if !literals && c.byText[p.text] == nil {
		e.text = true
		c.byText[strings.Clone(p.text)] = e
	}
	for len(c.byKey) > c.most || c.bytes > c.mostBytes {
		var oldest *entry
		seen := 0
		for _, x := range c.byKey {
			if oldest == nil || x.used.Load() < oldest.used.Load() {
				oldest = x
			}
			if seen++; seen == 8 {
				break
			}
		}
		if oldest == nil {
			return
		}
		c.drop(oldest)
	}
}

// drop removes all plans under an entry's key.
func (c *cache) drop(e *entry) {
	for x := c.byKey[e.key]; x != nil; x = x.next {
		c.bytes -= x.bytes
		c.evicted.Add(1)
		if x.text {
			delete(c.byText, x.plan.text)
		}
	}
	delete(c.byKey, e.key)
}

func (c *cache) stats() Stats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return Stats{Plans: len(c.byKey), TextHits: c.textHits.Load(), Hits: c.hits.Load(), Misses: c.misses.Load(), Evicted: c.evicted.Load()}
}
