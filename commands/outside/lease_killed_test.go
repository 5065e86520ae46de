package outside_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLeaseServerKilled kills the server with leases held: nothing of it is left, and the
// next one takes over its socket.
func TestLeaseServerKilled(t *testing.T) {
	s := newSuite(t, nil)
	holder := s.command("lease", "exec", "-s", s.socket, "--", "sleep", "600")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); len(s.status().Leases) == 0; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no lease")
		}
	}
	s.kill(func(p proc) bool { return !p.supervisor() })
	_, _ = s.server.Wait(), holder.Wait()
	s.awaitNone("kill -9")
	next := s.command("lease", "wrap", "--", "pgx-dev", "lease", "exec", "--", "sh", "-c", "echo $PGDATABASE")
	next.Env = append(next.Env, "PATH="+filepath.Dir(s.program)+":"+os.Getenv("PATH"))
	if out, err := next.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "lease_default_lx") {
		t.Errorf("the next server: %v\n%s", err, out)
	}
	s.awaitNone("the end")
}

// TestLeaseExecKilled kills "lease exec" itself: its command dies with it, and what that
// had started keeps the lease until it ends, so that nobody else gets the database. A
// command that ends by itself gives it back at once, whatever it leaves behind.
func TestLeaseExecKilled(t *testing.T) {
	s := newSuite(t, nil)
	started := filepath.Join(s.dir, "started")
	holder := s.command("lease", "exec", "-s", s.socket, "--", "sh", "-c", "sleep 601 & sleep 602 & touch started; wait")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); !ok(); <-time.After(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: there are %+v and %+v", what, s.procs(), s.status())
			}
		}
	}
	running := func(args string) bool {
		return slices.ContainsFunc(s.procs(), func(p proc) bool { return strings.HasPrefix(p.args, args) })
	}
	await("start", func() bool { _, err := os.Stat(started); return err == nil })
	name := s.status().Leases[0].Name
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	if runtime.GOOS == "linux" {
		await("the command is killed as well", func() bool { return !running("sh -c") })
	}
	s.kill(func(p proc) bool { return strings.HasPrefix(p.args, "sleep 601") })
	await("one of its children is gone", func() bool { return !running("sleep 601") })
	if leases := s.status().Leases; len(leases) != 1 || leases[0].Name != name || runtime.GOOS == "linux" && leases[0].Command != "(gone)" {
		t.Errorf("while a child lives the leases are %+v", leases)
	}
	s.kill(func(p proc) bool { return strings.HasPrefix(p.args, "sleep 602") || strings.HasPrefix(p.args, "sh -c") })
	await("the lease ends", func() bool { return len(s.status().Leases) == 0 })

	quick := s.command("lease", "exec", "-s", s.socket, "--", "sh", "-c", "sleep 603 >/dev/null 2>&1 &")
	if out, err := quick.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	await("the lease ends with the command", func() bool { return len(s.status().Leases) == 0 })
	if !running("sleep 603") {
		t.Error("what the command left behind is gone; the test shows nothing")
	}
	// SIGQUIT goes on to the command.
	asked := s.command("lease", "exec", "-s", s.socket, "--keep", "never", "--", "sh", "-c", `trap 'echo asked; exit 9' QUIT; touch trapped; while :; do sleep 0.05; done`)
	var out bytes.Buffer
	asked.Stdout = &out
	if err := asked.Start(); err != nil {
		t.Fatal(err)
	}
	await("the trap", func() bool { _, err := os.Stat(filepath.Join(s.dir, "trapped")); return err == nil })
	if err := asked.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if err := asked.Wait(); asked.ProcessState.ExitCode() != 9 || out.String() != "asked\n" {
		t.Errorf("after SIGQUIT: %v, %q", err, out.String())
	}
}

// TestLeaseOwnerKilled kills a lease server whose databases are on a server that goes on:
// they are dropped without anybody's doing, but for one that was kept.
func TestLeaseOwnerKilled(t *testing.T) {
	k := newKiller(t)
	t.Setenv("PGX_DEV_TEMP", os.Getenv("XDG_RUNTIME_DIR"))
	output := func(args ...string) string {
		t.Helper()
		cmd := k.command(args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, stderr.String())
		}
		return strings.TrimSpace(string(out))
	}
	url := output("up", "-d", "main")
	if err := os.WriteFile(filepath.Join(k.dir, "1.sql"), []byte("CREATE TABLE things (id int);"), 0o600); err != nil {
		t.Fatal(err)
	}
	lent := func() string {
		return output("psql", "main", "--", "-XAtc", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname LIKE 'lease_%'")
	}
	for _, where := range [][]string{{"--url", url}, {"--cluster", "main"}} {
		server := k.command(append([]string{"lease", "serve", "--migrations", "1.sql", "-s", filepath.Join(k.dir, "s")}, where...)...)
		out, err := server.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 256)); err != nil {
			t.Fatal(err)
		}
		failed := k.command("lease", "exec", "-s", filepath.Join(k.dir, "s"), "--", "sh", "-c", "echo $PGDATABASE; exit 1")
		kept, _ := failed.Output()
		holder := k.command("lease", "exec", "-s", filepath.Join(k.dir, "s"), "--", "sleep", "600")
		if err := holder.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(2 * time.Minute); len(strings.Fields(lent())) < 4; <-time.After(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("there are only %q", lent())
			}
		}
		_, _ = server.Process.Kill(), holder.Process.Kill()
		_, _ = server.Wait(), holder.Wait()
		want := strings.TrimSpace(string(kept))
		for deadline := time.Now().Add(2 * time.Minute); lent() != want; <-time.After(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%v: the killed server left %q, want only %q, which was kept; there run %+v", where, lent(), want, k.procs())
			}
		}
		output("psql", "main", "--", "-Xqc", "DROP DATABASE "+want)
	}
	output("down", "main")
	k.awaitNone("down")
}
