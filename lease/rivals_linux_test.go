package lease_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pgx-dev/pgx-dev/lease"
)

// A rival is a lease server in a process of its own.
type rival struct {
	name string
	path string
	pid  int
}

// rivals starts, each in its own process: our server, pgmanager's, and the least that any
// server has to do, which accepts and writes.
func rivals(b *testing.B, names int) []rival {
	all := []rival{{name: "ours"}, {name: "pgmanager"}, {name: "floor"}}
	all[0].path, all[0].pid = startHelper(b, "serve", names)
	all[1].path, all[1].pid = startPgmanager(b, names)
	all[2].path, all[2].pid = startHelper(b, "floor", names)
	return all
}

// processor returns how long the threads of a process have run.
func (r rival) processor(b *testing.B) time.Duration {
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", r.pid))
	if err != nil || len(paths) == 0 {
		b.Fatal("no threads of", r.name, err)
	}
	var sum time.Duration
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // a thread that has just ended
		} else if err != nil {
			b.Fatal(err)
		}
		ran, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			b.Fatal(path, err)
		}
		sum += time.Duration(ns)
	}
	return sum
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
		debug.SetGCPercent(-1) // which would wait for the thread that serves
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

// floor grants the same name to everybody, by blocking calls on one thread, of which Go's
// scheduler is not told, so that it is in nobody's way: as a program in C would.
func floor(path string) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = unix.Listen(fd, 1024)
	}
	grant, buf := []byte("OK:t_0"), make([]byte, 16)
	for err == nil {
		c, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, 0, 0, 0)
		switch errno {
		case 0:
			_, _, _ = syscall.RawSyscall(unix.SYS_WRITE, c, uintptr(unsafe.Pointer(&grant[0])), uintptr(len(grant)))
			_, _, _ = syscall.RawSyscall(unix.SYS_READ, c, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
			_, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, c, 0, 0)
		case unix.EINTR:
		default:
			err = errno
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func startHelper(b *testing.B, what string, names int) (path string, pid int) {
	path = filepath.Join(shortDir(b), "s")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d %s", helperEnv, what, names, path))
	if what == "floor" {
		cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1") // no signals
	}
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
	return path, cmd.Process.Pid
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
// load, and what processor time a lease takes of each. "busy" asks again at once, "sparse"
// after a pause, when everybody sleeps. A client that is alone waits for two changes of
// process, to the server and back, and little else: for that the floor stands, which is only
// ×-floor-pgmanager quicker than pgmanager's server.
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
			before := make([]time.Duration, len(all))
			for i, r := range all {
				before[i] = r.processor(b)
			}
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
			cpu := make([]float64, len(all))
			for i, r := range all {
				cpu[i] = float64((r.processor(b) - before[i]).Nanoseconds()) / 1e3 / float64(len(times[i]))
				b.ReportMetric(micros(times[i], 50), r.name+"-p50-µs")
				b.ReportMetric(micros(times[i], 99), r.name+"-p99-µs")
				b.ReportMetric(cpu[i], r.name+"-cpu-µs")
			}
			b.ReportMetric(micros(times[1], 50)/micros(times[0], 50), "×-pgmanager")
			b.ReportMetric(micros(times[1], 50)/micros(times[2], 50), "×-floor-pgmanager")
			b.ReportMetric(cpu[1]/cpu[0], "×-cpu-pgmanager")
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
func startPgmanager(tb testing.TB, count int) (path string, pid int) {
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
	path = filepath.Join(shortDir(tb), "s")
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
	return path, cmd.Process.Pid
}
