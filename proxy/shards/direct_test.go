package shards_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A wired is a client that sees every message.
type wired struct {
	t  *testing.T
	nc net.Conn
	r  *wire.Reader
}

func (h *house) wired() *wired {
	h.t.Helper()
	nc, err := net.Dial("unix", filepath.Join(h.dir, ".s.PGSQL.5432"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = nc.Close() })
	w := &wired{h.t, nc, wire.NewReader(nc, wire.Backend, 0)}
	w.send(&wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "u"}, {Name: "database", Value: "d"}}})
	w.answers(1)
	return w
}

func (w *wired) send(list ...wire.Message) {
	w.t.Helper()
	var b []byte
	for _, m := range list {
		var err error
		if b, err = wire.Append(b, m); err != nil {
			w.t.Fatal(err)
		}
	}
	w.write(b)
}

func (w *wired) write(b []byte) {
	w.t.Helper()
	if _, err := w.nc.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// answers reads up to the n-th ReadyForQuery. What precedes an error may have been said or not.
func (w *wired) answers(n int) string {
	w.t.Helper()
	if err := w.nc.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		w.t.Fatal(err)
	}
	var out, completions []string
	for n > 0 {
		f, err := w.r.ReadFrame()
		if err != nil {
			w.t.Fatalf("after %q: %v", out, err)
		}
		switch f.Type {
		case wire.TypeParseComplete, wire.TypeBindComplete:
			completions = append(completions, string(byte(f.Type)))
			continue
		case wire.TypeErrorResponse:
			var m wire.ErrorResponse
			if err := m.Decode(f.Body); err != nil {
				w.t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("E %s %s %s", m.Error.Severity, m.Error.Code, m.Error.Message))
			completions = nil
			continue
		case wire.TypeReadyForQuery:
			n--
		}
		out = append(append(out, completions...), fmt.Sprintf("%c %q", byte(f.Type), f.Body))
		completions = nil
	}
	return strings.Join(out, "\n")
}

func extendedOf(sql string, results []wire.Format, params ...string) []wire.Message {
	var values [][]byte
	for _, p := range params {
		values = append(values, []byte(p))
	}
	return []wire.Message{&wire.Parse{SQL: sql}, &wire.Bind{Params: values, ResultFormats: results}, &wire.Describe{Kind: wire.PortalKind}, &wire.Execute{}, &wire.Sync{}}
}

func boundOf(name string, params ...string) []wire.Message {
	m := extendedOf("", nil, params...)[1:]
	m[0].(*wire.Bind).Statement = name
	return m
}

// TestSameByAnyTransport says the same to a goroutine and to a loop, each thing twice, and wants the
// same answers.
func TestSameByAnyTransport(t *testing.T) {
	var said [2][]string
	for i, name := range []string{"goroutine", "epoll"} {
		if name == "epoll" {
			g, err := loop.New(1)
			if errors.Is(err, loop.ErrUnsupported) {
				return
			}
			g.Close()
		}
		t.Run(name, func(t *testing.T) { said[i] = sayAll(t) })
	}
	for i := range said[0] {
		if i >= len(said[1]) || said[0][i] != said[1][i] {
			t.Fatalf("%d: by a goroutine\n%s\nby epoll\n%s", i, said[0][i], said[1][i])
		}
	}
}

func sayAll(t *testing.T) (out []string) {
	h := newHouse(t, demoSchema+"; CREATE TYPE mood AS ENUM ('sad', 'glad'); ALTER TABLE users ADD m mood, ADD ms mood[]", nil)
	w := h.wired()
	say := func(answers int, list ...wire.Message) {
		for range 2 {
			w.send(list...)
			asked := ""
			for _, m := range list {
				asked += fmt.Sprintf("%T %.200v\n", m, m)
			}
			out = append(out, asked+w.answers(answers))
		}
	}
	query := func(sql string) { say(1, &wire.Query{SQL: sql}) }
	for id := range 9 {
		query(fmt.Sprintf("INSERT INTO users VALUES (%d, 'user %d', 'glad', '{sad,glad}')", id, id))
		query(fmt.Sprintf("SELECT * FROM users WHERE id = %d", id))
		query(fmt.Sprintf("SELECT email FROM users WHERE id = '%d';", id))
		say(1, extendedOf("SELECT id, m, ms FROM users WHERE id = $1", nil, fmt.Sprint(id))...)
		say(1, extendedOf("SELECT id, m, ms FROM users WHERE id = $1", []wire.Format{wire.Binary}, fmt.Sprint(id))...)
		say(1, extendedOf("UPDATE users SET email = $2 WHERE id = $1 RETURNING email", nil, fmt.Sprint(id), "new")...)
	}
	// Errors of all sorts.
	query("SELECT 1/0 FROM users WHERE id = 3")
	query("SELECT nothing FROM users WHERE id = 3")
	query("SELECT email FROM users WHERE id = 'three'")
	query("SELECT email FROM users WHERE id = NULL")
	query("INSERT INTO users VALUES (3, 'again')")
	query("SELECT FROM FROM")
	query("")
	say(1, extendedOf("SELECT 1/(id - 3) FROM users WHERE id = $1", nil, "3")...)
	say(1, extendedOf("SELECT nothing FROM users WHERE id = $1", nil, "3")...)
	say(1, extendedOf("SELECT email FROM users WHERE id = $1", nil, "three")...)
	say(1, extendedOf("SELECT email FROM users WHERE id = $1", nil)...)
	say(1, boundOf("missing", "3")...)
	say(1, &wire.Sync{})
	// Statements with names.
	for i, sql := range []string{"SELECT email FROM users WHERE id = $1", "SELECT nothing FROM users WHERE id = $1"} {
		say(1, &wire.Parse{Name: fmt.Sprint("s", i), SQL: sql}, &wire.Sync{})
	}
	for id := range 9 {
		say(1, boundOf("s0", fmt.Sprint(id))...)
		say(1, boundOf("s1", fmt.Sprint(id))...)
	}
	say(1, &wire.Parse{SQL: "SELECT id FROM users WHERE id = $1"}, &wire.Sync{})
	say(1, boundOf("", "5")...)
	say(1, &wire.Close{Kind: wire.StatementKind, Name: "s0"}, &wire.Sync{})
	say(1, boundOf("s0", "1")...)
	// Several at once: of one shard and of several, and with a COPY or a cursor among them.
	say(3, &wire.Query{SQL: "SELECT email FROM users WHERE id = 1"}, &wire.Query{SQL: "SELECT count(*) FROM users"}, &wire.Query{SQL: "SELECT email FROM users WHERE id = 2"})
	many := slices.Concat(extendedOf("SELECT email FROM users WHERE id = $1", nil, "1")[:4], extendedOf("SELECT email FROM users WHERE id = $1", nil, "2"))
	say(1, many...)
	say(2, append(many, extendedOf("SELECT id FROM users WHERE id = $1", nil, "3")...)...)
	say(1, append(extendedOf("SELECT email FROM users WHERE id = $1", nil, "1")[:4], &wire.Flush{}, &wire.Sync{})...)
	say(1, &wire.Query{SQL: "COPY users (id, email) FROM STDIN"}, &wire.CopyData{Data: []byte("70\tx\n71\ty\n")}, &wire.CopyDone{})
	query("SELECT email FROM users WHERE id = 70")
	say(1, &wire.Parse{SQL: "SELECT id FROM users WHERE id < 5 ORDER BY id"}, &wire.Bind{}, &wire.Execute{MaxRows: 1}, &wire.Execute{MaxRows: 1}, &wire.Sync{})
	// Transactions and what lasts in the session.
	for _, sql := range []string{
		"BEGIN", "SELECT email FROM users WHERE id = 1", "UPDATE users SET email = 'one' WHERE id = 1", "SELECT email FROM users WHERE id = 1", "ROLLBACK", "SELECT email FROM users WHERE id = 1",
		"BEGIN", "SELECT 1/0 FROM users WHERE id = 1", "SELECT email FROM users WHERE id = 1", "COMMIT", "SELECT email FROM users WHERE id = 1",
		"SET application_name = 'other'", "SELECT current_setting('application_name') FROM users WHERE id = 1", "SELECT current_setting('application_name') FROM users WHERE id = 2",
		"SELECT set_config('application_name', 'third', false) FROM users WHERE id = 2", "SELECT current_setting('application_name') FROM users WHERE id = 1",
		"RESET application_name", "SELECT current_setting('application_name') FROM users WHERE id = 1",
		"SET pgdog.shard = 0", "SELECT count(*) FROM users", "SELECT email FROM users WHERE id = 1", "RESET pgdog.shard", "SELECT count(*) FROM users",
		"DECLARE c CURSOR WITH HOLD FOR SELECT id FROM users WHERE id = 3", "FETCH c", "SELECT email FROM users WHERE id = 1", "CLOSE ALL", "SELECT email FROM users WHERE id = 1",
		"CREATE TABLE later (id bigint)", "SELECT email FROM users WHERE id = 1", "ALTER TABLE users ADD n int DEFAULT 7", "SELECT * FROM users WHERE id = 1", "DROP TABLE IF EXISTS later",
		"PREPARE p AS SELECT email FROM users WHERE id = $1", "EXECUTE p(4)", "DEALLOCATE p", "SELECT pg_advisory_lock(1) FROM users WHERE id = 1", "SELECT email FROM users WHERE id = 2", "DISCARD ALL",
		"SELECT email FROM users WHERE id = 2", "SELECT email FROM users WHERE id = 2 FOR UPDATE", "/* pgdog_shard: 1 */ SELECT count(*) FROM users WHERE id = 1",
	} {
		query(sql)
	}
	// A client that sends a byte at a time.
	var slow []byte
	for _, m := range extendedOf("SELECT email FROM users WHERE id = $1", nil, "6") {
		var err error
		if slow, err = wire.Append(slow, m); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		for i := range slow {
			w.write(slow[i : i+1])
		}
		out = append(out, w.answers(1))
	}
	w.write(bytes.Repeat(slow, 100))
	out = append(out, w.answers(100))
	// A client that says all it has to say, and is not there to hear of more.
	for _, sql := range []string{"SELECT count(*) FROM users", "SELECT email FROM users WHERE id = 6"} {
		last := h.wired()
		var b []byte
		for _, q := range []string{sql, "SELECT email FROM users WHERE id = 5", sql} {
			var err error
			if b, err = wire.Append(b, &wire.Query{SQL: q}); err != nil {
				t.Fatal(err)
			}
		}
		last.write(b)
		if err := last.nc.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		out = append(out, last.answers(3))
	}
	// A value that is long.
	query("SELECT repeat('x', 300000) FROM users WHERE id = 4")
	query("SELECT '" + strings.Repeat("y", 50_000) + "' FROM users WHERE id = 4")
	query("SELECT id, g, repeat('z', 100) FROM users, generate_series(1, 5000) g WHERE id = 4")
	return out
}

// byGoroutine reports whether a goroutine serves a client of several shards.
func byGoroutine(t *testing.T) bool {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 2); err != nil {
		t.Fatal(err)
	}
	return strings.Contains(b.String(), ".serveSharded(")
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick, limit := time.NewTicker(time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("in vain for ", what)
		}
	}
}

// TestDirect has a statement of one shard wait for a lock: no goroutine does, a cancel request
// reaches the shard, and what ends the server's connection does not end the client's.
func TestDirect(t *testing.T) {
	g, err := loop.New(1)
	if errors.Is(err, loop.ErrUnsupported) {
		t.Skip("there are no loops here")
	}
	g.Close()
	t.Run("epoll", testDirect)
}

func testDirect(t *testing.T) {
	h := newHouse(t, demoSchema, nil)
	c, other := h.connect(), h.connect()
	mustExec(t, c, "INSERT INTO users SELECT g, 'user ' || g FROM generate_series(1, 30) g")
	const sql = "UPDATE users SET email = 'changed' WHERE id = 7"
	mustExec(t, c, sql, pgx.QueryExecModeSimpleProtocol)
	await(t, "the session on the loop", func() bool { return !byGoroutine(t) })
	shard := 0
	for shard = range houseShards {
		if one[int](t, h.direct(shard), "SELECT count(*) FROM users WHERE id = 7") == 1 {
			break
		}
	}
	blocked := func() bool {
		return one[int](t, h.direct(shard), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") > 0
	}
	for _, tt := range []struct {
		name, code string
		how        func()
	}{
		{"a cancel request", "57014", func() {
			if err := c.PgConn().CancelRequest(t.Context()); err != nil {
				t.Error(err)
			}
		}},
		{"the end of the server's process", "57P01", func() {
			mustExec(t, h.direct(shard), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
		}},
		{"the end of the lock", "", func() { mustExec(t, h.direct(shard), "ROLLBACK") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mustExec(t, h.direct(shard), "BEGIN")
			mustExec(t, h.direct(shard), "UPDATE users SET email = 'locked' WHERE id = 7")
			defer func() { _, _ = h.direct(shard).Exec(context.WithoutCancel(t.Context()), "ROLLBACK") }()
			done := make(chan error, 1)
			go func() {
				_, err := c.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
				done <- err
			}()
			await(t, "the lock", blocked)
			if byGoroutine(t) {
				t.Error("a goroutine waits for the shard")
			}
			if got := one[string](t, other, "SELECT email FROM users WHERE id = 8"); got != "user 8" {
				t.Error("another reads", got)
			}
			tt.how()
			select {
			case err := <-done:
				e, ok := errors.AsType[*pgconn.PgError](err)
				if tt.code == "" && err != nil || tt.code != "" && (!ok || e.Code != tt.code || e.Severity != "ERROR") {
					t.Errorf("%+v", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("no answer")
			}
			mustExec(t, h.direct(shard), "ROLLBACK")
			for id := range 30 {
				if got := one[string](t, c, "SELECT email FROM users WHERE id = $1", id+1); got != fmt.Sprint("user ", id+1) && id != 6 {
					t.Errorf("user %d is %s", id+1, got)
				}
			}
		})
	}
	// A client that is kicked leaves nothing behind.
	mustExec(t, h.direct(shard), "BEGIN")
	mustExec(t, h.direct(shard), "UPDATE users SET email = 'locked' WHERE id = 7")
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		done <- err
	}()
	await(t, "the lock", blocked)
	pid := c.PgConn().PID()
	if n := h.px.Kick(func(id uint32, _ proxy.Client) bool { return id == pid }); n != 1 {
		t.Errorf("%d clients were kicked", n)
	}
	select {
	case err := <-done:
		if err == nil {
			t.Error("the client was kicked")
		}
	case <-time.After(time.Minute):
		t.Fatal("the client is still there")
	}
	await(t, "the end of the query", func() bool { return !blocked() })
	mustExec(t, h.direct(shard), "ROLLBACK")
	if got := one[string](t, other, "SELECT email FROM users WHERE id = 7"); got != "changed" {
		t.Error("afterwards it is", got)
	}
}

// TestManyDirect has clients on two loops read and write single rows, and many at once between,
// with fewer connections than clients: each sees what it has written, and nobody another's.
func TestManyDirect(t *testing.T) { transports(t, testManyDirect) }

func testManyDirect(t *testing.T) {
	h := newHouse(t, demoSchema, func(c *shards.Config) {
		pick := c.Pick
		loops := newLoops(t)
		var pools []*pool.Pool
		for shard := range houseShards {
			p, err := pick(t.Context(), shard, route.Primary)
			if err != nil {
				t.Fatal(err)
			}
			p = pool.New(p.Backend(), pool.Config{Size: 3, CheckoutTimeout: 2 * time.Minute, Loops: loops}, nil)
			t.Cleanup(func() { p.Close(context.Background()) })
			pools = append(pools, p)
		}
		c.Pick = func(_ context.Context, shard int, _ route.Role) (*pool.Pool, error) { return pools[shard], nil }
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for client := range 12 {
		c := h.connect()
		wg.Go(func() {
			modes := []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeDescribeExec}
			for n := range 40 {
				id, mode := client*1000+n, modes[rand.IntN(len(modes))]
				if _, err := c.Exec(ctx, "INSERT INTO users VALUES ($1, $2)", mode, id, fmt.Sprint("user ", id)); err != nil {
					t.Error(err)
					return
				}
				was := client*1000 + rand.IntN(n+1)
				var email string
				if err := c.QueryRow(ctx, "SELECT email FROM users WHERE id = $1", mode, was).Scan(&email); err != nil || email != fmt.Sprint("user ", was) {
					t.Errorf("%d: %q, %v", was, email, err)
					return
				}
				if rand.IntN(8) > 0 {
					continue
				}
				var count int
				if err := c.QueryRow(ctx, "SELECT count(*) FROM users WHERE id BETWEEN $1 AND $2", mode, client*1000, client*1000+999).Scan(&count); err != nil || count != n+1 {
					t.Errorf("%d rows of %d, %v", count, n+1, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := h.sum("SELECT count(*) FROM users"); n != 12*40 {
		t.Errorf("%d rows", n)
	}
}

// TestDirectInVain asks for a connection that does not become free: the error says so, and the
// session goes on.
func TestDirectInVain(t *testing.T) { transports(t, testDirectInVain) }

func testDirectInVain(t *testing.T) {
	h := newHouse(t, demoSchema, func(c *shards.Config) {
		p, err := c.Pick(t.Context(), 0, route.Primary)
		if err != nil {
			t.Fatal(err)
		}
		pick := c.Pick
		small := pool.New(p.Backend(), pool.Config{Size: 1, CheckoutTimeout: 300 * time.Millisecond, Loops: newLoops(t)}, nil)
		t.Cleanup(func() { small.Close(context.Background()) })
		c.Pick = func(ctx context.Context, shard int, role route.Role) (*pool.Pool, error) {
			if shard == 0 {
				return small, nil
			}
			return pick(ctx, shard, role)
		}
	})
	a, b := h.connect(), h.connect()
	id := 0
	for ; ; id++ {
		mustExec(t, a, "INSERT INTO users VALUES ($1, 'x')", id)
		if one[int](t, h.direct(0), "SELECT count(*) FROM users") == 1 {
			break
		}
	}
	sql := fmt.Sprintf("SELECT email FROM users WHERE id = %d", id)
	for range 3 {
		mustExec(t, b, sql)
		mustExec(t, a, "BEGIN")
		mustExec(t, a, sql)
		refused(t, b, "53300", "", sql)
		mustExec(t, a, "COMMIT")
		mustExec(t, b, sql)
	}
}
