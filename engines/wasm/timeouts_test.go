package wasm_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// TestTimeouts checks that PostgreSQL's own timers fire, with its own messages, and that
// those which end a session end only that.
func TestTimeouts(t *testing.T) {
	srv := temp(t, shared, engines.Spec{Params: map[string]string{"max_prepared_transactions": "2"}})
	other := connect(t, srv)
	exec(t, other, "create table t(v int)")
	want := func(err error, sqlstate, message string) {
		t.Helper()
		var pe *pgconn.PgError
		if !errors.As(err, &pe) || pe.Code != sqlstate || pe.Message != message {
			t.Errorf("%v, want %s %s", err, sqlstate, message)
		}
	}
	c := connect(t, srv)
	exec(t, c, "set statement_timeout = '80ms'")
	for _, sql := range []string{"select count(*) from generate_series(1, 2000000000)", "select pg_sleep(100)", "do $$ begin loop end loop; end $$"} {
		_, err := c.Exec(t.Context(), sql)
		want(err, "57014", "canceling statement due to statement timeout")
		wantOne(t, c, "on", "select 'on'")
	}
	exec(t, c, "set statement_timeout = 0; set lock_timeout = '80ms'", pgx.QueryExecModeSimpleProtocol)
	exec(t, c, "begin; lock table t; prepare transaction 'p'", pgx.QueryExecModeSimpleProtocol)
	_, err := c.Exec(t.Context(), "select * from t")
	want(err, "55P03", "canceling statement due to lock timeout")
	exec(t, c, "rollback prepared 'p'")

	for _, tt := range []struct{ set, then, sqlstate, message string }{
		{"set idle_in_transaction_session_timeout = '80ms'", "begin; insert into t values (1)", "25P03", "terminating connection due to idle-in-transaction timeout"},
		{"set idle_session_timeout = '80ms'", "", "57P05", "terminating connection due to idle-session timeout"},
		{"set transaction_timeout = '80ms'", "begin; insert into t values (1)", "25P04", "terminating connection due to transaction timeout"},
		{"set transaction_timeout = '80ms'", "begin; select pg_sleep(100)", "25P04", "terminating connection due to transaction timeout"},
	} {
		c, err := engines.Connect(t.Context(), srv, "")
		if err != nil {
			t.Fatal(err)
		}
		exec(t, c, tt.set)
		_, err = c.Exec(t.Context(), tt.then, pgx.QueryExecModeSimpleProtocol)
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			_, err = c.PgConn().ReceiveMessage(ctx)
			cancel()
		}
		want(err, tt.sqlstate, tt.message)
		wantOne(t, other, "0", "select count(*)::text from t")
	}
	// The backend is nobody that signals could be sent to.
	wantOne(t, other, "false", "select pg_terminate_backend(pg_backend_pid())::text")
	wantOne(t, other, "alive", "select 'alive'")
}

// TestCancel cancels by CancelRequest and by context, while others hold the backend too.
func TestCancel(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	a, b := connect(t, srv), connect(t, srv)
	for _, sql := range []string{"select count(*) from generate_series(1, 2000000000)", "select pg_sleep(1000)", "do $$ begin loop end loop; end $$"} {
		var wg sync.WaitGroup
		wg.Go(func() { wantCode(t, a, "57014", sql) })
		cancelUntil(t, &wg, a)
		wantOne(t, a, "on", "select 'on'")
	}
	exec(t, a, "begin")
	var wg sync.WaitGroup
	wg.Go(func() { wantCode(t, b, "57014", "select 1") }) // b waits for a
	cancelUntil(t, &wg, b)
	exec(t, a, "commit")
	wantOne(t, b, "on", "select 'on'")

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := a.Exec(ctx, "select pg_sleep(1000)"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a context that ends: %v", err)
	}
	wantOne(t, b, "on", "select 'on'")
}

// cancelUntil sends cancel requests until what they are for has ended: the first may come
// before it has begun.
func cancelUntil(t *testing.T, wg *sync.WaitGroup, c *pgx.Conn) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			return
		case <-time.After(30 * time.Millisecond):
			if err := c.PgConn().CancelRequest(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestHostLimits checks the host's own limits, and the TCP listener of a Spec.
func TestHostLimits(t *testing.T) {
	e := wasm.New(wasm.Config{IdleInTransaction: 80 * time.Millisecond, MaxConns: 2})
	srv := temp(t, e, engines.Spec{TCP: "127.0.0.1:0"})
	t.Cleanup(func() {
		_ = srv.Close(context.Background())
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := pgx.Connect(t.Context(), srv.Info().URL("")); code(err) != "28P01" && err == nil {
		t.Error("TCP let somebody in without a password")
	}
	first := connect(t, srv)
	exec(t, first, "alter role postgres password 'secret'")
	_ = first.Close(t.Context())
	cfg, err := pgx.ParseConfig(srv.Info().URL(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"", "wrong"} {
		cfg.Password = password
		if _, err := pgx.ConnectConfig(t.Context(), cfg); code(err) != "28P01" {
			t.Errorf("TCP with password %q: %v, want 28P01", password, err)
		}
	}
	cfg.Password = "secret"
	other, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, other, "create table t(v int)")
	c := connect(t, srv)
	if _, err := engines.Connect(t.Context(), srv, ""); code(err) != "53300" {
		t.Errorf("a third client of two: %v", err)
	}
	exec(t, c, "begin; insert into t values (1)", pgx.QueryExecModeSimpleProtocol)
	wantOne(t, other, "0", "select count(*)::text from t") // waits until c is ended
	if _, err := c.Exec(t.Context(), "select 1"); code(err) != "25P03" {
		t.Errorf("idle in transaction: %v, want 25P03", err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
