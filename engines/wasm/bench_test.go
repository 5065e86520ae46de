package wasm_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// A workload is one row of the comparison; once runs it once.
type workload struct {
	name string
	once func(ctx context.Context, c *pgx.Conn) error
	sql  string // all that it is, if it is plain SQL
}

func plain(name, sql string) workload {
	return workload{name, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		return err
	}, sql}
}

func workloads() []workload {
	var rows strings.Builder
	for i := range 100000 {
		fmt.Fprintf(&rows, "%d\tsome text row %d\n", i, i)
	}
	return []workload{
		{"select 1", func(ctx context.Context, c *pgx.Conn) error {
			var n int
			return c.QueryRow(ctx, "select 1").Scan(&n)
		}, ""},
		{"1000 inserts in 1 transaction", func(ctx context.Context, c *pgx.Conn) error {
			return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
				for i := range 1000 {
					if _, err := tx.Exec(ctx, "insert into b1 values ($1, $2)", i, "v"); err != nil {
						return err
					}
				}
				return nil
			})
		}, ""},
		plain("insert 100k", "truncate b2; insert into b2 select g, g % 1000, md5(g::text) from generate_series(1, 100000) g"),
		plain("aggregate 100k", "select k, count(*), max(v) from b2 group by k"),
		plain("sort 100k", "select count(*) from (select * from b2 order by v offset 10) s"),
		plain("create index", "drop index if exists b2i; create index b2i on b2(v)"),
		plain("self join", "select count(*) from b2 a join b2 b using (v)"),
		{"copy 100k in", func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.PgConn().CopyFrom(ctx, strings.NewReader(rows.String()), "copy b3 from stdin")
			return err
		}, ""},
		{"fetch 100k", func(ctx context.Context, c *pgx.Conn) error {
			r, err := c.Query(ctx, "select * from b2")
			if err != nil {
				return err
			}
			for r.Next() {
			}
			return r.Err()
		}, ""},
		plain("plpgsql loop 1M", "do $$ declare s bigint := 0; begin for i in 1..1000000 loop s := s + i; end loop; end $$"),
		{"500 errors", func(ctx context.Context, c *pgx.Conn) error {
			for range 500 {
				if _, err := c.Exec(ctx, "select 1/0"); code(err) != "22012" {
					return err
				}
			}
			return nil
		}, ""},
	}
}

// A contender runs workloads.
type contender struct {
	name string
	once func(w workload) (time.Duration, error)
}

// by is a contender that a connection reaches.
func by(name string, c *pgx.Conn) contender {
	return contender{name, func(w workload) (time.Duration, error) {
		return timed(func() error { return w.once(context.Background(), c) })
	}}
}

// BenchmarkEmbedSQL runs each workload in turns on the guest in this process, on the guest
// behind a socket, on the newest native server found, on PGlite in node, which measures
// itself, and on PGlite behind its socket; durability is off for all. It reports medians in
// milliseconds, and ours to those of the others: below 1 we are faster. What a rival cannot
// do is not reported; that it cannot is checked.
func BenchmarkEmbedSQL(b *testing.B) {
	r := rivals(b)
	served, servedConn := ours(b)
	node := r.direct(b)
	nodeSocket, nodeConn := r.socket(b)
	const tables = "create table b1(id int, v text); create table b2(id int, k int, v text); create table b3(id int, v text)"
	inside, native := connectB(b, shared), connectB(b, native.New(native.DefaultConfig()))
	for _, c := range []*pgx.Conn{inside, servedConn, native, nodeConn} {
		if _, err := c.Exec(context.Background(), tables, pgx.QueryExecModeSimpleProtocol); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := node.ask("", tables); err != nil {
		b.Fatal(err)
	}
	direct := contender{"node", func(w workload) (time.Duration, error) {
		a, err := node.ask(w.name, w.sql)
		return time.Duration(a.MS * float64(time.Millisecond)), err
	}}
	for _, w := range workloads() {
		b.Run(w.name, func(b *testing.B) {
			list := []contender{by("wasm", inside), by("wasm-socket", servedConn), by("native", native), direct}
			if w.name != "copy 100k in" { // which ends pglite-socket; see the end
				list = append(list, by("node-socket", nodeConn))
			}
			samples := map[string][]time.Duration{}
			// The round trip is short: many make one sample.
			inner := 1
			if w.name == "select 1" {
				inner = 200
			}
			for b.Loop() {
				for range 3 { // medians want more than one
					for _, c := range list {
						for range inner {
							d, err := c.once(w)
							if err != nil {
								b.Fatalf("%s: %v", c.name, err)
							}
							samples[c.name] = append(samples[c.name], d)
						}
					}
				}
			}
			ms := reportMedians(b, samples)
			b.ReportMetric(ms["wasm"]/ms["native"], "/native")
			b.ReportMetric(ms["wasm"]/ms["node"], "/node")
			if ms["node-socket"] > 0 {
				b.ReportMetric(ms["wasm-socket"]/ms["node-socket"], "socket/node-socket")
			}
		})
	}
	b.Run("memory after all", func(b *testing.B) {
		for b.Loop() {
		}
		for name, p := range map[string]*peer{"wasm-socket": served, "node": node, "node-socket": nodeSocket} {
			now, peak := p.memory(b)
			b.ReportMetric(now, name+"-MB")
			b.ReportMetric(peak, name+"-peak-MB")
		}
		b.ReportMetric(0, "ns/op")
	})
	b.Run("copy behind its socket", func(b *testing.B) {
		for b.Loop() {
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if _, err := nodeConn.PgConn().CopyFrom(ctx, strings.NewReader("1\tx\n"), "copy b3 from stdin"); err == nil {
			b.Fatal("pglite-socket can do COPY FROM STDIN now: measure it")
		}
	})
}

func connectB(b *testing.B, e engines.Engine) *pgx.Conn {
	b.Helper()
	srv, err := e.Start(context.Background(), engines.Spec{Fast: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = srv.Close(context.Background()) })
	c, err := engines.Connect(context.Background(), srv, "")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// BenchmarkEmbedStart measures a temporary server from nothing to its first row, in a process
// that has loaded the engine, and what memory each further one takes.
func BenchmarkEmbedStart(b *testing.B) {
	ctx := context.Background()
	warm, err := shared.Start(ctx, engines.Spec{})
	if err != nil {
		b.Fatal(err)
	}
	defer warm.Close(ctx)
	b.Run("temporary, to the first row", func(b *testing.B) {
		for b.Loop() {
			oneRow(b, engines.Spec{})
		}
	})
	b.Run("booted with other parameters", func(b *testing.B) {
		for b.Loop() {
			oneRow(b, engines.Spec{Params: map[string]string{"work_mem": "5MB"}})
		}
	})
	b.Run("further instances", func(b *testing.B) {
		b.ReportAllocs()
		const n = 8
		for b.Loop() {
			before, own := residentBytes(b), ownBytes(b)
			var list []engines.Server
			for range n {
				srv, err := shared.Start(ctx, engines.Spec{})
				if err != nil {
					b.Fatal(err)
				}
				list = append(list, srv)
				c, err := engines.Connect(ctx, srv, "")
				if err != nil {
					b.Fatal(err)
				}
				var v string
				if err := c.QueryRow(ctx, "select version()").Scan(&v); err != nil {
					b.Fatal(err)
				}
				_ = c.Close(ctx)
			}
			b.ReportMetric(float64(residentBytes(b)-before)/n/1e6, "MB/instance")
			b.ReportMetric(float64(ownBytes(b)-own)/n/1e6, "own-MB/instance")
			for _, srv := range list {
				_ = srv.Close(ctx)
			}
		}
	})
}

func oneRow(b *testing.B, spec engines.Spec) {
	b.Helper()
	ctx := context.Background()
	srv, err := shared.Start(ctx, spec)
	if err != nil {
		b.Fatal(err)
	}
	c, err := engines.Connect(ctx, srv, "")
	if err != nil {
		b.Fatal(err)
	}
	var v string
	if err := c.QueryRow(ctx, "select version()").Scan(&v); err != nil {
		b.Fatal(err)
	}
	_ = c.Close(ctx)
	if err := srv.Close(ctx); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkEmbedLoad measures a new process's part: loading the compiled package.
func BenchmarkEmbedLoad(b *testing.B) {
	oneRow(b, engines.Spec{}) // everything is in the cache
	for b.Loop() {
		e := wasm.New(wasm.Config{})
		srv, err := e.Start(context.Background(), engines.Spec{})
		if err != nil {
			b.Fatal(err)
		}
		_ = srv.Close(context.Background())
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEmbedTurns measures what it costs that two clients take turns, each with settings
// of its own, against one client alone.
func BenchmarkEmbedTurns(b *testing.B) {
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprintf("%d clients", n), func(b *testing.B) {
			srv := temp(b, shared, engines.Spec{})
			var conns []*pgx.Conn
			for i := range n {
				c := connect(b, srv)
				mustExec(b, c, fmt.Sprintf("set application_name = 'client %d'", i))
				conns = append(conns, c)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				var one int
				if err := conns[i%n].QueryRow(context.Background(), "select 1").Scan(&one); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func mustExec(b *testing.B, c *pgx.Conn, sql string) {
	b.Helper()
	if _, err := c.Exec(context.Background(), sql); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkEmbedClone measures clones of a server with a schema, from the call to the first
// row: of one that has changed since the last clone, and of one that has not; and what
// memory each takes.
func BenchmarkEmbedClone(b *testing.B) {
	ctx := context.Background()
	srv := temp(b, shared, engines.Spec{})
	c := connect(b, srv)
	mustExec(b, c, "do $$ begin for i in 1..100 loop execute format('create table t%s (id serial primary key, a text unique, b int)', i); execute format('insert into t%s (a) values (1), (2)', i); end loop; end $$")
	clone := func(b *testing.B) *wasm.Server {
		b.Helper()
		s, err := srv.(*wasm.Server).Clone(ctx)
		if err != nil {
			b.Fatal(err)
		}
		c, err := engines.Connect(ctx, s, "")
		if err != nil {
			b.Fatal(err)
		}
		var n int
		if err := c.QueryRow(ctx, "select count(*) from t77").Scan(&n); err != nil || n != 2 {
			b.Fatal(n, err)
		}
		_ = c.Close(ctx)
		return s
	}
	b.Run("changed since the last clone", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			mustExec(b, c, "update t1 set b = 1")
			b.StartTimer()
			s := clone(b)
			b.StopTimer()
			_ = s.Close(ctx)
			b.StartTimer()
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			s := clone(b)
			b.StopTimer()
			_ = s.Close(ctx)
			b.StartTimer()
		}
	})
	b.Run("memory of further clones", func(b *testing.B) {
		const n = 8
		for b.Loop() {
			first := clone(b)
			before, own := residentBytes(b), ownBytes(b)
			var list []*wasm.Server
			for range n {
				list = append(list, clone(b))
			}
			b.ReportMetric(float64(residentBytes(b)-before)/n/1e6, "MB/instance")
			b.ReportMetric(float64(ownBytes(b)-own)/n/1e6, "own-MB/instance")
			for _, s := range append(list, first) {
				_ = s.Close(ctx)
			}
		}
	})
}
