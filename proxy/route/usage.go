package route

import (
	"strings"
	"sync/atomic"
)

// A usage counts what became of a plan.
type usage struct{ hits, direct, cross atomic.Uint64 }

// A PlanInfo is a plan in the cache.
type PlanInfo struct {
	// Query is the statement, with a question mark for each literal.
	Query string
	// Hits is how often the plan was found, Direct and Cross how often it has led to one shard
	// and to several.
	Hits, Direct, Cross uint64
}

// count counts a decision that is final.
func (r *Router) count(d *Decision, p *Plan, b *Binding) {
	if d.Open || (b == nil || b.Values == nil) && r.cfg.Layout.Shards > 1 {
		return // it is made again once the values are known
	}
	if d.Any || d.Shards.Len() <= 1 {
		r.usage.direct.Add(1)
		p.usage.direct.Add(1)
		return
	}
	r.usage.cross.Add(1)
	p.usage.cross.Add(1)
}

// Plans lists the plans in the cache, in no order.
func (r *Router) Plans() []PlanInfo {
	c := r.state.Load().cache
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]PlanInfo, 0, len(c.byKey))
	for _, e := range c.byKey {
		for ; e != nil; e = e.next {
			u := e.plan.usage
			out = append(out, PlanInfo{Query: e.plan.Masked(), Hits: u.hits.Load(), Direct: u.direct.Load(), Cross: u.cross.Load()})
		}
	}
	return out
}

// Masked is the plan's text with a question mark for each literal.
func (p *Plan) Masked() string {
	var b strings.Builder
	at := 0
	for _, t := range p.tokens {
		if t.Literal() {
			b.WriteString(p.text[at:t.Start])
			b.WriteByte('?')
			at = int(t.End)
		}
	}
	b.WriteString(p.text[at:])
	return b.String()
}

// Forget drops all plans. They are made anew when they are needed.
func (r *Router) Forget() {
	for {
		old := r.state.Load()
		if r.state.CompareAndSwap(old, &state{snap: old.snap, cache: newCache(r.cfg.Plans, r.cfg.PlanBytes)}) {
			return
		}
	}
}
