package outside_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pgx-dev/pgx-dev/commands"
)

// TestMain makes the test binary serve as pgx-dev itself, which is on the tests' PATH.
func TestMain(m *testing.M) {
	testscript.Main(rooted{m}, map[string]func(){"pgx-dev": func() {
		os.Exit(commands.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
	}})
}

// rooted runs the tests in the directory of the module.
type rooted struct{ *testing.M }

func (r rooted) Run() int {
	if err := os.Chdir("../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return r.M.Run()
}

// need returns the path of a program that a test cannot do without. Under CI nothing is
// skipped.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed, and under CI nothing is skipped", program)
	}
	t.Skipf("%s is not installed", program)
	return ""
}
