package proxy_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// TestSQLPrepare has clients PREPARE and EXECUTE on connections that they share.
func TestSQLPrepare(t *testing.T) { transports(t, testSQLPrepare) }

func testSQLPrepare(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	// Nobody is served while somebody else keeps the only connection.
	cfg := pool.Config{Size: 1, CheckoutTimeout: 2 * time.Second, Statements: 3}

	t.Run("shared", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, cfg, nil)
		one, two := b.connect(""), b.connect("")
		run(t, one, "PREPARE p (int) AS SELECT ($1 + 1)::text")
		run(t, two, "PREPARE p (int) AS SELECT ($1 + 2)::text")
		for range 2 {
			if a, c := simple(t, one, "EXECUTE p(1)"), simple(t, two, "EXECUTE p(1)"); a != "2" || c != "3" {
				t.Fatalf("%s and %s", a, c)
			}
		}
		if s := b.px.Stats(); s.Pinned != 0 {
			t.Errorf("%d clients keep their connection", s.Pinned)
		}
		if _, err := one.Exec(t.Context(), "PREPARE p AS SELECT 1"); code(err) != "42P05" || !strings.Contains(err.Error(), `"p" already exists`) {
			t.Errorf("PREPARE twice: %v", err)
		}
		if _, err := one.Exec(t.Context(), "PREPARE q AS SELECT nothing"); code(err) != "42703" {
			t.Errorf("PREPARE that fails: %v", err)
		}
		if _, err := one.Exec(t.Context(), "EXECUTE q"); code(err) != "26000" {
			t.Errorf("EXECUTE of it: %v", err)
		}
		run(t, one, "PREPARE q AS SELECT 'late'")
		if v := simple(t, one, "EXECUTE q"); v != "late" {
			t.Error(v)
		}
		// More statements than the connection may have.
		for _, name := range []string{"r1", "r2", "r3", "r4", "r5"} {
			run(t, one, "PREPARE "+name+" AS SELECT '"+name+"'")
		}
		for _, name := range []string{"r1", "r2", "r3", "r4", "r5", "r1"} {
			if v := simple(t, one, "EXECUTE "+name); v != name {
				t.Errorf("%s gives %s", name, v)
			}
		}
		run(t, one, "DEALLOCATE p")
		if _, err := one.Exec(t.Context(), "EXECUTE p(1)"); code(err) != "26000" {
			t.Errorf("EXECUTE after DEALLOCATE: %v", err)
		}
		if v := simple(t, two, "EXECUTE p(1)"); v != "3" {
			t.Errorf("the other's statement gives %s", v)
		}
		run(t, one, "DEALLOCATE ALL")
		if _, err := one.Exec(t.Context(), "EXECUTE q"); code(err) != "26000" {
			t.Errorf("EXECUTE after DEALLOCATE ALL: %v", err)
		}
		if v := simple(t, two, "EXECUTE p(2)"); v != "4" {
			t.Errorf("the other's statement gives %s", v)
		}
		run(t, two, "DISCARD ALL")
		if _, err := two.Exec(t.Context(), "EXECUTE p(1)"); code(err) != "26000" {
			t.Errorf("EXECUTE after DISCARD ALL: %v", err)
		}
	})

	t.Run("in transactions", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, cfg, nil)
		conn := b.connect("")
		run(t, conn, "BEGIN")
		run(t, conn, "PREPARE p AS SELECT 'in'")
		run(t, conn, "ROLLBACK")
		if v := simple(t, conn, "EXECUTE p"); v != "in" {
			t.Error(v)
		}
		run(t, conn, "BEGIN")
		if _, err := conn.Exec(t.Context(), "SELECT 1/0"); err == nil {
			t.Fatal("no error")
		}
		if _, err := conn.Exec(t.Context(), "PREPARE q AS SELECT 1"); code(err) != "25P02" {
			t.Errorf("PREPARE in a failed transaction: %v", err)
		}
		if _, err := conn.Exec(t.Context(), "EXECUTE p"); code(err) != "25P02" {
			t.Errorf("EXECUTE in a failed transaction: %v", err)
		}
		run(t, conn, "ROLLBACK")
		if _, err := conn.Exec(t.Context(), "EXECUTE q"); code(err) != "26000" {
			t.Errorf("EXECUTE of what was not prepared: %v", err)
		}
		if v := simple(t, conn, "EXPLAIN (COSTS OFF) EXECUTE p"); v != "Result" {
			t.Error(v)
		}
	})

	t.Run("by both protocols", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, cfg, nil)
		conn := b.connect("")
		run(t, conn, "PREPARE p AS SELECT 'first'")
		// The protocol's Bind of a statement of PREPARE.
		r := conn.PgConn().ExecPrepared(t.Context(), "p", nil, nil, nil).Read()
		if r.Err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != "first" {
			t.Errorf("%v, %v", r.Rows, r.Err)
		}
		// EXECUTE in the extended protocol: the text has the client's own name.
		for range 2 {
			if v := value(t, conn, "EXECUTE p"); v != "first" {
				t.Error(v)
			}
			var v string
			if err := conn.QueryRow(t.Context(), "EXECUTE p", pgx.QueryExecModeExec).Scan(&v); err != nil || v != "first" {
				t.Errorf("%s, %v", v, err)
			}
		}
		run(t, conn, "DEALLOCATE p")
		run(t, conn, "PREPARE p AS SELECT 'second'")
		if v := value(t, conn, "EXECUTE p"); v != "second" {
			t.Error(v)
		}
		if v := simple(t, conn, "EXECUTE p"); v != "second" {
			t.Error(v)
		}
		if _, err := conn.Exec(t.Context(), "DEALLOCATE p", pgx.QueryExecModeExec); err != nil {
			t.Error(err)
		}
		if _, err := conn.Exec(t.Context(), "EXECUTE p"); code(err) != "26000" {
			t.Errorf("EXECUTE after DEALLOCATE: %v", err)
		}
		eventually(t, "the connection is free", func() bool {
			run(t, conn, "SELECT 1")
			return b.px.Stats().Pinned == 0
		})
	})

	t.Run("what has effects keeps its connection", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 2}, nil)
		conn := b.connect("")
		run(t, conn, "PREPARE p AS SELECT pg_advisory_lock(1)")
		if s := b.px.Stats(); s.Pinned != 1 {
			t.Errorf("%d clients keep their connection", s.Pinned)
		}
	})

	t.Run("another's statements", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, cfg, nil)
		owner, thief := b.connect(""), b.connect("")
		for _, sql := range []string{"SELECT 'mine'", "SELECT 'mine too'"} {
			if _, err := owner.Prepare(t.Context(), sql, sql); err != nil {
				t.Fatal(err)
			}
		}
		names := b.px.Statements()
		if len(names) < 2 {
			t.Fatalf("%v", names)
		}
		for _, st := range names {
			r := thief.PgConn().ExecPrepared(t.Context(), st.Name, nil, nil, nil).Read()
			if code(r.Err) != "26000" || !strings.Contains(r.Err.Error(), `"`+st.Name+`" does not exist`) {
				t.Errorf("Bind of %s: %v", st.Name, r.Err)
			}
			for sql, want := range map[string]string{"EXECUTE " + st.Name: "26000", "DEALLOCATE " + st.Name: "26000", "PREPARE " + st.Name + " AS SELECT 1": "42602"} {
				if _, err := thief.Exec(t.Context(), sql); code(err) != want {
					t.Errorf("%s: %v", sql, err)
				}
				if _, err := thief.Exec(t.Context(), sql, pgx.QueryExecModeExec); code(err) != want {
					t.Errorf("%s, extended: %v", sql, err)
				}
			}
			if err := thief.PgConn().Deallocate(t.Context(), st.Name); err != nil { // Close of what is not there is no error
				t.Error(err)
			}
		}
		if v := value(t, owner, "SELECT 'mine'"); v != "mine" {
			t.Error(v)
		}
	})

	// Many clients with the same names for different statements, on few connections.
	t.Run("many", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 3, Statements: 4, CheckoutTimeout: time.Minute}, nil)
		var wg sync.WaitGroup
		for id := range 8 {
			conn := b.connect("")
			wg.Go(func() {
				want := string(rune('a' + id))
				for range 20 {
					for _, sql := range []string{"PREPARE p AS SELECT '" + want + "'", "PREPARE q (text) AS SELECT $1 || '" + want + "'"} {
						if _, err := conn.Exec(t.Context(), sql); err != nil {
							t.Error(err)
							return
						}
					}
					for sql, want := range map[string]string{"EXECUTE p": want, "EXECUTE q('x')": "x" + want} {
						var v string
						if err := conn.QueryRow(t.Context(), sql, pgx.QueryExecModeSimpleProtocol).Scan(&v); err != nil || v != want {
							t.Errorf("%s: %q, %v, want %s", sql, v, err, want)
							return
						}
					}
					if _, err := conn.Exec(t.Context(), "DEALLOCATE ALL"); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestPrepareFailed checks that a client which prepares in a transaction that has failed is told so, also
// if the server has the statement already, and that it can prepare what ends the transaction.
func TestPrepareFailed(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	transports(t, func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		first, c := b.connect("").PgConn(), b.connect("").PgConn()
		for _, sql := range []string{"SELECT 1", "ROLLBACK"} {
			if _, err := first.Prepare(ctx, sql, sql, nil); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if _, err := c.Exec(ctx, "BEGIN; SELECT 1/0").ReadAll(); code(err) != "22012" {
				t.Fatal(err)
			}
			if _, err := c.Prepare(ctx, "one", "SELECT 1", nil); code(err) != "25P02" {
				t.Errorf("preparing in a transaction that has failed: %v", err)
			}
			if _, err := c.Prepare(ctx, "end", "ROLLBACK", nil); err != nil {
				t.Errorf("preparing what ends it: %v", err)
			}
			if r := c.ExecPrepared(ctx, "end", nil, nil, nil).Read(); r.Err != nil || c.TxStatus() != 'I' {
				t.Errorf("what ends it: %v, status %c", r.Err, c.TxStatus())
			}
			if err := c.Deallocate(ctx, "end"); err != nil {
				t.Error(err)
			}
			for _, pc := range []*pgconn.PgConn{c, first} {
				name := "SELECT 1"
				if pc == c {
					name = "one"
					if _, err := c.Prepare(ctx, name, "SELECT 1", nil); err != nil {
						t.Error(err)
					}
				}
				if r := pc.ExecPrepared(ctx, name, nil, nil, nil).Read(); r.Err != nil || len(r.Rows) != 1 {
					t.Errorf("afterwards: %v", r.Err)
				}
			}
			if err := c.Deallocate(ctx, "one"); err != nil {
				t.Error(err)
			}
		}
	})
}
