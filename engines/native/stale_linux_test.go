package native

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// sleeper starts a process that is no postgres and returns its id.
func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// zombie returns the id of a process that is dead and not waited for.
func zombie(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	stat := fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid)
	eventually(t, "process dies", func() bool {
		b, err := os.ReadFile(stat)
		return err == nil && strings.Contains(string(b), ") Z ")
	})
	t.Cleanup(func() { _ = cmd.Wait() })
	return cmd.Process.Pid
}

// TestStalePIDFile starts in directories whose postmaster.pid has the number of something
// that is not their postmaster.
func TestStalePIDFile(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, _ Runtime) {
		dir := filepath.Join(t.TempDir(), "data")
		srv := mustStart(t, e, engines.Spec{Dir: dir})
		text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		mustStop(t, srv)
		_, rest, _ := strings.Cut(string(text), "\n")
		other := mustStart(t, e, engines.Spec{}) // a postgres, but in another directory
		for name, first := range map[string]string{
			"dead":             "4000000",
			"our own process":  fmt.Sprint(os.Getpid()),
			"another program":  fmt.Sprint(sleeper(t)),
			"zombie":           fmt.Sprint(zombie(t)),
			"another postgres": fmt.Sprint(other.Info().PID),
			"negative":         fmt.Sprint(-sleeper(t)),
			"garbage":          "garbage",
			"empty":            "",
		} {
			content := first + "\n" + rest
			if first == "" {
				content = ""
			}
			if err := os.WriteFile(filepath.Join(dir, "postmaster.pid"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			srv, err := e.Start(t.Context(), engines.Spec{Dir: dir})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got := query(t, srv, "SELECT 'works'"); got != "works" {
				t.Errorf("%s: %s", name, got)
			}
			mustStop(t, srv)
		}
	})
}

// TestForeignPostmaster finds a server that somebody else started.
func TestForeignPostmaster(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, rt Runtime) {
		dir := filepath.Join(t.TempDir(), "data")
		if err := e.Create(t.Context(), engines.Spec{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		list, err := accounts(dir)
		if err != nil {
			t.Fatal(err)
		}
		log, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = log.Close() }()
		sockets := shortDir(t)
		p, err := e.spawn(list[0], true, rt.Program("postgres"), postgresArgs(rt.Version, dir, sockets, 5432, "", engines.Spec{}), log)
		if err != nil {
			t.Fatal(err)
		}
		defer p.stop(t.Context(), true)
		if err := p.ready(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"start":    startError(t, e, engines.Spec{Dir: dir}),
			"template": startError(t, e, engines.Spec{Dir: filepath.Join(t.TempDir(), "copy"), Template: dir}),
		} {
			if !errors.Is(err, engines.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(p.cmd.Process.Pid)) {
				t.Errorf("%s: error is %v; it should name postmaster %d", what, err, p.cmd.Process.Pid)
			}
		}
		if _, err := e.Superusers(t.Context(), dir); !errors.Is(err, engines.ErrLocked) {
			t.Errorf("superusers: error is %v", err)
		}
		select {
		case <-p.done:
			t.Error("the foreign server was stopped")
		default:
		}
	})
}

func TestBadPermissions(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, rt Runtime) {
		dir := filepath.Join(t.TempDir(), "it's data")
		if err := e.Create(t.Context(), engines.Spec{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		for mode, ok := range map[os.FileMode]bool{0o700: true, 0o755: false, 0o770: false, 0o750: rt.Version.Num() >= 110000} {
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
			srv, err := e.Start(t.Context(), engines.Spec{Dir: dir})
			if err == nil {
				mustStop(t, srv)
			}
			if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "chmod 0700") {
				t.Errorf("mode %04o: %v", mode, err)
			}
		}
	})
}

// TestBrokenDirectory opens what a killed initdb would have left in place.
func TestBrokenDirectory(t *testing.T) {
	e := first(t)
	dir := filepath.Join(t.TempDir(), "data")
	if err := e.Create(t.Context(), engines.Spec{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	control := filepath.Join(dir, "global", "pg_control")
	whole, err := os.ReadFile(control)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"missing": nil, "short": whole[:10], "zero": make([]byte, len(whole))} {
		if err := os.WriteFile(control, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if content == nil {
			if err := os.Remove(control); err != nil {
				t.Fatal(err)
			}
		}
		if err := startError(t, e, engines.Spec{Dir: dir}); !strings.Contains(err.Error(), "not a whole data directory") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(control, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	mustStop(t, mustStart(t, e, engines.Spec{Dir: dir}))
}

// TestFailedStartKeepsLog breaks a setting in the file, where only postgres finds it.
func TestFailedStartKeepsLog(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, _ Runtime) {
		dir := filepath.Join(t.TempDir(), "data")
		if err := e.Create(t.Context(), engines.Spec{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		conf := filepath.Join(dir, "postgresql.conf")
		text, err := os.ReadFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(conf, append(text, "\nno_such_setting = 1\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		err = startError(t, e, engines.Spec{Dir: dir})
		log := filepath.Join(place.Control(dir), "postmaster.log")
		for _, mention := range []string{"no_such_setting", log} {
			if !strings.Contains(err.Error(), mention) {
				t.Errorf("the error does not mention %q: %v", mention, err)
			}
		}
		if !strings.Contains(logOf(t, dir), "no_such_setting") {
			t.Error("the log was not kept")
		}
		if err := os.WriteFile(conf, text, 0o600); err != nil {
			t.Fatal(err)
		}
		mustStop(t, mustStart(t, e, engines.Spec{Dir: dir}))
	})
}
