package databases

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"github.com/pgx-dev/pgx-dev/lease"
)

// tables100 is a schema of 100 tables with 20 rows and two indexes each.
func tables100() string {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "CREATE TABLE t%d (id serial PRIMARY KEY, v text); CREATE INDEX ON t%d (v); INSERT INTO t%d (v) SELECT g::text FROM generate_series(1, 20) g;\n", i, i, i)
	}
	return b.String()
}

// BenchmarkLeaseDatabase measures how long a test waits for a database of 100 tables: from
// a warm pool over its socket with tests that take longer than a refill, from a pool whose
// demand is beyond its refill rate, and created on demand when the test asks, as
// integresql's clients see it with an empty pool.
func BenchmarkLeaseDatabase(b *testing.B) {
	srv := server(b)
	dir := migrations(b, map[string]string{"1.sql": tables100()})
	cfg := config(b, dir, func(p *lease.PoolConfig) {
		p.Migrations, p.Warm, p.Count, p.Parallel = []string{"1.sql"}, new(8), new(40), 2
	})
	serve := func(b *testing.B, policy string) (string, *lease.Server) {
		cfg := cfg
		cfg.Pool.Reset = policy
		s := lease.NewServer(nil)
		short, err := os.MkdirTemp("/tmp", "pgxb")
		if err != nil {
			b.Fatal(err)
		}
		path := filepath.Join(short, "s")
		if err := s.Add(path, lease.NewPool(cfg.Pool, New(cfg, opener(srv)), nil)); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := s.Close(context.Background()); err != nil {
				b.Error(err)
			}
			_ = os.RemoveAll(short)
		})
		for s.Status().Pools[0].Ready < 8 {
			<-time.After(10 * time.Millisecond) // the warming up, which is not measured
		}
		return path, s
	}
	for _, tt := range []struct {
		name, policy string
		clients      int
		test         time.Duration // how long a test takes
	}{
		{"warm", lease.ResetRecreate, 1, 300 * time.Millisecond},
		{"beyond", lease.ResetRecreate, 8, 0},
		{"warm-auto-clean", lease.ResetAuto, 1, 50 * time.Millisecond},
	} {
		b.Run(tt.name, func(b *testing.B) {
			path, s := serve(b, tt.policy)
			var mu sync.Mutex
			var waits, least []time.Duration
			bare := startFloor(b)
			began := time.Now()
			for b.Loop() {
				var wg sync.WaitGroup
				for range tt.clients {
					wg.Go(func() {
						wait := grantOnce(b, path, tt.test)
						mu.Lock()
						waits = append(waits, wait)
						mu.Unlock()
					})
				}
				wg.Wait()
				if tt.clients == 1 {
					least = append(least, grantOnce(b, bare, tt.test))
				}
			}
			report(b, waits, time.Since(began))
			if len(least) > 0 {
				slices.Sort(least)
				b.ReportMetric(float64(least[len(least)/2].Nanoseconds())/1e6, "floor-p50-ms")
			}
			b.ReportMetric(s.Status().Pools[0].MakeMean*1e3, "make-ms")
		})
	}
	b.Run("on-demand", func(b *testing.B) {
		s := New(cfg, opener(srv))
		defer s.Close(context.Background())
		create(b, s) // the template
		var waits []time.Duration
		began := time.Now()
		for b.Loop() {
			asked := time.Now()
			it, err := s.Create(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			waits = append(waits, time.Since(asked))
			if err := s.Destroy(b.Context(), it); err != nil {
				b.Fatal(err)
			}
		}
		report(b, waits, time.Since(began))
	})
}

// grantOnce takes a database for as long as a test takes, by blocking calls, so that next
// to none of the wait is the client's own.
func grantOnce(b *testing.B, path string, test time.Duration) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, 256)
	began := time.Now()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	n := 0
	if err == nil {
		n, err = unix.Read(fd, buf)
	}
	wait := time.Since(began)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "OK:") {
		b.Error(string(buf[:n]), err)
	}
	<-time.After(test) // the test
	_ = unix.Close(fd)
	return wait
}

// startFloor grants everybody the same name, with nothing behind it: what a wait is at least
// on this machine, with this load, when everybody was asleep before.
func startFloor(b *testing.B) string {
	dir, err := os.MkdirTemp("/tmp", "pgxb")
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(dir, "floor")
	l, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		l.Close()
		_ = os.RemoveAll(dir)
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("OK:x"))
			_, _ = c.Read(make([]byte, 1))
			c.Close()
		}
	}()
	return path
}

func report(b *testing.B, waits []time.Duration, took time.Duration) {
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Nanoseconds())/1e6, "wait-p50-ms")
	b.ReportMetric(float64(waits[len(waits)-1].Nanoseconds())/1e6, "wait-max-ms")
	b.ReportMetric(float64(len(waits))/took.Seconds(), "databases/s")
}

// BenchmarkLeaseReset compares the policies after a test that wrote to three tables, from
// its end to a database that may be lent again; "recreate" is dropping and cloning.
func BenchmarkLeaseReset(b *testing.B) {
	srv := server(b)
	var schema strings.Builder
	for i := range 100 {
		fmt.Fprintf(&schema, "CREATE TABLE t%d (id serial PRIMARY KEY, v text); CREATE INDEX ON t%d (v);\n", i, i)
	}
	dir := migrations(b, map[string]string{"1.sql": schema.String()})
	for _, policy := range []string{lease.ResetRecreate, lease.ResetTruncate, lease.ResetDelete, lease.ResetAuto} {
		b.Run(policy, func(b *testing.B) {
			s := New(config(b, dir, func(p *lease.PoolConfig) { p.Migrations, p.Reset = []string{"1.sql"}, policy }), opener(srv))
			defer s.Close(context.Background())
			it := create(b, s)
			var took time.Duration
			for b.Loop() {
				conn, err := pgx.Connect(b.Context(), it.URL)
				if err != nil {
					b.Fatal(err)
				}
				run(b, conn, "INSERT INTO t1 (v) VALUES ('x'); INSERT INTO t2 (v) VALUES ('y'); INSERT INTO t3 (v) VALUES ('z')")
				conn.Close(b.Context())
				began := time.Now()
				again, err := s.Recycle(b.Context(), it, lease.Use{})
				if err != nil {
					b.Fatal(err)
				}
				if again == nil {
					again = create(b, s)
				}
				took += time.Since(began)
				it = again
			}
			b.ReportMetric(float64(took.Microseconds())/1e3/float64(b.N), "reset-ms")
		})
	}
}
