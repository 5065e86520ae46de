package place

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestSweepRuns(t *testing.T) {
	xdg, err := os.MkdirTemp("/tmp", "pgxd") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(xdg) })
	t.Setenv("XDG_RUNTIME_DIR", xdg)
	mk := func(name string) string {
		t.Helper()
		dir, err := Run(name)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	write := func(dir, name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listen := func(dir, name string) *net.UnixListener {
		t.Helper()
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l.(*net.UnixListener)
	}
	kill := func(l *net.UnixListener) {
		l.SetUnlinkOnClose(false)
		_ = l.Close()
	}
	empty, dead, live, mixed, other, young, again := mk("empty"), mk("dead"), mk("live"), mk("mixed"), mk("other"), mk("young"), mk("again")
	kill(listen(dead, ".s.PGSQL.5432"))
	kill(listen(dead, "ctl"))
	write(dead, ".s.PGSQL.5432.lock")
	listen(live, ".s.PGSQL.5432")
	write(live, ".s.PGSQL.5432.lock")
	kill(listen(mixed, ".s.PGSQL.5432"))
	accepted := listen(mixed, "ctl")
	write(other, "server.log")
	kill(listen(young, "ctl"))
	long := time.Now().Add(-2 * runAge)
	for _, dir := range []string{empty, dead, live, mixed, other, again} {
		if err := os.Chtimes(dir, long, long); err != nil {
			t.Fatal(err)
		}
	}
	if mk("again") != again { // its server is about to start again
		t.Fatal("one name, two directories")
	}
	want := []string{dead, empty}
	slices.Sort(want)
	if got := DeadRuns(); !slices.Equal(got, want) {
		t.Errorf("dead are %v, want %v", got, want)
	}
	SweepRuns()
	for _, dir := range []string{empty, dead} {
		if _, err := os.Lstat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
	for _, dir := range []string{live, mixed, other, young, again} {
		if _, err := os.Lstat(dir); err != nil {
			t.Error(err)
		}
	}
	// Nobody has connected to what listens: the first to come are we.
	ours, err := net.Dial("unix", accepted.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ours.Close() }()
	if _, err := ours.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	c, err := accepted.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if n, err := c.Read(make([]byte, 1)); n != 1 {
		t.Errorf("a live socket was connected to (%v)", err)
	}
}
