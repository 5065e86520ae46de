package outside_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestLeaseGoSuite runs a Go module of eight packages, each with one lease.
func TestLeaseGoSuite(t *testing.T) {
	files := map[string]string{"go.mod": "module suite\n\ngo 1.24\n"}
	for i := range 8 {
		files[fmt.Sprintf("p%d/p_test.go", i)] = fmt.Sprintf(`package p%d

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
)

func Test(t *testing.T) {
	for range 5 {
		if out, err := exec.Command(os.Getenv("CHECK"), strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
			t.Fatalf("%%v: %%s", err, out)
		}
	}
}
`, i)
	}
	s := newSuite(t, files)
	if out, err := s.run("go", "test", "-p", "8", "-count=1", "-exec", "pgx-dev lease exec --", "./..."); err != nil {
		t.Errorf("go test: %v\n%s", err, out)
	}
	s.runKilling(4, "go", "test", "-p", "8", "-count=2", "-exec", "pgx-dev lease exec --", "./...")
	s.finish(40)
}

// works skips the test, except under CI, where a program that it needs does not run: be it
// not installed or, as rustup's proxies without a toolchain, there in name only.
func works(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
		t.Skipf("%s does not run here: %v\n%s", program, err, out)
	}
}

// cached makes a directory of tools once for all runs of the tests.
func cached(t *testing.T, name string, argv ...[]string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "pgx-dev-test", name)
	complete := filepath.Join(dir, ".complete")
	if _, err := os.Stat(complete); err == nil {
		return dir
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range argv {
		fetched(t, dir, args[0], args[1:]...)
	}
	if err := os.WriteFile(complete, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLeasePytest runs pytest-xdist with eight workers, by the recipe of the help topic.
func TestLeasePytest(t *testing.T) {
	works(t, "python3", "-m", "venv", "--help")
	venv := cached(t, "pytest-xdist",
		[]string{"python3", "-m", "venv", "."}, []string{"bin/pip", "install", "-q", "pytest", "pytest-xdist"})
	s := newSuite(t, map[string]string{
		"conftest.py": recipe(t, "Python", 0),
		"test_it.py": `import os, subprocess, pytest

@pytest.mark.parametrize("n", range(48))
def test(n):
    subprocess.run([os.environ["CHECK"], str(os.getpid())], check=True)
`,
	})
	// The process that starts the workers takes a lease as well.
	if out, err := s.run(filepath.Join(venv, "bin/pytest"), "-q", "-n", "8", "-p", "no:cacheprovider"); err != nil {
		t.Errorf("pytest: %v\n%s", err, out)
	}
	s.runKilling(4, filepath.Join(venv, "bin/pytest"), "-q", "-n", "8", "-p", "no:cacheprovider")
	s.finish(48)
}

// jsTests are test files of vitest or jest with three tests each.
func jsTests(files map[string]string, n int, name, imports string) map[string]string {
	for i := range n {
		files[fmt.Sprintf(name, i)] = imports + `
for (let n = 0; n < 3; n++) test("own " + n, () => { execFileSync(process.env.CHECK, [String(process.pid)]); });
`
	}
	return files
}

// TestLeaseVitest runs vitest with eight workers, by the recipe of the help topic: with a
// process for each, some of which are killed, and with threads of one.
func TestLeaseVitest(t *testing.T) {
	node := cached(t, "vitest-4", []string{"npm", "init", "-y"}, []string{"npm", "install", "--no-audit", "--no-fund", "vitest@4.1.12"})
	s := newSuite(t, jsTests(map[string]string{
		"lease.mjs": recipe(t, "Node", 0),
		"vitest.config.mjs": `export default { test: { setupFiles: ["./lease.mjs"], pool: "forks", maxWorkers: 8, minWorkers: 8, testTimeout: 30000 } };
`,
	}, 16, "t%d.test.mjs", `import { execFileSync } from "node:child_process"; import { test } from "vitest";`))
	if err := os.Symlink(filepath.Join(node, "node_modules"), filepath.Join(s.dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	vitest := filepath.Join(s.dir, "node_modules/.bin/vitest")
	if out, err := s.run(vitest, "run"); err != nil {
		t.Errorf("vitest: %v\n%s", err, out)
	}
	if out, err := s.run(vitest, "run", "--pool=threads"); err != nil {
		t.Errorf("vitest with threads: %v\n%s", err, out)
	}
	s.runKilling(4, vitest, "run")
	s.finish(96)
}

// TestLeaseJest runs jest with eight workers, by the recipe of the help topic.
func TestLeaseJest(t *testing.T) {
	node := cached(t, "jest", []string{"npm", "init", "-y"}, []string{"npm", "install", "--no-audit", "--no-fund", "jest@30"})
	s := newSuite(t, jsTests(map[string]string{
		"lease-environment.cjs": recipe(t, "Node", 1),
		"package.json":          `{"jest": {"testEnvironment": "./lease-environment.cjs", "haste": {"enableSymlinks": false}}}`,
	}, 10, "t%d.test.js", `const { execFileSync } = require("node:child_process");`))
	if err := os.Symlink(filepath.Join(node, "node_modules"), filepath.Join(s.dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	jest := []string{filepath.Join(s.dir, "node_modules/.bin/jest"), "--maxWorkers=8", "--testTimeout=30000", "--no-cache"}
	if out, err := s.run(jest...); err != nil {
		t.Errorf("jest: %v\n%s", err, out)
	}
	s.runKilling(3, jest...)
	s.finish(30)
}

// TestLeaseCargo runs cargo's tests by the runner of the help topic, and then as nextest
// does with the same setting, which is to list each binary's tests and to run each test in
// a process of its own, all by the runner. (Nextest itself takes too long to be built here;
// its release 0.9.151 was run by hand, with a test that fails and one that it ends.)
func TestLeaseCargo(t *testing.T) {
	works(t, "cargo", "--version")
	const test = `#[test]
fn NAME() {
    let id = std::process::id().to_string();
    assert!(std::process::Command::new(std::env::var("CHECK").unwrap()).arg(id).status().unwrap().success());
}
`
	one, two := strings.Replace(test, "NAME", "one", 1), strings.Replace(test, "NAME", "two", 1)
	s := newSuite(t, map[string]string{
		"Cargo.toml":         "[package]\nname = \"suite\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
		"src/lib.rs":         "",
		".cargo/config.toml": recipe(t, "Rust", 0),
		"tests/a.rs":         one + two, "tests/b.rs": one + two,
	})
	if out, err := s.run("cargo", "test", "--offline", "--", "--test-threads=1"); err != nil {
		t.Fatalf("cargo test: %v\n%s", err, out)
	}
	out, err := s.run("cargo", "test", "--offline", "--no-run", "--message-format=json")
	if err != nil {
		t.Fatalf("cargo test --no-run: %v\n%s", err, out)
	}
	ran := 0
	for line := range strings.Lines(out) {
		var m struct {
			Executable string
			Target     struct{ Kind []string }
		}
		if json.Unmarshal([]byte(line), &m) != nil || m.Executable == "" || !slices.Contains(m.Target.Kind, "test") {
			continue
		}
		runner := []string{"pgx-dev", "lease", "exec", "--", m.Executable}
		list, err := s.run(append(runner, "--list", "--format", "terse")...)
		if err != nil || list != "one: test\ntwo: test\n" {
			t.Fatalf("list %s: %v\n%s", m.Executable, err, list)
		}
		var wg sync.WaitGroup
		for name := range strings.Lines(list) {
			ran++
			name, _, _ = strings.Cut(name, ":")
			wg.Go(func() {
				if out, err := s.run(append(slices.Clone(runner), "--exact", name, "--nocapture")...); err != nil {
					t.Errorf("%s: %v\n%s", name, err, out)
				}
			})
		}
		wg.Wait()
	}
	if ran != 4 {
		t.Errorf("%d tests were run in processes of their own, want 4", ran)
	}
	s.finish(8)
}

// TestLeaseRust compiles and runs the recipe of the help topic.
func TestLeaseRust(t *testing.T) {
	works(t, "rustc", "--version")
	s := newSuite(t, map[string]string{"it.rs": recipe(t, "Rust", 1) + `
fn main() {
    let (_stream, url) = lease();
    let name = url.split('/').nth(3).unwrap().split('?').next().unwrap().to_string();
    let status = std::process::Command::new(std::env::var("CHECK").unwrap())
        .arg(std::process::id().to_string()).arg(&url).env("PGDATABASE", &name).status().unwrap();
    println!("{name}");
    assert!(status.success());
}
`})
	if out, err := s.run("rustc", "--edition", "2021", "-o", "it", "it.rs"); err != nil {
		t.Fatalf("rustc: %v\n%s", err, out)
	}
	out, err := s.run("./it")
	if err != nil || !strings.HasPrefix(out, "lease_default_lx") {
		t.Errorf("the program: %v\n%s", err, out)
	}
	s.finish(1)
}
