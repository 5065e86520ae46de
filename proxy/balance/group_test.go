package balance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/wire"
)

var errDown = errors.New("connection refused")

func targets(roles ...conf.Role) []Target {
	var out []Target
	for i, r := range roles {
		out = append(out, Target{Name: fmt.Sprint(i), Role: r, Weight: 255})
	}
	return out
}

// reads counts what n reads get.
func reads(t *testing.T, g *Group, n int) []int {
	t.Helper()
	counts := make([]int, g.Len())
	for range n {
		i, err := g.Read()
		if err != nil {
			t.Fatal(err)
		}
		counts[i]++
	}
	return counts
}

func TestStrategies(t *testing.T) {
	roles := targets(conf.Replica, conf.Replica, conf.Replica)
	roles[0].Weight, roles[1].Weight, roles[2].Weight = 10, 30, 0
	active := []int{5, 2, 2}
	for i := range roles {
		roles[i].Active = func() int { return active[i] }
	}
	group := func(s conf.LoadBalancing) *Group { return New(Config{Strategy: s}, roles) }

	if got := reads(t, group(conf.RoundRobin), 300); !slices.Equal(got, []int{100, 100, 100}) {
		t.Errorf("round_robin: %v", got)
	}
	if got := reads(t, group(conf.WeightedRoundRobin), 400); !slices.Equal(got, []int{100, 300, 0}) {
		t.Errorf("weighted_round_robin: %v", got)
	}
	if got := reads(t, group(conf.LeastActiveConnections), 100); got[0] != 0 || got[1]+got[2] != 100 || got[1] < 30 || got[2] < 30 {
		t.Errorf("least_active_connections: %v", got)
	}
	if got := reads(t, group(conf.Random), 30000); slices.Min(got) < 9000 {
		t.Errorf("random: %v", got)
	}
	// Weighted picks alternate rather than come in runs.
	g, longest, run, last := group(conf.WeightedRoundRobin), 0, 0, -1
	for range 400 {
		i, _ := g.Read()
		if i != last {
			run = 0
		}
		run, last = run+1, i
		longest = max(longest, run)
	}
	if longest > 3 {
		t.Errorf("a server of 3/4 of the weight got %d in a row", longest)
	}
	roles[0].Weight, roles[1].Weight = 0, 0
	if got := reads(t, group(conf.WeightedRoundRobin), 300); !slices.Equal(got, []int{100, 100, 100}) {
		t.Errorf("nobody has a weight: %v", got)
	}
}

func TestSplit(t *testing.T) {
	all := []conf.Role{conf.Primary, conf.Replica, conf.Replica}
	tests := []struct {
		name  string
		split conf.ReadWriteSplit
		roles []conf.Role
		edit  func(g *Group)
		want  []int // servers that get reads
	}{
		{"include_primary", conf.IncludePrimary, all, nil, []int{0, 1, 2}},
		{"include_primary, failing", conf.IncludePrimary, all, func(g *Group) { g.Failed(0, errDown) }, []int{1, 2}},
		{"exclude_primary", conf.ExcludePrimary, all, nil, []int{1, 2}},
		{"exclude_primary, without replicas", conf.ExcludePrimary, all[:1], nil, []int{0}},
		{"if a replica is banned: none is", conf.IncludePrimaryIfReplicaBanned, all, nil, []int{1, 2}},
		{"if a replica is banned: one is", conf.IncludePrimaryIfReplicaBanned, all, func(g *Group) { g.Ban(1, "x") }, []int{0, 2}},
		{"if a replica is banned: there is none", conf.IncludePrimaryIfReplicaBanned, all[:1], nil, []int{0}},
		{"prefer_primary", conf.PreferPrimary, all, nil, []int{0}},
		{"prefer_primary, failing", conf.PreferPrimary, all, func(g *Group) { g.Failed(0, errDown) }, []int{1, 2}},
		{"all failed: another chance for all", conf.ExcludePrimary, all, func(g *Group) { g.Failed(1, errDown); g.Failed(2, errDown) }, []int{1, 2}},
		{"all banned by hand", conf.ExcludePrimary, all, func(g *Group) { g.Ban(1, "x"); g.Ban(2, "x") }, []int{0}},
		{"no primary known", conf.IncludePrimary, []conf.Role{conf.Auto, conf.Replica}, nil, []int{1}},
		{"a primary that fails is all there is", conf.IncludePrimary, all[:1], func(g *Group) { g.Failed(0, errDown) }, []int{0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := New(Config{Split: tt.split, Strategy: conf.RoundRobin}, targets(tt.roles...))
			if tt.edit != nil {
				tt.edit(g)
			}
			var got []int
			for i, n := range reads(t, g, 60) {
				if n > 0 {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("reads go to %v, want %v", got, tt.want)
			}
		})
	}
	g := New(Config{}, targets(conf.Auto, conf.Auto))
	if _, err := g.Read(); !errors.Is(err, ErrNoServer) {
		t.Errorf("nothing is known: %v", err)
	}
	g = New(Config{}, targets(conf.Primary, conf.Replica))
	for range 50 {
		if i, err := g.Replica(); i != 1 || err != nil {
			t.Fatalf("Replica is %d, %v", i, err)
		}
	}
	g = New(Config{}, targets(conf.Primary))
	if i, err := g.Replica(); i != 0 || err != nil {
		t.Errorf("Replica without one is %d, %v", i, err)
	}
}

func TestBan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{BanTimeout: time.Minute, Split: conf.ExcludePrimary}, targets(conf.Primary, conf.Replica, conf.Replica))
		banned := func() bool { return g.States()[1].Banned }
		g.Failed(1, errDown)
		if !banned() || reads(t, g, 20)[1] != 0 {
			t.Fatal("it failed and is read")
		}
		if s := g.States()[1]; s.Reason != "connection refused" || s.Healthy || time.Until(s.Until) != time.Minute {
			t.Errorf("%+v", s)
		}
		g.Observe(1, Observation{InRecovery: true})
		if !banned() {
			t.Error("a check before the time is over ends the ban")
		}
		<-time.After(time.Minute)
		if !banned() {
			t.Error("the time alone ends the ban")
		}
		g.Observe(1, Observation{InRecovery: true})
		if banned() || reads(t, g, 100)[1] == 0 {
			t.Error("time and check do not end the ban")
		}
		g.Ban(1, "by hand")
		<-time.After(time.Hour)
		g.Observe(1, Observation{InRecovery: true})
		g.Failed(2, errDown)
		if !banned() || reads(t, g, 20)[1] != 0 || !g.States()[1].Manual {
			t.Error("a ban by hand is over by itself")
		}
		g.Unban(1)
		if banned() {
			t.Error("unban")
		}
		g.Failed(0, errDown)
		if i, ok := g.Primary(); i != 0 || !ok || g.States()[0].Banned {
			t.Error("the only primary is kept from writers")
		}
		g.Ban(0, "by hand")
		if i, ok := g.Primary(); i != 0 || !ok {
			t.Error("a primary banned by hand is kept from writers")
		}
	})
}

func TestRequireCheck(t *testing.T) {
	g := New(Config{RequireCheck: true}, targets(conf.Primary, conf.Replica, conf.Replica))
	g.Observe(2, Observation{InRecovery: true})
	if got := reads(t, g, 10); !slices.Equal(got, []int{0, 0, 10}) {
		t.Errorf("reads go to %v", got)
	}
}

func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{MaxLag: 10 * time.Second, MaxLagBytes: 1000, Split: conf.ExcludePrimary}, targets(conf.Primary, conf.Replica, conf.Replica))
		primary := func(lsn int) { g.Observe(0, Observation{Timeline: 1, LSN: wire.LSN(lsn)}) }
		replica := func(lsn int, age time.Duration) State {
			g.Observe(1, Observation{InRecovery: true, LSN: wire.LSN(lsn), Replayed: age, Received: true})
			return g.States()[1]
		}
		primary(5000)
		if s := replica(5000, time.Hour); s.Lagging || s.Lag != 0 || s.LagBytes != 0 {
			t.Errorf("caught up after a quiet hour: %+v", s)
		}
		<-time.After(5 * time.Second)
		primary(5100)
		if s := replica(5000, time.Hour); s.Lagging || s.Lag != 5*time.Second || s.LagBytes != 100 {
			t.Errorf("behind since at most 5 s: %+v", s)
		}
		<-time.After(5 * time.Second)
		primary(5200)
		if s := replica(5100, 2*time.Second); s.Lagging || s.Lag != 2*time.Second {
			t.Errorf("the last commit it has is 2 s old: %+v", s)
		}
		primary(7000)
		if s := replica(5200, 0); !s.Lagging || s.LagBytes != 1800 {
			t.Errorf("1800 bytes behind: %+v", s)
		}
		if got := reads(t, g, 20); got[1] != 0 {
			t.Errorf("it is read: %v", got)
		}
		g.Failed(2, errDown)
		if got := reads(t, g, 20); got[2] != 20 {
			t.Errorf("the banned one gets another chance before the late one: %v", got)
		}
		g.Ban(2, "by hand")
		if got := reads(t, g, 20); got[0] != 20 {
			t.Errorf("the primary stands in for a late replica: %v", got)
		}
		if s := replica(7000, time.Minute); s.Lagging {
			t.Errorf("it has caught up: %+v", s)
		}
		for range 20 {
			<-time.After(time.Second)
			primary(7001)
			if s := replica(7000, time.Hour); s.LagBytes != 1 {
				t.Errorf("%+v", s)
			}
		}
		if s := g.States()[1]; !s.Lagging || s.Lag != 20*time.Second {
			t.Errorf("it stands still for 20 s: %+v", s)
		}
		for i := range 3 * maxHistory {
			primary(8000 + i)
		}
		if len(g.history) > maxHistory {
			t.Errorf("%d positions are kept", len(g.history))
		}
		g.SetConfig(Config{})
		if g.States()[1].Lagging {
			t.Error("there is no limit any more")
		}
	})
}

func TestElection(t *testing.T) {
	var moves [][2]int
	g := New(Config{Changed: func(from, to int) { moves = append(moves, [2]int{from, to}) }}, targets(conf.Auto, conf.Auto, conf.Auto))
	primary := func(timeline int) Observation {
		return Observation{Timeline: uint32(timeline), LSN: wire.LSN(timeline * 100)}
	}
	replica := Observation{InRecovery: true}
	want := func(step string, want int) {
		t.Helper()
		i, ok := g.Primary()
		if !ok {
			i = -1
		}
		if i != want {
			t.Errorf("%s: the primary is %d, want %d", step, i, want)
		}
	}
	want("nothing known", -1)
	g.Observe(1, replica)
	g.Observe(0, primary(1))
	want("found", 0)
	g.Failed(0, errDown)
	want("it fails", -1)
	g.Observe(0, primary(1))
	want("it is back", 0)
	g.Failed(0, errDown)
	g.Observe(1, primary(2))
	want("another one was promoted", 1)
	g.Observe(0, primary(1))
	want("the old one comes back and knows nothing", 1)
	g.Failed(1, errDown)
	want("the new one fails; the old one gets no writes", -1)
	g.Observe(1, primary(2))
	g.Observe(0, replica)
	want("the old one follows", 1)
	g.Observe(1, replica)
	want("none is", -1)
	g.Observe(2, primary(3))
	want("the third", 2)
	if want := [][2]int{{-1, 0}, {0, 1}, {1, -1}, {-1, 2}}; !slices.Equal(moves, want) {
		t.Errorf("moves %v, want %v", moves, want)
	}
	// A role that was configured is believed.
	g = New(Config{}, targets(conf.Replica, conf.Primary))
	g.Observe(0, primary(5))
	if i, _ := g.Primary(); i != 1 {
		t.Errorf("the primary is %d", i)
	}
}

func TestHold(t *testing.T) {
	g := New(Config{MaxHeld: 4}, targets(conf.Auto, conf.Auto))
	var order []string
	hold := func(name string) func() bool {
		cancel, err := g.Hold(func(target int, err error) { order = append(order, fmt.Sprintf("%s%d%v", name, target, err)) })
		if err != nil {
			t.Fatal(err)
		}
		return cancel
	}
	hold("a")
	b := hold("b")
	hold("c")
	last := hold("d")
	if _, err := g.Hold(nil); !errors.Is(err, ErrTooManyHeld) {
		t.Errorf("the fifth: %v", err)
	}
	if !b() || b() {
		t.Error("cancel says what happened")
	}
	hold("e")
	if !last() {
		t.Error("cancel of the one before the last")
	}
	g.Observe(1, Observation{Timeline: 1})
	if want := []string{"a1<nil>", "c1<nil>", "e1<nil>"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if g.Held() != 0 {
		t.Errorf("%d are held", g.Held())
	}
	if hold("now")() || order[3] != "now1<nil>" {
		t.Error("with a primary nobody waits")
	}
	g.Failed(1, errDown)
	hold("closed")
	g.Release(errDown)
	if order[4] != "closed-1connection refused" {
		t.Error(order[4])
	}
}

func TestWaitPrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{}, targets(conf.Auto, conf.Auto))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := g.WaitPrimary(ctx); !errors.Is(err, ErrNoPrimary) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if e, ok := errors.AsType[*wire.Error](ErrNoPrimary); !ok || e.Code != "57P03" {
			t.Errorf("%v", ErrNoPrimary)
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if i, err := g.WaitPrimary(t.Context()); i != 0 || err != nil {
					t.Errorf("%d, %v", i, err)
				}
			})
		}
		synctest.Wait()
		if g.Held() != 100 {
			t.Errorf("%d are held", g.Held())
		}
		g.Observe(0, Observation{Timeline: 1})
		wg.Wait()
	})
}

// TestConcurrent lets everything happen at once, for the race detector.
func TestConcurrent(t *testing.T) {
	var mu sync.Mutex
	last := -1
	g := New(Config{Changed: func(from, to int) {
		mu.Lock()
		defer mu.Unlock()
		if from != last {
			t.Errorf("told of %d after %d", from, last)
		}
		last = to
	}}, targets(conf.Auto, conf.Auto, conf.Auto))
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for k := range 500 {
				i := (n + k) % 3
				switch k % 7 {
				case 0:
					g.Failed(i, errDown)
				case 1, 2:
					g.Observe(i, Observation{Timeline: uint32(k), InRecovery: k%2 == 0})
				case 3:
					g.Unban(i)
				case 4:
					if cancel, err := g.Hold(func(int, error) {}); err == nil {
						cancel()
					}
				default:
					_, _ = g.Read()
					_, _ = g.Primary()
					g.States()
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRead(b *testing.B) {
	for _, s := range []conf.LoadBalancing{conf.Random, conf.RoundRobin, conf.WeightedRoundRobin, conf.LeastActiveConnections} {
		b.Run(string(s), func(b *testing.B) {
			g := New(Config{Strategy: s}, targets(conf.Primary, conf.Replica, conf.Replica, conf.Replica))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := g.Read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
