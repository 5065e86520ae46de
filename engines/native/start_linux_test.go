package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// TestSocketLength puts the sockets where their names are just short enough.
func TestSocketLength(t *testing.T) {
	e := first(t)
	for _, length := range []int{92, 93, 94} {
		base := shortDir(t)
		// What follows is /pgx-dev/ and 8 hex digits.
		xdg := filepath.Join(base, strings.Repeat("x", length-17-len(base)-1))
		if err := os.Mkdir(xdg, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("XDG_RUNTIME_DIR", xdg)
		srv := mustStart(t, e, engines.Spec{Discard: true})
		inXDG := strings.HasPrefix(srv.Info().Socket, xdg)
		if want := length <= place.MaxSocketDir(); inXDG != want || inXDG && len(srv.Info().Socket) != length {
			t.Errorf("%d bytes: the sockets are in %s", length, srv.Info().Socket)
		}
		if got := query(t, srv, "SELECT 'works'"); got != "works" {
			t.Error(got)
		}
		mustStop(t, srv)
		if length != place.MaxSocketDir() {
			continue
		}
		// A port of five digits is one byte too long, which is found before the start.
		dir := filepath.Join(t.TempDir(), "data")
		err := startError(t, e, engines.Spec{Dir: dir, TCP: "127.0.0.1:54321"})
		if !strings.Contains(err.Error(), "XDG_RUNTIME_DIR") {
			t.Errorf("error is %v", err)
		}
		if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v (%v)", left, err)
		}
	}
}

func TestTCP(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, _ Runtime) {
		// Ports are taken in two ways: one listens, and one is bound without listening,
		// which only postgres itself finds out.
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		port := listener.Addr().(*net.TCPAddr).Port
		bound := bindOnly(t, port+1)
		srv := mustStart(t, e, engines.Spec{Dir: filepath.Join(t.TempDir(), "data"), TCP: listener.Addr().String()})
		info := srv.Info()
		host, text, err := net.SplitHostPort(info.TCP)
		got, _ := strconv.Atoi(text)
		if err != nil || host != "127.0.0.1" || got <= port || bound && got == port+1 || got != info.Port {
			t.Fatalf("asked for %s, got %s and %d in the socket's name (%v)", listener.Addr(), info.TCP, info.Port, err)
		}
		other := mustStart(t, e, engines.Spec{TCP: info.TCP, Discard: true})
		if other.Info().TCP == info.TCP {
			t.Errorf("two servers at %s", info.TCP)
		}
		mustStop(t, other)

		connect := func(password string) error {
			cfg, err := engines.ConnConfig(srv, "", "")
			if err != nil {
				t.Fatal(err)
			}
			cfg.Password = password
			cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", info.TCP)
			}
			conn, err := pgx.ConnectConfig(t.Context(), cfg)
			if err == nil {
				err = conn.Close(t.Context())
			}
			return err
		}
		if err := connect(""); err == nil {
			t.Error("TCP lets anybody in")
		}
		mustExec(t, srv, "ALTER ROLE postgres PASSWORD 'right'")
		if err := connect("wrong"); err == nil {
			t.Error("TCP takes any password")
		}
		if err := connect("right"); err != nil {
			t.Errorf("TCP with the password: %v", err)
		}
		if got := query(t, srv, "SELECT left(rolpassword, 5) FROM pg_authid WHERE rolname = 'postgres'"); got != "SCRAM" {
			t.Errorf("the password is stored as %s", got)
		}
		mustStop(t, srv)
	})
	e := first(t)
	for _, bad := range []string{"0.0.0.0:5432", "192.168.1.1:1", "example.com:5432", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", ":5432"} {
		if err := startError(t, e, engines.Spec{TCP: bad}); !strings.Contains(err.Error(), bad) {
			t.Errorf("TCP address %q: %v", bad, err)
		}
	}
}

// bindOnly binds a TCP port without listening, if it is free.
func bindOnly(t *testing.T, port int) bool {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	return syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}) == nil
}

// TestTogether starts many servers at once, in a cold cache.
func TestTogether(t *testing.T) {
	t.Setenv("PGX_DEV_CACHE", t.TempDir())
	var mu sync.Mutex
	initdbs := 0
	count := WithProgress(func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Phase == "initdb" {
			initdbs++
		}
	})
	rt := runtimes(t)[0]
	parent := t.TempDir()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			srv, err := engineFor(rt, count).Start(t.Context(), engines.Spec{Dir: filepath.Join(parent, fmt.Sprint(i)), Fast: true, Discard: true})
			if err != nil {
				t.Error(err)
				return
			}
			conn, err := engines.Connect(t.Context(), srv, "")
			if err != nil {
				t.Error(err)
			} else if err := conn.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err := srv.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if initdbs != 1 {
		t.Errorf("initdb ran %d times", initdbs)
	}
}

// TestOneOfMany starts one directory many times at once: one gets it.
func TestOneOfMany(t *testing.T) {
	e := first(t)
	dir := filepath.Join(t.TempDir(), "a", "data")
	var mu sync.Mutex
	var servers []engines.Server
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			srv, err := e.Start(t.Context(), engines.Spec{Dir: dir})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				servers = append(servers, srv)
			} else if !strings.Contains(err.Error(), engines.ErrLocked.Error()) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(servers) != 1 {
		t.Errorf("%d of them run", len(servers))
	}
	for _, srv := range servers {
		if got := query(t, srv, "SELECT 'works'"); got != "works" {
			t.Error(got)
		}
		mustStop(t, srv)
	}
}

// TestHowItStops looks at what is left in the control file.
func TestHowItStops(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, _ Runtime) {
		dir := filepath.Join(t.TempDir(), "data")
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for _, tt := range []struct {
			name string
			spec engines.Spec
			ctx  context.Context
			want State
		}{
			{"polite", engines.Spec{Dir: dir}, t.Context(), Shutdown},
			{"out of time", engines.Spec{Dir: dir}, over, InProduction},
			{"discard", engines.Spec{Dir: dir, Discard: true}, t.Context(), InProduction},
		} {
			srv := mustStart(t, e, tt.spec)
			// A session in a transaction does not keep it from stopping.
			conn, err := engines.Connect(t.Context(), srv, "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
				t.Fatal(err)
			}
			if err := srv.Close(tt.ctx); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			_ = conn.Close(t.Context())
			c, err := ReadControlData(dir)
			if tt.name == "out of time" {
				// SIGQUIT follows SIGINT, which a quick server has obeyed by then.
				if err != nil {
					t.Error(err)
				}
			} else if err != nil || c.State != tt.want {
				t.Errorf("%s: the directory is %s (%v), want %s", tt.name, c.State, err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "postmaster.pid")); err == nil {
				t.Errorf("%s: postmaster.pid is left", tt.name)
			}
		}
	})
}

// TestUnexpectedStop has somebody else stop the server.
func TestUnexpectedStop(t *testing.T) {
	srv := mustStart(t, first(t), engines.Spec{Dir: filepath.Join(t.TempDir(), "data")})
	if err := syscall.Kill(srv.Info().PID, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-srv.Done()
	if err := srv.Err(); err == nil || !strings.Contains(err.Error(), "somebody told it to stop") ||
		!strings.Contains(err.Error(), "fast shutdown request") {
		t.Errorf("the reason is %v", err)
	}
	mustStop(t, srv)
}

func TestLogRotation(t *testing.T) {
	e := first(t)
	dir := filepath.Join(t.TempDir(), "data")
	srv := mustStart(t, e, engines.Spec{Dir: dir})
	log := srv.Info().LogFile
	mustStop(t, srv)
	if strings.Count(logOf(t, dir), "starting PostgreSQL") != 1 {
		t.Errorf("the log is %s", logOf(t, dir))
	}
	for round := range 2 {
		if err := os.WriteFile(log, []byte(fmt.Sprint("round ", round)+strings.Repeat("\nx", maxLog)), 0o600); err != nil {
			t.Fatal(err)
		}
		mustStop(t, mustStart(t, e, engines.Spec{Dir: dir}))
		old, err := os.ReadFile(log + ".1")
		if err != nil || !strings.HasPrefix(string(old), fmt.Sprint("round ", round)) {
			t.Errorf("the old log begins with %.10s (%v)", old, err)
		}
		if got := logOf(t, dir); len(got) > 10000 || strings.Count(got, "starting PostgreSQL") != 1 {
			t.Errorf("the new log has %d bytes", len(got))
		}
	}
	mustStop(t, mustStart(t, e, engines.Spec{Dir: dir}))
	if strings.Count(logOf(t, dir), "starting PostgreSQL") != 2 {
		t.Error("a small log was not continued")
	}
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(log), "postmaster.log*"))
	if err != nil || len(logs) != 2 {
		t.Errorf("logs are %q (%v)", logs, err)
	}
}

// TestFullDisk gives clusters a file system that is too small, and one that fills up.
func TestFullDisk(t *testing.T) {
	attr := func() *syscall.SysProcAttr {
		return &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
	}
	mount := t.TempDir()
	dir := filepath.Join(mount, "data")
	for name, h := range map[string]helper{
		"copy":      {Spec: engines.Spec{Dir: dir}},
		"temporary": {Env: []string{"PGX_DEV_TEMP=" + mount}},
	} {
		h.Mount, h.Size = mount, "20m"
		c := spawnHelper(t, h, attr())
		if left := c.expect("left"); left != "0 <nil>" {
			t.Errorf("%s: left behind: %s", name, left)
		}
		if text := c.expect("error"); !strings.Contains(text, "MB free") || !strings.Contains(text, "no space left") {
			t.Errorf("%s: the error is %s", name, text)
		}
	}
	c := spawnHelper(t, helper{Spec: engines.Spec{Dir: mount}, Mount: mount, Size: "64m"}, attr())
	c.expect("left 0 ")
	if text := c.expect("error"); !strings.Contains(text, "mount point") {
		t.Errorf("a mount point: %s", text)
	}
	// Without WAL for the new table: what no server survives is a full disk for WAL.
	spec := engines.Spec{Dir: dir, Params: map[string]string{"wal_level": "minimal", "max_wal_senders": "0"}}
	c = spawnHelper(t, helper{Spec: spec, Mount: mount, Size: "64m"}, attr())
	c.expect("ready")
	c.say("CREATE TABLE big AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 200000) n")
	if text := c.expect("error"); !strings.Contains(text, "53100") { // disk_full
		t.Errorf("a full disk: %s", text)
	}
	if got := c.ask("SELECT 'survived'"); got != "survived" {
		t.Error(got)
	}
	c.stop()
}

// TestWithoutStatus starts a server as one before PostgreSQL 10 is started, whose
// postmaster.pid does not say when it is ready.
func TestWithoutStatus(t *testing.T) {
	rt := runtimes(t)[0]
	e := engineFor(rt)
	dir := filepath.Join(t.TempDir(), "data")
	if err := e.Create(t.Context(), engines.Spec{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	d, err := e.openDirectory(engines.Spec{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	rt.Version = Version{num: 90624}
	srv, err := e.launch(t.Context(), d, rt, engines.Spec{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	srv.release = func() {}
	if got := query(t, srv, "SELECT 'works'"); got != "works" {
		t.Error(got)
	}
	mustStop(t, srv)
}

// TestOtherEnvironment opens a directory from shells that differ in everything but the
// directory: they see the same lock.
func TestOtherEnvironment(t *testing.T) {
	e := first(t)
	dir := filepath.Join(t.TempDir(), "caf\xe9") // Latin 1, no UTF-8
	srv := mustStart(t, e, engines.Spec{Dir: dir})
	for _, name := range []string{"TMPDIR", "XDG_RUNTIME_DIR", "HOME"} {
		t.Setenv(name, shortDir(t))
	}
	if err := startError(t, e, engines.Spec{Dir: dir}); !errors.Is(err, engines.ErrLocked) {
		t.Errorf("error is %v", err)
	}
	if got := query(t, srv, "SELECT 'unharmed'"); got != "unharmed" {
		t.Error(got)
	}
	mustStop(t, srv)
	srv = mustStart(t, e, engines.Spec{Dir: dir})
	if got := query(t, srv, "SELECT 'elsewhere'"); got != "elsewhere" || !strings.HasPrefix(srv.Info().Socket, os.Getenv("XDG_RUNTIME_DIR")) {
		t.Errorf("%s from %s", got, srv.Info().Socket)
	}
	mustStop(t, srv)
}

// TestHangingStop has a stopped backend keep a fast shutdown from ending; when the polite
// time is over, it ends all the same.
func TestHangingStop(t *testing.T) {
	srv := mustStart(t, first(t), engines.Spec{Dir: filepath.Join(t.TempDir(), "data")})
	conn, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(int(conn.PgConn().PID()), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := srv.Close(ctx); err != nil {
		t.Error(err)
	}
	// PostgreSQL gives its children 5 s before it kills them.
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	if pidExists(srv.Info().PID) {
		t.Error("the postmaster is still there")
	}
	_ = conn.Close(t.Context())
}
