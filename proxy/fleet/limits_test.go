package fleet_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
)

// TestLimits has two users of one server, who together may have as many connections as one of
// them alone.
func TestLimits(t *testing.T) {
	srv := start(t)
	var current atomic.Pointer[conf.Config]
	limited := func(change func(c *conf.Config)) *conf.Config {
		c := configOf(t, srv)
		c.General.MinPoolSize = 0
		c.Users = append(c.Users, conf.User{Name: "other", Database: "db", Password: "one", ServerUser: "postgres"})
		c.Databases[0].Parameters = map[string]string{"application_name": "limited"}
		// The users' pools must be different ones.
		c.Users[1].PoolSize = new(7)
		change(c)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	const count = "SELECT count(*)::text FROM pg_stat_activity WHERE backend_type = 'client backend'"

	for name, change := range map[string]func(c *conf.Config){
		"max_db_connections":                 func(c *conf.Config) { c.PgBouncer.MaxDBConnections = 2 },
		"max_db_connections of the database": func(c *conf.Config) { c.Databases[0].MaxDBConnections = new(2) },
		"max_user_connections":               func(c *conf.Config) { c.PgBouncer.MaxUserConnections = 2 },
		"max_user_connections of server_user": func(c *conf.Config) {
			c.Users = append(c.Users, conf.User{Name: "postgres", Database: "db", Password: "x", MaxUserConnections: new(2)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			current.Store(limited(change))
			f, addr := serve(t, &current)
			var wg sync.WaitGroup
			var worst atomic.Int64
			for i := range 8 {
				conn, err := connect(t, addr, []string{"app", "other"}[i%2], "one", "db", "")
				if err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					for range 20 {
						var n int64
						var s string
						if err := conn.QueryRow(t.Context(), count).Scan(&s); err != nil {
							t.Error(err)
							return
						}
						_, _ = fmt.Sscan(s, &n)
						for {
							old := worst.Load()
							if n <= old || worst.CompareAndSwap(old, n) {
								break
							}
						}
					}
				})
			}
			wg.Wait()
			// A server process that was told to end may be there for a moment more, so what the
			// pools have counts too.
			if n := len(f.Pools()); n != 2 {
				t.Errorf("%d pools, want 2", n)
			}
			have := 0
			for _, p := range f.Pools() {
				have += len(p.Conns())
			}
			if have > 2 || worst.Load() < 1 {
				t.Errorf("%d connections, %d seen", have, worst.Load())
			}
		})
	}

	t.Run("reload", func(t *testing.T) {
		current.Store(limited(func(c *conf.Config) { c.PgBouncer.MaxDBConnections = 1 }))
		f, addr := serve(t, &current)
		a, err := connect(t, addr, "app", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		b, err := connect(t, addr, "other", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		tx, err := a.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() {
			_, err := b.Exec(t.Context(), "SELECT 1")
			answered <- err
		}()
		more := limited(func(c *conf.Config) { c.PgBouncer.MaxDBConnections = 2 })
		source, err := fleet.FromConfig(more)
		if err != nil {
			t.Fatal(err)
		}
		current.Store(more)
		f.Reload(source)
		if err := <-answered; err != nil {
			t.Error(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	})

	t.Run("clients", func(t *testing.T) {
		current.Store(limited(func(c *conf.Config) {
			c.PgBouncer.MaxDBClientConnections = 3
			c.Users[0].MaxUserClientConnections = new(1)
		}))
		_, addr := serve(t, &current)
		first, err := connect(t, addr, "app", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := connect(t, addr, "app", "one", "db", ""); code(err) != "53300" {
			t.Errorf("a second client of the user: %v", err)
		}
		for range 2 {
			if _, err := connect(t, addr, "other", "one", "db", ""); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := connect(t, addr, "other", "one", "db", ""); code(err) != "53300" {
			t.Errorf("a fourth client of the database: %v", err)
		}
		if err := first.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for {
			_, err := connect(t, addr, "app", "one", "db", "")
			if err == nil {
				break
			}
			if code(err) != "53300" {
				t.Fatal(err)
			}
		}
	})
}
