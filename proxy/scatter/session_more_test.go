package scatter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// TestPipelines sends many statements before it reads an answer: those of one pipeline are
// one transaction, on however many shards.
func TestPipelines(t *testing.T) {
	f := newFleet(t, startServer(t), "s", 3, nil)
	c := f.connect()
	ctx := t.Context()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text)")
	batch := &pgx.Batch{}
	for i := range 1000 {
		batch.Queue("INSERT INTO users VALUES ($1, $2)", i, strings.Repeat("x", i%50))
	}
	if err := c.SendBatch(ctx, batch).Close(); err != nil {
		t.Fatal(err)
	}
	batch = &pgx.Batch{}
	batch.Queue("SELECT count(*) FROM users").QueryRow(func(r pgx.Row) error {
		var n int
		err := r.Scan(&n)
		if n != 1000 {
			t.Errorf("%d users", n)
		}
		return err
	})
	for i := range 20 {
		batch.Queue("SELECT email FROM users WHERE id = $1", i).QueryRow(func(r pgx.Row) error {
			var e string
			err := r.Scan(&e)
			if len(e) != i {
				t.Errorf("user %d: %q", i, e)
			}
			return err
		})
	}
	if err := c.SendBatch(ctx, batch).Close(); err != nil {
		t.Fatal(err)
	}
	// An error takes back all that went before, whatever shard it was on, and whoever refuses.
	for _, last := range []string{"INSERT INTO users VALUES (5, 'again')", "INSERT INTO users (email) VALUES ('no key')", "SELECT 1/0"} {
		for _, n := range []int{1, 2, 7} {
			batch = &pgx.Batch{}
			for i := range n {
				batch.Queue("INSERT INTO users VALUES ($1, 'gone')", 5000+i)
			}
			batch.Queue(last)
			batch.Queue("INSERT INTO users VALUES (6000, 'never')")
			if err := c.SendBatch(ctx, batch).Close(); err == nil {
				t.Errorf("%s: no error", last)
			}
			if got := one[int](t, c, "SELECT count(*) FROM users"); got != 1000 {
				t.Fatalf("%d users after %d inserts and %s", got, n, last)
			}
		}
	}
	if n := f.pool.lent(); n != 0 {
		t.Errorf("%d connections are lent at rest", n)
	}
}

// TestSuspendedPortals fetches by Execute's row limit, over one shard and several.
func TestSuspendedPortals(t *testing.T) {
	f := newFleet(t, startServer(t), "s", 3, nil)
	c := f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text)")
	mustExec(t, c, "INSERT INTO users SELECT g, 'e' FROM generate_series(1, 50) g")
	for _, sql := range []string{"SELECT id FROM users ORDER BY id", "SELECT g FROM generate_series(1, 50) g"} {
		steps := newDialogue(t, f)
		steps.query("BEGIN")
		steps.bind("p", sql)
		n := 0
		for i := range 6 {
			rows, suspended := steps.execute("p", 9)
			n += rows
			if want := i < 5; suspended != want || want && rows != 9 {
				t.Fatalf("%s: Execute %d: %d rows, suspended %v", sql, i, rows, suspended)
			}
			// Others may go on meanwhile.
			steps.query("SELECT count(*) FROM users")
		}
		if n != 50 {
			t.Errorf("%s: %d rows", sql, n)
		}
		steps.query("COMMIT")
	}
}

// TestCancel ends a query on all shards, and the session goes on.
func TestCancel(t *testing.T) {
	f := newFleet(t, startServer(t), "s", 3, nil)
	c := f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text)")
	mustExec(t, c, "INSERT INTO users SELECT g, 'e' FROM generate_series(1, 50) g")
	for range 3 {
		done := make(chan error, 1)
		go func() {
			_, err := c.Exec(context.Background(), "SELECT id, pg_sleep(60) FROM users")
			done <- err
		}()
		d := f.direct(1)
		for one[int](t, d, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60) FROM users'") < 3 {
			time.Sleep(time.Millisecond) //nolint:forbidigo // what is waited for is in another process
		}
		if err := c.PgConn().CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := codeOf(<-done); got != "57014" {
			t.Errorf("error %s, want 57014", got)
		}
		if n := one[int](t, c, "SELECT count(*) FROM users"); n != 50 {
			t.Errorf("%d users", n)
		}
	}
}

// TestShardDies kills a shard's connection in the middle of a query: the error names it.
func TestShardDies(t *testing.T) {
	f := newFleet(t, startServer(t), "s", 3, nil)
	c := f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text)")
	mustExec(t, c, "INSERT INTO users SELECT g, 'e' FROM generate_series(1, 50) g")
	d := f.direct(0)
	kill := func() {
		mustExec(t, d, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 's2'")
	}
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), "SELECT id, pg_sleep(60) FROM users")
		done <- err
	}()
	for one[int](t, d, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname IN ('s0', 's1', 's2') AND query LIKE '%pg_sleep(60) FROM users'") < 3 {
		time.Sleep(time.Millisecond) //nolint:forbidigo // what is waited for is in another process
	}
	kill()
	mustExec(t, d, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname IN ('s0', 's1') AND pid <> pg_backend_pid() AND query LIKE '%pg_sleep%'")
	if err := <-done; codeOf(err) == "" {
		t.Errorf("%v", err)
	}
	// In a transaction nothing of it stays.
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE users SET email = 'gone'"); err != nil {
		t.Fatal(err)
	}
	kill()
	_, err = tx.Exec(t.Context(), "UPDATE users SET email = 'gone'")
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !strings.Contains(pe.Message, "shard 2") || !strings.Contains(pe.Detail, "not been committed") {
		t.Errorf("%v", err)
	}
	if err := tx.Commit(t.Context()); err == nil {
		t.Error("COMMIT after a shard was lost")
	}
	if n := one[int](t, c, "SELECT count(*) FROM users WHERE email = 'gone'"); n != 0 {
		t.Errorf("%d rows of a transaction that failed", n)
	}
	// At COMMIT without two-phase commit.
	tx, err = c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE users SET email = 'partly'"); err != nil {
		t.Fatal(err)
	}
	kill()
	err = tx.Commit(t.Context())
	if pe, ok = errors.AsType[*pgconn.PgError](err); !ok || pe.Code != "40003" || !strings.Contains(pe.Detail, "Committed on shards 0, 1;") || !strings.Contains(pe.Detail, "on shard 2") {
		t.Errorf("%v: %+v", err, pe)
	}
	if n := f.pool.lent(); n != 0 {
		t.Errorf("%d connections are lent at rest", n)
	}
}

// TestLookups finds shards in a table, and text and uuid keys by their hash.
func TestLookups(t *testing.T) {
	srv := startServer(t)
	f := newFleet(t, srv, "s", 2, func(sc *sharding.Config, _ *scatter.Config) {
		sc.Tables = []sharding.Table{
			{Name: "tenants", Columns: []string{"tenant"}, Types: []hash.OID{hash.Text}, LookupQuery: "SELECT shard FROM directory WHERE tenant = $1"},
		}
	})
	c := f.connect()
	mustExec(t, c, "CREATE TABLE directory (tenant text PRIMARY KEY, shard int); CREATE TABLE tenants (tenant text, v int)")
	mustExec(t, c, "INSERT INTO directory VALUES ('a', 0), ('b', 1), ('bad', 7)")
	mustExec(t, c, "INSERT INTO tenants VALUES ('a', 1), ('b', 2), ('b', 3)")
	if n := one[int](t, f.direct(1), "SELECT sum(v) FROM tenants"); n != 5 {
		t.Errorf("shard 1 has %d", n)
	}
	if n := one[int](t, c, "SELECT sum(v) FROM tenants WHERE tenant = $1", "b"); n != 5 {
		t.Errorf("b has %d", n)
	}
	for _, sql := range []string{"INSERT INTO tenants VALUES ('nobody', 1)", "INSERT INTO tenants VALUES ('bad', 1)"} {
		if _, err := c.Exec(t.Context(), sql); codeOf(err) == "" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if n := one[int](t, c, "SELECT count(*) FROM tenants"); n != 3 {
		t.Errorf("%d rows", n)
	}
}

// TestSettings carries what a session has set to every shard, and to nobody else.
func TestSettings(t *testing.T) {
	f := newFleet(t, startServer(t), "s", 3, nil)
	a, b := f.connect(), f.connect()
	mustExec(t, a, "CREATE TABLE users (id bigint PRIMARY KEY, email text)")
	mustExec(t, a, "INSERT INTO users SELECT g, current_setting('application_name') FROM generate_series(1, 9) g")
	mustExec(t, a, "SET application_name = 'me'")
	mustExec(t, f.direct(0), "CREATE ROLE app") // for all shards: they are databases of one server
	mustExec(t, a, "GRANT ALL ON users TO app")
	mustExec(t, a, "SET ROLE app")
	for i := range 3 {
		for _, tt := range []struct {
			c    *pgx.Conn
			want string
		}{{a, "me/app"}, {b, "/postgres"}} {
			if got := one[string](t, tt.c, "/* pgdog_shard: "+string(rune('0'+i))+" */ SELECT current_setting('application_name') || '/' || current_user"); got != tt.want {
				t.Errorf("shard %d: %q, want %q", i, got, tt.want)
			}
		}
	}
	mustExec(t, a, "BEGIN; SET LOCAL application_name = 'tx'")
	if n := one[int](t, a, "SELECT count(*) FROM users WHERE current_setting('application_name') = 'tx'"); n != 9 {
		t.Errorf("SET LOCAL holds for %d of 9 rows", n)
	}
	mustExec(t, a, "ROLLBACK")
	if n := one[int](t, a, "SELECT count(*) FROM users WHERE current_setting('application_name') = 'me'"); n != 9 {
		t.Errorf("SET holds for %d of 9 rows", n)
	}
	mustExec(t, a, "SET pgdog.shard = 1")
	if n := one[int](t, a, "SELECT count(*) FROM users"); n == 9 || n == 0 {
		t.Errorf("shard 1 has %d rows", n)
	}
	mustExec(t, a, "RESET pgdog.shard")
	mustExec(t, a, "DISCARD ALL")
	if got := one[string](t, a, "SELECT current_setting('application_name') || '/' || current_user"); got != "/postgres" {
		t.Errorf("after DISCARD ALL: %q", got)
	}
}
