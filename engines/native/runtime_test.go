package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
)

// fakeBindir makes a directory with an initdb and a postgres that says it is of a version,
// and counts how often it was asked in the file "asked".
func fakeBindir(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho x >> '%s'\necho 'postgres (PostgreSQL) %s'\n", filepath.Join(dir, "asked"), version)
	for name, text := range map[string]string{"postgres": script, "initdb": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fakeMachine returns an engine that sees only directories made here: by place, the
// versions there.
func fakeMachine(t *testing.T, cfg Config, places map[Origin][]string) (*Engine, string) {
	t.Helper()
	root := t.TempDir()
	t.Setenv("PGX_DEV_CACHE", filepath.Join(root, "cache"))
	dir := func(o Origin, version string) string { return filepath.Join(root, string(o), version, "bin") }
	for o, versions := range places {
		for _, v := range versions {
			if o == OriginStore {
				fakeBindir(t, filepath.Join(root, "cache", "runtimes", v, "bin"), v)
			} else {
				fakeBindir(t, dir(o, v), v)
			}
		}
	}
	path := []string{"/usr/bin", "/bin"} // for sh and echo
	for _, v := range places[OriginPath] {
		path = append(path, dir(OriginPath, v))
	}
	t.Setenv("PATH", strings.Join(path, ":"))
	if places[OriginConfig] != nil {
		cfg.Bindirs = append(cfg.Bindirs, filepath.Join(root, "config", "*", "bin"))
	}
	e := New(cfg)
	e.system = []string{filepath.Join(root, "system", "*", "bin")}
	return e, root
}

func TestSelect(t *testing.T) {
	places := map[Origin][]string{
		OriginPath:   {"14.2", "13.9"},
		OriginSystem: {"15.4", "15.12", "16beta1", "9.6.24"},
		OriginStore:  {"17.10", "16.14"},
	}
	withConfig := map[Origin][]string{OriginConfig: {"12.1"}, OriginPath: {"14.2"}, OriginSystem: {"15.4"}}
	tests := []struct {
		name, constraint string
		cfg              Config
		places           map[Origin][]string
		want             string
		origin           Origin
	}{
		{"PATH beats newer ones", "", Config{}, places, "14.2", OriginPath},
		{"an older major", "13", Config{}, places, "13.9", OriginPath},
		{"newest of the first place", "15", Config{}, places, "15.12", OriginSystem},
		{"exact", "15.4", Config{}, places, "15.4", OriginSystem},
		{"a prerelease of an earlier place", "16", Config{}, places, "16beta1", OriginSystem},
		{"old numbering", "9.6", Config{}, places, "9.6.24", OriginSystem},
		{"store last", "17", Config{}, places, "17.10", OriginStore},
		{"default", "", Config{Default: "16.14"}, places, "16.14", OriginStore},
		{"config first", "", Config{}, withConfig, "12.1", OriginConfig},
		{"config has no match", "15", Config{}, withConfig, "15.4", OriginSystem},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, _ := fakeMachine(t, tt.cfg, tt.places)
			rt, err := e.Select(t.Context(), tt.constraint)
			if err != nil {
				t.Fatal(err)
			}
			if rt.Version.String() != tt.want || rt.Origin != tt.origin {
				t.Errorf("got %s from %s in %s", rt.Version, rt.Origin, rt.Bindir)
			}
		})
	}
}

func TestSelectGlob(t *testing.T) {
	e, root := fakeMachine(t, Config{}, map[Origin][]string{OriginSystem: {"15.4", "16.1"}, OriginPath: {"14.2"}})
	elsewhere := fakeBindir(t, filepath.Join(root, "else where", "bin"), "11.3")
	for glob, want := range map[string]string{
		filepath.Join(root, "system", "*", "bin"):           "16.1",
		filepath.Join(root, "system", "{15.4,14.2}", "bin"): "15.4",
		elsewhere:                              "11.3",
		elsewhere + "/":                        "11.3",
		filepath.Join(root, "**", "14.2", "*"): "14.2",
		filepath.Join(filepath.Dir(root), "*", "else*", "b?n"): "11.3",
	} {
		rt, err := e.Select(t.Context(), glob)
		if err != nil || rt.Version.String() != want {
			t.Errorf("%s: got %s, %v", glob, rt.Version, err)
		}
	}
}

func TestNoRuntime(t *testing.T) {
	e, root := fakeMachine(t, Config{}, map[Origin][]string{OriginSystem: {"15.4"}})
	for _, constraint := range []string{"16", "15.3", filepath.Join(root, "nothing", "bin"), "8"} {
		_, err := e.Select(t.Context(), constraint)
		if !errors.Is(err, engines.ErrNoRuntime) {
			t.Errorf("%s: error is %v", constraint, err)
			continue
		}
		mention := []string{constraint, "15.4 in " + root, "PATH", "usual system directories", "store"}
		if !strings.Contains(constraint, "/") {
			mention = append(mention, "bindirs", "package")
		}
		for _, text := range mention {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: the error does not mention %q: %v", constraint, text, err)
			}
		}
	}
	_, err := e.Select(t.Context(), "16")
	if len(e.Pins()) > 0 && !strings.Contains(err.Error(), "pgx-dev runtime install 16`") {
		t.Errorf("the error does not offer to install: %v", err)
	}
	if _, err := e.Select(t.Context(), "sixteen"); err == nil || errors.Is(err, engines.ErrNoRuntime) {
		t.Errorf("bad constraint: %v", err)
	}
	srv, err := e.Start(t.Context(), engines.Spec{Dir: filepath.Join(root, "data"), Version: "16"})
	if err == nil {
		mustStop(t, srv)
	}
	if !errors.Is(err, engines.ErrNoRuntime) {
		t.Errorf("start: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, ".data.pgx-dev")); err == nil {
		t.Error("a start without runtime left its control directory")
	}
}

func TestRuntimes(t *testing.T) {
	e, root := fakeMachine(t, Config{}, map[Origin][]string{
		OriginPath: {"14.2"}, OriginSystem: {"15.4", "9.6.3"}, OriginStore: {"17.10"},
	})
	// A program that does not run, one that is no PostgreSQL, and one known already.
	broken := fakeBindir(t, filepath.Join(root, "system", "broken", "bin"), "1")
	if err := os.WriteFile(filepath.Join(broken, "postgres"), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	fakeBindir(t, filepath.Join(root, "system", "other", "bin"), "of sorts")
	if err := os.Symlink(filepath.Join(root, "PATH", "14.2"), filepath.Join(root, "system", "link")); err != nil {
		t.Fatal(err)
	}
	rts, err := e.Runtimes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rt := range rts {
		got = append(got, fmt.Sprintf("%s %s %t", rt.Version, rt.Origin, rt.Default))
	}
	want := []string{"9.6.3 system false", "14.2 PATH true", "15.4 system false", "17.10 store false"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVersionCache(t *testing.T) {
	dir := fakeBindir(t, t.TempDir(), "15.4")
	e := New(Config{Bindirs: []string{dir}})
	ask := func(want string, times int) {
		t.Helper()
		rt, err := e.Select(t.Context(), dir)
		if err != nil || rt.Version.String() != want {
			t.Fatalf("got %s, %v; want %s", rt.Version, err, want)
		}
		b, err := os.ReadFile(filepath.Join(dir, "asked"))
		if err != nil || len(b)/2 != times {
			t.Errorf("asked %d times (%v), want %d", len(b)/2, err, times)
		}
	}
	ask("15.4", 1)
	ask("15.4", 1)
	fakeBindir(t, dir, "15.12") // another size
	ask("15.12", 2)
	ask("15.12", 2)
}

func TestOwnMajor(t *testing.T) {
	rts := runtimes(t)
	if len(rts) < 2 {
		t.Fatalf("need two major versions to test with, have %v", rts)
	}
	low, high := rts[0], rts[len(rts)-1]
	parent := t.TempDir()
	old, young := filepath.Join(parent, "old"), filepath.Join(parent, "new")
	for dir, rt := range map[string]Runtime{old: low, young: high} {
		if err := engineFor(rt).Create(t.Context(), engines.Spec{Dir: dir}); err != nil {
			t.Fatal(err)
		}
	}
	both := New(Config{Bindirs: []string{low.Bindir, high.Bindir}, Default: high.Version.Major()})
	for dir, rt := range map[string]Runtime{old: low, young: high} {
		srv := mustStart(t, both, engines.Spec{Dir: dir})
		if got := srv.Info().VersionNum; got != rt.Version.Num() {
			t.Errorf("%s was made by %s and opened with %d", dir, rt.Version, got)
		}
		mustStop(t, srv)
	}
	refused := func(e *Engine, spec engines.Spec, want error, mention ...string) {
		t.Helper()
		srv, err := e.Start(t.Context(), spec)
		if err == nil {
			mustStop(t, srv)
		}
		if !errors.Is(err, want) {
			t.Errorf("start %+v: error is %v, want %v", spec, err, want)
			return
		}
		for _, text := range mention {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("start %+v: the error does not mention %q: %v", spec, text, err)
			}
		}
	}
	refused(both, engines.Spec{Dir: old, Version: high.Version.Major()}, engines.ErrVersion, low.Version.Major(), "dump")
	refused(both, engines.Spec{Dir: old, Version: high.Bindir}, engines.ErrVersion, low.Version.Major())
	lonely := New(Config{Bindirs: []string{high.Bindir}})
	lonely.system = nil
	t.Setenv("PATH", "/nonexistent")
	t.Setenv("PGX_DEV_CACHE", t.TempDir())
	refused(lonely, engines.Spec{Dir: old}, engines.ErrNoRuntime, low.Version.Major(), "made by")
}
