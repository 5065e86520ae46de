package shards_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A bench is a proxy in this process with the databases whole, on one server, and parted, on
// three, each with the same million rows.
type bench struct {
	dir  string // of the socket
	srvs []engines.Server
}

const benchRows = 1_000_000

func newBench(b *testing.B, parts ...int) *bench {
	ctx := b.Context()
	x := &bench{dir: b.TempDir()}
	start := func() engines.Server {
		srv, err := native.New(native.DefaultConfig()).Start(ctx, engines.Spec{Fast: true, Params: map[string]string{"shared_buffers": "256MB"}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = srv.Close(context.Background()) })
		c, err := engines.Connect(ctx, srv, "")
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close(ctx)
		if _, err := c.Exec(ctx, "CREATE TABLE users (id bigint PRIMARY KEY, email text COLLATE \"C\", n int)"); err != nil {
			b.Fatal(err)
		}
		x.srvs = append(x.srvs, srv)
		return srv
	}
	databases := map[string]*proxy.Database{}
	loops, err := loop.New(1)
	if err == nil {
		b.Cleanup(loops.Close)
	} else if !errors.Is(err, loop.ErrUnsupported) {
		b.Fatal(err)
	}
	for _, n := range parts {
		var pools []*pool.Pool
		for i := range n {
			srv := start()
			p := pool.New(&pool.Backend{ID: fmt.Sprint(n, i), Name: "server", Shard: i, Dial: srv.Dial, Login: pool.Credentials{User: srv.Info().User, Database: srv.Info().Database}}, pool.Config{Size: 20, Loops: loops}, nil)
			b.Cleanup(func() { p.Close(context.Background()) })
			pools = append(pools, p)
		}
		c, err := shards.Open(ctx, shards.Config{
			Name:   fmt.Sprint("parted", n),
			Layout: sharding.Config{Shards: n, Tables: []sharding.Table{{Name: "users", Columns: []string{"id"}}}},
			Pick:   func(_ context.Context, shard int, _ route.Role) (*pool.Pool, error) { return pools[shard], nil },
			Ready:  func(shard int, _ route.Role) *pool.Pool { return pools[shard] },
		})
		if err != nil {
			b.Fatal(err)
		}
		databases[c.Database.Name] = c.Database
		if n == 1 {
			// As a proxy has it unless told otherwise: by a loop, where there are some.
			p := pool.New(pools[0].Backend(), pool.Config{Size: 20, Loops: loops}, nil)
			b.Cleanup(func() { p.Close(context.Background()) })
			databases["whole"] = &proxy.Database{Name: "whole", Servers: proxy.One{Pool: p}}
		}
	}
	px, err := proxy.New(proxy.Config{Auth: pgserver.Trust(), Loops: loops, Lookup: func(_ context.Context, c proxy.Client) (*proxy.Database, error) {
		if d := databases[c.Database]; d != nil {
			return d, nil
		}
		return nil, fmt.Errorf("no database %s", c.Database)
	}})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("unix", filepath.Join(x.dir, ".s.PGSQL.5432"))
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- px.Serve(context.Background(), ln) }()
	b.Cleanup(func() {
		limited, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		_ = px.Shutdown(limited)
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return x
}

func (x *bench) connect(b *testing.B, database string) *pgx.Conn {
	b.Helper()
	c, err := pgx.Connect(b.Context(), fmt.Sprintf("host=%s user=u dbname=%s sslmode=disable", x.dir, database))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// data are the rows as COPY's text.
func data() []byte {
	var out bytes.Buffer
	for i := range benchRows {
		fmt.Fprintf(&out, "%d\tuser %d of the bench@example.com\t%d\n", i, i*7919%benchRows, i%100)
	}
	return out.Bytes()
}

func copyIn(b *testing.B, c *pgx.Conn, rows []byte) time.Duration {
	b.Helper()
	begin := time.Now()
	tag, err := c.PgConn().CopyFrom(b.Context(), bytes.NewReader(rows), "COPY users FROM STDIN")
	if err != nil || tag.RowsAffected() != benchRows {
		b.Fatal(tag, err)
	}
	return time.Since(begin)
}

func drain(b *testing.B, c *pgx.Conn, sql string, want int) time.Duration {
	b.Helper()
	begin := time.Now()
	r := c.PgConn().ExecParams(b.Context(), sql, nil, nil, nil, nil)
	n := 0
	for r.NextRow() {
		n++
	}
	if _, err := r.Close(); err != nil || n != want {
		b.Fatalf("%d rows, %v", n, err)
	}
	return time.Since(begin)
}

func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

var processed = regexp.MustCompile(`transactions actually processed: (\d+)`)

// The queries of pgbench: by the key of one row, and of three, which are mostly on several shards.
var (
	pointSQL = fmt.Sprintf("\\set id random(0, %d)\nSELECT email FROM users WHERE id = :id;\n", benchRows-1)
	threeSQL = fmt.Sprintf("\\set id random(2, %d)\nSELECT email FROM users WHERE id IN (:id, :id - 1, :id - 2);\n", benchRows-1)
)

// pgbench runs point queries, and among them some by three keys, so many of ten, and returns the
// proxy's CPU time for each.
func (x *bench) pgbench(b *testing.B, database, mode string, clients, three int) time.Duration {
	b.Helper()
	path := ""
	for _, p := range []string{"pgbench", filepath.Join(x.srvs[0].Info().Bindir, "pgbench"), "/usr/lib/postgresql/15/bin/pgbench"} {
		if found, err := exec.LookPath(p); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		b.Fatal("there is no pgbench")
	}
	dir := b.TempDir()
	args := []string{"-n", "-h", x.dir, "-U", "u", "-M", mode, "-c", strconv.Itoa(clients), "-j", "2", "-T", "3"}
	for name, sql := range map[string]string{"point": pointSQL, "three": threeSQL} {
		weight := 10 - three
		if name == "three" {
			weight = three
		}
		if weight == 0 {
			continue
		}
		script := filepath.Join(dir, name+".sql")
		if err := os.WriteFile(script, []byte(sql), 0o600); err != nil {
			b.Fatal(err)
		}
		args = append(args, "-f", fmt.Sprintf("%s@%d", script, weight))
	}
	before := cpu()
	out, err := exec.CommandContext(b.Context(), path, append(args, database)...).CombinedOutput()
	used := cpu() - before
	m := processed.FindSubmatch(out)
	if err != nil || m == nil {
		b.Fatalf("%v\n%s", err, out)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil || n == 0 {
		b.Fatalf("%s", out)
	}
	return used / time.Duration(n)
}

// BenchmarkShard compares what shards cost with one server through the same proxy, in turns.
// What is measured as ratio is better when it is greater, but for CPU.
func BenchmarkShard(b *testing.B) {
	x := newBench(b, 1, 3)
	rows := data()
	whole, one, three := x.connect(b, "whole"), x.connect(b, "parted1"), x.connect(b, "parted3")
	direct, err := engines.Connect(b.Context(), x.srvs[0], "")
	if err != nil {
		b.Fatal(err)
	}
	defer direct.Close(context.Background())
	empty := func(c *pgx.Conn) {
		if _, err := c.Exec(b.Context(), "TRUNCATE users"); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("copy", func(b *testing.B) {
		var to, split time.Duration
		for b.Loop() {
			empty(one)
			to += copyIn(b, direct, rows)
			empty(three)
			split += copyIn(b, three, rows)
		}
		b.ReportMetric(to.Seconds()/split.Seconds(), "of-direct")
		b.ReportMetric(float64(benchRows*b.N)/split.Seconds(), "rows/s")
	})
	for _, c := range []*pgx.Conn{one, three} {
		if _, err := c.Exec(b.Context(), "ANALYZE users"); err != nil {
			b.Fatal(err)
		}
	}
	for name, sql := range map[string]string{"by-id": "SELECT * FROM users ORDER BY id", "by-text": "SELECT * FROM users ORDER BY email", "by-icu": "SELECT * FROM users ORDER BY email COLLATE \"und-x-icu\", id"} {
		b.Run("order-"+name, func(b *testing.B) {
			var all, parts time.Duration
			for b.Loop() {
				all += drain(b, whole, sql, benchRows)
				parts += drain(b, three, sql, benchRows)
			}
			b.ReportMetric(all.Seconds()/parts.Seconds(), "of-one-server")
			b.ReportMetric(float64(benchRows*b.N)/parts.Seconds(), "rows/s")
		})
	}
	b.Run("aggregate", func(b *testing.B) {
		var all, parts time.Duration
		sql := "SELECT n, count(*), sum(id), min(email), avg(id) FROM users GROUP BY n"
		for b.Loop() {
			all += drain(b, one, sql, 100)
			parts += drain(b, three, sql, 100)
		}
		b.ReportMetric(all.Seconds()/parts.Seconds(), "times-one-shard")
	})
	compare := func(name, mode string, clients, three int) {
		b.Run(name, func(b *testing.B) {
			var all, parts time.Duration
			for b.Loop() {
				all += x.pgbench(b, "whole", mode, clients, three)
				parts += x.pgbench(b, "parted3", mode, clients, three)
			}
			b.ReportMetric(float64(all.Nanoseconds())/float64(b.N)/1e3, "µs-unsharded")
			b.ReportMetric(float64(parts.Nanoseconds())/float64(b.N)/1e3, "µs-sharded")
			b.ReportMetric(parts.Seconds()/all.Seconds(), "cpu-ratio")
		})
	}
	for _, mode := range []string{"simple", "extended", "prepared"} {
		for _, clients := range []int{1, 8, 50} {
			compare(fmt.Sprintf("point-%s-%d", mode, clients), mode, clients, 0)
		}
	}
	compare("mixed-simple-8", "simple", 8, 1)
	compare("three-simple-8", "simple", 8, 10)
}
