package route

import (
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A finding is the plan that Known has found, and where.
type finding struct {
	cache  *cache
	entry  *entry
	byText bool
}

// Known is Route of a statement that one shard carries out as it is and that leaves nothing in the
// session, if its plan is in the cache: it parses nothing and waits for nothing. It reports false
// for all others, and whenever Route would return an error. Nothing is counted before Take is
// called. sql must not change before then.
func (r *Router) Known(d *Decision, sql string, s *Session, b *Binding) bool {
	if r.cfg.Advise != nil {
		return false
	}
	f, hints, ok := r.find(d, sql, s)
	if !ok || !f.entry.plan.plain() || r.decide(d, f.entry.plan, hints, d.env.sql, s, b, NoHint()) != nil {
		return false
	}
	if d.Open || len(d.Steps) > 0 || d.Locking != nil || d.FeedSelect != "" || d.MoveAfter != "" || d.Replay || !d.Any && d.Shards.Len() != 1 {
		return false
	}
	d.found = f
	return true
}

// Take counts a decision that Known has made and that is carried out.
func (r *Router) Take(d *Decision) {
	f := d.found
	f.entry.used.Store(f.cache.tick.Load())
	if f.byText {
		f.cache.textHits.Add(1)
	} else {
		f.cache.hits.Add(1)
	}
	f.entry.plan.usage.hits.Add(1)
	f.entry.plan.usage.direct.Add(1)
	r.usage.direct.Add(1)
}

// find is lookup in the cache only. A text that lookup changes before it looks has no plan there as it
// is, so it is not found.
func (r *Router) find(d *Decision, sql string, s *Session) (f finding, hints []lex.Comment, ok bool) {
	if s.elsewhere(sql) {
		return f, nil, false
	}
	f.cache = r.state.Load().cache
	path := s.path()
	d.sc.Hints = d.sc.Hints[:0]
	if f.entry = f.cache.peek(path, sql); f.entry != nil {
		p := f.entry.plan
		d.env.sql, d.env.toks, f.byText = p.text, p.tokens, true
		return f, p.hints, true
	}
	if s.EscapeStrings || d.sc.Scan(sql) != nil {
		return f, nil, false
	}
	toks := d.sc.Tokens
	for len(toks) > 0 && toks[len(toks)-1].Is(sql, ";") {
		toks = toks[:len(toks)-1]
	}
	// A text that begins otherwise is changed before it is looked up, or none of these.
	if len(toks) == 0 || toks[0].Kind != lex.Word {
		return f, nil, false
	}
	d.env.sql, d.env.toks = sql, toks
	d.key = lex.AppendKey(d.key[:0], sql, toks)
	f.entry = f.cache.peekKey(path, d.key, sql, toks)
	return f, d.sc.Hints, f.entry != nil
}

// peek is text without counting.
func (c *cache) peek(path []string, sql string) *entry {
	c.mu.RLock()
	e := c.byText[sql]
	c.mu.RUnlock()
	if e == nil || !slices.Equal(e.path, path) {
		return nil
	}
	return e
}

// peekKey is key without counting.
func (c *cache) peekKey(path []string, key []byte, sql string, toks []lex.Token) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for e := c.byKey[string(key)]; e != nil; e = e.next {
		if slices.Equal(e.path, path) && pinned(e.plan.pins, sql, toks) {
			return e
		}
	}
	return nil
}

// plain reports that the statement reads or writes rows, and that nobody needs to know more of it
// than that.
func (p *Plan) plain() bool {
	switch p.Class {
	case Select, Insert, Update, Delete, Merge:
	default:
		return false
	}
	return p.Inner == nil && p.inject == nil && p.Move == nil && p.Feed == nil && !p.RouteOnly && !p.ReloadSchema && !p.hasIDs && len(p.Notices) == 0 && !p.lasting
}

// lasting reports whether a statement may call what changes the session: its text is to be looked
// at once it has run.
func lasting(sql string) bool {
	sql = strings.ToLower(sql)
	return strings.Contains(sql, "set_config") || strings.Contains(sql, "advisory_lock") || strings.Contains(sql, "pgdog.")
}
