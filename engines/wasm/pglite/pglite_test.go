package pglite

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines/place"
)

func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	for name, text := range files {
		if err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(text)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestVerify(t *testing.T) {
	b := []byte("a package")
	sum := sha512.Sum512(b)
	p := Package{Name: "x", Version: "1", Integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
	if err := p.Verify(b); err != nil {
		t.Error(err)
	}
	if err := p.Verify(b[1:]); !errors.Is(err, ErrCorrupt) {
		t.Errorf("other bytes: %v", err)
	}
	p.Integrity = "md5-x"
	if err := p.Verify(b); err == nil {
		t.Error("an unknown kind of hash was taken")
	}
}

// TestUnpackHostile checks that no archive writes outside of its directory.
func TestUnpackHostile(t *testing.T) {
	var script strings.Builder
	for range 120 {
		script.WriteString(`filename:"/pglite/f",start:0,end:4,`)
	}
	for name, tt := range map[string]struct {
		script string
		ext    map[string]string
	}{
		"a path that climbs":    {script.String() + `filename:"/../../../evil",start:0,end:4`, nil},
		"an extension's path":   {script.String(), map[string]string{"../../../evil": "x"}},
		"a place past the end":  {script.String() + `filename:"/pglite/g",start:0,end:400`, nil},
		"a place that is upset": {script.String() + `filename:"/pglite/g",start:4,end:0`, nil},
		"no table of files":     {"nothing", nil},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "a", "b")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			files := map[string]string{"package/dist/pglite.data": "data", "package/dist/pglite.js": tt.script}
			if tt.ext != nil {
				files["package/dist/x.tar.gz"] = string(archive(t, tt.ext))
			}
			err := unpack(archive(t, files), nil, dir)
			if _, serr := os.Stat(filepath.Join(parent, "evil")); serr == nil {
				t.Error("a file outside was written")
			}
			if err == nil {
				t.Error("it was unpacked, without the programs")
			}
		})
	}
	if err := unpack(archive(t, nil)[:20], nil, t.TempDir()); err == nil {
		t.Error("a truncated archive was unpacked")
	}
}

// TestSource goes through the places where a package can be.
func TestSource(t *testing.T) {
	ctx := t.Context()
	cache, err := place.Cache()
	if err != nil {
		t.Fatal(err)
	}
	// The real package, as the cache or npm has it.
	kept := Source{Dir: filepath.Join(cache, "wasm")}
	if _, err := kept.Open(ctx); err != nil {
		t.Fatal(err)
	}
	good, _, err := kept.tarball(ctx, Main())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "local.tgz")
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, "store")
	var steps []string
	src := Source{Dir: store, Tarballs: []string{file}, Offline: true, Progress: func(s string) { steps = append(steps, s) }}
	// What an interrupted unpacking left is in nobody's way.
	if err := os.MkdirAll(filepath.Join(store, ".unpack-1", "root"), 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := src.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if files.Origin != file || len(steps) == 0 {
		t.Errorf("origin %q, steps %q", files.Origin, steps)
	}
	if left, _ := filepath.Glob(filepath.Join(store, ".unpack-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	names, err := files.Extensions()
	if err != nil || len(names) < 30 {
		t.Errorf("%d extensions, %v", len(names), err)
	}
	if lib, err := files.Library("hstore"); err != nil || filepath.Base(lib) != "hstore.so" {
		t.Errorf("hstore's library: %q, %v", lib, err)
	}
	if _, err := files.Library("no_such"); !errors.Is(err, ErrNoExtension) {
		t.Errorf("an unknown extension: %v", err)
	}
	// Unpacked once, the tarball is not needed any more.
	if again, err := (Source{Dir: store, Offline: true}).Open(ctx); err != nil || again.Dir != files.Dir {
		t.Errorf("the second time: %v, %v", again, err)
	}
	// A corrupt file is an error, and leaves nothing.
	bad := filepath.Join(dir, "bad.tgz")
	if err := os.WriteFile(bad, good[:len(good)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other")
	if _, err := (Source{Dir: other, Tarballs: []string{bad}, Offline: true}).Open(ctx); !errors.Is(err, ErrCorrupt) {
		t.Errorf("half a tarball: %v", err)
	}
	if entries, err := os.ReadDir(other); err != nil || len(entries) != 1 { // the lock
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if _, err := (Source{Dir: other, Offline: true}).Open(ctx); !errors.Is(err, ErrNotFetched) {
		t.Errorf("offline: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := (Source{Dir: other}).Open(context.Background()); !errors.Is(err, ErrNotFetched) || !strings.Contains(err.Error(), "no npm on PATH") {
		t.Errorf("without npm: %v", err)
	}
}

// TestPgDump goes through the places where pg_dump can be.
func TestPgDump(t *testing.T) {
	cache, err := place.Cache()
	if err != nil {
		t.Fatal(err)
	}
	kept := Source{Dir: filepath.Join(cache, "wasm")}
	good, _, err := kept.tarball(t.Context(), Tools())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "tools.tgz")
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, "store")
	program, origin, err := Source{Dir: store, Tarballs: []string{file}, Offline: true}.PgDump(t.Context())
	if err != nil || origin != file {
		t.Fatalf("from a file: %s, %v", origin, err)
	}
	if fi, err := os.Stat(program); err != nil || fi.Mode().Perm() != 0o500 {
		t.Errorf("the program: %v, %v", fi, err)
	}
	if again, _, err := (Source{Dir: store, Offline: true}).PgDump(t.Context()); err != nil || again != program {
		t.Errorf("the second time: %s, %v", again, err)
	}
	if err := os.WriteFile(file, good[:len(good)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other")
	if _, _, err := (Source{Dir: other, Tarballs: []string{file}, Offline: true}).PgDump(t.Context()); !errors.Is(err, ErrNotFetched) {
		t.Errorf("half a tarball: %v", err)
	}
	if entries, err := os.ReadDir(other); err != nil || len(entries) != 1 { // the lock
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for name, b := range map[string][]byte{"nothing": archive(t, nil), "others": archive(t, map[string]string{"package/dist/evil.wasm": "x"}), "half": good[:1000]} {
		if err := unpackTools(b, t.TempDir()); err == nil {
			t.Errorf("%s in it: it was unpacked", name)
		}
	}
}
