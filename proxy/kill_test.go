package proxy_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

func messages(ms ...wire.FrontendMessage) (b []byte, ends []int) {
	for _, m := range ms {
		b, _ = wire.Append(b, m)
		ends = append(ends, len(b))
	}
	return b, ends
}

// raw logs in and returns the bare connection.
func (b *bench) raw() net.Conn {
	b.t.Helper()
	nc, err := net.Dial("tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	out, _ := wire.Append(nil, &wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: b.srv.Info().User}, {Name: "database", Value: "postgres"}}})
	if _, err := nc.Write(out); err != nil {
		b.t.Fatal(err)
	}
	readies(b.t, nc, 1)
	return nc
}

// readies reads until the server has been ready n times, and returns the types of what came.
func readies(t testing.TB, nc net.Conn, n int) (types string) {
	t.Helper()
	_ = nc.SetReadDeadline(time.Now().Add(30 * time.Second))
	r := wire.NewReader(nc, wire.Backend, 0)
	for n > 0 {
		f, err := r.ReadFrame()
		if err != nil {
			t.Fatalf("after %q: %v", types, err)
		}
		types += string(rune(f.Type))
		if f.Type == wire.TypeReadyForQuery {
			n--
		}
	}
	return types
}

// TestClientKilled cuts a client off at every message of what it says, and in the middle of
// each, and then looks whether anything is left of it.
func TestClientKilled(t *testing.T) { transports(t, testClientKilled) }

func testClientKilled(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	setup := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil).connect("")
	simple(t, setup, "CREATE TABLE killed (a int)")
	for name, script := range map[string][]wire.FrontendMessage{
		"simple": {
			&wire.Query{SQL: "BEGIN"},
			&wire.Query{SQL: "INSERT INTO killed VALUES (1)"},
			&wire.Query{SQL: "SET my.state = 'dirty'"},
			&wire.Query{SQL: "SELECT repeat('x', 100000) FROM generate_series(1, 100)"},
		},
		"extended": {
			&wire.Parse{SQL: "BEGIN"}, &wire.Bind{}, &wire.Execute{},
			&wire.Parse{Name: "s", SQL: "INSERT INTO killed VALUES (1)"}, &wire.Bind{Statement: "s"}, &wire.Execute{},
			&wire.Sync{},
			&wire.Parse{Name: "s", SQL: "SELECT 1"}, &wire.Sync{},
			&wire.Bind{Statement: "s"}, &wire.Flush{},
		},
		"copy": {
			&wire.Query{SQL: "BEGIN; COPY killed FROM STDIN"},
			&wire.CopyData{Data: []byte(strings.Repeat("1\n", 1000))},
			&wire.CopyData{Data: []byte("1\n")},
			&wire.CopyDone{},
			&wire.Query{SQL: "SELECT 1"},
		},
		"session state": {
			&wire.Query{SQL: "SELECT pg_advisory_lock(5)"},
			&wire.Query{SQL: "CREATE TEMP TABLE left_over (a int)"},
			&wire.Query{SQL: "PREPARE p AS SELECT 1"},
			&wire.Query{SQL: "LISTEN l"},
			&wire.Query{SQL: "SET work_mem = '7MB'"},
		},
		"long query": {&wire.Query{SQL: "SELECT pg_sleep(3600)"}},
	} {
		for _, mode := range []proxy.Mode{proxy.Transaction, proxy.Session} {
			t.Run(fmt.Sprint(name, "/", mode), func(t *testing.T) {
				b := newBench(t, srv, mode, pool.Config{Size: 1, CheckoutTimeout: -1, CleanTimeout: 30 * time.Second}, nil)
				data, ends := messages(script...)
				var cuts []int
				for i, end := range ends {
					start := 0
					if i > 0 {
						start = ends[i-1]
					}
					cuts = append(cuts, start+3, (start+end)/2, end)
				}
				for _, cut := range cuts {
					nc := b.raw()
					if _, err := nc.Write(data[:cut]); err != nil {
						t.Fatal(err)
					}
					if cut%2 == 0 {
						_ = nc.(*net.TCPConn).SetLinger(0) // a reset rather than an end
					}
					_ = nc.Close()
					b.rest()
				}
				c := b.connect("")
				if v := simple(t, c, `SELECT (SELECT count(*) FROM killed) || coalesce(current_setting('my.state', true), '') ||
					(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') || (SELECT count(*) FROM pg_listening_channels()) ||
					(SELECT count(*) FROM pg_prepared_statements WHERE from_sql) || coalesce(to_regclass('left_over')::text, '') ||
					(SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' OR query LIKE '%sleep%' AND state = 'active' AND pid <> pg_backend_pid())`); v != "00000" {
					t.Errorf("left over: %s", v)
				}
				if v := simple(t, c, "SHOW work_mem"); v != "4MB" {
					t.Errorf("work_mem is %s", v)
				}
			})
		}
	}
}

// TestServerKilled ends server connections, the server itself and freezes it.
func TestServerKilled(t *testing.T) { transports(t, testServerKilled) }

func testServerKilled(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 3, CleanTimeout: 200 * time.Millisecond, ConnectTimeout: 2 * time.Second}, func(c *proxy.Config, _ *proxy.Database) {
		c.QueryTimeout = 300 * time.Millisecond
	})
	c, d := b.connect(""), b.connect("")

	simple(t, c, "BEGIN")
	pid := simple(t, c, "SELECT pg_backend_pid()")
	simple(t, d, "SELECT pg_terminate_backend("+pid+")")
	_, err := c.PgConn().Exec(t.Context(), "SELECT 1").ReadAll()
	if err == nil || !c.IsClosed() && code(err) != "57P01" {
		t.Errorf("after its server connection has ended a client is told %v", err)
	}
	if v := simple(t, d, "SELECT 'fine'"); v != "fine" {
		t.Error(v)
	}

	// An idle connection that ends is nobody's loss.
	pid = simple(t, d, "SELECT pg_backend_pid()")
	other, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close(context.Background()) }()
	before := b.pool.Stats().Idle
	if _, err := other.Exec(t.Context(), "SELECT pg_terminate_backend("+pid+")"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pool has noticed", func() bool { return b.pool.Stats().Idle < before })
	simple(t, d, "SELECT 1")

	// query_timeout cancels, and the session goes on.
	if _, err := d.PgConn().Exec(t.Context(), "SELECT pg_sleep(3600)").ReadAll(); code(err) != "57014" {
		t.Errorf("query_timeout: %v", err)
	}
	simple(t, d, "SELECT 1")

	// A frozen server process: its client is told, the slot is not lost.
	simple(t, d, "BEGIN")
	var frozen int
	if _, err := fmt.Sscan(simple(t, d, "SELECT pg_backend_pid()"), &frozen); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(frozen, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	e := b.connect("")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if _, err := d.PgConn().Exec(ctx, "SELECT 1").ReadAll(); err == nil {
		t.Error("a frozen server answered")
	}
	simple(t, e, "SELECT 1")
	if err := syscall.Kill(frozen, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	b.rest()

	// kill -9 of a server process restarts the server: all connections end.
	if _, err := fmt.Sscan(simple(t, e, "SELECT pg_backend_pid()"), &frozen); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(frozen, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server is back", func() bool {
		c, err := pgx.Connect(t.Context(), b.url(""))
		if err != nil {
			return false
		}
		defer func() { _ = c.Close(context.Background()) }()
		_, err = c.PgConn().Exec(t.Context(), "SELECT 1").ReadAll()
		return err == nil
	})
	b.rest()
}

// TestTimeouts checks the clients' own.
func TestTimeouts(t *testing.T) { transports(t, testTimeouts) }

func testTimeouts(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 2}, func(c *proxy.Config, _ *proxy.Database) {
		c.IdleTimeout, c.IdleInTransactionTimeout = 300*time.Millisecond, 100*time.Millisecond
	})
	last := func(nc net.Conn) wire.Code {
		_ = nc.SetReadDeadline(time.Now().Add(30 * time.Second))
		r := wire.NewReader(nc, wire.Backend, 0)
		var e wire.ErrorResponse
		for {
			f, err := r.ReadFrame()
			if err != nil {
				if err != io.EOF {
					t.Error(err)
				}
				return e.Error.Code
			}
			if f.Type == wire.TypeErrorResponse {
				_ = e.Decode(f.Body)
			}
		}
	}
	if got := last(b.raw()); got != wire.CodeIdleSessionTimeout {
		t.Errorf("idle: %s", got)
	}
	nc := b.raw()
	out, _ := messages(&wire.Query{SQL: "BEGIN"})
	if _, err := nc.Write(out); err != nil {
		t.Fatal(err)
	}
	if got := last(nc); got != wire.CodeIdleInTransactionTimeout {
		t.Errorf("idle in transaction: %s", got)
	}
	b.rest()
}

// TestBadClients sends what is no protocol.
func TestBadClients(t *testing.T) { transports(t, testBadClients) }

func testBadClients(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, func(c *proxy.Config, _ *proxy.Database) { c.MaxMessage = 10_000 })
	good := b.connect("")
	for _, data := range []string{
		"\x00\x00\x00\x00\x00", "Q\x00\x00\x00\x03", "Q\xff\xff\xff\xff", "p\x00\x00\x00\x05x", "?\x00\x00\x00\x05x",
		"P\x00\x00\x00\x05x", "B\x00\x00\x00\x05x", "D\x00\x00\x00\x05x", "Q\x00\x00\xff\xff", "S\x00\x0f\x00\x00", "R\x00\x00\x00\x08\x00\x00\x00\x00",
	} {
		nc := b.raw()
		if _, err := nc.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
		_ = nc.SetReadDeadline(time.Now().Add(30 * time.Second))
		got, err := io.ReadAll(nc)
		if err != nil || len(got) == 0 || got[0] != 'E' {
			t.Errorf("%q is answered by %q, %v", data, got, err)
		}
		if v := simple(t, good, "SELECT 1"); v != "1" {
			t.Error("another client suffers")
		}
	}
	// A simple query in a bad string is refused, and the session goes on.
	nc := b.raw()
	if _, err := nc.Write([]byte("X\x00\x00\x00\x04")); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(nc); len(got) != 0 {
		t.Errorf("a goodbye is answered by %q", got)
	}
	b.rest()
}

// TestSlowReader lets one client not read what it asked for: others are not held up.
func TestSlowReader(t *testing.T) { transports(t, testSlowReader) }

func testSlowReader(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 2}, nil)
	slow := b.raw()
	out, _ := messages(&wire.Query{SQL: "SELECT repeat('x', 1000000) FROM generate_series(1, 200)"})
	if _, err := slow.Write(out); err != nil {
		t.Fatal(err)
	}
	c := b.connect("")
	for range 20 {
		simple(t, c, "SELECT 1")
	}
	if types := readies(t, slow, 1); strings.Count(types, "D") != 200 {
		t.Errorf("the slow client got %d rows", strings.Count(types, "D"))
	}
	// A pipeline larger than every buffer, of which nothing is read before all is written.
	batch, _ := messages(&wire.Query{SQL: "SELECT repeat('y', 1000)"})
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 5000 {
			if _, err := slow.Write(batch); err != nil {
				t.Error(err)
				return
			}
		}
	})
	if types := readies(t, slow, 5000); strings.Count(types, "D") != 5000 {
		t.Errorf("%d answers", strings.Count(types, "D"))
	}
	wg.Wait()
	_ = slow.Close()
	b.rest()
}

// TestNothingLeaks lets many clients do all kinds of things at once, each with values of its
// own: what any of them sees must be its own.
func TestNothingLeaks(t *testing.T) { transports(t, testNothingLeaks) }

func testNothingLeaks(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 4, Statements: 5, CheckoutTimeout: 60 * time.Second}, nil)
	clients, rounds := 16, 60
	if testing.Short() {
		rounds = 10
	}
	var wg sync.WaitGroup
	var done atomic.Int64
	for id := range clients {
		wg.Go(func() {
			if err := oneOfMany(t, b, id, rounds); err != nil {
				t.Errorf("client %d: %v", id, err)
			}
			done.Add(1)
		})
	}
	wg.Wait()
	b.rest()
}

func oneOfMany(t *testing.T, b *bench, id, rounds int) (err error) {
	rnd := rand.New(rand.NewPCG(1, uint64(id)))
	ctx := t.Context()
	c, err := pgx.Connect(ctx, b.url(fmt.Sprintf("application_name=app%d", id)))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.Background()) }()
	pc := c.PgConn()
	setting := ""
	one := func(sql string, args ...any) (v string, err error) {
		err = c.QueryRow(ctx, sql, args...).Scan(&v)
		return v, err
	}
	want := func(what, got, expected string, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if got != expected {
			return fmt.Errorf("%s: got %q, want %q", what, got, expected)
		}
		return nil
	}
	if _, err := pc.Prepare(ctx, "same", fmt.Sprintf("SELECT 'client %d'", id), nil); err != nil {
		return err
	}
	for round := range rounds {
		text := fmt.Sprintf("%d-%d", id, round)
		switch rnd.IntN(12) {
		case 0:
			v, err := one("SELECT current_setting('application_name')")
			if err := want("application_name", v, fmt.Sprintf("app%d", id), err); err != nil {
				return err
			}
		case 1:
			if _, err := pc.Exec(ctx, "SET my.id = '"+text+"'").ReadAll(); err != nil {
				return err
			}
			setting = text
		case 2:
			v, err := one("SELECT coalesce(current_setting('my.id', true), '')")
			if err := want("my.id", v, setting, err); err != nil {
				return err
			}
		case 3:
			r := pc.ExecPrepared(ctx, "same", nil, nil, nil).Read()
			if r.Err != nil || string(r.Rows[0][0]) != fmt.Sprintf("client %d", id) {
				return fmt.Errorf("prepared: %v, %w", r.Rows, r.Err)
			}
		case 4:
			tx, err := c.Begin(ctx)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "SET LOCAL my.id = 'local'"); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "SELECT $1::int/0", id); code(err) != "22012" {
				return err
			}
			if err := tx.Rollback(ctx); err != nil {
				return err
			}
		case 5:
			slow, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(20))*time.Millisecond)
			_, _ = pc.Exec(slow, "SELECT pg_sleep(0.01)").ReadAll()
			cancel()
			if pc.IsClosed() {
				if c, err = pgx.Connect(ctx, b.url(fmt.Sprintf("application_name=app%d", id))); err != nil {
					return err
				}
				pc, setting = c.PgConn(), ""
				if _, err := pc.Prepare(ctx, "same", fmt.Sprintf("SELECT 'client %d'", id), nil); err != nil {
					return err
				}
			}
		case 6:
			batch := &pgx.Batch{}
			for i := range 5 {
				batch.Queue(fmt.Sprintf("SELECT $1::text || '%d'", i), text)
			}
			r := c.SendBatch(ctx, batch)
			for i := range 5 {
				var v string
				err := r.QueryRow().Scan(&v)
				if err := want("batch", v, fmt.Sprintf("%s%d", text, i), err); err != nil {
					return err
				}
			}
			if err := r.Close(); err != nil {
				return err
			}
		case 7:
			var out strings.Builder
			_, err := pc.CopyTo(ctx, &out, "COPY (SELECT '"+text+"' FROM generate_series(1, 1000)) TO STDOUT")
			if err := want("copy", out.String(), strings.Repeat(text+"\n", 1000), err); err != nil {
				return err
			}
		case 8:
			if _, err := pc.Exec(ctx, "CREATE TEMP TABLE mine AS SELECT '"+text+"' AS v").ReadAll(); err != nil {
				return err
			}
			v, err := one("SELECT v FROM mine")
			if err := want("temporary table", v, text, err); err != nil {
				return err
			}
			if _, err := pc.Exec(ctx, "DROP TABLE mine").ReadAll(); err != nil {
				return err
			}
		case 9:
			v, err := one("SELECT $1::text", text)
			if err := want("parameter", v, text, err); err != nil {
				return err
			}
		case 10:
			rows, err := c.Query(ctx, "SELECT $1::text FROM generate_series(1, 200)", pgx.QueryExecModeSimpleProtocol, text)
			if err != nil {
				return err
			}
			n := 0
			for ; rows.Next(); n++ {
				var v string
				if err := rows.Scan(&v); err != nil || v != text {
					return fmt.Errorf("row %q of another, %w", v, err)
				}
			}
			if err := rows.Err(); err != nil || n != 200 {
				return fmt.Errorf("%d rows, %w", n, err)
			}
		case 11:
			results, err := pc.Exec(ctx, "SELECT '"+text+"'; SELECT set_config('my.id', '"+text+"', false)").ReadAll()
			if err != nil {
				return err
			}
			if err := want("simple", string(results[0].Rows[0][0]), text, nil); err != nil {
				return err
			}
			setting = text
		}
	}
	return nil
}
