package npm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackAgain has a registry refuse: for a moment, for good, and because there is no such
// package.
func TestPackAgain(t *testing.T) {
	for _, tt := range []struct {
		name, npm string
		runs      int
		err       string
	}{
		{"for a moment", `test "$(cat runs)" = xx || { echo "npm error code E403" >&2; exit 1; }; echo it > "$4/a-1.tgz"`, 2, ""},
		{"for good", `printf 'npm error code E503\nnpm error 503 Service Unavailable\n' >&2; exit 1`, 3, "503 Service Unavailable"},
		{"no such version", `printf 'npm error code ETARGET\nnpm error no E403 here\n' >&2; exit 1`, 1, "ETARGET"},
		{"an older npm", `test "$(cat runs)" = xx || { echo "npm ERR! code EINTEGRITY" >&2; exit 1; }; echo it > "$4/a-1.tgz"`, 2, ""},
		{"no file", `true`, 1, "wrote 0 files"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, tmp := t.TempDir(), t.TempDir()
			script := "#!/bin/sh\ncd " + dir + "\nprintf x >> runs\n" + tt.npm + "\n"
			if err := os.WriteFile(filepath.Join(dir, "npm"), []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			file, err := Pack(t.Context(), "a@1", tmp)
			switch {
			case tt.err == "" && (err != nil || filepath.Base(file) != "a-1.tgz"):
				t.Errorf("%q, %v", file, err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("%v, want %q", err, tt.err)
			}
			if runs, _ := os.ReadFile(filepath.Join(dir, "runs")); len(runs) != tt.runs {
				t.Errorf("npm was run %d times, want %d", len(runs), tt.runs)
			}
		})
	}
}
