package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

func fake(dir string) cluster.Request {
	return cluster.Request{Engine: "fake", Spec: engines.Spec{Dir: dir}, Label: "test"}
}

func TestFirstStartsLastStops(t *testing.T) {
	dir := newDir(t)
	a := startUser(t, fake(dir))
	a.expect("open")
	b := startUser(t, fake(dir))
	b.expect("open")
	if st := inspect(t, dir); st.State != cluster.Running || len(st.Users) != 2 {
		t.Fatalf("%+v", st)
	}
	a.close()
	if st := inspect(t, dir); st.State != cluster.Running || len(st.Users) != 1 || st.Users[0].PID != b.cmd.Process.Pid {
		t.Fatalf("after the first has closed: %+v", st)
	}
	b.close()
	if st := inspect(t, dir); st.State != cluster.Stopped {
		t.Fatalf("the last one's Close returned while the cluster is %s", st.State)
	}
	if n := starts(t, dir); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
}

func TestKilledUsers(t *testing.T) {
	dir := newDir(t)
	starter := startUser(t, fake(dir))
	starter.expect("open")
	other := startUser(t, fake(dir))
	other.expect("open")
	starter.kill()
	third := startUser(t, fake(dir))
	third.expect("open")
	if n := starts(t, dir); n != 1 {
		t.Fatalf("killing the starter ended its server: %d starts", n)
	}
	third.kill()
	other.kill()
	awaitState(t, dir, cluster.Stopped)
}

func TestManyAtOnce(t *testing.T) {
	dir := newDir(t)
	var users []*user
	for range 20 {
		users = append(users, startUser(t, fake(dir)))
	}
	for _, u := range users {
		u.expect("open")
	}
	if n := starts(t, dir); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
	for _, u := range users {
		_ = u.stdin.Close()
	}
	for _, u := range users {
		u.expect("closed")
	}
	if st := inspect(t, dir); st.State != cluster.Stopped {
		t.Errorf("all have closed, and the cluster is %s", st.State)
	}
}

// In-process users come and go at random; each must find a live server.
func TestChurn(t *testing.T) {
	dir := newDir(t)
	m := manager()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 12 {
				srv, err := m.Open(t.Context(), fake(dir))
				if err != nil {
					t.Errorf("open: %v", err)
					return
				}
				c, err := srv.Dial(t.Context())
				if err != nil {
					t.Errorf("dial: %v", err)
				} else {
					_ = c.Close()
				}
				if i%2 == 0 {
					<-time.After(time.Duration(i) * time.Millisecond) // hold it for a while
				}
				if err := srv.Close(t.Context()); err != nil {
					t.Errorf("close: %v", err)
				}
			}
		})
	}
	wg.Wait()
	awaitState(t, dir, cluster.Stopped)
}

func TestStarterKilledInMidStart(t *testing.T) {
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
	starter := startUser(t, req)
	awaitState(t, dir, cluster.Busy)
	waiter := startUser(t, fake(dir)) // its engine needs no gate
	starter.kill()
	waiter.expect("open")
	if n := starts(t, dir); n != 1 {
		t.Errorf("%d starts, want only the waiter's", n)
	}
	waiter.close()
}

func TestKilledSupervisor(t *testing.T) {
	dir := newDir(t)
	u := startUser(t, fake(dir))
	u.expect("open")
	srv, err := manager().Open(t.Context(), fake(dir))
	if err != nil {
		t.Fatal(err)
	}
	pids, err := os.ReadFile(filepath.Join(dir, "starts"))
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if err := json.Unmarshal(pids, &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	u.expect("ended why= err=true")
	u.expect("closed")
	<-srv.Done()
	if srv.Err() == nil {
		t.Error("the supervisor was killed, and Err is nil")
	}
	if err := srv.Close(t.Context()); err != nil {
		t.Error(err)
	}
	again := startUser(t, fake(dir))
	again.expect("open")
	again.close()
	if n := starts(t, dir); n != 2 {
		t.Errorf("%d starts, want 2", n)
	}
}

func TestStop(t *testing.T) {
	dir := newDir(t)
	m := manager()
	if _, err := m.Stop(t.Context(), dir, cluster.StopOptions{}); !errors.Is(err, engines.ErrNotExist) {
		t.Errorf("stop what is not there: %v", err)
	}
	u := startUser(t, fake(dir))
	u.expect("open")
	if n, err := m.Stop(t.Context(), dir, cluster.StopOptions{}); n != 1 || err != nil {
		t.Errorf("stop: %d users, %v", n, err)
	}
	if st := inspect(t, dir); st.State != cluster.Stopped {
		t.Errorf("Stop returned while the cluster is %s", st.State)
	}
	u.expect("ended why=down err=false")
	u.expect("closed")
	if n, err := m.Stop(t.Context(), dir, cluster.StopOptions{}); n != 0 || err != nil {
		t.Errorf("stop what is stopped: %d users, %v", n, err)
	}
}

func TestDestroy(t *testing.T) {
	dir := newDir(t)
	m := manager()
	u := startUser(t, fake(dir))
	u.expect("open")
	if err := m.Destroy(t.Context(), dir, false); !errors.Is(err, engines.ErrLocked) {
		t.Errorf("destroy while it is used: %v", err)
	}
	if err := m.Destroy(t.Context(), dir, true); err != nil {
		t.Error(err)
	}
	u.expect("ended why=destroy err=false")
	left, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(left) != 0 {
		t.Errorf("destroy left %v, %v", left, err)
	}
	if err := m.Destroy(t.Context(), dir, true); !errors.Is(err, engines.ErrNotExist) {
		t.Errorf("destroy what is not there: %v", err)
	}
}

func TestPin(t *testing.T) {
	dir := newDir(t)
	m := manager()
	srv, err := m.Open(t.Context(), fake(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Pin(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := srv.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := startUser(t, fake(dir))
	other.expect("open")
	if _, err := m.Stop(t.Context(), dir, cluster.StopOptions{OnlyIdle: true}); !errors.Is(err, engines.ErrLocked) {
		t.Errorf("stop only if idle, beside a user: %v", err)
	}
	other.kill()
	st := inspect(t, dir)
	if st.State != cluster.Running || !st.Pinned {
		t.Fatalf("a pinned cluster without users is %+v", st)
	}
	if _, err := m.Stop(t.Context(), dir, cluster.StopOptions{}); err != nil {
		t.Fatal(err)
	}
}

// What is no cluster is not destroyed, nor anything left beside it.
func TestDestroyNothingElse(t *testing.T) {
	dir := newDir(t)
	m := manager()
	if err := os.MkdirAll(filepath.Join(dir, "chapter"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := m.Make(t.Context(), dir, cluster.Making{Engine: "fake"}, nil); err == nil {
		t.Error("made a cluster in a directory that is not empty")
	}
	if _, err := m.Open(t.Context(), fake(dir)); err == nil {
		t.Error("opened one there")
	}
	if err := m.Destroy(t.Context(), dir, true); err == nil {
		t.Error("destroyed a directory that is no cluster")
	}
	left, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(left) != 1 {
		t.Errorf("beside it: %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "chapter")); err != nil {
		t.Error(err)
	}
}

// A cluster that archives its log is not started with a setting that would end that.
func TestArchiveContradicted(t *testing.T) {
	dir := newDir(t)
	m := manager()
	if err := m.RunAndStop(t.Context(), fake(dir), func(context.Context, *cluster.Server) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := m.SetArchive(t.Context(), dir, &cluster.Archive{Dir: "/backups", Command: "archive %p"}); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"archive_mode": "off", "archive_command": "true", "archive_library": "basic_archive"} {
		req := fake(dir)
		req.Spec.Params = map[string]string{name: value}
		_, err := m.Open(t.Context(), req)
		if err == nil || !strings.Contains(err.Error(), "/backups") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s = %s: %v", name, value, err)
		}
	}
	req := fake(dir)
	req.Spec.Params = map[string]string{"archive_mode": "on"}
	if err := m.RunAndStop(t.Context(), req, func(_ context.Context, srv *cluster.Server) error {
		if got := srv.Spec().Params["archive_command"]; got != "archive %p" {
			t.Errorf("archive_command is %q", got)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestMustExist(t *testing.T) {
	dir := newDir(t)
	m := manager()
	req := fake(dir)
	req.MustRun = true
	if _, err := m.Open(t.Context(), req); !errors.Is(err, engines.ErrNotExist) {
		t.Errorf("MustRun: %v", err)
	}
	err := m.RunIfExists(t.Context(), fake(dir), func(context.Context, *cluster.Server) error {
		t.Error("called")
		return nil
	})
	if !errors.Is(err, engines.ErrNotExist) {
		t.Errorf("RunIfExists: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
		t.Errorf("a look left %v", left)
	}
}

func TestGuards(t *testing.T) {
	m := manager()
	boom := errors.New("boom")

	dir := newDir(t)
	err := m.RunAndStop(t.Context(), fake(dir), func(context.Context, *cluster.Server) error { return boom })
	if !errors.Is(err, boom) {
		t.Errorf("RunAndStop: %v", err)
	}
	if st := inspect(t, dir); st.State != cluster.Stopped {
		t.Errorf("RunAndStop left it %s", st.State)
	}

	func() {
		defer func() {
			if p := recover(); p != boom { //nolint:errorlint // the value itself
				t.Errorf("recovered %v", p)
			}
		}()
		_ = m.RunAndDestroy(t.Context(), fake(dir), func(context.Context, *cluster.Server) error { panic(boom) })
	}()
	if st := inspect(t, dir); st.State != cluster.Missing {
		t.Errorf("RunAndDestroy and a panic left it %s", st.State)
	}

	u := startUser(t, fake(dir))
	u.expect("open")
	err = m.RunAndDestroy(t.Context(), fake(dir), func(context.Context, *cluster.Server) error { return nil })
	if st := inspect(t, dir); err != nil || st.State != cluster.Running {
		t.Errorf("RunAndDestroy beside another user: %s, %v", st.State, err)
	}
	u.close()
}
