package balance

import (
	"log/slog"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Group is the servers of one shard. It is safe for concurrent use.
type Group struct {
	log *slog.Logger

	mu      sync.Mutex
	cfg     Config
	targets []target
	auto    bool // some target's role is found out
	primary int  // -1: not known
	reads   []int
	turn    uint64 // of round robin
	held    waiters
	history []position // of the primary, oldest first

	// Changes of the primary that nobody has been told of, and whether somebody is telling.
	changes [][2]int
	telling bool
}

// A target is what is known of a server.
type target struct {
	Target

	role     conf.Role // Auto: not known
	failing  bool      // the last check or connection failed
	checked  bool      // it has passed a check
	banned   bool
	until    time.Time // when the ban may end
	reason   string
	manual   bool // banned by an administrator
	lagging  bool
	lag      time.Duration
	lagBytes int64
	timeline uint32
	lsn      wire.LSN
	seen     time.Time // when it last answered
	current  int       // smooth weighted round robin's
}

// New returns a group. A server whose role is Auto has none until it is observed.
func New(cfg Config, targets []Target) *Group {
	g := &Group{cfg: cfg.withDefaults(), primary: -1}
	g.log = g.cfg.Logger.With("component", "balance")
	for _, t := range targets {
		if t.Role == "" {
			t.Role = conf.Primary
		}
		g.auto = g.auto || t.Role == conf.Auto
		g.targets = append(g.targets, target{Target: t, role: t.Role})
	}
	g.elect()
	g.candidates()
	return g
}

// SetConfig changes how the group decides, keeping what is known of the servers.
func (g *Group) SetConfig(cfg Config) {
	g.mu.Lock()
	defer g.unlock()
	cfg = cfg.withDefaults()
	cfg.suspected, cfg.Changed = g.cfg.suspected, g.cfg.Changed
	g.cfg = cfg
	for i := range g.targets {
		g.judge(&g.targets[i])
	}
	g.candidates()
}

// Len returns how many servers there are.
func (g *Group) Len() int { return len(g.targets) }

// unlock ends a change: whoever waited and whoever has to be told is called without the lock.
func (g *Group) unlock() {
	ready, primary := g.held.take(g.writable())
	tells := !g.telling && len(g.changes) > 0 // else whoever does goes on with what is new
	g.telling = g.telling || tells
	g.mu.Unlock()
	for _, w := range ready {
		w.ready(primary, nil)
	}
	for tells {
		tells = g.tell()
	}
}

// tell tells of one change; false if there is none.
func (g *Group) tell() bool {
	g.mu.Lock()
	if len(g.changes) == 0 {
		g.telling = false
		g.mu.Unlock()
		return false
	}
	c := g.changes[0]
	g.changes = g.changes[1:]
	changed := g.cfg.Changed
	g.mu.Unlock()
	if changed != nil {
		changed(c[0], c[1])
	}
	return true
}

// writable returns the server that writers get now, or -1 if they have to wait. A failing
// primary is still the one if no other could take its place: the error that connecting to it
// gives says more than waiting would.
func (g *Group) writable() int {
	if g.primary >= 0 && g.targets[g.primary].failing && g.auto && len(g.targets) > 1 {
		return -1
	}
	return g.primary
}

// elect decides which server is the primary.
func (g *Group) elect() {
	best := -1
	for i := range g.targets {
		t := &g.targets[i]
		if t.role != conf.Primary {
			continue
		}
		if best < 0 || g.better(t, i, &g.targets[best], best) {
			best = i
		}
	}
	if best == g.primary {
		return
	}
	from := g.primary
	g.primary = best
	if from < 0 && best >= 0 && g.targets[best].seen.IsZero() {
		return // as it was configured
	}
	g.changes = append(g.changes, [2]int{from, best})
	switch {
	case best < 0:
		g.log.Warn("no server is a primary; writers wait", "was", g.targets[from].Name)
	case from < 0:
		g.log.Info("the primary is known", "server", g.targets[best].Name, "timeline", g.targets[best].timeline)
	default:
		g.log.Warn("the primary has moved", "from", g.targets[from].Name, "to", g.targets[best].Name, "timeline", g.targets[best].timeline)
	}
}

// better reports whether a is to be the primary rather than b: a newer timeline wins, since
// only a promotion begins one; then one that answers; then the one that is it already.
func (g *Group) better(a *target, i int, b *target, j int) bool {
	switch {
	case a.timeline != b.timeline:
		return a.timeline > b.timeline
	case a.failing != b.failing:
		return b.failing
	case i == g.primary || j == g.primary:
		return i == g.primary
	}
	return a.lsn > b.lsn
}
