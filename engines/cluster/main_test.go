package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// The test binary is also the supervisor and the users: it is started again with roleVar
// in its environment.
const roleVar = "PGX_DEV_CLUSTER_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "supervise":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		err := manager().Supervise(ctx, os.Stdin, os.Stdout)
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "user":
		if err := beUser(); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func manager() *cluster.Manager {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &cluster.Manager{
		Command: []string{exe}, Env: []string{roleVar + "=supervise"},
		NewEngine: func(name string, config json.RawMessage, log *slog.Logger) (engines.Engine, error) {
			switch name {
			case "fake":
				return fakeEngine{string(config)}, nil
			case "native":
				return native.New(native.Config{}, native.WithLogger(log)), nil
			}
			return nil, fmt.Errorf("no engine %q", name)
		},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
}

// A fakeEngine serves a socket on which nobody answers, in a directory that holds only
// PG_VERSION and a line for each start. If its configuration names a fifo, Start waits
// until that is opened for writing; if it is "stubborn", Close never returns.
type fakeEngine struct{ config string }

const stubborn = `"stubborn"`

type fakeServer struct {
	dir  string
	l    net.Listener
	lock *dirlock.Lock
	info engines.Info
	once sync.Once
	done chan struct{}

	stubborn bool
}

func (e fakeEngine) CreateAside(_ context.Context, spec engines.Spec) error {
	tmp := fmt.Sprintf("%s.tmp-%d", spec.Dir, os.Getpid())
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "PG_VERSION"), []byte("17\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, spec.Dir)
}

func (e fakeEngine) Start(ctx context.Context, spec engines.Spec) (engines.Server, error) {
	if gate := strings.Trim(e.config, `"`); gate != "" && e.config != stubborn {
		opened := make(chan struct{})
		go func() {
			_, _ = os.ReadFile(gate)
			close(opened)
		}()
		select {
		case <-opened:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if _, err := os.Stat(filepath.Join(spec.Dir, "PG_VERSION")); err != nil {
		if err := e.CreateAside(ctx, spec); err != nil {
			return nil, err
		}
	}
	lock, err := dirlock.TryExclusive(filepath.Join(place.Control(spec.Dir), "owner.lock"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", engines.ErrLocked, err)
	}
	starts, err := os.OpenFile(filepath.Join(spec.Dir, "starts"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(starts, os.Getpid())
	if err := errors.Join(err, starts.Close()); err != nil {
		return nil, err
	}
	run, err := place.Run(spec.Dir)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(run, ".s.PGSQL.5432")
	_ = os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	return &fakeServer{
		dir: spec.Dir, l: l, lock: lock, done: make(chan struct{}), stubborn: e.config == stubborn,
		info: engines.Info{Engine: "fake", Version: "17.0", Dir: spec.Dir, Socket: run, Port: 5432, User: "postgres", Database: "postgres"},
	}, nil
}

func (s *fakeServer) Dial(context.Context) (net.Conn, error) {
	return net.Dial("unix", s.l.Addr().String())
}
func (s *fakeServer) Info() engines.Info    { return s.info }
func (s *fakeServer) Done() <-chan struct{} { return s.done }
func (s *fakeServer) Err() error            { return nil }
func (s *fakeServer) Close(context.Context) error {
	if s.stubborn {
		select {}
	}
	s.once.Do(func() {
		_ = s.l.Close()
		_ = s.lock.Unlock()
		close(s.done)
	})
	return nil
}

func starts(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "starts"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

// beUser opens the cluster that its arguments name, says so, and closes it when its
// standard input ends.
func beUser() error {
	var req cluster.Request
	if err := json.Unmarshal([]byte(os.Getenv("PGX_DEV_CLUSTER_TEST_REQUEST")), &req); err != nil {
		return err
	}
	srv, err := manager().Open(context.Background(), req)
	if err != nil {
		return err
	}
	fmt.Println("open")
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(closed)
	}()
	select {
	case <-closed:
	case <-srv.Done():
		e := srv.Ended()
		fmt.Printf("ended why=%s err=%v\n", e.Why, e.Err != "")
	}
	if err := srv.Close(context.Background()); err != nil {
		return err
	}
	fmt.Println("closed")
	return nil
}

// A user is another process that has opened a cluster.
type user struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader
}

func startUser(t testing.TB, req cluster.Request) *user {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleVar+"=user", "PGX_DEV_CLUSTER_TEST_REQUEST="+string(b))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	u := &user{t, cmd, stdin, bufio.NewReader(stdout)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return u
}

func (u *user) expect(want string) {
	u.t.Helper()
	line, err := u.lines.ReadString('\n')
	if got := strings.TrimSpace(line); got != want {
		u.t.Fatalf("user %d said %q (%v), want %q", u.cmd.Process.Pid, got, err, want)
	}
}

func (u *user) close() {
	u.t.Helper()
	_ = u.stdin.Close()
	u.expect("closed")
}

func (u *user) kill() {
	u.t.Helper()
	if err := u.cmd.Process.Kill(); err != nil {
		u.t.Fatal(err)
	}
	_ = u.cmd.Wait()
}

func newDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "main")
}

func inspect(t *testing.T, dir string) cluster.Status {
	t.Helper()
	st, err := cluster.Inspect(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// awaitState waits, by looking, until the cluster is at want.
func awaitState(t *testing.T, dir string, want cluster.State) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		st := inspect(t, dir)
		if st.State == want {
			return
		}
		select {
		case <-deadline:
			log, _ := os.ReadFile(filepath.Join(st.Control, "supervisor.log"))
			t.Fatalf("cluster is %s, not %s\n%s", st.State, want, log)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
