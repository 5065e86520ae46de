package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// warnings fails a test for which a clone is made the slow way.
type warnings struct {
	slog.Handler
	mu   sync.Mutex
	seen []string
}

func (w *warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	w.seen = append(w.seen, text)
	return nil
}

// watched returns an engine whose warnings are collected.
func watched(t *testing.T, cfg wasm.Config) (*wasm.Engine, *warnings) {
	t.Helper()
	w := &warnings{Handler: slog.DiscardHandler}
	cfg.Log = slog.New(w)
	e := wasm.New(cfg)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, w
}

func clone(t *testing.T, srv engines.Server) engines.Server {
	t.Helper()
	c, err := srv.(*wasm.Server).Clone(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// TestClone clones servers that have everything which could be lost on the way: loaded
// libraries, data not written out yet, other sessions, grown memory, deleted files.
func TestClone(t *testing.T) {
	e, warned := watched(t, wasm.Config{})
	for _, name := range []string{"temporary", "directory", "other parameters"} {
		t.Run(name, func(t *testing.T) {
			spec := engines.Spec{}
			switch name {
			case "directory":
				spec.Dir = filepath.Join(t.TempDir(), "data")
			case "other parameters":
				spec.Params = map[string]string{"work_mem": "7MB", "max_prepared_transactions": "2"}
			}
			srv := temp(t, e, spec)
			c := connect(t, srv)
			exec(t, c, `create extension hstore; create extension vector; create table t(id serial primary key, h hstore, v vector(3));
				insert into t(h, v) select hstore('k', g::text), array[g, g, g]::vector from generate_series(1, 2000) g; create index on t using hnsw (v vector_l2_ops);
				create function twice(n int) returns int language plpgsql as $$ begin return 2 * n; end $$;
				create table big as select repeat('x', 1000) || g as s from generate_series(1, 20000) g; drop table big; create temp table gone(a int); drop table gone`, pgx.QueryExecModeSimpleProtocol)
			wantOne(t, c, "4", "select twice(2)::text")
			exec(t, c, "select length(repeat('x', 100000000))") // the guest's memory grows
			exec(t, c, "set application_name = 'the original'; listen ch; prepare q as select 1", pgx.QueryExecModeSimpleProtocol)
			idle := connect(t, srv)
			exec(t, idle, "set search_path = nowhere")

			check := func(srv engines.Server, rows string) *pgx.Conn {
				t.Helper()
				c := connect(t, srv)
				wantOne(t, c, rows, "select count(*)::text from t")
				wantOne(t, c, "7", "select h -> 'k' from t order by v <-> '[7,7,7]' limit 1")
				wantOne(t, c, "4", "select twice(2)::text")
				wantOne(t, c, "", "show application_name")
				wantOne(t, c, "0", "select count(*)::text from pg_listening_channels()")
				wantCode(t, c, "26000", "execute q", pgx.QueryExecModeSimpleProtocol)
				if spec.Params != nil {
					wantOne(t, c, "7MB", "show work_mem")
				}
				return c
			}
			one1 := clone(t, srv)
			c1 := check(one1, "2000")
			exec(t, c1, "delete from t where id > 10; insert into t(h) values ('clone=>1')", pgx.QueryExecModeSimpleProtocol)
			exec(t, c1, "vacuum full t")
			wantOne(t, c, "2000", "select count(*)::text from t")
			exec(t, c, "insert into t(h) values ('original=>1')")
			two := clone(t, srv)   // of what was changed since
			three := clone(t, srv) // of the same again
			check(two, "2001")
			check(three, "2001")
			four := clone(t, one1)                   // of a clone
			exec(t, c1, "create extension unaccent") // a library that the clone of the clone has not
			wantOne(t, c1, "Hotel", "select unaccent('Hôtel')")
			five := clone(t, one1)
			if err := one1.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			c4 := connect(t, four)
			wantOne(t, c4, "11", "select count(*)::text from t")
			wantOne(t, c4, "1", "select h -> 'clone' from t where h ? 'clone'")
			wantOne(t, connect(t, five), "Hotel", "select unaccent('Hôtel')")
			for _, sql := range []string{"create extension citext", "create database more", "checkpoint", "vacuum"} {
				exec(t, c4, sql)
			}
			_ = c4.Close(t.Context())
			more, err := engines.Connect(t.Context(), four, "more") // boots anew
			if err != nil {
				t.Fatal(err)
			}
			wantOne(t, more, "more", "select current_database()::text")
			_ = more.Close(t.Context())
			wantOne(t, connect(t, four), "11", "select count(*)::text from t")
			wantOne(t, c, "the original", "show application_name")

			// Random numbers are everybody's own.
			seen := map[string]bool{}
			for _, s := range []engines.Server{srv, two, three, five} {
				c := connect(t, s)
				for _, sql := range []string{"select random()::text", "select gen_random_uuid()::text"} {
					if v := one(t, c, sql); seen[v] {
						t.Errorf("%s gave %s twice", sql, v)
					} else {
						seen[v] = true
					}
				}
			}
		})
	}
	if len(warned.seen) > 0 {
		t.Errorf("warnings: %q", warned.seen)
	}
}

// TestCloneWaits checks what a Clone does while somebody is in a transaction, and when it
// is not to wait, or the server ends.
func TestCloneWaits(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	c := connect(t, srv)
	exec(t, c, "create table t(a int)")
	exec(t, c, "begin; insert into t values (1)", pgx.QueryExecModeSimpleProtocol)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(enough) })
	if clone, err := srv.(*wasm.Server).Clone(ctx); !errors.Is(err, enough) {
		t.Errorf("in a transaction: %v, %v", clone, err)
	}
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			clone, err := srv.(*wasm.Server).Clone(t.Context())
			if err != nil {
				return err
			}
			c, err := engines.Connect(t.Context(), clone, "")
			if err != nil {
				return err
			}
			var n int
			err = c.QueryRow(t.Context(), "select count(*) from t").Scan(&n)
			if err == nil && n != 1 {
				err = fmt.Errorf("%d rows, want 1", n)
			}
			return errors.Join(err, c.Close(t.Context()), clone.Close(t.Context()))
		})
	}
	exec(t, c, "commit")
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if err := srv.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := srv.(*wasm.Server).Clone(t.Context()); err == nil {
		t.Error("a server that has ended was cloned")
	}
}

// TestCloneSlowly checks the way that is left when memory cannot be cloned: here a library
// that failed to load has left the function table different.
func TestCloneSlowly(t *testing.T) {
	e, warned := watched(t, wasm.Config{})
	srv := temp(t, e, engines.Spec{})
	c := connect(t, srv)
	exec(t, c, "create table t as select generate_series(1, 100) a")
	wasm.SpoilTable(srv.(*wasm.Server))
	exec(t, c, "create extension hstore")
	copied := connect(t, clone(t, srv))
	wantOne(t, copied, "100", "select count(*)::text from t")
	wantOne(t, copied, "1", "select 'a=>1'::hstore -> 'a'")
	if len(warned.seen) != 1 || !strings.Contains(warned.seen[0], "its place in the table") {
		t.Errorf("warnings: %q", warned.seen)
	}
}
