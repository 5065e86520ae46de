package fleet_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
)

// A locked buffer is a log.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestDryRun counts where statements would go, and runs them as ever.
func TestDryRun(t *testing.T) {
	srv := start(t)
	c := configOf(t, srv)
	c.General.DryRun = true
	c.ShardedTables = []conf.ShardedTable{{Database: "db", Column: "user_id"}}
	var current atomic.Pointer[conf.Config]
	current.Store(c)
	source, err := fleet.FromConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	var log logged
	f := fleet.New(source, slog.New(slog.NewTextHandler(&log, nil)))
	auth := fleet.NewAuth(current.Load, false)
	auth.Fleet = f
	addr := listen(t, f, proxy.Config{Lookup: f.Lookup, Auth: auth})
	conn, err := connect(t, addr, "app", "one", "db", "")
	if err != nil {
		t.Fatal(err)
	}
	do := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	seen := func(query string) (p fleet.QueryPlan) {
		for _, x := range f.Plans() {
			if x.Query == query {
				return x
			}
		}
		return p
	}
	wait := func(query string, want fleet.QueryPlan) {
		t.Helper()
		want.Query = query
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(20 * time.Second); seen(query) != want; <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v, want %+v; of all %+v", query, seen(query), want, f.Plans())
			}
		}
	}
	plan := func(hits, direct, cross, refused uint64) (p fleet.QueryPlan) {
		p.Hits, p.Direct, p.Cross, p.Refused = hits, direct, cross, refused
		return p
	}
	do("CREATE TABLE orders (user_id bigint, n int)")
	wait("CREATE TABLE orders (user_id bigint, n int)", plan(1, 0, 1, 0))
	for i := range 5 {
		do("INSERT INTO orders VALUES ($1, $2)", i, 10*i)
		do("SELECT n FROM orders WHERE user_id = 3")
	}
	wait("INSERT INTO orders VALUES ($1, $2)", plan(5, 5, 0, 0))
	wait("SELECT n FROM orders WHERE user_id = ?", plan(5, 5, 0, 0))
	do("SELECT count(*) FROM orders")
	wait("SELECT count(*) FROM orders", plan(1, 0, 1, 0))
	const refused = "SELECT n, ? AS k INTO copied FROM orders"
	do("SELECT n, 77 AS k INTO copied FROM orders")
	wait(refused, plan(1, 0, 0, 1))
	if s := log.String(); !strings.Contains(s, "dry_run") || strings.Contains(s, "77") || !strings.Contains(s, "INTO copied") {
		t.Errorf("the log: %s", s)
	}
	if v := ask(t, conn, "SELECT sum(user_id)::text FROM orders"); v != "10" {
		t.Errorf("the sum is %s: the statements were not run as they are", v)
	}
	if s := f.Routing(); s.Direct == 0 || s.Cross == 0 {
		t.Errorf("the figures are %+v", s)
	}
	f.ForgetPlans()
	if p := seen(refused); p.Hits != 0 {
		t.Errorf("after forgetting %+v", p)
	}

	// Without dry_run nothing is looked at.
	next := *c
	next.General.DryRun = false
	if source, err = fleet.FromConfig(&next); err != nil {
		t.Fatal(err)
	}
	f.Reload(source)
	do("SELECT 'unseen'")
	f.Reload(func(user, database string) (fleet.Plan, error) { return source(user, database) })
	if p := seen("SELECT ?"); p.Hits != 0 {
		t.Errorf("it goes on: %+v", p)
	}
}
