package claim

import (
	"slices"
	"sync"
	"time"
)

// A Limit bounds the connections of several places together, in one table or in several: those of
// all users to a server, or of one user to all servers. It is known by itself, as a map's key is.
type Limit = interface {
	// Max is how many there may be; none is a limit if it is not above 0.
	Max() int
	// String is what people know it by.
	String() string
}

// A Bank is what the tables have in common that share limits. It is safe for concurrent use.
type Bank struct {
	mu     sync.Mutex
	used   map[Limit]int // those that are not 0
	most   int           // shards of the largest table
	common group
}

// NewBank makes a bank.
func NewBank() *Bank { return &Bank{used: map[Limit]int{}} }

// A group is the tables whose sessions may wait for each other's connections: all that have
// limits together, and each other one alone.
type group struct {
	tables []*Table // that have holders
	queue  []*waiter
	given  time.Time // when something was given back last
}

// room reports whether a limit has room for so many more connections.
func (b *Bank) room(l Limit, n int) bool {
	most := l.Max()
	return most <= 0 || most-b.used[l] >= n
}

func (b *Bank) use(limits []Limit, n int) {
	for _, l := range limits {
		if b.used[l] += n; b.used[l] == 0 {
			delete(b.used, l)
		}
	}
}

// limit sets the limits of a place. A table that has one joins the others which do.
func (t *Table) limit(p *place, limits []Limit) {
	p.limits = slices.Clone(limits)
	bounded := slices.ContainsFunc(limits, func(l Limit) bool { return l.Max() > 0 })
	if !bounded || t.group == &t.bank.common {
		return
	}
	own := t.group
	t.group = &t.bank.common
	t.group.queue = append(t.group.queue, own.queue...)
	t.group.tables = append(t.group.tables, own.tables...)
	own.queue, own.tables = nil, nil
}

// roomy reports that whoever goes first finds what he needs, and whoever comes next, too: there
// is a connection left in each place, and as many in each limit as a session can need.
func (t *Table) roomy() bool {
	if t.full > 0 {
		return false
	}
	for i := range t.places {
		for _, l := range t.places[i].limits {
			if !t.bank.room(l, t.bank.most) {
				return false
			}
		}
	}
	return true
}

// A count is what is left in the tables of a group and their limits.
type count struct {
	places map[*Table][]int
	limits map[Limit]int
}

// left counts what there is for the holders of a group, and for h in t, which may have nothing.
func (g *group) left(t *Table) count {
	c := count{places: make(map[*Table][]int, len(g.tables)+1), limits: map[Limit]int{}}
	c.add(t)
	for _, o := range g.tables {
		c.add(o)
	}
	return c
}

func (c *count) add(t *Table) {
	if c.places[t] != nil {
		return
	}
	left := make([]int, len(t.places))
	for i, p := range t.places {
		left[i] = p.size - p.used
		if p.size <= 0 {
			left[i] = 1
		}
		for _, l := range p.limits {
			if most := l.Max(); most > 0 {
				c.limits[l] = most - t.bank.used[l]
			}
		}
	}
	c.places[t] = left
}

// back counts what a holder has as given back.
func (c *count) back(h *Holder) {
	for _, x := range h.held {
		c.places[h.t][x.place]++
		for _, l := range x.limits {
			c.limits[l]++ // it has no meaning for one that bounds nothing
		}
	}
}

// enough reports whether a holder could get what it does not have: a connection to each other
// shard, or as many of them as a limit allows to anyone.
func (c *count) enough(h *Holder, t *Table) bool {
	left := c.places[t]
	var need map[Limit]int
	for shard := range t.shards {
		if h.has(2*shard) || h.has(2*shard+1) {
			continue
		}
		last := 2*shard + 1
		if t.alias[shard] {
			last = 2 * shard
		}
		if left[2*shard] < 1 || left[last] < 1 {
			return false
		}
		for i := 2 * shard; i <= last; i++ {
			for _, l := range t.places[i].limits {
				if l.Max() <= 0 || i%2 == 1 && slices.Contains(t.places[i-1].limits, l) {
					continue
				}
				if need == nil {
					need = map[Limit]int{}
				}
				need[l]++
			}
		}
	}
	for l, n := range need {
		if min(n, l.Max()-h.of(l)) > c.limits[l] {
			return false
		}
	}
	return true
}

// safe reports whether all holders of a group could get a connection to every shard, one holder
// after the other; or, not strictly, those of them who are not idle.
func (g *group) safe(t *Table, strictly bool) bool {
	left, now := g.left(t), time.Now()
	open := 0
	for _, o := range g.tables {
		for h := range o.holders {
			if h.done = !strictly && h.idle(now); h.done {
				left.back(h)
				continue
			}
			open++
		}
	}
	for found := true; open > 0; {
		if !found {
			return false
		}
		found = false
		for _, o := range g.tables {
			for h := range o.holders {
				if h.done || !left.enough(h, o) {
					continue
				}
				h.done, found = true, true
				open--
				left.back(h)
			}
		}
	}
	return true
}
