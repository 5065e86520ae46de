package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// A server that pgx-dev does not know of keeps its directory.
func TestForeignServer(t *testing.T) {
	dir := newDir(t)
	m := manager()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	srv, err := fakeEngineHere(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Destroy(t.Context(), dir, true); !errors.Is(err, engines.ErrLocked) {
		t.Errorf("destroy: %v", err)
	}
	if err := m.WhileStopped(t.Context(), dir, func() error { return nil }); !errors.Is(err, engines.ErrLocked) {
		t.Errorf("copy: %v", err)
	}
	if err := srv.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Destroy(t.Context(), dir, false); err != nil {
		t.Error(err)
	}
}

// What was remembered of a cluster does not outlive its data.
func TestRemovedByHand(t *testing.T) {
	dir := newDir(t)
	m := manager()
	if err := m.RunAndStop(t.Context(), fake(dir), func(context.Context, *cluster.Server) error { return nil }); err != nil {
		t.Fatal(err)
	}
	control := inspect(t, dir).Control
	for _, name := range []string{"pgpass", "superuser"} {
		if err := os.WriteFile(filepath.Join(control, name), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.SetArchive(t.Context(), dir, &cluster.Archive{Dir: "/old"}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := m.RunAndStop(t.Context(), fake(dir), func(context.Context, *cluster.Server) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if st := inspect(t, dir); st.Archive != nil {
		t.Error("the new cluster archives to the old one's place")
	}
	if _, err := os.Stat(filepath.Join(control, "pgpass")); err == nil {
		t.Error("the new cluster has the old one's password")
	}
}

// A supervisor that cannot be reached is told to end; one that is frozen is named.
func TestUnreachableSupervisor(t *testing.T) {
	dir := newDir(t)
	m := manager()
	u := startUser(t, fake(dir))
	u.expect("open")
	st := inspect(t, dir)
	run, err := filepath.EvalSymlinks(st.Info.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(run); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Stop(t.Context(), dir, cluster.StopOptions{}); err != nil {
		t.Errorf("stop without a socket: %v", err)
	}
	u.expect("ended why=terminated err=false")
	if st := inspect(t, dir); st.State != cluster.Stopped {
		t.Errorf("it is %s", st.State)
	}
}

// A frozen supervisor, and one that cannot end, give way to force only.
func TestSilentSupervisor(t *testing.T) {
	for name, config := range map[string]string{"frozen": "", "stubborn": stubborn} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			m := manager()
			req := fake(dir)
			if config != "" {
				req.EngineConfigs = map[string]json.RawMessage{"fake": json.RawMessage(config)}
			}
			startUser(t, req).expect("open")
			b, err := os.ReadFile(filepath.Join(dir, "starts"))
			if err != nil {
				t.Fatal(err)
			}
			pid := atoi(t, string(b))
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			awaitStopped(t, pid)
			// It may have trans.lock this instant, and then lets nobody ask.
			asking, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if _, err := m.Stop(asking, dir, cluster.StopOptions{}); asking.Err() == nil && (!errors.Is(err, engines.ErrLocked) || !strings.Contains(err.Error(), strconv.Itoa(pid))) {
				t.Errorf("stop without force: %v", err)
			}
			if _, err := m.Stop(t.Context(), dir, cluster.StopOptions{Kill: true}); err != nil {
				t.Errorf("stop by force: %v", err)
			}
			if st := inspect(t, dir); st.State != cluster.Stopped {
				t.Errorf("it is %s", st.State)
			}
		})
	}
}

// awaitStopped returns when SIGSTOP has reached a process, as ps sees it on every system.
func awaitStopped(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(out), "T") {
			return
		}
	}
	t.Fatal("it does not stop")
}

// A first start that fails leaves nothing of the cluster.
func TestFailedStartLeavesNothing(t *testing.T) {
	dir := newDir(t)
	req := fake(dir)
	req.Engine = "none"
	if _, err := manager().Open(t.Context(), req); err == nil {
		t.Fatal("opened")
	}
	if left := entries(t, filepath.Dir(dir)); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	dir := newDir(t)
	m := manager()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	srv, err := fakeEngineHere(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Close(t.Context()) }()
	if _, err := m.Open(t.Context(), fake(dir)); !errors.Is(err, engines.ErrLocked) {
		t.Errorf("got %v, want ErrLocked from the supervisor", err)
	}
}

// fakeEngineHere starts the engine in this process, past the supervisor.
func fakeEngineHere(t *testing.T, dir string) (engines.Server, error) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(filepath.Dir(dir), ".main.pgx-dev"), 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(dir); err != nil {
		return nil, err
	}
	return fakeEngine{}.Start(t.Context(), engines.Spec{Dir: dir})
}

func TestFileInTheWay(t *testing.T) {
	dir := newDir(t)
	if err := os.WriteFile(dir, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := manager().Open(t.Context(), fake(dir)); err == nil {
		t.Fatal("opened a cluster in a file")
	}
	if b, err := os.ReadFile(dir); err != nil || string(b) != "mine" {
		t.Errorf("%q %v", b, err)
	}
}

func TestCancelledOpen(t *testing.T) {
	dir := newDir(t)
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	req := fake(dir)
	config, err := json.Marshal(gate)
	if err != nil {
		t.Fatal(err)
	}
	req.EngineConfigs = map[string]json.RawMessage{"fake": config}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := manager().Open(ctx, req)
		failed <- err
	}()
	awaitState(t, dir, cluster.Busy)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	awaitState(t, dir, cluster.Missing)
}

// removeByHand removes a directory in which somebody may be writing a file just now, which leaves it
// not empty.
func removeByHand(t *testing.T, dir string) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for err := os.RemoveAll(dir); err != nil; err = os.RemoveAll(dir) {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// Who removes a project by hand while a cluster of it runs leaves nobody waiting.
func TestControlRemovedByHand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "main")
	srv, err := manager().Open(t.Context(), fake(dir))
	if err != nil {
		t.Fatal(err)
	}
	removeByHand(t, inspect(t, dir).Control)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := srv.Close(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("its last user was not let go: %v, %v", err, ctx.Err())
	}
}
