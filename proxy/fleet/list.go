package fleet

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/balance"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/proxy/twophase"
)

// A Listed is a pool with whose it is: that of the first user and database, in their order,
// if several share it.
type Listed struct {
	// ID stays the same as long as the pool's settings do.
	ID             int64
	User, Database string
	Mode           proxy.Mode
	Server         Server
	Pool           *pool.Pool
	// State is what is known of the server; nil for one that is alone, and so never chosen
	// among others.
	State *balance.State

	group  *balance.Group
	target int
}

// Ban takes no reads to the server until Unban, and reports whether it is one of several.
func (l *Listed) Ban(reason string) bool {
	if l.group != nil {
		l.group.Ban(l.target, reason)
	}
	return l.group != nil
}

// Unban lifts a ban.
func (l *Listed) Unban() bool {
	if l.group != nil {
		l.group.Unban(l.target)
	}
	return l.group != nil
}

// Suspect has the server checked in the background.
func (l *Listed) Suspect() {
	if l.group != nil {
		l.group.Suspect(l.target)
	}
}

// List lists the pools there are now, by database, shard, server and user.
func (f *Fleet) List() []Listed {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Listed
	seen := map[string]bool{}
	pairs := make([]pair, 0, len(f.members))
	for p := range f.members {
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.database, b.database), cmp.Compare(a.user, b.user))
	})
	states := map[string][]balance.State{}
	for _, p := range pairs {
		m := f.members[p]
		m.mu.Lock()
		plan := m.plan
		m.mu.Unlock()
		index := map[int]int{} // by shard, how many servers there were before
		for _, s := range plan.Servers {
			i := index[s.Shard]
			index[s.Shard]++
			pl := f.pools[s.Key]
			if pl == nil || seen[s.Key] {
				continue
			}
			seen[s.Key] = true
			h := fnv.New32a()
			_, _ = h.Write([]byte(s.Key))
			l := Listed{ID: int64(h.Sum32()), User: p.user, Database: p.database, Mode: plan.Mode, Server: s, Pool: pl}
			key := groupKey(&plan, s.Shard)
			if g := f.groups[key]; g != nil && i < g.Len() {
				if states[key] == nil {
					states[key] = g.States()
				}
				l.State, l.group, l.target = &states[key][i], g.Group, i
			}
			out = append(out, l)
		}
	}
	return out
}

// Hold has no pool, new ones included, serve anybody until Release. Transactions go on.
func (f *Fleet) Hold() { f.hold(true, (*pool.Pool).Hold) }

// Release ends Hold.
func (f *Fleet) Release() { f.hold(false, (*pool.Pool).Resume) }

func (f *Fleet) hold(yes bool, each func(*pool.Pool)) {
	f.mu.Lock()
	f.held = yes
	var moving []string
	for n := range f.moving {
		moving = append(moving, n)
	}
	f.mu.Unlock()
	keep := f.poolsOf(moving)
	for _, p := range f.Pools() {
		if !slices.Contains(keep, p) { // which are held all the same
			each(p)
		}
	}
}

// Routing sums up what the routers' caches did.
func (f *Fleet) Routing() (out route.Stats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	add := func(r *route.Router) {
		if r == nil {
			return
		}
		s := r.Stats()
		out.Plans += s.Plans
		out.TextHits += s.TextHits
		out.Hits += s.Hits
		out.Misses += s.Misses
		out.Evicted += s.Evicted
		out.Direct += s.Direct
		out.Cross += s.Cross
		out.Parsing += s.Parsing
	}
	for _, m := range f.members {
		add(m.db.Load().Router)
	}
	for _, c := range f.opened {
		add(c.Router)
	}
	for _, r := range f.rehearsals {
		r.add(&out)
	}
	return out
}

// Lookups are what the lookup queries of all databases on several shards have come to.
func (f *Fleet) Lookups() (out scatter.LookupStats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.opened {
		s := c.Lookups()
		out.Entries += s.Entries
		out.Bytes += s.Bytes
		out.Hits += s.Hits
		out.Misses += s.Misses
		out.Evictions += s.Evictions
		out.Queries += s.Queries
		out.Time += s.Time
	}
	return out
}

// A QueryPlan is what became of a statement.
type QueryPlan struct {
	route.PlanInfo
	// Refused is how often a dry run found that several shards could not answer it.
	Refused uint64
}

// Plans lists the statements that routers know, the ones found most often first; of databases with a
// dry run, what it found.
func (f *Fleet) Plans() []QueryPlan {
	byText := map[string]*QueryPlan{}
	add := func(p QueryPlan) {
		if have := byText[p.Query]; have != nil {
			have.Hits += p.Hits
			have.Direct += p.Direct
			have.Cross += p.Cross
			have.Refused += p.Refused
			return
		}
		byText[p.Query] = &p
	}
	f.mu.Lock()
	for _, m := range f.members {
		if r := m.db.Load().Router; r != nil && m.rehearsal.Load() == nil {
			for _, p := range r.Plans() {
				add(QueryPlan{PlanInfo: p})
			}
		}
	}
	for _, c := range f.opened {
		for _, p := range c.Router.Plans() {
			add(QueryPlan{PlanInfo: p})
		}
	}
	for _, r := range f.rehearsals {
		for _, p := range r.plans() {
			add(p)
		}
	}
	f.mu.Unlock()
	out := make([]QueryPlan, 0, len(byText))
	for _, p := range byText {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b QueryPlan) int { return cmp.Or(cmp.Compare(b.Hits, a.Hits), cmp.Compare(a.Query, b.Query)) })
	return out
}

// ForgetPlans drops what Plans lists.
func (f *Fleet) ForgetPlans() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if r := m.db.Load().Router; r != nil {
			r.Forget()
		}
	}
	for _, c := range f.opened {
		c.Router.Forget()
	}
	for _, r := range f.rehearsals {
		r.forget()
	}
}

// TwoPhase tells what databases on several shards commit in two phases: by the database's name,
// the transactions that are under way or in doubt, the oldest first, and how many that were left
// have been resolved.
func (f *Fleet) TwoPhase() (pending map[string][]twophase.Transaction, recovered uint64) {
	f.mu.Lock()
	opened := slices.Clone(f.opened)
	f.mu.Unlock()
	pending = map[string][]twophase.Transaction{}
	for _, c := range opened {
		if c.Coordinator == nil {
			continue
		}
		pending[c.Database.Name] = append(pending[c.Database.Name], c.Coordinator.Transactions()...)
		recovered += c.Coordinator.Counts().Recovered
	}
	return pending, recovered
}
