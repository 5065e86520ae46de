package wasm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// TestHelperCrash is the process that TestKill kills.
func TestHelperCrash(t *testing.T) {
	dir := os.Getenv("PGX_DEV_TEST_CRASH")
	if dir == "" {
		return // not the helper: there is nothing to test here
	}
	srv, err := shared.Start(t.Context(), engines.Spec{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"create table if not exists t(v int)", "insert into t select generate_series(1, 1000)", "begin", "insert into t select generate_series(1, 500)"} {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("READY")
	select {} // until it is killed
}

// TestKill kills the process of a persistent database, twice, and expects what was
// committed, only that, and a free directory.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for round := 1; round <= 2; round++ {
		cmd := osexec.Command(os.Args[0], "-test.run=^TestHelperCrash$", "-test.v")
		cmd.Env = append(os.Environ(), "PGX_DEV_TEST_CRASH="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for sc := bufio.NewScanner(out); sc.Scan(); {
			text.WriteString(sc.Text() + "\n")
			if strings.Contains(sc.Text(), "READY") {
				break
			}
		}
		if !strings.Contains(text.String(), "READY") {
			t.Fatalf("the helper did not get ready:\n%s", text.String())
		}
		if _, err := shared.Start(t.Context(), engines.Spec{Dir: dir}); !errors.Is(err, engines.ErrLocked) {
			t.Errorf("a directory in use by another process: %v", err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		srv, err := shared.Start(t.Context(), engines.Spec{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		c, err := engines.Connect(t.Context(), srv, "")
		if err != nil {
			t.Fatal(err)
		}
		wantOne(t, c, fmt.Sprint(round*1000), "select count(*)::text from t")
		if err := srv.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	// A clean stop leaves nothing to recover.
	control, err := os.ReadFile(filepath.Join(dir, "global", "pg_control"))
	if err != nil || control[16] != 1 { // ControlFileData.state: DB_SHUTDOWNED
		t.Errorf("pg_control says state %d, %v; want 1", control[16], err)
	}
}

// TestSweep checks that the next engine removes what a killed process left, and nothing
// that is in use.
func TestSweep(t *testing.T) {
	t.Setenv("PGX_DEV_TEMP", t.TempDir())
	left := filepath.Join(place.TempRoots()[0], "wasm-1")
	if err := os.MkdirAll(filepath.Join(left, "scratch"), 0o700); err != nil { // private, as Temp makes it
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := temp(t, shared, engines.Spec{})
	e := wasm.New(wasm.Config{})
	srv := temp(t, e, engines.Spec{})
	t.Cleanup(func() {
		if err := errors.Join(srv.Close(context.Background()), e.Close()); err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", left, err)
	}
	exec(t, connect(t, used), "create table t as select generate_series(1, 10000)")
	if _, err := os.Stat(used.Info().Dir); err != nil {
		t.Error(err)
	}
}

// TestSweepScratch checks the same of the store of an engine that keeps nothing on disk.
func TestSweepScratch(t *testing.T) {
	t.Setenv("PGX_DEV_TEMP", t.TempDir())
	no := false
	e := wasm.New(wasm.Config{Cache: &no})
	dir, err := wasm.ScratchStore(e)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := wasm.ScratchStore(e); again != dir || err != nil {
		t.Errorf("after a loading that failed: %s, %v; want %s", again, err, dir)
	}
	wasm.Sweep()
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("it was taken away: %v", err)
	}
	if err := wasm.Abandon(e); err != nil {
		t.Fatal(err)
	}
	wasm.Sweep()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", dir, err)
	}
	other := wasm.New(wasm.Config{Cache: &no})
	if dir, err = wasm.ScratchStore(other); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Close(), other.Close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there after Close (%v)", dir, err)
	}
}

// TestTrap checks that the end of a guest is the end of its server only.
func TestTrap(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	srv, err := shared.Start(t.Context(), engines.Spec{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	other := connect(t, temp(t, shared, engines.Spec{}))
	c := connect(t, srv)
	execSimple(t, c, "create table t(v int); insert into t values (1)")
	wasm.Crash(srv.(*wasm.Server))
	select {
	case <-srv.Done():
	case <-time.After(2 * time.Minute):
		t.Fatal("the server did not end")
	}
	if srv.Err() == nil || !strings.Contains(srv.Err().Error(), "a trap, for a test") {
		t.Errorf("Err: %v", srv.Err())
	}
	if _, err := c.Exec(t.Context(), "select 1"); err == nil {
		t.Error("the connection still works")
	}
	if _, err := srv.Dial(t.Context()); err == nil {
		t.Error("Dial still works")
	}
	if err := srv.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	wantOne(t, other, "1", "select '1'")
	srv = temp(t, shared, engines.Spec{Dir: dir})
	wantOne(t, connect(t, srv), "1", "select count(*)::text from t")
}

func execSimple(t *testing.T, c *pgx.Conn, sql string) {
	t.Helper()
	exec(t, c, sql, pgx.QueryExecModeSimpleProtocol)
}

// TestCloseWhileBusy checks that Close ends a statement, and one that cannot be polite.
func TestCloseWhileBusy(t *testing.T) {
	for _, polite := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "data")
		srv, err := shared.Start(t.Context(), engines.Spec{Dir: dir}) // Fast would lose the table
		if err != nil {
			t.Fatal(err)
		}
		c := connect(t, srv)
		execSimple(t, c, "create table t(v int)")
		done := make(chan error, 1)
		go func() {
			_, err := c.Exec(context.Background(), "do $$ begin insert into t values (1); loop begin loop end loop; exception when query_canceled then null; end; end loop; end $$")
			done <- err
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if !polite {
			cancel()
			ctx, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond)
		}
		if polite {
			cancel()
			ctx, cancel = context.WithTimeout(context.Background(), 2*time.Second)
		}
		if err := srv.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		cancel()
		if err := <-done; err == nil {
			t.Error("the statement ended well")
		}
		srv = temp(t, shared, engines.Spec{Dir: dir})
		wantOne(t, connect(t, srv), "0", "select count(*)::text from t")
	}
}

// TestInterruptedCreation checks that what a killed creation left is taken away.
func TestInterruptedCreation(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "data")
	left := filepath.Join(parent, ".data.tmp")
	if err := os.MkdirAll(filepath.Join(left, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil { // empty
		t.Fatal(err)
	}
	srv := temp(t, shared, engines.Spec{Dir: dir, Fast: true})
	wantOne(t, connect(t, srv), "1", "select '1'")
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there", left)
	}
}

func TestBadInput(t *testing.T) {
	ctx := t.Context()
	parent := t.TempDir()
	old := filepath.Join(parent, "old")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := shared.Start(ctx, engines.Spec{Dir: old}); !errors.Is(err, engines.ErrVersion) || !strings.Contains(err.Error(), "15") {
		t.Errorf("a directory of version 15: %v", err)
	}
	if _, err := os.Stat(place.Control(old)); !errors.Is(err, os.ErrNotExist) {
		t.Error("a refused start left a control directory")
	}
	if _, err := shared.Start(ctx, engines.Spec{Version: "15"}); !errors.Is(err, engines.ErrNoRuntime) {
		t.Errorf("version 15: %v", err)
	}
	corrupt := filepath.Join(parent, "pglite.tgz")
	if err := os.WriteFile(corrupt, []byte("no package"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]wasm.Config{
		"not the package that is pinned": {Packages: []string{corrupt}, Store: filepath.Join(parent, "s1"), Offline: true},
		"no such file":                   {Packages: []string{corrupt + ".gone"}, Store: filepath.Join(parent, "s2"), Offline: true},
		"npm pack":                       {Store: filepath.Join(parent, "s3"), Offline: true},
		"embed.wait is negative":         {Wait: -1},
		"cannot be mounted":              {Mounts: map[string]string{"/pglite": parent}},
	} {
		e := wasm.New(cfg)
		if _, err := e.Start(ctx, engines.Spec{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q in it", err, name)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	// A directory whose files are damaged is refused and left as it is.
	dir := filepath.Join(parent, "damaged")
	srv, err := shared.Start(ctx, engines.Spec{Dir: dir, Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Close(ctx); err != nil {
		t.Fatal(err)
	}
	control := filepath.Join(dir, "global", "pg_control")
	if err := os.WriteFile(control, []byte("damage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := shared.Start(ctx, engines.Spec{Dir: dir}); err == nil || !strings.Contains(err.Error(), "pg_control") {
		t.Errorf("a damaged pg_control: %v", err)
	}
	if b, err := os.ReadFile(control); err != nil || string(b) != "damage" {
		t.Errorf("pg_control was changed: %q, %v", b, err)
	}
}

// TestConfinement checks that SQL sees nothing of the host but what was mounted.
func TestConfinement(t *testing.T) {
	host := t.TempDir()
	secret := filepath.Join(host, "secret")
	if err := os.WriteFile(secret, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shown := filepath.Join(host, "shown")
	if err := os.Mkdir(shown, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"up": "../secret", "abs": secret, "loop": "loop", "tmp": "/tmp"} {
		if err := os.Symlink(target, filepath.Join(shown, name)); err != nil {
			t.Fatal(err)
		}
	}
	e := wasm.New(wasm.Config{Mounts: map[string]string{"/host": shown}})
	srv := temp(t, e, engines.Spec{})
	t.Cleanup(func() {
		_ = srv.Close(context.Background())
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	c := connect(t, srv)
	exec(t, c, "create table t(v text)")
	for _, p := range []string{secret, "/host/up", "/host/abs", "/host/../../secret", "/host/loop", "/etc/passwd", "/pglite/data/../../etc/passwd"} {
		if _, err := c.Exec(t.Context(), "copy t from "+wasm.Literal(p)); err == nil {
			t.Errorf("%s could be read", p)
		}
	}
	exec(t, c, "copy (select 'out') to '/host/out.txt'")
	if b, err := os.ReadFile(filepath.Join(shown, "out.txt")); err != nil || string(b) != "out\n" {
		t.Errorf("a file in the mount: %q, %v", b, err)
	}
	exec(t, c, "copy (select 'in the guest') to '/host/tmp/x.txt'") // the guest's /tmp, not the host's
	exec(t, c, "copy t from '/tmp/x.txt'")
	wantOne(t, c, "in the guest", "select v from t")
	if _, err := os.Stat("/tmp/x.txt"); err == nil {
		t.Error("the host's /tmp was written to")
	}
	for _, sql := range []string{"copy (select 1) to '/pglite/share/x'", "copy (select 1) to '/home/x'"} {
		if _, err := c.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s: the package's files could be written to", sql)
		}
	}
}
