package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pgx-dev/pgx-dev/engines/place"
)

// TestMain makes the test binary serve as pgx-dev itself, in scripts and when pgx-dev
// starts its own program again.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pgx-dev": main})
}

// TestScripts runs the transcripts in testdata/script: one for each command, each with at
// least one mistake. Every script has an empty home, cache and runtime directory of its own.
func TestScripts(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) { // by nohup: what the scripts start would ignore it, too
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		t.Cleanup(func() { signal.Stop(hangup) })
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"code": code},
		Setup: func(env *testscript.Env) error {
			// Sockets need a short path, which the script's own directory is not.
			short, err := os.MkdirTemp("/tmp", "pgxd")
			if err != nil {
				return err
			}
			env.Defer(func() { _ = os.RemoveAll(short) })
			for _, dir := range []string{"home", "cache"} {
				if err := os.Mkdir(filepath.Join(env.WorkDir, dir), 0o700); err != nil {
					return err
				}
			}
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("XDG_RUNTIME_DIR", short)
			env.Setenv("PGX_DEV_TEMP", short)
			env.Setenv("CI", os.Getenv("CI"))
			// Scripts that run PostgreSQL for WebAssembly would each compile it: they set
			// PGX_DEV_EMBED_STORE to this.
			cache, err := place.Cache()
			if err != nil {
				return err
			}
			env.Setenv("WASM_STORE", filepath.Join(cache, "wasm"))
			return nil
		},
	})
}

// code is the script command "code N PROGRAM ARG…": exec, and the program must end with
// exactly that code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program [arg…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
