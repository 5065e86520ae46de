package native

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnpackRefuses(t *testing.T) {
	with := func(extra ...entry) []entry { return append(goodPackage("17.3"), extra...) }
	links := func(json string) []entry {
		p := goodPackage("17.3")
		p[5].text = json
		return p
	}
	tests := []struct {
		name, mention string
		entries       []entry
	}{
		{"parent", "leads out", with(entry{name: "package/native/../../../evil", text: "x"})},
		{"absolute", "leads out", with(entry{name: "/tmp/evil", text: "x"})},
		{"hidden parent", "leads out", with(entry{name: "package/native/lib/../../../../evil", text: "x"})},
		{"backslash", "leads out", with(entry{name: `package\native\evil`, text: "x"})},
		{"symlink in the tar", "neither a file", with(entry{name: "package/native/lib/l", kind: tar.TypeSymlink, link: "/etc/passwd"})},
		{"hard link in the tar", "neither a file", with(entry{name: "package/native/lib/l", kind: tar.TypeLink, link: "/etc/passwd"})},
		{"device", "neither a file", with(entry{name: "package/native/lib/l", kind: tar.TypeChar})},
		{"twice", "exists", with(entry{name: "package/native/bin/postgres", text: "x"})},
		{"file as directory", "", with(entry{name: "package/native/bin/postgres/x", text: "x"})},
		{"link out", "leads out", links(`[{"source":"native/../../etc/passwd","target":"native/lib/l"}]`)},
		{"link from outside", "leads out", links(`[{"source":"native/lib/libx.so.1.2","target":"../l"}]`)},
		{"absolute link", "leads out", links(`[{"source":"/etc/passwd","target":"native/lib/l"}]`)},
		{"link beside native", "leads out", links(`[{"source":"native/lib/libx.so.1.2","target":"scripts/l"}]`)},
		{"link to nothing", "no such file", links(`[{"source":"native/lib/none","target":"native/lib/l"}]`)},
		{"link to itself", "", links(`[{"source":"native/lib/a","target":"native/lib/b"},{"source":"native/lib/b","target":"native/lib/a"}]`)},
		{"bad links", "pg-symlinks.json", links(`{"source":1}`)},
		{"no programs", "no programs", goodPackage("17.3")[:2]},
	}
	e := New(Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "package.tgz")
			pack(t, file, tt.entries)
			if err := e.unpack(t.Context(), file, filepath.Join(dir, "out")); err == nil || !strings.Contains(err.Error(), tt.mention) {
				t.Errorf("error is %v; it should mention %q", err, tt.mention)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) > 2 {
				t.Errorf("outside of the directory: %v (%v)", entries, err)
			}
		})
	}
	for name, content := range map[string][]byte{
		"text": []byte("hello"), "empty": nil, "truncated": packBytes(t, goodPackage("17.3"))[:200],
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "f"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := e.unpack(t.Context(), filepath.Join(dir, "f"), filepath.Join(dir, "out")); err == nil {
			t.Errorf("%s file: no error", name)
		}
	}
}

func FuzzUntar(f *testing.F) {
	f.Add(packBytes(f, goodPackage("17.3")))
	f.Add(packBytes(f, []entry{{name: "package/native/../x", text: "x"}}))
	f.Add(packBytes(f, []entry{{name: "package/native/pg-symlinks.json", text: `[{"source":"..","target":"/"}]`}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = root.Close() }()
		if untar(bytes.NewReader(b), root) == nil {
			_ = makeLinks(root)
		}
	})
}
