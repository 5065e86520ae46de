package pool_test

import (
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

func TestRecovery(t *testing.T) {
	srv := start(t, engines.Spec{})
	for _, tt := range []struct {
		name     string
		recovery pool.Recovery
		sql      string
		abandon  pool.Abandoned
		kept     bool
	}{
		{"a transaction", pool.Recover, "BEGIN", pool.Abandoned{}, true},
		{"a transaction", pool.RollbackOnly, "BEGIN", pool.Abandoned{}, true},
		{"a transaction", pool.Drop, "BEGIN", pool.Abandoned{}, false},
		{"a query", pool.Recover, "", pool.Abandoned{Readies: 1, Cancel: true}, true},
		{"a query", pool.RollbackOnly, "", pool.Abandoned{Readies: 1, Cancel: true}, false},
		{"a query", pool.Drop, "", pool.Abandoned{Readies: 1, Cancel: true}, false},
		{"a session's end", pool.Drop, "", pool.Abandoned{Reset: true}, true},
	} {
		p := open(t, backend(srv), pool.Config{Size: 1, Recovery: tt.recovery})
		c := get(t, p)
		pid := c.PID()
		if tt.sql != "" {
			exec(t, c, tt.sql)
		}
		if tt.abandon.Readies > 0 {
			b, err := wire.Append(nil, &wire.Query{SQL: "SELECT pg_sleep(600)"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		c.Recover(tt.abandon)
		next := get(t, p)
		if kept := next.PID() == pid; kept != tt.kept {
			t.Errorf("%s, recovery %d: kept %v, want %v", tt.name, tt.recovery, kept, tt.kept)
		}
		if v := exec(t, next, "SELECT 1"); v != "1" || next.Status != wire.TxIdle {
			t.Errorf("%s, recovery %d: %q, %v", tt.name, tt.recovery, v, next.Status)
		}
		next.Release()
	}
}

func TestResetQuery(t *testing.T) {
	srv := start(t, engines.Spec{})
	p := open(t, backend(srv), pool.Config{Size: 1, ConnectQuery: "SET my.connect = 'yes'", ResetQuery: "SELECT set_config('my.reset', 'yes', false)"})
	c := get(t, p)
	if v := exec(t, c, "SELECT current_setting('my.connect')"); v != "yes" {
		t.Errorf("connect_query: %q", v)
	}
	exec(t, c, "PREPARE mine AS SELECT 1")
	c.Recover(pool.Abandoned{Reset: true})
	c = get(t, p)
	if v := exec(t, c, "SELECT current_setting('my.reset') || (SELECT count(*) FROM pg_prepared_statements)"); v != "yes0" {
		t.Errorf("server_reset_query: %q", v)
	}
	if !c.Unknown {
		t.Error("what another query than DISCARD ALL leaves is not known")
	}
	c.Release()
	bad := open(t, backend(srv), pool.Config{Size: 1, ConnectQuery: "SELECT nothing"})
	if _, err := bad.Get(t.Context()); err == nil || wire.AsError(err).Code != "42703" {
		t.Errorf("a connect_query that fails: %v", err)
	}
	open := open(t, backend(srv), pool.Config{Size: 1, ResetQuery: "BEGIN"})
	c = get(t, open)
	pid := c.PID()
	c.Recover(pool.Abandoned{Reset: true})
	if c = get(t, open); c.PID() == pid {
		t.Error("a connection in a transaction was lent out")
	}
	c.Release()
}
