package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

func startServer(t testing.TB, spec engines.Spec) engines.Server {
	t.Helper()
	spec.Fast = true
	srv, err := native.New(native.DefaultConfig()).Start(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	return srv
}

// A bench is a proxy in front of a server.
type bench struct {
	t    testing.TB
	srv  engines.Server
	pool *pool.Pool
	px   *proxy.Proxy
	addr string
}

func newBench(t testing.TB, srv engines.Server, mode proxy.Mode, poolConfig pool.Config, change func(*proxy.Config, *proxy.Database)) *bench {
	t.Helper()
	before := runtime.NumGoroutine()
	b := &bench{t: t, srv: srv}
	loops := newLoops(t, 1)
	poolConfig.Loops = loops
	backend := &pool.Backend{ID: "a", Name: "a", Dial: srv.Dial, Login: pool.Credentials{User: srv.Info().User, Database: "postgres"}}
	b.pool = pool.New(backend, poolConfig, nil)
	db := &proxy.Database{Name: "postgres", Mode: mode, Servers: proxy.One{Pool: b.pool}}
	cfg := proxy.Config{
		Lookup: func(context.Context, proxy.Client) (*proxy.Database, error) { return db, nil },
		Log:    slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	cfg.Loops = loops
	if change != nil {
		change(&cfg, db)
	}
	var err error
	if b.px, err = proxy.New(cfg); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- b.px.Serve(context.Background(), ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = b.px.Shutdown(ctx)
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		b.pool.Close(ctx)
		if loops != nil {
			loops.Close()
		}
		if s := b.pool.Stats(); s.Active+s.Idle+s.Waiting != 0 {
			t.Errorf("what is left of the pool: %+v", s)
		}
		for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before+2; {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<20)
				t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
				break
			}
			runtime.Gosched()
		}
	})
	return b
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func (b *bench) url(params string) string {
	return fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable&%s", b.srv.Info().User, b.addr, params)
}

func (b *bench) connect(params string) *pgx.Conn {
	b.t.Helper()
	c, err := pgx.Connect(b.t.Context(), b.url(params))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func run(t testing.TB, c *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func value(t testing.TB, c *pgx.Conn, sql string, args ...any) (v string) {
	t.Helper()
	if err := c.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func simple(t testing.TB, c *pgx.Conn, sql string) (v string) {
	t.Helper()
	results, err := c.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if n := len(results); n > 0 && len(results[n-1].Rows) > 0 {
		v = string(results[n-1].Rows[0][0])
	}
	return v
}

func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

// rest waits until no client has a server connection.
func (b *bench) rest() {
	b.t.Helper()
	eventually(b.t, "all server connections are idle", func() bool { return b.pool.Stats().Active == 0 })
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !f(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come true", what)
		}
	}
}

func TestTransactionMode(t *testing.T) { transports(t, testTransactionMode) }

func testTransactionMode(t *testing.T) {
	srv := startServer(t, engines.Spec{})

	t.Run("many share few", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil)
		c, d := b.connect(""), b.connect("")
		for range 3 {
			if x, y := value(t, c, "SELECT pg_backend_pid()::text"), value(t, d, "SELECT pg_backend_pid()::text"); x != y {
				t.Errorf("two servers: %s and %s", x, y)
			}
		}
		run(t, c, "BEGIN")
		run(t, c, "CREATE TABLE shared (a int)")
		run(t, c, "ROLLBACK")
		b.rest()
	})

	t.Run("parameters", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil)
		c, d := b.connect("application_name=c&options=-c%20work_mem%3D5MB"), b.connect("")
		if v := simple(t, c, "SHOW application_name") + simple(t, d, "SHOW application_name") + simple(t, c, "SHOW work_mem"); v != "c5MB" {
			t.Errorf("startup parameters: %s", v)
		}
		simple(t, c, "SET search_path TO a, \"B c\"")
		simple(t, d, "SET TIME ZONE 'Asia/Tokyo'")
		if v := simple(t, c, "SHOW search_path"); v != `a, "B c"` {
			t.Errorf("search_path %s", v)
		}
		if v := simple(t, c, "SHOW timezone"); v == "Asia/Tokyo" {
			t.Error("another client's time zone")
		}
		if v := c.PgConn().ParameterStatus("TimeZone"); v == "Asia/Tokyo" {
			t.Error("another client's time zone is reported")
		}
		if v := d.PgConn().ParameterStatus("TimeZone"); v != "Asia/Tokyo" {
			t.Errorf("the client's time zone is reported as %s", v)
		}
		simple(t, c, "BEGIN; SAVEPOINT a; SET work_mem = '6MB'; ROLLBACK TO a; SET my.var = 'x'; SAVEPOINT b; SET my.var = 'y'; ROLLBACK TO b; COMMIT")
		simple(t, d, "SELECT 1")
		if v := simple(t, c, "SELECT current_setting('work_mem') || current_setting('my.var')"); v != "5MBx" {
			t.Errorf("after ROLLBACK TO: %s", v)
		}
		simple(t, c, "BEGIN; SET my.var = 'z'; ROLLBACK")
		simple(t, c, "BEGIN; SET LOCAL my.var = 'z'; COMMIT")
		if _, err := c.PgConn().Exec(t.Context(), "SET my.var = 'z'; SELECT 1/0").ReadAll(); code(err) != "22012" {
			t.Error(err)
		}
		simple(t, d, "SELECT 1")
		if v := simple(t, c, "SHOW my.var"); v != "x" {
			t.Errorf("what was rolled back holds: %s", v)
		}
		run(t, c, "SELECT set_config($1, $2, false)", "my.var", "by parameter")
		run(t, c, "SELECT set_config('search_path', 'b, c', false)")
		simple(t, d, "RESET ALL")
		if v := simple(t, c, "SELECT current_setting('my.var') || current_setting('search_path')"); v != "by parameterb, c" {
			t.Errorf("set_config: %s", v)
		}
		simple(t, c, "RESET work_mem")
		if v := simple(t, c, "SHOW work_mem"); v != "5MB" {
			t.Errorf("RESET goes to %s, not to what the client began with", v)
		}
		simple(t, c, "DISCARD ALL")
		if v := simple(t, c, "SELECT current_setting('work_mem') || current_setting('application_name') || coalesce(current_setting('my.var', true), '')"); v != "5MBc" {
			t.Errorf("after DISCARD ALL: %s", v)
		}
		simple(t, c, "DO $$BEGIN PERFORM set_config('my.var', 'leak', false); END$$")
		if v := simple(t, d, "SELECT coalesce(current_setting('my.var', true), '')"); v != "" {
			t.Errorf("what DO has set leaks: %s", v)
		}
		simple(t, c, "CREATE ROLE other; SET ROLE other")
		if v := simple(t, d, "SELECT current_user"); v == "other" {
			t.Error("another client's role")
		}
		if v := simple(t, c, "SELECT current_user"); v != "other" {
			t.Errorf("the role is %s", v)
		}
		simple(t, c, "RESET ROLE; DROP ROLE other")
		b.rest()
	})

	t.Run("bad startup parameter", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil)
		if _, err := pgx.Connect(t.Context(), b.url("nonsense=1")); code(errors.Unwrap(err)) != "42704" && !strings.Contains(fmt.Sprint(err), "42704") {
			t.Errorf("got %v", err)
		}
		simple(t, b.connect(""), "SELECT 1")
	})

	t.Run("prepared statements", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 2, Statements: 3}, nil)
		c, d := b.connect(""), b.connect("")
		for round := range 3 {
			for i := range 6 {
				sql := fmt.Sprintf("SELECT $1::int + %d", i)
				for _, conn := range []*pgx.Conn{c, d} {
					var v int
					if err := conn.QueryRow(t.Context(), sql, 10).Scan(&v); err != nil || v != 10+i {
						t.Fatalf("round %d: %d, %v", round, v, err)
					}
				}
			}
		}
		if _, err := c.PgConn().Prepare(t.Context(), "mine", "SELECT 1", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := d.PgConn().Prepare(t.Context(), "mine", "SELECT 2", nil); err != nil {
			t.Fatal(err)
		}
		_, err := c.PgConn().Prepare(t.Context(), "mine", "SELECT 3", nil)
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "42P05" || !strings.Contains(e.Message, `"mine"`) {
			t.Errorf("preparing twice: %v", err)
		}
		for conn, want := range map[*pgx.Conn]string{c: "1", d: "2"} {
			if r := conn.PgConn().ExecPrepared(t.Context(), "mine", nil, nil, nil).Read(); r.Err != nil || string(r.Rows[0][0]) != want {
				t.Errorf("%v, %v", r.Rows, r.Err)
			}
			if v := simple(t, conn, "EXECUTE mine"); v != want {
				t.Errorf("EXECUTE: %s", v)
			}
		}
		r := c.PgConn().ExecPrepared(t.Context(), "missing", nil, nil, nil).Read()
		if e, ok := errors.AsType[*pgconn.PgError](r.Err); !ok || e.Code != "26000" || !strings.Contains(e.Message, `"missing"`) {
			t.Errorf("a missing statement: %v", r.Err)
		}
		simple(t, c, "DEALLOCATE mine")
		if r := c.PgConn().ExecPrepared(t.Context(), "mine", nil, nil, nil).Read(); code(r.Err) != "26000" {
			t.Errorf("after DEALLOCATE: %v", r.Err)
		}
		simple(t, c, "DEALLOCATE ALL")
		if r := d.PgConn().ExecPrepared(t.Context(), "mine", nil, nil, nil).Read(); r.Err != nil {
			t.Errorf("another client's DEALLOCATE ALL: %v", r.Err)
		}
		b.rest()
	})

	t.Run("SQL's own PREPARE", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 2}, nil)
		c, d := b.connect(""), b.connect("")
		simple(t, c, "PREPARE s (int) AS SELECT $1 + 1")
		simple(t, d, "PREPARE s (int) AS SELECT $1 + 2")
		for range 3 {
			if v := simple(t, c, "EXECUTE s(1)") + simple(t, d, "EXECUTE s(1)"); v != "23" {
				t.Errorf("got %s", v)
			}
		}
		simple(t, c, "DEALLOCATE s")
		simple(t, d, "DEALLOCATE ALL")
		b.rest()
	})

	t.Run("changed table", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 2}, nil)
		c := b.connect("")
		simple(t, c, "CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)")
		if _, err := c.PgConn().Prepare(t.Context(), "s", "SELECT * FROM changing", nil); err != nil {
			t.Fatal(err)
		}
		simple(t, c, "ALTER TABLE changing ADD b int")
		r := c.PgConn().ExecPrepared(t.Context(), "s", nil, nil, nil).Read()
		if code(r.Err) != "0A000" {
			t.Errorf("got %v", r.Err)
		}
		if r = c.PgConn().ExecPrepared(t.Context(), "s", nil, nil, nil).Read(); r.Err != nil || len(r.FieldDescriptions) != 2 {
			t.Errorf("not prepared anew: %v", r.Err)
		}
		simple(t, c, "DROP TABLE changing")
		b.rest()
	})

	t.Run("pinning", func(t *testing.T) {
		for name, test := range map[string][2]string{
			"advisory lock": {"SELECT pg_advisory_lock(7)", "SELECT pg_advisory_unlock(7)"},
			"temp table":    {"CREATE TEMP TABLE tt (a int)", "DROP TABLE tt"},
			"cursor":        {"BEGIN; DECLARE hc CURSOR WITH HOLD FOR SELECT 1; COMMIT", "CLOSE hc"},
			"listen":        {"LISTEN abc", "UNLISTEN *"},
			"discard":       {"CREATE TEMP TABLE tt (a int); LISTEN abc", "DISCARD ALL"},
			"rolled back":   {"SELECT 1", "BEGIN; CREATE TEMP TABLE tt (a int); LISTEN abc; ROLLBACK"},
			"failed":        {"SELECT 1", "SELECT pg_try_advisory_lock(1/0)"},
		} {
			t.Run(name, func(t *testing.T) {
				b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 3}, nil)
				c, d := b.connect(""), b.connect("")
				simple(t, c, test[0])
				if name != "failed" && name != "rolled back" {
					pid := simple(t, c, "SELECT pg_backend_pid()")
					for range 5 {
						if simple(t, d, "SELECT pg_backend_pid()") == pid {
							t.Fatal("the connection is shared")
						}
					}
				}
				_, _ = c.PgConn().Exec(t.Context(), test[1]).ReadAll()
				b.rest()
				simple(t, c, test[0])
				_ = c.Close(t.Context())
				b.rest()
				if v := simple(t, d, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"); v != "0" {
					t.Errorf("%s locks are left", v)
				}
			})
		}
	})

	t.Run("notify", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 3}, nil)
		c, d := b.connect(""), b.connect("")
		run(t, c, "LISTEN news")
		run(t, d, "SELECT pg_notify('news', 'x')")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		n, err := c.WaitForNotification(ctx)
		if err != nil || n.Payload != "x" {
			t.Errorf("got %v, %v", n, err)
		}
	})

	t.Run("cancel", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil)
		c, d := b.connect(""), b.connect("")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := c.PgConn().Exec(ctx, "SELECT pg_sleep(3600)").ReadAll()
			done <- err
		}()
		eventually(t, "it runs", func() bool { return b.pool.Stats().Active == 1 })
		// A request with a wrong key does nothing, nor does one for somebody who asks nothing.
		if err := d.PgConn().CancelRequest(t.Context()); err != nil {
			t.Error(err)
		}
		for len(done) == 0 {
			if err := c.PgConn().CancelRequest(t.Context()); err != nil {
				t.Error(err)
			}
			select {
			case err := <-done:
				if code(err) != "57014" {
					t.Errorf("got %v", err)
				}
			case <-time.After(50 * time.Millisecond):
				continue
			}
			break
		}
		cancel()
		if v := simple(t, d, "SELECT 'fine'"); v != "fine" {
			t.Error(v)
		}
		b.rest()
	})

	t.Run("checkout timeout", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1, CheckoutTimeout: 500 * time.Millisecond}, nil)
		c, d := b.connect(""), b.connect("")
		simple(t, c, "BEGIN")
		if _, err := d.PgConn().Exec(t.Context(), "SELECT 1").ReadAll(); code(err) != "53300" {
			t.Errorf("simple: %v", err)
		}
		if _, err := d.Exec(t.Context(), "SELECT $1::int", 1); code(err) != "53300" {
			t.Errorf("extended: %v", err)
		}
		simple(t, c, "COMMIT")
		run(t, d, "SELECT $1::int", 1)
	})

	t.Run("copy", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil)
		c := b.connect("")
		simple(t, c, "CREATE TABLE copied (a int, b text)")
		data := strings.Repeat("1\t"+strings.Repeat("x", 1000)+"\n", 5000)
		for range 2 {
			if tag, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader(data), "COPY copied FROM STDIN"); err != nil || tag.RowsAffected() != 5000 {
				t.Fatalf("%v, %v", tag, err)
			}
		}
		rows := [][]any{{1, "a"}, {2, "b"}}
		if n, err := c.CopyFrom(t.Context(), pgx.Identifier{"copied"}, []string{"a", "b"}, pgx.CopyFromRows(rows)); err != nil || n != 2 {
			t.Fatalf("%v, %v", n, err)
		}
		_, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader("bad\n"+data), "COPY copied FROM STDIN")
		if code(err) != "22P02" {
			t.Errorf("got %v", err)
		}
		var out strings.Builder
		if tag, err := c.PgConn().CopyTo(t.Context(), &out, "COPY copied TO STDOUT"); err != nil || tag.RowsAffected() != 10002 || out.Len() != 2*len(data)+8 {
			t.Fatalf("%v, %v, %d bytes", tag, err, out.Len())
		}
		simple(t, c, "DROP TABLE copied")
		b.rest()
	})

	t.Run("pipeline", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil)
		c := b.connect("")
		batch := &pgx.Batch{}
		for i := range 500 {
			batch.Queue(fmt.Sprintf("SELECT repeat('x', 1000), %d + $1::int", i%7), i)
		}
		r := c.SendBatch(t.Context(), batch)
		for i := range 500 {
			var s string
			var v int
			if err := r.QueryRow().Scan(&s, &v); err != nil || v != i%7+i {
				t.Fatalf("%d: %d, %v", i, v, err)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		p := c.PgConn().StartPipeline(t.Context())
		for i := range 200 {
			p.SendPrepare(fmt.Sprintf("p%d", i), fmt.Sprintf("SELECT %d, repeat('y', 10000)", i), nil)
			p.SendQueryPrepared(fmt.Sprintf("p%d", i), nil, nil, nil)
			if i == 100 {
				p.SendQueryParams("SELECT 1/0", nil, nil, nil, nil)
				p.SendQueryParams("SELECT 1", nil, nil, nil, nil)
			}
			if err := p.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		failed := 0
		for syncs := 0; syncs < 200; {
			res, err := p.GetResults()
			if err != nil {
				failed++
				continue
			}
			switch res := res.(type) {
			case *pgconn.PipelineSync:
				syncs++
			case *pgconn.ResultReader:
				if got := res.Read(); got.Err != nil {
					failed++
				}
			}
		}
		if err := p.Close(); err != nil || failed != 1 {
			t.Errorf("%v, %d errors", err, failed)
		}
		b.rest()
	})
}
