package balance

import (
	"slices"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/wire"
)

// An Observation is what a server said of itself.
type Observation struct {
	// InRecovery is pg_is_in_recovery().
	InRecovery bool
	// Timeline is the one that a primary writes; 0 if it is not known.
	Timeline uint32
	// LSN is where a primary writes, or up to where a replica has replayed.
	LSN wire.LSN
	// Replayed is how long ago the last transaction that a replica has replayed was
	// committed; negative if it has replayed none since it started. Received is whether it
	// has replayed all that it has received.
	Replayed time.Duration
	Received bool
}

// Observe notes that a server has passed a check, and what it said.
func (g *Group) Observe(i int, o Observation) {
	g.mu.Lock()
	defer g.unlock()
	t := &g.targets[i]
	t.seen = time.Now()
	t.checked = true
	if t.failing {
		t.failing = false
		g.log.Info("the server answers again", "server", t.Name)
	}
	if t.Role == conf.Auto {
		t.role = conf.Primary
		if o.InRecovery {
			t.role = conf.Replica
		}
	}
	t.timeline, t.lsn = o.Timeline, o.LSN
	g.elect()
	if i == g.primary {
		g.remember(t)
	}
	g.measure(t, o)
	g.judge(t)
	if t.banned && !t.manual && !time.Now().Before(t.until) {
		t.banned = false
		g.log.Info("the ban is over", "server", t.Name)
	}
	g.candidates()
}

// A position is where the primary was when it was last seen there.
type position struct {
	lsn wire.LSN
	at  time.Time
}

// maxHistory bounds the positions that are kept.
const maxHistory = 128

// remember notes where the primary is.
func (g *Group) remember(t *target) {
	if n := len(g.history); n > 0 {
		switch last := &g.history[n-1]; {
		case last.lsn == t.lsn:
			last.at = t.seen
			return
		case last.lsn > t.lsn: // another primary
			g.history = g.history[:0]
		case n == maxHistory:
			g.history = append(g.history[:0], g.history[1:]...)
		}
	}
	g.history = append(g.history, position{t.lsn, t.seen})
}

// measure computes a replica's lag. The primary's position was learned before the
// replica's, so that a replica which is there has caught up, however long ago the last
// commit was. Of one that is not, the age of the last commit it has replayed is a bound on
// its lag that is too high after a quiet time; when the primary was last seen where the
// replica is now is another.
func (g *Group) measure(t *target, o Observation) {
	t.lag, t.lagBytes = 0, 0
	if t.role != conf.Replica {
		return
	}
	if len(g.history) == 0 {
		if !o.Received {
			t.lag = max(o.Replayed, 0)
		}
		return
	}
	ahead := g.history[len(g.history)-1].lsn
	if ahead <= o.LSN {
		return
	}
	t.lagBytes = int64(ahead - o.LSN)
	since := g.history[0].at
	for _, p := range slices.Backward(g.history) {
		if p.lsn <= o.LSN {
			since = p.at
			break
		}
	}
	there := g.history[0].lsn <= o.LSN
	switch t.lag = t.seen.Sub(since); {
	case o.Replayed >= 0 && there:
		t.lag = min(t.lag, o.Replayed)
	case o.Replayed >= 0: // longer ago than is remembered
		t.lag = o.Replayed
	}
}

// judge decides whether a replica lags too much.
func (g *Group) judge(t *target) {
	c := &g.cfg
	late := t.role == conf.Replica && (c.MaxLag > 0 && t.lag > c.MaxLag || c.MaxLagBytes > 0 && t.lagBytes > c.MaxLagBytes)
	if late != t.lagging {
		t.lagging = late
		if late {
			g.log.Warn("the replica lags and gets no reads", "server", t.Name, "lag", t.lag, "bytes", t.lagBytes)
		} else {
			g.log.Info("the replica has caught up", "server", t.Name)
		}
	}
}

// Failed notes that a check or a connection failed. Replicas are banned; writers that would
// get a primary whose place may be taken wait until the next check.
func (g *Group) Failed(i int, err error) {
	g.mu.Lock()
	t := &g.targets[i]
	if !t.failing {
		g.log.Warn("the server fails", "server", t.Name, "error", err)
	}
	first := !t.failing
	t.failing = true
	if t.role != conf.Primary {
		g.ban(t, errorText(err), false)
	}
	g.elect()
	g.candidates()
	suspected := g.cfg.suspected
	g.unlock()
	if suspected != nil && first {
		suspected(i)
	}
}

func errorText(err error) string {
	if err == nil {
		return "failed"
	}
	return err.Error()
}

// Suspect asks for a check of a server at once: because it refused to write, for instance,
// which a primary that was demoted does. Without a Checker it does nothing.
func (g *Group) Suspect(i int) {
	g.mu.Lock()
	suspected := g.cfg.suspected
	g.mu.Unlock()
	if suspected != nil {
		suspected(i)
	}
}

// Ban leaves a server out until Unban, as an administrator asks. A primary goes on to be
// written to.
func (g *Group) Ban(i int, reason string) {
	g.mu.Lock()
	defer g.unlock()
	g.ban(&g.targets[i], reason, true)
	g.candidates()
}

func (g *Group) ban(t *target, reason string, manual bool) {
	if !t.banned {
		g.log.Warn("the server is banned", "server", t.Name, "reason", reason, "manual", manual)
	}
	t.banned, t.reason = true, reason
	t.manual = t.manual || manual
	t.until = time.Now().Add(g.cfg.BanTimeout)
}

// Unban lifts a ban, whoever has set it.
func (g *Group) Unban(i int) {
	g.mu.Lock()
	defer g.unlock()
	t := &g.targets[i]
	if t.banned {
		g.log.Info("the ban is lifted", "server", t.Name)
	}
	t.banned, t.manual, t.reason, t.until = false, false, "", time.Time{}
	g.candidates()
}

// A State is what is known of a server.
type State struct {
	Target
	// Role is what the server is: conf.Auto if that is not known. Primary says that it is the
	// one to write to.
	Role    conf.Role
	Primary bool
	// Healthy says that the last check or connection did not fail.
	Healthy bool
	Banned  bool
	Manual  bool
	Reason  string
	Until   time.Time // when the ban may end; zero for a manual one
	// Lagging replicas get no reads.
	Lagging  bool
	Lag      time.Duration
	LagBytes int64
	LSN      wire.LSN
	Timeline uint32
	Seen     time.Time // when it last passed a check; zero: never
}

// States returns what is known of the servers.
func (g *Group) States() []State {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]State, len(g.targets))
	for i := range g.targets {
		t := &g.targets[i]
		out[i] = State{
			Target: t.Target, Role: t.role, Primary: i == g.primary, Healthy: !t.failing, Banned: t.banned, Manual: t.manual,
			Lagging: t.lagging, Lag: t.lag, LagBytes: t.lagBytes, LSN: t.lsn, Timeline: t.timeline, Seen: t.seen,
		}
		if t.banned {
			out[i].Reason = t.reason
			if !t.manual {
				out[i].Until = t.until
			}
		}
	}
	return out
}

// Held returns how many writers wait for a primary.
func (g *Group) Held() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held.n
}
