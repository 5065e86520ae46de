package outside_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program returns a path under which the test binary is pgx-dev.
func program(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "pgx-dev")
	if err := os.Link(exe, path); err == nil { // a symbolic link would be followed by os.Executable
		return path
	}
	b, err := os.ReadFile(exe)
	if err == nil {
		err = os.WriteFile(path, b, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A killer runs pgx-dev in one project and kills what belongs to it.
type killer struct {
	t       *testing.T
	program string
	dir     string
	mark    string // in the environment of every process
}

func newKiller(t *testing.T) *killer {
	t.Helper()
	run, err := os.MkdirTemp("/tmp", "pgxd")
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{t, program(t), t.TempDir(), "KILL_TEST=" + filepath.Base(run)}
	t.Setenv("XDG_RUNTIME_DIR", run)
	t.Cleanup(func() {
		k.kill(func(proc) bool { return true })
		k.awaitNone("the end")
		_ = os.RemoveAll(run)
	})
	return k
}

func (k *killer) command(args ...string) *exec.Cmd {
	cmd := exec.Command(k.program, args...)
	cmd.Dir = k.dir
	cmd.Env = append(os.Environ(), k.mark)
	return cmd
}

// A proc is a process of the project.
type proc struct {
	pid  int
	args string
}

func (p proc) supervisor() bool { return strings.HasSuffix(p.args, " supervise ") }

// procs lists what carries the mark and is no zombie.
func (k *killer) procs() (found []proc) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		k.t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil || !bytes.Contains(env, []byte(k.mark+"\x00")) {
			continue
		}
		args, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil {
			found = append(found, proc{pid, strings.ReplaceAll(string(args), "\x00", " ")})
		}
	}
	return found
}

func (k *killer) kill(which func(proc) bool) {
	for _, p := range k.procs() {
		if which(p) {
			_ = syscall.Kill(p.pid, syscall.SIGKILL) // it may be gone
		}
	}
}

// awaitNone waits until no process of the project is left.
func (k *killer) awaitNone(after string) {
	k.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		left := k.procs()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("after %s there are still %+v", after, left)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestKilledAtAnyMoment kills pgx-dev, its supervisor, or everything at moments spread
// over the whole of a start, and checks that the next start serves, and that its end leaves
// no process and no unfinished directory. PGX_DEV_KILLS says how often; "just chaos" has a
// thousand.
func TestKilledAtAnyMoment(t *testing.T) {
	kills := 24
	if n, err := strconv.Atoi(os.Getenv("PGX_DEV_KILLS")); err == nil {
		kills = n
	}
	victims := []struct {
		name string
		is   func(proc) bool
	}{
		{"the starter", func(p proc) bool { return strings.Contains(p.args, " up ") }},
		{"the supervisor", proc.supervisor},
		{"both", func(p proc) bool { return strings.Contains(p.args, " up ") || p.supervisor() }},
		{"everything", func(proc) bool { return true }},
	}
	k := newKiller(t)
	for i := range kills {
		victim := victims[i%len(victims)]
		args := []string{"up"}
		reach := 120 * time.Millisecond // a start from the cache, and a little more
		if i%3 == 0 {
			args = []string{"-o", "runtime.fresh_id=true", "up"} // initdb itself
			reach = 900 * time.Millisecond
		}
		delay := rand.N(reach)
		what := fmt.Sprintf("kill %d: %s after %v", i, victim.name, delay)
		cmd := k.command(args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(delay)
		k.kill(victim.is)
		// What a victim left alone must end by itself, or serve.
		next := k.command("up", "--", "psql", "-Atc", "SELECT 6 * 7")
		var said bytes.Buffer // it may well say that it waits
		next.Stderr = &said
		out, err := next.Output()
		if err != nil || strings.TrimSpace(string(out)) != "42" {
			t.Fatalf("%s: then up says %v\n%s%s", what, err, out, &said)
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		k.awaitNone(what)
		if i%2 == 0 {
			if out, err := k.command("destroy", "--yes").CombinedOutput(); err != nil {
				t.Fatalf("%s: then destroy says %v\n%s", what, err, out)
			}
			left, err := os.ReadDir(filepath.Join(k.dir, ".pgx-dev"))
			if err != nil || len(left) != 1 { // .gitignore
				t.Fatalf("%s: then destroy leaves %v", what, left)
			}
		}
	}
}
