package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadme holds README's help block equal to what "pgx-dev -h" prints.
// UPDATE_README=1 rewrites it.
func TestReadme(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "pgx-dev", "-h")
	cmd.Env = append(os.Environ(), "PATH="+pathOf(t, "pgx-dev"), "COLUMNS=80") // without plugins
	help, err := cmd.Output()
	if err != nil {
		t.Fatalf("pgx-dev -h: %v", err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	const opening, closing = "```text\nUsage: ", "```\n"
	before, rest, ok := strings.Cut(string(readme), opening)
	if !ok {
		t.Fatalf("README has no block that begins with %q", opening)
	}
	block, after, ok := strings.Cut(rest, closing)
	if !ok {
		t.Fatal("README's help block has no end")
	}
	want := strings.TrimPrefix(string(help), "Usage: ")
	if os.Getenv("UPDATE_README") != "" {
		if err := os.WriteFile("README.md", []byte(before+opening+want+closing+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(block, want); diff != "" {
		t.Errorf("README's help block is out of date; UPDATE_README=1 go test -run TestReadme . rewrites it\n%s", diff)
	}
	for line := range bytes.Lines(help) {
		if n := len(bytes.TrimRight(line, "\n")); n > 80 {
			t.Errorf("a line of the help has %d columns: %s", n, line)
		}
	}
}

// pathOf returns the directory of a program on PATH.
func pathOf(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(path, "/"+program)
}
