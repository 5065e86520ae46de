package balance

import (
	"math/rand/v2"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/wire"
)

// ErrNoServer reports that no server of the group may be read.
var ErrNoServer error = &wire.Error{
	Code: wire.CodeCannotConnectNow, Message: "no server can be read from",
	Hint: "Every server of the shard is banned by an administrator, or its role is not known yet.",
}

// Primary returns the server to write to; false if writers have to wait: see [Group.Hold].
func (g *Group) Primary() (target int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.writable()
	return i, i >= 0
}

// Read returns the server to read from, or ErrNoServer.
func (g *Group) Read() (target int, err error) {
	g.mu.Lock()
	if len(g.reads) == 0 {
		g.last()
	}
	i, err := -1, ErrNoServer
	if len(g.reads) > 0 {
		i, err = g.choose(), nil
	}
	g.mu.Unlock()
	return i, err
}

// Replica returns a replica to read from even where reads may go to the primary, as somebody
// asks for who says role=replica. Without one it is as [Group.Read].
func (g *Group) Replica() (target int, err error) {
	g.mu.Lock()
	all := g.reads
	if len(all) == 0 {
		g.last()
		all = g.reads
	}
	var only []int
	for _, i := range all {
		if i != g.primary {
			only = append(only, i)
		}
	}
	i, err := -1, ErrNoServer
	switch {
	case len(only) > 0:
		g.reads = only
		i, err = g.choose(), nil
		g.reads = all
	case len(all) > 0:
		i, err = g.choose(), nil
	}
	g.mu.Unlock()
	return i, err
}

// candidates works out which servers may be read.
func (g *Group) candidates() {
	g.reads = g.reads[:0]
	replicas, out := 0, 0
	for i := range g.targets {
		t := &g.targets[i]
		if t.role != conf.Replica {
			continue
		}
		replicas++
		if t.banned || t.lagging || g.cfg.RequireCheck && !t.checked {
			out++
			continue
		}
		g.reads = append(g.reads, i)
	}
	if g.primary < 0 {
		return
	}
	p := &g.targets[g.primary]
	fit := !p.banned && !p.failing && (!g.cfg.RequireCheck || p.checked)
	switch g.cfg.Split {
	case conf.PreferPrimary:
		if fit {
			g.reads = append(g.reads[:0], g.primary)
		}
	case conf.ExcludePrimary:
		if replicas == 0 && fit {
			g.reads = append(g.reads, g.primary)
		}
	case conf.IncludePrimaryIfReplicaBanned:
		if (replicas == 0 || out > 0) && fit {
			g.reads = append(g.reads, g.primary)
		}
	default:
		if fit {
			g.reads = append(g.reads, g.primary)
		}
	}
}

// last finds somebody to read from when nobody should be: first everybody whose ban was none
// of an administrator's gets another chance, then the primary stands in for replicas that
// lag, then those that lag, or have not been checked yet, are taken all the same.
func (g *Group) last() {
	cleared := false
	for i := range g.targets {
		t := &g.targets[i]
		if t.role == conf.Replica && t.banned && !t.manual {
			t.banned = false
			cleared = true
		}
	}
	if cleared {
		g.log.Warn("every server was banned; the bans are cleared")
		if g.candidates(); len(g.reads) > 0 {
			return
		}
	}
	if g.primary >= 0 && !g.targets[g.primary].manual {
		g.reads = append(g.reads, g.primary)
		return
	}
	for i := range g.targets {
		if t := &g.targets[i]; t.role == conf.Replica && !t.banned {
			g.reads = append(g.reads, i)
		}
	}
}

// choose takes one of the servers that may be read, by the strategy.
func (g *Group) choose() int {
	if len(g.reads) == 1 {
		return g.reads[0]
	}
	switch g.cfg.Strategy {
	case conf.RoundRobin:
		return g.next()
	case conf.LeastActiveConnections:
		return g.least()
	case conf.WeightedRoundRobin:
		return g.weighted()
	}
	return g.reads[rand.IntN(len(g.reads))]
}

func (g *Group) next() int {
	i := g.reads[g.turn%uint64(len(g.reads))]
	g.turn++
	return i
}

// least takes the server with the fewest connections in use; of several, each in turn.
func (g *Group) least() int {
	start := int(g.turn % uint64(len(g.reads)))
	g.turn++
	best, fewest := -1, 0
	for n := range g.reads {
		i := g.reads[(start+n)%len(g.reads)]
		active := 0
		if f := g.targets[i].Active; f != nil {
			active = f()
		}
		if best < 0 || active < fewest {
			best, fewest = i, active
		}
	}
	return best
}

// weighted is smooth weighted round robin: every server gains its weight, the richest one is
// taken and pays the sum. Within any sum of picks each gets exactly its weight's share, and
// they alternate.
func (g *Group) weighted() int {
	best, sum := -1, 0
	for _, i := range g.reads {
		t := &g.targets[i]
		t.current += t.Weight
		sum += t.Weight
		if t.Weight > 0 && (best < 0 || t.current > g.targets[best].current) {
			best = i
		}
	}
	if best < 0 { // none has a weight
		return g.next()
	}
	g.targets[best].current -= sum
	return best
}
