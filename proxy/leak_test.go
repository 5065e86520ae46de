package proxy_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// TestSettingsStay has clients change parameters in ways that their texts do not tell, and then do what
// makes the proxy ask whether their connection may go: no other client may get it as it is.
func TestSettingsStay(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	transports(t, func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil)
		for _, set := range []string{
			"UPDATE pg_settings SET setting = '4321' WHERE name = 'statement_timeout'",
			`EXPLAIN ANALYZE UPDATE ONLY pg_catalog."pg_settings" SET setting = '4321' WHERE name = 'statement_timeout'`,
			"SELECT set_config('statement_timeout', '43' || '21', false)",
		} {
			for _, then := range []string{"SELECT 1", "SELECT 1/0", "SELECT pg_advisory_unlock_all()", "BEGIN; ROLLBACK"} {
				show := func(c *pgx.Conn) (v string) {
					t.Helper()
					if err := c.QueryRow(t.Context(), "SHOW statement_timeout", pgx.QueryExecModeSimpleProtocol).Scan(&v); err != nil {
						t.Fatal(err)
					}
					return v
				}
				one := b.connect("default_query_exec_mode=simple_protocol")
				before := show(one)
				if before != "0" {
					t.Fatalf("%s: before: %s", set, before)
				}
				if _, err := one.Exec(t.Context(), set); err != nil {
					t.Fatalf("%s: %v", set, err)
				}
				_, _ = one.Exec(t.Context(), then)
				if v := show(one); v != "4321ms" {
					t.Errorf("%s, %s: the client has %s", set, then, v)
				}
				_ = one.Close(t.Context())
				other := b.connect("default_query_exec_mode=simple_protocol")
				if v := show(other); v != "0" {
					t.Errorf("%s, %s: another client has %s", set, then, v)
					_, _ = other.Exec(t.Context(), "RESET ALL")
				}
				_ = other.Close(t.Context())
			}
		}
	})
}

// TestSettingsGone has what such a change has pinned go with the change.
func TestSettingsGone(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	transports(t, func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil)
		const set = "SELECT set_config('statement_timeout', '43' || '21', false)"
		one, other := b.connect("default_query_exec_mode=simple_protocol"), b.connect("default_query_exec_mode=simple_protocol")
		for _, sqls := range [][]string{
			{"BEGIN", set, "ROLLBACK"},
			{"BEGIN", "SAVEPOINT a", set, "ROLLBACK TO a", "SELECT pg_advisory_unlock_all()", "COMMIT"},
			{"SELECT set_config('no parameter', '1' || '2', false)"},
			{set + ", 1/0"},
			{set, "DISCARD ALL"},
		} {
			for _, sql := range sqls {
				_, _ = one.Exec(t.Context(), sql)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			var v string
			if err := other.QueryRow(ctx, "SHOW statement_timeout").Scan(&v); err != nil || v != "0" {
				t.Errorf("%s: another client has %q, %v", sqls, v, err)
			}
			cancel()
		}
		_ = one.Close(t.Context())
		_ = other.Close(t.Context())
		// The text is prepared, and a value of its own.
		three := b.connect("default_query_exec_mode=exec")
		if _, err := three.Exec(t.Context(), "SELECT set_config('statement_timeout', '43' || $1, false)", "21"); err != nil {
			t.Fatal(err)
		}
		_, _ = three.Exec(t.Context(), "SELECT 1/$1::int", 0)
		var v string
		if err := three.QueryRow(t.Context(), "SHOW statement_timeout").Scan(&v); err != nil || v != "4321ms" {
			t.Errorf("the client has %q, %v", v, err)
		}
		if b.pool.Active() != 1 {
			t.Error("its connection is not its own")
		}
		_ = three.Close(t.Context())
	})
}
