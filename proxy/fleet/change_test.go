package fleet_test

import (
	"sync/atomic"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
)

// TestReloadChanges has a reload change what clients get of a database that is in use: those that
// come after it.
func TestReloadChanges(t *testing.T) {
	a, b := start(t), start(t)
	c := configOf(t, a, b) // b stands for a replica
	c.General.ReadWriteSplit = conf.ExcludePrimary
	var current atomic.Pointer[conf.Config]
	current.Store(c)
	f, addr := serve(t, &current)
	reload := func(change func(*conf.Config)) {
		t.Helper()
		next := *current.Load()
		change(&next)
		current.Store(&next)
		source, err := fleet.FromConfig(&next)
		if err != nil {
			t.Fatal(err)
		}
		f.Reload(source)
	}
	where := func() string {
		t.Helper()
		c, err := connect(t, addr, "app", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		ask(t, c, "SELECT 1::text")
		if _, err := c.Exec(t.Context(), "BEGIN"); err != nil {
			return code(err)
		}
		return ask(t, c, "SELECT current_setting('data_directory')")
	}
	if dir := where(); dir != a.Info().Dir {
		t.Fatalf("%s answered", dir)
	}
	reload(func(c *conf.Config) { c.General.ReadWriteStrategy = conf.Aggressive })
	if dir := where(); dir != b.Info().Dir {
		t.Fatalf("%s answered", dir)
	}
	db, err := f.Lookup(t.Context(), proxy.Client{User: "app", Database: "db"})
	if err != nil {
		t.Fatal(err)
	}
	reload(func(*conf.Config) {})
	if same, err := f.Lookup(t.Context(), proxy.Client{User: "app", Database: "db"}); err != nil || same != db {
		t.Fatal("a reload that changes nothing makes the database anew", err)
	}
	reload(func(c *conf.Config) { c.General.PoolerMode = conf.Statement })
	if got := where(); got != "0A000" {
		t.Fatalf("statement mode says %s", got)
	}
}
