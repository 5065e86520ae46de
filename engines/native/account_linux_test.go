package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/occupant"
)

// impossible is an account that no kernel grants.
func impossible(name string) account {
	return account{name: name, attr: func(a *syscall.SysProcAttr) { a.AmbientCaps = []uintptr{63} }}
}

// publicDir makes a directory that every user may enter.
func publicDir(t *testing.T) string {
	t.Helper()
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// serverUID returns the real user of a process.
func serverUID(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\nUid:")
	var uid int
	if _, err := fmt.Sscan(rest, &uid); err != nil {
		t.Fatal(err)
	}
	return uid
}

// systemRuntime returns a runtime that other users can reach.
func systemRuntime(t *testing.T) Runtime {
	t.Helper()
	for _, rt := range runtimes(t) {
		if a := byCredential("somebody", 54321, 54321)[0]; a.reach(rt.Program("postgres")) == nil {
			return rt
		}
	}
	t.Fatal("no runtime is where other users can reach it")
	return Runtime{}
}

// TestAccounts is about root; another user has one account, its own, as all other tests
// show.
func TestAccounts(t *testing.T) {
	list, err := accounts(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		if len(list) != 1 || list[0].own {
			t.Errorf("accounts are %+v", list)
		}
		return
	}
	if len(list) < 3 || list[0].name != "user namespace" || list[0].own || !list[1].own || list[1].passes || !list[2].passes {
		t.Errorf("accounts are %+v", list)
	}
	theirs := publicDir(t)
	if err := os.Chown(theirs, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if list, err = accounts(theirs); err != nil || len(list) != 2 || list[0].uid != 65534 || list[1].uid != 65534 {
		t.Errorf("accounts for nobody's directory are %+v (%v)", list, err)
	}
}

// TestFallback denies the user namespace, and then more.
func TestFallback(t *testing.T) {
	if os.Getuid() != 0 {
		return // only root has something to fall back to
	}
	t.Setenv("PGX_DEV_CACHE", t.TempDir())
	t.Setenv("TMPDIR", "/tmp")
	rt := systemRuntime(t)
	dir := filepath.Join(publicDir(t), "data")
	e := engineFor(rt)
	e.accountsFor = func(dir string) ([]account, error) {
		list, err := accounts(dir)
		for i, a := range list {
			if !a.own {
				list[i] = impossible(a.name)
			}
		}
		return list, err
	}
	for round := range 2 { // the second time the directory is the other user's
		srv := mustStart(t, e, engines.Spec{Dir: dir})
		uid, _, _ := owner(dir)
		if got := serverUID(t, srv.Info().PID); got == 0 || got != uid {
			t.Errorf("round %d: the server is user %d, its directory user %d's", round, got, uid)
		}
		if round == 0 {
			mustExec(t, srv, "CREATE TABLE kept AS SELECT 42 AS n")
		}
		if got := query(t, srv, "SELECT n::text FROM kept"); got != "42" {
			t.Error(got)
		}
		mustStop(t, srv)
	}
	if names, err := e.Superusers(t.Context(), dir); err != nil || len(names) != 1 || names[0] != "postgres" {
		t.Errorf("superusers are %q (%v)", names, err)
	}
	// Where the other user may not go, it gets the right to pass.
	hidden := shortDir(t)
	for range 2 {
		srv := mustStart(t, e, engines.Spec{Dir: filepath.Join(hidden, "data")})
		if uid := serverUID(t, srv.Info().PID); uid == 0 {
			t.Error("the server is root")
		}
		if got := query(t, srv, "SELECT 'works'"); got != "works" {
			t.Error(got)
		}
		mustStop(t, srv)
	}
	// Where that is refused too, the error says what to do.
	hidden = shortDir(t)
	e = engineFor(rt)
	e.accountsFor = func(dir string) ([]account, error) {
		list, err := accounts(dir)
		for i, a := range list {
			if !a.own || a.passes {
				list[i] = impossible(a.name)
			}
		}
		return list, err
	}
	err := startError(t, e, engines.Spec{Dir: filepath.Join(hidden, "data")})
	for _, mention := range []string{"as root", "user namespace", "CAP_DAC_OVERRIDE", "may not enter " + hidden, "max_user_namespaces"} {
		if !strings.Contains(err.Error(), mention) {
			t.Errorf("the error does not mention %q: %v", mention, err)
		}
	}
	if left, err := os.ReadDir(hidden); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	if errors.Is(err, errDenied) {
		t.Errorf("the internal mark got out: %v", err)
	}
}

// TestNoNamespaces is the same with a kernel that really refuses, as in a container: in a
// directory that everybody may enter, and in one that only root may. The server still ends
// with its owner.
func TestNoNamespaces(t *testing.T) {
	if os.Getuid() != 0 {
		return // only root has something to fall back to
	}
	rt := systemRuntime(t)
	for _, parent := range []string{publicDir(t), shortDir(t)} {
		dir := filepath.Join(parent, "data")
		all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
		c := spawnHelper(t, helper{
			Config: Config{Bindirs: []string{rt.Bindir}, Default: rt.Bindir}, Spec: engines.Spec{Dir: dir},
			NoUserNS: true, Env: []string{"TMPDIR=/tmp", "PGX_DEV_CACHE=" + filepath.Join(parent, "cache")},
		}, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true})
		var pid int
		if _, err := fmt.Sscan(c.expect("ready"), &pid); err != nil {
			t.Fatal(err)
		}
		if got := c.ask("CREATE TABLE kept AS SELECT 42 AS n; SELECT n FROM kept"); got != "42" {
			t.Error(got)
		}
		if uid, _, _ := owner(dir); uid == 0 || serverUID(t, pid) != uid {
			t.Error("the directory or the server is still root's, so there was no fallback")
		}
		c.kill()
		eventually(t, "postmaster ends", func() bool { return !occupant.IsPostgres(pid, dir) })
		if state, err := ReadControlData(dir); err != nil || state.State != Shutdown {
			t.Errorf("the directory is %s (%v), it should be shut down", state.State, err)
		}
	}
}

// TestOrdinaryUser runs everything as a user who is not root.
func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		return // every other test does
	}
	rt := systemRuntime(t)
	parent := publicDir(t)
	home := filepath.Join(parent, "home")
	if err := errors.Join(os.Mkdir(home, 0o700), os.Chown(home, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(parent, "helper") // /proc/self/exe is root's
	if err := os.Link("/proc/self/exe", program); err != nil {
		b, err := os.ReadFile("/proc/self/exe")
		if err = errors.Join(err, os.WriteFile(program, b, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	c := spawnHelper(t, helper{
		Program: program,
		Config:  Config{Bindirs: []string{rt.Bindir}, Default: rt.Bindir}, Spec: engines.Spec{Dir: filepath.Join(home, "data")},
		Env: []string{"TMPDIR=" + home, "HOME=" + home, "PGX_DEV_CACHE=" + filepath.Join(home, "cache")},
	}, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}})
	var pid int
	if _, err := fmt.Sscan(c.expect("ready"), &pid); err != nil {
		t.Fatal(err)
	}
	if uid := serverUID(t, pid); uid != 65534 {
		t.Errorf("the server is user %d", uid)
	}
	if got := c.ask("SELECT 'works'"); got != "works" {
		t.Error(got)
	}
	c.stop()
}
