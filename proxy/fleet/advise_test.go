package fleet_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/plugin"
	"github.com/pgx-dev/pgx-dev/proxy/plugin/wat"
)

func guard(t *testing.T, file string) fleet.Adviser {
	t.Helper()
	var log bytes.Buffer
	p, err := plugin.Load(t.Context(), plugin.Config{Name: "guard", Code: wat.AssembleFile(t, file), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return fleet.Plugins(plugin.Chain{p})
}

// TestPlugins runs the example plugin, which refuses DELETEs that name no key and puts each key on
// the shard of its last digit, in front of real servers.
func TestPlugins(t *testing.T) {
	a, b := start(t), start(t)
	var current atomic.Pointer[conf.Config]
	const blocked = "a DELETE has to name its key"

	for _, mode := range []conf.PoolerMode{conf.Transaction, conf.Session} {
		t.Run("one shard, "+string(mode), func(t *testing.T) {
			c := configOf(t, a, b)
			c.General.PoolerMode, c.General.ReadWriteSplit = mode, conf.ExcludePrimary
			current.Store(c)
			f, addr := serve(t, &current)
			f.Adviser = guard(t, "../plugin/testdata/guard.wat")
			conn, err := connect(t, addr, "app", "one", "db", "")
			if err != nil {
				t.Fatal(err)
			}
			refused := func(what string, err error) {
				t.Helper()
				if code(err) != "42501" || !strings.Contains(err.Error(), blocked) {
					t.Errorf("%s: %v", what, err)
				}
			}
			exec := func(sql string, args ...any) {
				t.Helper()
				if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
					t.Fatalf("%s: %v", sql, err)
				}
			}
			exec("DROP TABLE IF EXISTS guarded")
			exec("CREATE TABLE guarded (id int)")
			exec("INSERT INTO guarded SELECT generate_series(1, 9)")
			_, err = conn.Exec(t.Context(), "DELETE FROM guarded")
			refused("a simple query", err)
			_, err = conn.Exec(t.Context(), "DELETE FROM guarded WHERE id = $1", 1)
			refused("a prepared statement", err)
			_, err = conn.Exec(t.Context(), "DELETE FROM guarded WHERE id = $1", pgx.QueryExecModeExec, 1)
			refused("an unnamed statement", err)
			_, err = conn.Exec(t.Context(), "SELECT 1; DELETE FROM guarded; SELECT 2")
			refused("one of several", err)
			_, err = conn.Exec(t.Context(), "/* hidden */ DELETE /* away */ FROM guarded")
			refused("comments", err)

			// A transaction fails with it, as with any error.
			exec("BEGIN")
			exec("INSERT INTO guarded VALUES (10)")
			_, err = conn.Exec(t.Context(), "DELETE FROM guarded")
			refused("in a transaction", err)
			if _, err := conn.Exec(t.Context(), "SELECT 1"); code(err) != "25P02" {
				t.Errorf("behind it: %v", err)
			}
			exec("ROLLBACK")
			exec("BEGIN")
			_, err = conn.Exec(t.Context(), "DELETE FROM guarded WHERE id = $1", 1)
			refused("prepared in a transaction", err)
			exec("ROLLBACK")
			exec("BEGIN")
			exec("SAVEPOINT a")
			_, err = conn.Exec(t.Context(), "DELETE FROM guarded")
			refused("behind a savepoint", err)
			exec("ROLLBACK TO a")
			exec("COMMIT")

			batch := &pgx.Batch{}
			batch.Queue("INSERT INTO guarded VALUES ($1)", 11)
			batch.Queue("DELETE FROM guarded WHERE id = $1", 2)
			batch.Queue("INSERT INTO guarded VALUES ($1)", 12)
			refused("a batch", conn.SendBatch(t.Context(), batch).Close())
			if mode == conf.Transaction {
				if v := ask(t, conn, "SELECT current_setting('data_directory')"); v != b.Info().Dir {
					t.Errorf("a read runs in %s", v)
				}
			}
			exec("BEGIN")
			if v := ask(t, conn, "SELECT count(*)::text FROM guarded"); v != "9" {
				t.Errorf("%s rows", v)
			}
			exec("COMMIT")
		})
	}

	t.Run("shards", func(t *testing.T) {
		c := configOf(t, a, b)
		c.Databases[1].Role, c.Databases[1].Shard = conf.Primary, 1
		c.ShardedTables = []conf.ShardedTable{{Database: "db", Name: "digits", Column: "id", DataType: conf.Bigint}}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		current.Store(c)
		f, addr := serve(t, &current)
		f.Adviser = guard(t, "../plugin/testdata/guard.wat")
		conn, err := connect(t, addr, "app", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE TABLE digits (id bigint PRIMARY KEY)"); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			sql, args := "INSERT INTO digits (id) VALUES ($1)", []any{pgx.QueryExecModeSimpleProtocol, i}
			if i%2 == 1 {
				args = []any{pgx.QueryExecModeExec, int64(i)}
			}
			if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := conn.Exec(t.Context(), "DELETE FROM digits"); code(err) != "42501" {
			t.Errorf("a DELETE without a key: %v", err)
		}
		for shard := range 2 {
			conn, err := connect(t, addr, "app", "one", "db", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), "SET pgdog.shard = '"+string(rune('0'+shard))+"'"); err != nil {
				t.Fatal(err)
			}
			// The last digit's byte, divided by the number of shards.
			if v := ask(t, conn, "SELECT string_agg(DISTINCT (ascii(right(id::text, 1)) % 2)::text, ',') || count(*) FROM digits"); v != string(rune('0'+shard))+"10" {
				t.Errorf("shard %d holds %s", shard, v)
			}
		}
	})

	t.Run("one that fails", func(t *testing.T) {
		current.Store(configOf(t, a))
		f, addr := serve(t, &current)
		p, err := plugin.Load(t.Context(), plugin.Config{Name: "broken", Code: wat.Assemble(t, `(module (memory (export "memory") 1)
			(func (export "pgx_abi") (result i32) (i32.const 1))
			(func (export "pgx_alloc") (param $size i32) (result i32) (i32.const 1024))
			(func (export "pgx_route") (param $ptr i32) (param $len i32) (result i64) (unreachable)))`)})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		f.Adviser = fleet.Plugins(plugin.Chain{p})
		conn, err := connect(t, addr, "app", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(context.Background(), "SELECT 1"); code(err) != "58000" {
			t.Errorf("got %v", err)
		}
	})
}
