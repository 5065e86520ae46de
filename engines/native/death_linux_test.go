package native

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/occupant"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// TestOwnerKilled kills the process that owns a server: the server ends too, and the next
// one starts at once, with all data.
func TestOwnerKilled(t *testing.T) {
	for _, watchdog := range []bool{false, true} {
		for _, fast := range []bool{false, true} {
			t.Run(fmt.Sprintf("watchdog %t fast %t", watchdog, fast), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "data")
				owner := spawnHelper(t, helper{Spec: engines.Spec{Dir: dir, Fast: fast}, Watchdog: watchdog}, nil)
				pid, err := strconv.Atoi(owner.expect("ready"))
				if err != nil {
					t.Fatal(err)
				}
				owner.ask("CREATE TABLE kept AS SELECT 42 AS n; SELECT 'made'")
				_ = owner.ask("SELECT pg_backend_pid()::text")
				owner.kill()
				// At once, without waiting for the old one to be gone.
				srv := mustStart(t, first(t), engines.Spec{Dir: dir})
				if got := query(t, srv, "SELECT n::text FROM kept"); got != "42" {
					t.Errorf("the data is %s", got)
				}
				if occupant.IsPostgres(pid, dir) {
					t.Errorf("postmaster %d outlived its owner", pid)
				}
				mustStop(t, srv)
			})
		}
	}
}

// TestOwnerKilledAlone is the same without anybody starting another server.
func TestOwnerKilledAlone(t *testing.T) {
	for _, watchdog := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "data")
		owner := spawnHelper(t, helper{Spec: engines.Spec{Dir: dir}, Watchdog: watchdog}, nil)
		pid, err := strconv.Atoi(owner.expect("ready"))
		if err != nil {
			t.Fatal(err)
		}
		owner.kill()
		eventually(t, "postmaster ends", func() bool { return !occupant.IsPostgres(pid, dir) })
		c, err := ReadControlData(dir)
		if err != nil || c.State != Shutdown {
			t.Errorf("watchdog %t: the directory is %s (%v), it should be shut down", watchdog, c.State, err)
		}
	}
}

// TestTemporarySwept kills the owner of a temporary cluster; the next one to make one
// removes it.
func TestTemporarySwept(t *testing.T) {
	root := t.TempDir()
	t.Setenv("PGX_DEV_TEMP", root)
	root, err := place.Temp(0)
	if err != nil {
		t.Fatal(err)
	}
	owner := spawnHelper(t, helper{}, nil)
	pid, err := strconv.Atoi(owner.expect("ready"))
	if err != nil {
		t.Fatal(err)
	}
	live := mustStart(t, first(t), engines.Spec{})
	left, err := filepath.Glob(filepath.Join(root, tempPrefix+"*"))
	if err != nil || len(left) != 2 {
		t.Fatalf("directories are %q (%v)", left, err)
	}
	owner.kill()
	eventually(t, "postmaster ends", func() bool { return !pidExists(pid) })
	second := mustStart(t, first(t), engines.Spec{})
	left, err = filepath.Glob(filepath.Join(root, tempPrefix+"*"))
	if err != nil || len(left) != 2 {
		t.Errorf("directories are %q (%v)", left, err)
	}
	if query(t, live, "SELECT 'unharmed'") != "unharmed" {
		t.Error("a live temporary cluster was swept")
	}
	mustStop(t, live)
	mustStop(t, second)
	if left, err = filepath.Glob(filepath.Join(root, "*")); err != nil || len(left) > 0 {
		t.Errorf("directories are %q (%v)", left, err)
	}
}

// TestStartingThreadEnds starts a server from a goroutine whose thread ends with it. The
// death signal, which is tied to the thread that forks, must not be sent.
func TestStartingThreadEnds(t *testing.T) {
	e := first(t)
	dir := t.TempDir()
	for i := range 6 {
		var srv engines.Server
		var err error
		done := make(chan int)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			defer func() { done <- syscall.Gettid() }()
			srv, err = e.Start(t.Context(), engines.Spec{Dir: filepath.Join(dir, fmt.Sprint(i)), Discard: true})
		}()
		tid := <-done
		if err != nil {
			t.Fatal(err)
		}
		if tid != syscall.Getpid() { // the main thread is never ended
			task := fmt.Sprintf("/proc/self/task/%d", tid)
			eventually(t, "thread ends", func() bool { _, err := os.Stat(task); return err != nil })
		}
		select {
		case <-srv.Done():
			t.Errorf("the server ended with the thread: %v", srv.Err())
		default:
		}
		if got := query(t, srv, "SELECT 'alive'"); got != "alive" {
			t.Error(got)
		}
		mustStop(t, srv)
	}
}

// TestInitdbKilled kills a process in the middle of its first start: what it leaves is
// not taken for a cluster, nor for a cached one.
func TestInitdbKilled(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		t.Run(fmt.Sprintf("fresh id %t", fresh), func(t *testing.T) {
			cache, parent := t.TempDir(), t.TempDir()
			t.Setenv("PGX_DEV_CACHE", cache)
			rt := runtimes(t)[0]
			cfg := Config{Bindirs: []string{rt.Bindir}, Default: rt.Bindir, FreshID: fresh}
			dir := filepath.Join(parent, "data")
			h := helper{Config: cfg, Spec: engines.Spec{Dir: dir}}
			unfinished := filepath.Join(cache, "initdb", "*.tmp-*", "data", "PG_VERSION")
			if fresh {
				unfinished = filepath.Join(parent, "data.tmp-*", "PG_VERSION")
			}
			owner := spawnHelper(t, h, nil)
			owner.expect("initdb")
			eventually(t, "initdb writes files", func() bool {
				found, err := filepath.Glob(unfinished)
				return err == nil && len(found) > 0
			})
			owner.kill()
			if _, err := os.Stat(dir); err == nil {
				t.Error("a killed initdb left a data directory")
			}
			e := New(cfg)
			srv := mustStart(t, e, engines.Spec{Dir: dir})
			if got := query(t, srv, "SELECT 'whole'"); got != "whole" {
				t.Error(got)
			}
			mustStop(t, srv)
			for _, glob := range []string{filepath.Join(cache, "initdb", "*.tmp-*"), filepath.Join(parent, "*.tmp-*")} {
				if left, err := filepath.Glob(glob); err != nil || len(left) > 0 {
					t.Errorf("left behind: %q (%v)", left, err)
				}
			}
		})
	}
}

// TestPostmasterKilled kills a postmaster whose backend is busy, and starts again at once.
func TestPostmasterKilled(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, _ Runtime) {
		dir := filepath.Join(t.TempDir(), "data")
		srv := mustStart(t, e, engines.Spec{Dir: dir})
		mustExec(t, srv, "CREATE TABLE kept AS SELECT 42 AS n")
		busy, err := engines.Connect(t.Context(), srv, "")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := busy.Exec(t.Context(), "SELECT pg_sleep(60)")
			ended <- err
		}()
		backend := int(busy.PgConn().PID())
		eventually(t, "backend is busy", func() bool {
			return query(t, srv, fmt.Sprintf("SELECT count(*)::text FROM pg_stat_activity WHERE pid = %d AND wait_event = 'PgSleep'", backend)) == "1"
		})
		if err := syscall.Kill(srv.Info().PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-srv.Done()
		if text := srv.Err().Error(); !strings.Contains(text, "killed") || !strings.Contains(text, "postmaster.log") {
			t.Errorf("the reason is %s", text)
		}
		mustStop(t, srv)
		srv = mustStart(t, e, engines.Spec{Dir: dir})
		if got := query(t, srv, "SELECT n::text FROM kept"); got != "42" {
			t.Errorf("the data is %s", got)
		}
		if err := <-ended; err == nil {
			t.Error("the statement of a killed server succeeded")
		}
		mustStop(t, srv)
	})
}

// TestSocketsOfKilledServer leaves a socket and its lock file behind, of a number that now
// belongs to another process.
func TestSocketsOfKilledServer(t *testing.T) {
	e := first(t)
	dir := filepath.Join(t.TempDir(), "data")
	srv := mustStart(t, e, engines.Spec{Dir: dir})
	socket := socketPath(srv.Info().Socket, srv.Info().Port)
	lock, err := os.ReadFile(socket + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	mustStop(t, srv)
	if _, err := os.Stat(filepath.Dir(socket)); err == nil {
		t.Errorf("the socket directory %s is left", filepath.Dir(socket))
	}
	real, err := place.Resolve(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := place.Run(real); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(lock), "\n")
	for _, name := range []string{socket, socket + ".lock"} {
		text := fmt.Sprintf("%d\n%s", sleeper(t), rest)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	srv = mustStart(t, e, engines.Spec{Dir: dir})
	if got := query(t, srv, "SELECT 'works'"); got != "works" {
		t.Error(got)
	}
	mustStop(t, srv)
}

// TestKilledAnywhere kills processes at many moments of their start in one directory;
// each next one copes with what it finds.
func TestKilledAnywhere(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "data")
	mustStop(t, mustStart(t, first(t), engines.Spec{})) // initdb is over
	for after := range 20 {
		owner := spawnHelper(t, helper{Spec: engines.Spec{Dir: dir}}, nil)
		// The wait is the test: there is no event to wait for at an arbitrary moment.
		<-time.After(time.Duration(after*4) * time.Millisecond)
		owner.kill()
		if after%5 == 4 {
			srv := mustStart(t, first(t), engines.Spec{Dir: dir})
			if got := query(t, srv, "SELECT 'whole'"); got != "whole" {
				t.Error(got)
			}
			mustStop(t, srv)
			entries, err := os.ReadDir(parent)
			if err != nil || len(entries) != 2 {
				t.Errorf("after %d: the directory holds %v (%v)", after, entries, err)
			}
			if after < 15 {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestStoppedBackend kills a postmaster that has a backend which cannot notice, and starts
// again: what is left of it is ended.
func TestStoppedBackend(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, _ Runtime) {
		dir := filepath.Join(t.TempDir(), "data")
		srv := mustStart(t, e, engines.Spec{Dir: dir})
		mustExec(t, srv, "CREATE TABLE kept AS SELECT 42 AS n")
		conn, err := engines.Connect(t.Context(), srv, "")
		if err != nil {
			t.Fatal(err)
		}
		backend := int(conn.PgConn().PID())
		for pid, sig := range map[int]syscall.Signal{backend: syscall.SIGSTOP, srv.Info().PID: syscall.SIGKILL} {
			if err := syscall.Kill(pid, sig); err != nil {
				t.Fatal(err)
			}
		}
		<-srv.Done()
		// Without Close, which would see to it too, as if the owner was killed as well.
		if err := srv.(*server).d.lock.Unlock(); err != nil {
			t.Fatal(err)
		}
		srv = mustStart(t, e, engines.Spec{Dir: dir})
		if got := query(t, srv, "SELECT n::text FROM kept"); got != "42" {
			t.Errorf("the data is %s", got)
		}
		if occupant.IsPostgres(backend, dir) {
			t.Error("the backend of the killed server is still there")
		}
		_ = conn.Close(t.Context())
		mustStop(t, srv)
	})
}

// shmDest is in the mode of a segment that goes with the last process attached to it
// (SHM_DEST in linux/shm.h).
const shmDest = 0o1000

// TestSharedMemoryRemoved kills the postmaster of a temporary cluster, after which nobody
// but Close could take its shared memory away.
func TestSharedMemoryRemoved(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, _ Runtime) {
		srv := mustStart(t, e, engines.Spec{})
		info := srv.Info()
		f, err := readPIDFile(info.Dir)
		if err != nil || f.memory == 0 {
			t.Fatalf("pid file is %+v (%v)", f, err)
		}
		if strings.HasPrefix(info.Dir, "/dev/shm/") && query(t, srv, "SHOW dynamic_shared_memory_type") != "mmap" {
			t.Errorf("%s has its dynamic shared memory elsewhere", info.Dir)
		}
		if err := syscall.Kill(info.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-srv.Done()
		mustStop(t, srv)
		segments, err := os.ReadFile("/proc/sysvipc/shm")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(segments)) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[1] == strconv.Itoa(f.memory) {
				if mode, err := strconv.ParseInt(fields[2], 8, 32); err != nil || mode&shmDest == 0 {
					t.Errorf("its shared memory is left: %s", line)
				}
			}
		}
	})
}
