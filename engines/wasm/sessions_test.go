package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgx-dev/pgx-dev/engines"
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
