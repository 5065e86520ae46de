package wasm_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// freeze starts a server, runs SQL in a database of it, and freezes that.
func freeze(t testing.TB, spec engines.Spec, sql string) (dir string) {
	t.Helper()
	srv := temp(t, shared, spec)
	for _, step := range []struct{ database, sql string }{{"", "CREATE DATABASE app"}, {"app", sql}} {
		c, err := engines.Connect(t.Context(), srv, step.database)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.PgConn().Exec(t.Context(), step.sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	dir = filepath.Join(t.TempDir(), "frozen")
	if err := srv.(*wasm.Server).Freeze(t.Context(), dir, "app"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func thaw(t testing.TB, dir string) engines.Server {
	t.Helper()
	srv, err := shared.Thaw(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return srv
}

// TestThaw starts servers side by side from what was frozen: each has all of it and sees
// nothing of the others, and so do those that come later.
func TestThaw(t *testing.T) {
	dir := freeze(t, engines.Spec{User: "ann", Params: map[string]string{"work_mem": "5MB"}},
		`CREATE TABLE things (id serial PRIMARY KEY, v text); INSERT INTO things (v) SELECT g::text FROM generate_series(1, 1000) g;
		CREATE EXTENSION pg_trgm; CREATE INDEX ON things USING gin (v gin_trgm_ops)`)
	for round := range 2 {
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				srv := thaw(t, dir)
				if info := srv.Info(); info.User != "ann" || info.Database != "app" {
					t.Errorf("round %d: info %+v", round, info)
				}
				c := connect(t, srv)
				for _, sql := range []string{"INSERT INTO things (v) VALUES ('new')", "CREATE TABLE mine (id int)", "DELETE FROM things WHERE id <= 10"} {
					exec(t, c, sql)
				}
				got := one(t, c, "SELECT format('%s %s %s %s %s', count(*), max(id), current_database(), current_setting('work_mem'), current_user) FROM things")
				if want := "991 1001 app 5MB ann"; got != want {
					t.Errorf("round %d: %s, want %s", round, got, want)
				}
				if got := one(t, c, "SELECT count(*)::text FROM things WHERE v LIKE '%99%'"); got != "19" {
					t.Errorf("round %d: by the index %s rows", round, got)
				}
			})
		}
		wg.Wait()
	}
}

// TestThawRefuses gives the reason where there is nothing that could be started.
func TestThawRefuses(t *testing.T) {
	if _, err := shared.Thaw(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, engines.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	dir := freeze(t, engines.Spec{}, "SELECT 1")
	srv := temp(t, shared, engines.Spec{}).(*wasm.Server)
	if err := srv.Freeze(t.Context(), dir, ""); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("frozen twice into one place: %v", err)
	}
	if err := srv.Freeze(t.Context(), dir+"2", "nope"); err == nil || !strings.Contains(err.Error(), "nope") {
		t.Errorf("a database that is not there: %v", err)
	}
	if left, _ := filepath.Glob(dir + "2*"); left != nil {
		t.Errorf("a failed Freeze left %v", left)
	}
	file := filepath.Join(dir, "frozen.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), `"package":"`, `"package":"old `, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := shared.Thaw(t.Context(), dir); !errors.Is(err, engines.ErrVersion) {
		t.Errorf("of another version: %v", err)
	}
	if err := os.WriteFile(file, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := shared.Thaw(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("half a file: %v", err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "snapshot", "memory.img"), 4096); err != nil {
		t.Fatal(err)
	}
	if _, err := shared.Thaw(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("half a memory: %v", err)
	}
}

// BenchmarkThaw measures what a frozen server takes until it has answered its first query,
// beside cloning the data and booting on them.
func BenchmarkThaw(b *testing.B) {
	const schema = `DO $$ BEGIN FOR i IN 1..100 LOOP EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, v text)', i); END LOOP; END $$`
	b.Run("thaw", func(b *testing.B) {
		dir := freeze(b, engines.Spec{}, schema)
		for b.Loop() {
			srv, err := shared.Thaw(b.Context(), dir)
			if err != nil {
				b.Fatal(err)
			}
			c := connect(b, srv)
			one(b, c, "SELECT count(*)::text FROM t7")
			if err := errors.Join(c.Close(b.Context()), srv.Close(b.Context())); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("clone", func(b *testing.B) {
		db, err := wasm.OpenTemp(b.Context(), wasm.Options{Engine: shared})
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close(context.Background())
		if _, err := db.Exec(b.Context(), schema); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			clone, err := db.Clone(b.Context())
			if err == nil {
				_, err = clone.Query(b.Context(), "SELECT count(*) FROM t7")
			}
			if err == nil {
				err = clone.Close(b.Context())
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
