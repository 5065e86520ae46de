package lease_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/lease"
)

// BenchmarkLeaseGrant measures connect, grant and close, ours and pgmanager's own server
// beside it where cargo can build that. grant-p50-µs is the time from connecting to having
// the name.
func BenchmarkLeaseGrant(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		_, path := serveNames(b, 8)
		benchGrant(b, path)
	})
	b.Run("pgmanager", func(b *testing.B) {
		benchGrant(b, startPgmanager(b, 8))
	})
}

func benchGrant(b *testing.B, path string) {
	b.ReportAllocs()
	var times []time.Duration
	buf := make([]byte, 1024)
	for b.Loop() {
		began := time.Now()
		conn, err := net.Dial("unix", path)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := conn.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "OK:") {
			b.Fatal(string(buf[:n]), err)
		}
		times = append(times, time.Since(began))
		conn.Close()
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1e3, "grant-p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds())/1e3, "grant-p99-µs")
}

// startPgmanager runs the server of the crate pgmanager, which cargo builds once.
func startPgmanager(tb testing.TB, count int) string {
	tb.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		tb.Fatal(err)
	}
	root := filepath.Join(cache, "pgx-dev-test", "pgmanager-0.3.1")
	program := filepath.Join(root, "bin", "pgmanager")
	if _, err := os.Stat(program); err != nil {
		out, err := exec.Command("cargo", "install", "pgmanager", "--version", "0.3.1", "--locked", "--root", root).CombinedOutput()
		if err != nil {
			tb.Skipf("pgmanager cannot be built here: %v\n%s", err, out)
		}
	}
	path := filepath.Join(shortDir(tb), "s")
	cmd := exec.Command(program, "-s", path, "serve")
	cmd.Env = append(os.Environ(), "PGM_DATABASE_PREFIX=t_", "PGM_DATABASE_COUNT="+strconv.Itoa(count))
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		if time.Now().After(deadline) {
			tb.Fatal("pgmanager does not listen")
		}
		<-time.After(5 * time.Millisecond) // it says nothing when it is ready
	}
}

// BenchmarkLeaseHandover measures how long a client that waits has to wait after the name
// has come back: pgmanager's server looks every 10 ms.
func BenchmarkLeaseHandover(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		_, path := serveNames(b, 1)
		benchHandover(b, path)
	})
	b.Run("pgmanager", func(b *testing.B) {
		benchHandover(b, startPgmanager(b, 1))
	})
}

func benchHandover(b *testing.B, path string) {
	buf := make([]byte, 1024)
	grant := func() net.Conn {
		conn, err := net.Dial("unix", path)
		if err != nil {
			b.Fatal(err)
		}
		return conn
	}
	holder := grant()
	if _, err := holder.Read(buf); err != nil {
		b.Fatal(err)
	}
	var times []time.Duration
	for b.Loop() {
		next := grant()
		began := time.Now()
		holder.Close()
		if _, err := next.Read(buf); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(began))
		holder = next
	}
	holder.Close()
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1e3, "handover-p50-µs")
}

// BenchmarkLeaseWaiters has 1,000 clients wait for one name, which goes through all of
// them in the order of their coming.
func BenchmarkLeaseWaiters(b *testing.B) {
	s, path := serveNames(b, 1)
	b.ReportAllocs()
	buf := make([]byte, 1024)
	for b.Loop() {
		first, err := net.Dial("unix", path)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := first.Read(buf); err != nil {
			b.Fatal(err)
		}
		conns := make([]net.Conn, 1000)
		for i := range conns {
			if conns[i], err = net.Dial("unix", path); err != nil {
				b.Fatal(err)
			}
		}
		await(b, s, "all wait", func(st lease.PoolStatus) bool { return len(st.Waiting) == 1000 })
		began := time.Now()
		first.Close()
		for i, c := range conns {
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := c.Read(buf); err != nil {
				b.Fatalf("waiter %d: %v", i, err)
			}
			c.Close()
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "µs/handover")
	}
}

// BenchmarkLeasePool measures the pool without a socket.
func BenchmarkLeasePool(b *testing.B) {
	p := lease.NewPool(lease.PoolConfig{Engine: "none", Count: new(8)}, lease.NewNames("t_"), nil)
	p.Start()
	defer p.Close(context.Background())
	b.ReportAllocs()
	for b.Loop() {
		l, err := p.Acquire(b.Context(), lease.Holder{})
		if err != nil {
			b.Fatal(err)
		}
		l.Release()
	}
}
