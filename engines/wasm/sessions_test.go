package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

func code(err error) string {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Code
	}
	return fmt.Sprint(err)
}

func wantCode(t *testing.T, c *pgx.Conn, want, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if _, err := c.Exec(ctx, sql, args...); code(err) != want {
		t.Errorf("%s: %v, want SQLSTATE %s", sql, err, want)
	}
}

func wantOne(t *testing.T, c *pgx.Conn, want, sql string, args ...any) {
	t.Helper()
	if got := one(t, c, sql, args...); got != want {
		t.Errorf("%s: %q, want %q", sql, got, want)
	}
}

// TestSessionsAreSeparate lets two clients take turns with different sessions.
func TestSessionsAreSeparate(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	a, b := connect(t, srv), connect(t, srv)
	exec(t, a, "create schema sa; create schema sb; create role alice login; create role bob; create sequence s; create table sa.t(v text); create table sb.t(v text); insert into sa.t values ('a'); insert into sb.t values ('b'); grant usage on schema sa, sb to public; grant select on sa.t, sb.t to public; grant usage on sequence s to public")

	exec(t, a, "set search_path = sa")
	exec(t, b, "set search_path = sb")
	exec(t, a, "set application_name = 'A'")
	exec(t, a, "set my.own = 'a''s'")
	exec(t, b, "set timezone = 'Asia/Tokyo'")
	exec(t, b, "set random_page_cost = 1.23456789")
	exec(t, b, "set role bob")
	exec(t, a, "set statement_timeout = '5min'")
	for range 3 {
		wantOne(t, a, "a", "select v from t")
		wantOne(t, b, "b", "select v from t")
		wantOne(t, a, "A", "show application_name")
		wantOne(t, b, "", "show application_name")
		wantOne(t, a, "a's", "show my.own")
		wantOne(t, b, "", "select coalesce(current_setting('my.own', true), '')")
		wantOne(t, b, "Asia/Tokyo", "show timezone")
		wantOne(t, a, "UTC", "show timezone")
		wantOne(t, b, "1.23457", "show random_page_cost")
		wantOne(t, b, "t", "select (current_setting('random_page_cost') <> '4')::text::char")
		wantOne(t, a, "4", "show random_page_cost")
		wantOne(t, a, "postgres", "select current_user::text")
		wantOne(t, b, "bob", "select current_user::text")
		wantOne(t, a, "5min", "show statement_timeout")
		wantOne(t, b, "0", "show statement_timeout")
	}
	exec(t, b, "reset role")

	// Prepared statements of the same name, in the protocol and in SQL.
	ctx := t.Context()
	for _, c := range []struct {
		conn *pgx.Conn
		v    string
	}{{a, "first"}, {b, "second"}} {
		if _, err := c.conn.Prepare(ctx, "p", "select '"+c.v+"'::text"); err != nil {
			t.Fatal(err)
		}
		exec(t, c.conn, "prepare q as select '"+c.v+" in SQL'::text", pgx.QueryExecModeSimpleProtocol)
	}
	for range 2 {
		wantOne(t, a, "first", "p")
		wantOne(t, b, "second", "p")
		wantOne(t, a, "first in SQL", "execute q", pgx.QueryExecModeSimpleProtocol)
		wantOne(t, b, "second in SQL", "execute q", pgx.QueryExecModeSimpleProtocol)
	}
	exec(t, a, "deallocate all")
	wantOne(t, b, "second in SQL", "execute q", pgx.QueryExecModeSimpleProtocol)
	wantCode(t, a, "26000", "execute q", pgx.QueryExecModeSimpleProtocol)

	// currval belongs to a session.
	wantOne(t, a, "1", "select nextval('public.s')::text")
	wantCode(t, b, "55000", "select currval('public.s')")
	wantCode(t, b, "55000", "select lastval()")
	wantOne(t, b, "2", "select nextval('public.s')::text")
	wantOne(t, a, "1", "select currval('public.s')::text")
	wantOne(t, a, "1", "select lastval()::text")

	// DISCARD ALL and RESET ALL concern one session only.
	exec(t, a, "discard all")
	wantOne(t, b, "Asia/Tokyo", "show timezone")
	wantOne(t, b, "2", "select currval('public.s')::text")
	wantCode(t, a, "55000", "select currval('public.s')")
}

// TestUnnamedStatementSurvivesOthers checks Parse and Bind in different turns.
func TestUnnamedStatementSurvivesOthers(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	a, b := connect(t, srv), connect(t, srv)
	ctx := t.Context()
	for i := range 5 {
		if _, err := a.PgConn().Prepare(ctx, "", fmt.Sprintf("select $1::int + %d", i), nil); err != nil {
			t.Fatal(err)
		}
		wantOne(t, b, "x", "select 'x'", pgx.QueryExecModeExec)
		exec(t, b, "select 1", pgx.QueryExecModeSimpleProtocol)
		r := a.PgConn().ExecPrepared(ctx, "", [][]byte{[]byte("40")}, nil, nil).Read()
		if r.Err != nil || string(r.Rows[0][0]) != fmt.Sprint(40+i) {
			t.Fatalf("turn %d: %v, %v", i, r.Rows, r.Err)
		}
	}
}

func TestStartupParameters(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	admin := connect(t, srv)
	exec(t, admin, "create role alice login; alter role alice set work_mem = '9MB'; create role nologin")
	exec(t, admin, "create database other")
	with := func(user string, params map[string]string) (*pgx.Conn, error) {
		cfg, err := engines.ConnConfig(srv, "", user)
		if err != nil {
			t.Fatal(err)
		}
		cfg.RuntimeParams = params
		return pgx.ConnectConfig(t.Context(), cfg)
	}
	alice, err := with("alice", map[string]string{"application_name": "mine", "options": `-c search_path=a\ ,public --statement-timeout=1234`, "DateStyle": "German"})
	if err != nil {
		t.Fatal(err)
	}
	defer alice.Close(context.Background())
	for range 2 {
		wantOne(t, alice, "alice", "select session_user::text")
		wantOne(t, alice, "9MB", "show work_mem")
		wantOne(t, alice, "mine", "show application_name")
		wantOne(t, alice, "1234ms", "show statement_timeout")
		wantOne(t, alice, "German, DMY", "show datestyle")
		wantOne(t, admin, "postgres", "select session_user::text")
		wantOne(t, admin, "4MB", "show work_mem")
		wantOne(t, admin, "ISO, MDY", "show datestyle")
		exec(t, alice, "set work_mem = '1MB'")
		exec(t, alice, "reset all")
	}
	wantCode(t, alice, "42501", "create role more")
	exec(t, alice, "discard all")
	wantOne(t, alice, "alice", "select session_user::text", pgx.QueryExecModeSimpleProtocol)
	wantOne(t, alice, "mine", "show application_name", pgx.QueryExecModeSimpleProtocol)
	if got := alice.PgConn().ParameterStatus("DateStyle"); got != "German, DMY" {
		t.Errorf("the client was told DateStyle %q", got)
	}
	for _, tt := range []struct {
		user   string
		params map[string]string
		want   string
	}{
		{"nobody", nil, "28000"},
		{"nologin", nil, "28000"},
		{"", map[string]string{"options": "-c work_mem=lots"}, "22023"},
		{"", map[string]string{"no_such_parameter": "1"}, "42704"},
		{"", map[string]string{"options": "oops"}, "42601"},
		{"", map[string]string{"replication": "true"}, "0A000"},
	} {
		if c, err := with(tt.user, tt.params); code(err) != tt.want {
			t.Errorf("%s %v: %v, want SQLSTATE %s", tt.user, tt.params, err, tt.want)
			if err == nil {
				_ = c.Close(t.Context())
			}
		}
	}
	if _, err := engines.Connect(t.Context(), srv, "nowhere"); code(err) != "3D000" {
		t.Errorf("a missing database: %v", err)
	}
	if _, err := engines.Connect(t.Context(), srv, "other"); code(err) != "55006" {
		t.Errorf("a second database while the first is used: %v", err)
	}
	_ = alice.Close(t.Context())
	_ = admin.Close(t.Context())
	other, err := engines.Connect(t.Context(), srv, "other")
	if err != nil {
		t.Fatal(err)
	}
	wantOne(t, other, "other", "select current_database()::text")
	_ = other.Close(t.Context())
	wantOne(t, connect(t, srv), "postgres", "select current_database()::text")
}

// TestHolding checks each thing with which a client keeps the backend, and that the
// others get their turn once it is gone.
func TestHolding(t *testing.T) {
	e := wasm.New(wasm.Config{Wait: 150 * time.Millisecond})
	srv := temp(t, e, engines.Spec{})
	t.Cleanup(func() {
		_ = srv.Close(context.Background())
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	a, b := connect(t, srv), connect(t, srv)
	exec(t, a, "create table t(v int)")
	for _, tt := range []struct{ name, hold, release string }{
		{"transaction", "begin; insert into t values (1)", "commit"},
		{"failed transaction", "begin", "rollback"},
		{"temporary table", "create temp table tt(v int)", "drop table tt"},
		{"temporary table, hidden in a batch", "begin; create temp table tt(v int); commit; select 1", "discard temp"},
		{"temporary function", "create function pg_temp.f() returns int language sql as 'select 1'", "drop function pg_temp.f()"},
		{"advisory lock", "select pg_advisory_lock(7)", "select pg_advisory_unlock(7)"},
		{"advisory lock, unlocked with all", "select pg_advisory_lock_shared(7, 8)", "select pg_advisory_unlock_all()"},
		{"cursor with hold", "declare c cursor with hold for select 1", "close c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			exec(t, a, tt.hold, pgx.QueryExecModeSimpleProtocol)
			if tt.name == "failed transaction" {
				wantCode(t, a, "22012", "select 1/0")
			}
			t0 := time.Now()
			wantCode(t, b, "55P03", "select 1", pgx.QueryExecModeSimpleProtocol)
			wantCode(t, b, "55P03", "select $1::int", 1)
			if d := time.Since(t0); d < 300*time.Millisecond || d > time.Minute {
				t.Errorf("two waits of 150 ms took %v", d)
			}
			done := make(chan error, 1)
			go func() {
				for { // a loaded machine may take longer than that to let a go on
					if _, err := b.Exec(t.Context(), "select 2"); code(err) != "55P03" {
						done <- err
						return
					}
				}
			}()
			exec(t, a, tt.release, pgx.QueryExecModeSimpleProtocol)
			if err := <-done; err != nil {
				t.Errorf("after %s: %v", tt.release, err)
			}
			wantOne(t, b, "3", "select '3'")
		})
	}
	wantOne(t, b, "1", "select count(*)::text from t")
}

// TestLostClient checks that nothing of a client that went away is left.
func TestLostClient(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	b := connect(t, srv)
	exec(t, b, "create table t(v int)")
	lose := func(sql string) {
		t.Helper()
		a, err := engines.Connect(t.Context(), srv, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"set search_path = nowhere", sql} {
			if _, err := a.Exec(t.Context(), s, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.Prepare(t.Context(), "p", "select 1"); err != nil {
			t.Fatal(err)
		}
		_ = a.PgConn().Conn().Close() // no Terminate
	}
	lose("begin; insert into public.t values (1)")
	wantOne(t, b, "0", "select count(*)::text from t")
	lose("create temp table tt(v int)")
	wantOne(t, b, "0", "select count(*)::text from pg_class where relname = 'tt'")
	lose("select pg_advisory_lock(1)")
	wantOne(t, b, "0", "select count(*)::text from pg_locks where locktype = 'advisory'")
	lose("declare c cursor with hold for select 1")
	wantOne(t, b, "0", "select count(*)::text from pg_cursors where name = 'c'")
	lose("listen ch")
	wantOne(t, b, "0", "select count(*)::text from pg_listening_channels()")
	wantOne(t, b, "0", "select count(*)::text from pg_prepared_statements where name = 'p'")

	// In the middle of COPY, and of a statement.
	a, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	fe := a.PgConn().Frontend()
	fe.Send(&pgproto3.Query{String: "copy t from stdin"})
	if err := fe.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := fe.Receive(); err != nil {
		t.Fatal(err)
	}
	_ = a.PgConn().Conn().Close()
	wantOne(t, b, "0", "select count(*)::text from t")
	a, err = engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	fe = a.PgConn().Frontend()
	fe.Send(&pgproto3.Query{String: "insert into t select 1 from pg_sleep(1000)"})
	if err := fe.Flush(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = a.PgConn().Conn().Close() })
	wantOne(t, b, "0", "select count(*)::text from t")
}

// TestManyClients lets a pool work with transactions next to sessions of their own.
func TestManyClients(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	c := connect(t, srv)
	exec(t, c, "create table acc(id int primary key, n int); insert into acc select g, 0 from generate_series(0,3) g")
	base, err := engines.ConnConfig(srv, "", "")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := pgxpool.ParseConfig("")
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig, cfg.MaxConns = base, 8
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var g errgroup.Group
	const workers, rounds = 8, 25
	for w := range workers {
		g.Go(func() error {
			for i := range rounds {
				err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
					var n int
					if err := tx.QueryRow(t.Context(), "select n from acc where id = $1 for update", i%4).Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec(t.Context(), "update acc set n = $1 where id = $2", n+1, i%4)
					return err
				})
				if err != nil {
					return fmt.Errorf("worker %d: %w", w, err)
				}
				if _, err := pool.Exec(t.Context(), fmt.Sprintf("set application_name = 'w%d'", w)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	wantOne(t, c, fmt.Sprint(workers*rounds), "select sum(n)::text from acc")
}

func TestNotifyAcrossClients(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	a, b, c := connect(t, srv), connect(t, srv), connect(t, srv)
	exec(t, a, "listen x")
	exec(t, b, "listen x; listen y", pgx.QueryExecModeSimpleProtocol)
	wait := func(conn *pgx.Conn, channel, payload string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n.Channel != channel || n.Payload != payload {
			t.Fatalf("got %s %q, want %s %q", n.Channel, n.Payload, channel, payload)
		}
		if n.PID != c.PgConn().PID() && n.PID != a.PgConn().PID() {
			t.Errorf("notification from %d, not from its sender", n.PID)
		}
	}
	exec(t, c, "notify x, '1'") // from one that does not listen
	wait(a, "x", "1")
	wait(b, "x", "1")
	exec(t, a, "notify x, '2'") // from one that does
	wait(a, "x", "2")
	wait(b, "x", "2")
	exec(t, c, "begin")
	exec(t, c, "notify y, 'rolled back'")
	exec(t, c, "rollback")
	exec(t, c, "begin; notify y, '3'; unlisten *; commit", pgx.QueryExecModeSimpleProtocol)
	wait(b, "y", "3")
	exec(t, a, "unlisten x")
	wantOne(t, a, "0", "select count(*)::text from pg_listening_channels()")
	wantOne(t, b, "2", "select count(*)::text from pg_listening_channels()")
	exec(t, c, "notify x, '4'")
	wait(b, "x", "4")
	exec(t, c, "select pg_notify('y', repeat('z', 7000)) from generate_series(1, 40)") // over many pages of the queue
	wait(b, "y", repeat("z", 7000))
	// Over many segments of the queue, of which PostgreSQL removes those that nobody seems to
	// wait for; one at a time, and from inside a procedure that commits.
	for i := range 100 {
		exec(t, c, "select pg_notify('y', $1)", fmt.Sprint(i)+repeat("z", 7000))
		wait(b, "y", fmt.Sprint(i)+repeat("z", 7000))
	}
	exec(t, c, "do $$ begin for i in 1..100 loop perform pg_notify('y', i || repeat('z', 7000)); commit; end loop; end $$", pgx.QueryExecModeSimpleProtocol)
	for i := range 100 {
		wait(b, "y", fmt.Sprint(i+1)+repeat("z", 7000))
	}
	// From one that is gone before it says Sync.
	gone, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	fe := gone.PgConn().Frontend()
	fe.Send(&pgproto3.Parse{Query: "notify y, 'last words'"})
	fe.Send(&pgproto3.Bind{})
	fe.Send(&pgproto3.Execute{})
	if err := fe.Flush(); err != nil {
		t.Fatal(err)
	}
	_ = gone.PgConn().Conn().Close()
	lastWords(t, b)
	_ = b.Close(t.Context())
	exec(t, c, "listen x")
	exec(t, c, "notify x, '5'")
	wait(c, "x", "5")
}

// lastWords waits for a notification from a client that has gone.
func lastWords(t *testing.T, c *pgx.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if n, err := c.WaitForNotification(ctx); err != nil || n.Payload != "last words" {
		t.Fatalf("%v, %v", n, err)
	}
}

func repeat(s string, n int) string {
	out := ""
	for range n {
		out += s
	}
	return out
}

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

// TestNothingGrows lets many sessions come and go, and errors happen, and looks at the
// guest's memory.
func TestNothingGrows(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	stay := connect(t, srv)
	exec(t, stay, "create table t(v int); create sequence s", pgx.QueryExecModeSimpleProtocol)
	use := func() {
		c, err := engines.Connect(t.Context(), srv, "")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if _, err := c.Prepare(t.Context(), fmt.Sprint("p", i), fmt.Sprintf("select v + %d from t where v = $1", i)); err != nil {
				t.Fatal(err)
			}
		}
		exec(t, c, "select nextval('s'), $1::text", pgx.QueryExecModeExec, "x")
		exec(t, c, "set my.own = 'value'; listen ch; prepare q as select 1", pgx.QueryExecModeSimpleProtocol)
		wantCode(t, c, "22012", "select 1/0")
		wantOne(t, stay, "1", "select '1'") // a turn in between
		_ = c.Close(t.Context())
	}
	size := func() (n int) {
		wantOne(t, stay, "1", "select '1'")
		if err := stay.QueryRow(t.Context(), "select sum(total_bytes)::int from pg_backend_memory_contexts").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 30 {
		use()
	}
	before := size()
	for range 200 {
		use()
	}
	if after := size(); after > before+200<<10 {
		t.Errorf("200 sessions left %d kB in the guest", (after-before)>>10)
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
