package fleet_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
)

// TestSeveralAtOnce chooses among several servers without a wait, and fairly, too when their pools
// are used up.
func TestSeveralAtOnce(t *testing.T) {
	a, b := start(t), start(t)
	c := configOf(t, a, b) // b stands for a replica
	c.General.LoadBalancingStrategy, c.General.ReadWriteSplit = conf.RoundRobin, conf.IncludePrimary
	c.General.DefaultPoolSize = 1
	var current atomic.Pointer[conf.Config]
	current.Store(c)
	f, addr := serve(t, &current)
	first, err := connect(t, addr, "app", "one", "db", "")
	if err != nil {
		t.Fatal(err)
	}
	const where = "SELECT current_setting('data_directory')"
	ask(t, first, where)
	db, err := f.Lookup(t.Context(), proxy.Client{User: "app", Database: "db"})
	if err != nil {
		t.Fatal(err)
	}
	quick, ok := db.Servers.(interface {
		Ready(role route.Role) *pool.Pool
	})
	if !ok {
		t.Fatal("the servers cannot tell at once")
	}
	seen := map[any]int{}
	for range 10 {
		p := quick.Ready(route.Replica)
		if p == nil {
			t.Fatal("nobody is ready to be read from")
		}
		seen[p.Backend().ID]++
		if p := quick.Ready(route.Primary); p == nil || p.Backend().Role != pool.Primary {
			t.Fatal("the primary is not ready")
		}
	}
	for _, n := range seen {
		if n != 5 || len(seen) != 2 {
			t.Errorf("reads went to %v", seen)
		}
	}
	// Many clients that wait for few connections: both servers get about the same.
	var mu sync.Mutex
	reads := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://app:one@%s/db?sslmode=disable", addr))
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = c.Close(context.Background()) }()
			for range 25 {
				var dir string
				if err := c.QueryRow(t.Context(), where).Scan(&dir); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				reads[dir]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for dir, n := range reads {
		if n < 50 || len(reads) != 2 {
			t.Errorf("%s answered %d of 200: %v", dir, n, reads)
		}
	}
	// A reload changes who is chosen.
	next := *c
	next.Databases = next.Databases[:1]
	source, err := fleet.FromConfig(&next)
	if err != nil {
		t.Fatal(err)
	}
	f.Reload(source)
	for range 5 {
		if dir := ask(t, first, where); dir != a.Info().Dir {
			t.Errorf("%s answered", dir)
		}
	}
}
