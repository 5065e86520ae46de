package lease_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgx-dev/pgx-dev/lease"
)

// A rival is a lease server in a process of its own.
type rival struct {
	name string
	path string
}

// rivals starts, each in its own process: our server, pgmanager's, and the least that any
// server has to do, which accepts and writes.
func rivals(b *testing.B, names int) []rival {
	return []rival{
		{"ours", startHelper(b, "serve", names)},
		{"pgmanager", startPgmanager(b, names)},
		{"floor", startHelper(b, "floor", names)},
	}
}

// helperEnv makes the test binary one of the servers of startHelper.
const helperEnv = "PGX_DEV_BENCH_SERVER"

func TestMain(m *testing.M) {
	what, path, ok := strings.Cut(os.Getenv(helperEnv), " ")
	if !ok {
		os.Exit(m.Run())
	}
	what, count, _ := strings.Cut(what, ":")
	if err := help(what, count, path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// help serves until standard input ends.
func help(what, count, path string) error {
	if what == "floor" {
		go floor(path)
	} else {
		n, err := strconv.Atoi(count)
		if err != nil {
			return err
		}
		s := lease.NewServer(nil)
		if err := s.Add(path, lease.NewPool(lease.PoolConfig{Engine: "none", Count: &n}, lease.NewNames("t_"), nil)); err != nil {
			return err
		}
		defer s.Close(context.Background())
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// floor grants the same name to everybody, by blocking calls on one thread.
func floor(path string) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = unix.Listen(fd, 1024)
	}
	for buf := make([]byte, 16); err == nil; {
		var c int
		if c, _, err = unix.Accept(fd); err == nil {
			_, _ = unix.Write(c, []byte("OK:t_0"))
			_, _ = unix.Read(c, buf)
			_ = unix.Close(c)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func startHelper(b *testing.B, what string, names int) string {
	path := filepath.Join(shortDir(b), "s")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d %s", helperEnv, what, names, path))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	awaitSocket(b, path)
	return path
}

// grantTime connects, reads the name and closes, by blocking calls, so that next to none of
// the time is the client's. It returns the time until the name was there.
func grantTime(b *testing.B, path string, buf []byte) time.Duration {
	began := time.Now()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	n := 0
	if err == nil {
		n, err = unix.Read(fd, buf)
	}
	took := time.Since(began)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "OK:") {
		b.Fatal(path, string(buf[:n]), err)
	}
	_ = unix.Close(fd)
	return took
}

func micros(times []time.Duration, percent int) float64 {
	slices.Sort(times)
	return float64(times[min(len(times)*percent/100, len(times)-1)].Nanoseconds()) / 1e3
}

// BenchmarkLeaseGrant measures how long a client waits for a name that is free: ours,
// pgmanager's server and the floor in turn, request by request, so that all meet the same
// load. "busy" asks again at once, "sparse" after a pause, when everybody sleeps.
func BenchmarkLeaseGrant(b *testing.B) {
	for _, tt := range []struct {
		name  string
		pause time.Duration
	}{{"busy", 0}, {"sparse", time.Millisecond}} {
		b.Run(tt.name, func(b *testing.B) {
			all := rivals(b, 8)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			times := make([][]time.Duration, len(all))
			buf := make([]byte, 1024)
			for b.Loop() {
				for i, r := range all {
					for range 8 {
						if tt.pause > 0 {
							<-time.After(tt.pause)
						}
						times[i] = append(times[i], grantTime(b, r.path, buf))
					}
				}
			}
			for i, r := range all {
				b.ReportMetric(micros(times[i], 50), r.name+"-p50-µs")
				b.ReportMetric(micros(times[i], 99), r.name+"-p99-µs")
			}
			b.ReportMetric(micros(times[1], 50)/micros(times[0], 50), "×-pgmanager")
			b.ReportMetric(micros(times[0], 50)/micros(times[2], 50), "×-floor")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkLeaseContended has more clients than names: each takes one, and asks again as
// soon as it has given it back. With pgmanager's server, where those who wait look every
// 10 ms for a name, whoever comes just then is served before them: its median is good, and
// its last ones starve.
func BenchmarkLeaseContended(b *testing.B) {
	for _, clients := range []int{8, 64, 1000} {
		b.Run(strconv.Itoa(clients), func(b *testing.B) {
			all := rivals(b, 4)[:2]
			times := make([][]time.Duration, len(all))
			rates := make([]float64, len(all))
			for b.Loop() {
				for i, r := range all {
					took, rate := contend(b, r.path, clients, max(2000, 2*clients))
					times[i], rates[i] = append(times[i], took...), rate
				}
			}
			for i, r := range all {
				b.ReportMetric(micros(times[i], 50), r.name+"-p50-µs")
				b.ReportMetric(micros(times[i], 99), r.name+"-p99-µs")
				b.ReportMetric(rates[i], r.name+"-grants/s")
			}
			b.ReportMetric(rates[0]/rates[1], "×-rate")
			b.ReportMetric(micros(times[1], 99)/micros(times[0], 99), "×-p99")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// contend has so many clients take so many grants in all, or what they get in five seconds.
func contend(b *testing.B, path string, clients, grants int) (times []time.Duration, rate float64) {
	var left atomic.Int64
	left.Store(int64(grants))
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	for range clients {
		wg.Go(func() {
			var own []time.Duration
			buf := make([]byte, 1024)
			for left.Add(-1) >= 0 && time.Since(began) < 5*time.Second {
				asked := time.Now()
				conn, err := net.Dial("unix", path)
				if err != nil {
					b.Error(err)
					return
				}
				n, err := conn.Read(buf)
				own = append(own, time.Since(asked))
				conn.Close()
				if err != nil || !strings.HasPrefix(string(buf[:n]), "OK:") {
					b.Error(string(buf[:n]), err)
					return
				}
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
		})
	}
	wg.Wait()
	return times, float64(len(times)) / time.Since(began).Seconds()
}

// awaitSocket waits until a process has made its socket; pgmanager's says nothing when it is
// ready.
func awaitSocket(tb testing.TB, path string) {
	tb.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("nobody listens at %s", path)
		}
		<-time.After(5 * time.Millisecond)
	}
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
			tb.Fatalf("pgmanager's server, which is measured beside ours, cannot be built here: %v\n%s", err, out)
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
	awaitSocket(tb, path)
	return path
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
