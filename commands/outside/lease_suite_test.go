package outside_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/lease"
)

// check is what every test of every suite runs, with the id of its process: that process
// alone has ever written to the database.
const check = `#!/bin/sh
n=$(PGOPTIONS='-c client_min_messages=error' psql -XAtq -v ON_ERROR_STOP=1 ${2:+-d "$2"} -c 'CREATE TABLE IF NOT EXISTS mine (pid int)' \
	-c "INSERT INTO mine VALUES ($1)" -c 'INSERT INTO things DEFAULT VALUES' \
	-c 'SELECT count(DISTINCT pid) FROM mine') || { echo "lost $PGDATABASE $1" >> "$SUITE_LOG"; exit 1; }
if [ "$n" = 1 ]; then echo "ok $PGDATABASE $1" >> "$SUITE_LOG"; else echo "SHARED $PGDATABASE $1 ($n)" >> "$SUITE_LOG"; exit 1; fi
`

// recipe returns the code block of a section of the help topic, so that what is tested is
// what people copy.
func recipe(t *testing.T, section string, n int) string {
	t.Helper()
	b, err := os.ReadFile("commands/help/leases.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "\n## "+section+"\n")
	blocks := strings.Split(rest, "```\n")
	if !ok || len(blocks) < 2*n+2 {
		t.Fatalf("the help topic has no code block %d under %q", n, section)
	}
	return blocks[2*n+1]
}

// A suite is a lease server and a directory with a suite of tests.
type suite struct {
	*killer
	log    string
	socket string
	killed int
	server *exec.Cmd
	stderr bytes.Buffer
}

func newSuite(t *testing.T, files map[string]string) *suite {
	t.Helper()
	s := &suite{killer: newKiller(t)}
	s.log = filepath.Join(s.dir, "suite.log")
	t.Setenv("PGX_DEV_TEMP", os.Getenv("XDG_RUNTIME_DIR"))
	all := map[string]string{
		"check.sh":     check,
		"1.sql":        "CREATE TABLE things (id bigserial PRIMARY KEY);",
		"pgx-dev.toml": "[[lease.pool]]\nmigrations = [\"1.sql\"]\ncount = 20\n",
	}
	maps.Copy(all, files)
	for name, text := range all {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.server = s.command("lease", "serve")
	s.server.Stderr = &s.stderr
	out, err := s.server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.server.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 256)
	n, err := out.Read(line)
	if err != nil {
		t.Fatalf("the lease server did not start: %v\n%s", err, s.stderr.String())
	}
	s.socket = strings.TrimSpace(string(line[:n]))
	return s
}

func (s *suite) status() lease.PoolStatus {
	s.t.Helper()
	out, err := s.command("lease", "status", "--json", "-s", s.socket).Output()
	var st lease.Status
	if err == nil {
		err = json.Unmarshal(out, &st)
	}
	if err != nil {
		s.t.Fatalf("lease status: %v", err)
	}
	return st.Pools[0]
}

// run runs the suite undisturbed.
func (s *suite) run(argv ...string) (out string, err error) {
	s.t.Helper()
	return s.disturbed(0, argv...)
}

// runKilling runs the suite, again if need be, until so many processes that hold a lease, or
// their children, have been killed in the middle of it. Its tests fail then.
func (s *suite) runKilling(kills int, argv ...string) {
	s.t.Helper()
	before := s.killed
	for range 10 {
		if _, _ = s.disturbed(kills-(s.killed-before), argv...); s.killed-before >= kills {
			s.t.Logf("killed %d workers", s.killed-before)
			return
		}
	}
	s.t.Errorf("only %d workers could be killed", s.killed-before)
}

func (s *suite) disturbed(kills int, argv ...string) (out string, err error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.dir
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") || strings.HasPrefix(kv, "PGX_DEV_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, s.mark, "PGM_SOCKET="+s.socket, "SUITE_LOG="+s.log, "CHECK="+filepath.Join(s.dir, "check.sh"),
		"PATH="+filepath.Dir(s.program)+":"+os.Getenv("PATH"))
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for stuck := time.Now().Add(5 * time.Minute); ; {
		select {
		case err := <-done:
			return b.String(), err
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(stuck) {
			s.t.Errorf("%s does not end\n%s", argv[0], b.String())
			s.kill(func(p proc) bool { return !strings.Contains(p.args, "pgx-dev ") })
		}
		if kills == 0 {
			continue
		}
		if leases := s.status().Leases; len(leases) > 0 {
			victim := leases[rand.IntN(len(leases))].PID
			if victim == cmd.Process.Pid { // without it there is no suite
				continue
			}
			if below := s.children(victim); len(below) > 0 && rand.IntN(2) == 0 {
				victim = below[rand.IntN(len(below))]
			}
			if syscall.Kill(victim, syscall.SIGKILL) == nil {
				s.killed++
				kills--
			}
		}
	}
}

// children lists the processes that a process has started.
func (s *suite) children(pid int) (found []int) {
	for _, p := range s.procs() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
		if err != nil {
			continue
		}
		// "pid (name) state ppid …"; the name may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			found = append(found, p.pid)
		}
	}
	return found
}

// finish checks what the suite has seen, and that the server and everything else ends.
func (s *suite) finish(least int) {
	s.t.Helper()
	b, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	holders := map[string]string{} // process by database
	ok := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if f[0] == "SHARED" {
			s.t.Errorf("%s", line)
		}
		if f[0] != "ok" {
			continue
		}
		ok++
		if before := holders[f[1]]; before != "" && before != f[2] {
			s.t.Errorf("%s was held by %s and by %s", f[1], before, f[2])
		}
		holders[f[1]] = f[2]
	}
	s.t.Logf("%d tests passed on %d databases", ok, len(holders))
	if ok < least {
		s.t.Errorf("only %d tests passed", ok)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(20 * time.Millisecond) {
		st := s.status()
		if len(st.Leases) == 0 && len(st.Waiting) == 0 && st.Cleaning == 0 {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("leases are left: %+v", st)
		}
	}
	if err := s.server.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.server.Wait(); err != nil {
		s.t.Errorf("the lease server: %v\n%s", err, s.stderr.String())
	}
	s.awaitNone("the suite")
	if left, err := filepath.Glob(filepath.Join(os.Getenv("PGX_DEV_TEMP"), "pgx-dev-*", "*")); err != nil || len(left) > 1 {
		s.t.Errorf("left on disk: %v, %v", left, err)
	}
}
