package commands

import (
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines/native"
)

// TestInstallProgress checks that an installation is one line where stderr is no terminal.
func TestInstallProgress(t *testing.T) {
	var stderr strings.Builder
	env := newEnv(strings.NewReader(""), &strings.Builder{}, &stderr, nil)
	p := &stepper{env: env}
	p.stop() // before anything happened
	for _, phase := range []string{"download", "verify", "unpack"} {
		p.show(native.Progress{Phase: phase, Text: "PostgreSQL 17.10", Bytes: 1, Total: 10})
		p.show(native.Progress{Phase: phase, Text: "PostgreSQL 17.10", Bytes: 10, Total: 10})
	}
	p.stop()
	p.stop()
	if got := stderr.String(); got != "fetch PostgreSQL 17.10 …\n" {
		t.Errorf("stderr: %q", got)
	}
}

// TestRuntimeVersions checks that what is completed can be asked for.
func TestRuntimeVersions(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range runtimeVersions() {
		if _, err := native.ParseConstraint(v); err != nil {
			t.Errorf("%s: %v", v, err)
		}
		if seen[v] {
			t.Errorf("%s is there twice", v)
		}
		seen[v] = true
	}
}
