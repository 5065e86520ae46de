package outside_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines/place"
)

// TestBundle builds a pgx-dev with the packages of the wasm engine in it, and runs it on a
// machine that has nothing: no cache, no npm, no network of its own.
func TestBundle(t *testing.T) {
	cache, err := place.Cache()
	if err != nil {
		t.Fatal(err)
	}
	run(t, ".", need(t, "go"), "run", ".", "runtime", "install", "wasm") // fetches what is not there
	kept, err := filepath.Glob(filepath.Join(cache, "wasm", "*.tgz"))
	if err != nil || len(kept) < 3 {
		t.Fatalf("packages in the cache: %q, %v", kept, err)
	}
	// As "just bundle" puts them into the source, but without touching it.
	src, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for _, tgz := range kept {
		overlay.Replace[filepath.Join(src, "engines", "wasm", "pglite", "bundle", filepath.Base(tgz))] = tgz
	}
	dir := t.TempDir()
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "pgx-dev")
	run(t, ".", "go", "build", "-tags", "bundle", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".")

	alone := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = dir
		cmd.Env = []string{"HOME=" + dir, "PGX_DEV_CACHE=" + filepath.Join(dir, "cache"), "PATH=" + t.TempDir(), "PGX_DEV_TEMP=" + dir}
		out, err := cmd.Output()
		if err != nil {
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				err = fmt.Errorf("%w\n%s", err, exit.Stderr)
			}
			t.Fatalf("%q: %v", args, err)
		}
		return string(out)
	}
	if out := alone("embed", "--dir", "app.db", "--extension", "vector", "--format", "csv", "-c", "CREATE TABLE t AS SELECT '[1,2]'::vector AS v", "-c", "SELECT v FROM t"); !strings.Contains(out, "[1,2]") {
		t.Errorf("embed printed\n%s", out)
	}
	if out := alone("embed", "dump", "--dir", "app.db"); !strings.Contains(out, "COPY public.t") {
		t.Errorf("dump printed\n%s", out)
	}
	if out := alone("-v", "runtime", "ls"); strings.Count(out, "(this program)") != 2 {
		t.Errorf("runtime ls printed\n%s", out)
	}
}
