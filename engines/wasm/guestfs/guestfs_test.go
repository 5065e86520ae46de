package guestfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

func dir(t *testing.T, path string, readOnly bool) *guestfs.Dir {
	t.Helper()
	d, err := guestfs.OpenDir(path, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func write(t *testing.T, f *guestfs.FS, name, text string) {
	t.Helper()
	file, err := f.Open(name, guestfs.OWronly|guestfs.OCreate|guestfs.OTrunc, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(f *guestfs.FS, name string) (string, error) {
	file, err := f.Open(name, 0, 0)
	if err != nil {
		return "", err
	}
	st, err := file.Stat()
	if err != nil {
		return "", err
	}
	b := make([]byte, st.Size)
	n, err := file.ReadAt(b, 0)
	return string(b[:n]), errors.Join(err, file.Close())
}

func names(t *testing.T, f *guestfs.FS, name string) []string {
	t.Helper()
	entries, err := f.ReadDir(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	slices.Sort(out)
	return out
}

// TestLinks follows links in the guest's name space and out of no mount.
func TestLinks(t *testing.T) {
	host := t.TempDir()
	for _, d := range []string{"a/sub", "b"} {
		if err := os.MkdirAll(filepath.Join(host, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"outside": "secret", "a/in": "in a", "b/in": "in b"} {
		if err := os.WriteFile(filepath.Join(host, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"a/rel": "in", "a/up": "../outside", "a/other": "/b/in", "a/abs": filepath.Join(host, "outside"),
		"a/dir": "/b", "a/loop": "/a/loop", "a/sub/back": "../rel",
	} {
		if err := os.Symlink(target, filepath.Join(host, name)); err != nil {
			t.Fatal(err)
		}
	}
	f := guestfs.New()
	defer f.Close()
	f.Mount("/a", dir(t, filepath.Join(host, "a"), false))
	f.Mount("/b", dir(t, filepath.Join(host, "b"), true))
	for name, want := range map[string]string{"/a/in": "in a", "/a/rel": "in a", "/a/other": "in b", "/a/dir/in": "in b", "/a/sub/back": "in a", "/a/sub/../in": "in a", "//a/./in": "in a"} {
		if got, err := read(f, name); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"/a/up", "/a/abs", "/a/../outside", "/outside", "/a/loop", "/"} {
		if got, err := read(f, name); err == nil {
			t.Errorf("%s could be read: %q", name, got)
		}
	}
	if _, err := f.Open("/b/new", guestfs.OWronly|guestfs.OCreate, 0o600); !errors.Is(err, syscall.EROFS) {
		t.Errorf("writing to a read-only mount: %v", err)
	}
	if err := f.Rename("/a/in", "/b/in2"); !errors.Is(err, syscall.EXDEV) {
		t.Errorf("renaming across mounts: %v", err)
	}
	if target, err := f.Readlink("/a/other"); err != nil || target != "/b/in" {
		t.Errorf("readlink: %q, %v", target, err)
	}
	if st, err := f.Lstat("/a/other"); err != nil || st.Mode&fs.ModeSymlink == 0 {
		t.Errorf("lstat: %v, %v", st.Mode, err)
	}
}

func overlay(t *testing.T) (f *guestfs.FS, lower string) {
	t.Helper()
	lower = t.TempDir()
	for _, d := range []string{"base", "empty"} {
		if err := os.Mkdir(filepath.Join(lower, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, size := range map[string]int{"one": 3, "base/big": 5*8192 + 100, "base/two": 10} {
		if err := os.WriteFile(filepath.Join(lower, name), bytes.Repeat([]byte{'l'}, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f = guestfs.New()
	f.Mount("/", guestfs.NewOverlay(dir(t, lower, true), t.TempDir()))
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, lower
}

// TestOverlay changes everything through an overlay and nothing below it.
func TestOverlay(t *testing.T) {
	f, lower := overlay(t)
	before := tree(t, lower)

	if got, err := read(f, "/one"); err != nil || got != "lll" {
		t.Fatalf("%q, %v", got, err)
	}
	// Somebody who reads sees what another descriptor writes later.
	reader, err := f.Open("/base/big", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	writer, err := f.Open("/base/big", guestfs.ORdwr, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.WriteAt([]byte("X"), 8192+5); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 7)
	if n, err := reader.ReadAt(b, 8192+2); err != nil || string(b[:n]) != "lllXlll" {
		t.Errorf("%q, %v", b, err)
	}
	if err := errors.Join(reader.Close(), writer.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := read(f, "/base/big"); err != nil || len(got) != 5*8192+100 || got[8192+5] != 'X' || got[0] != 'l' || got[5*8192+99] != 'l' {
		t.Errorf("%d bytes, %v", len(got), err)
	}

	steps := []struct {
		what string
		err  error
		want error
	}{
		{"remove a lower file", f.Remove("/one", false), nil},
		{"remove it again", f.Remove("/one", false), syscall.ENOENT},
		{"remove a directory that is not empty", f.Remove("/base", true), syscall.ENOTEMPTY},
		{"remove a directory as a file", f.Remove("/base", false), syscall.EISDIR},
		{"remove an empty lower directory", f.Remove("/empty", true), nil},
		{"make it again", f.Mkdir("/empty", 0o700), nil},
		{"make what is there", f.Mkdir("/base", 0o700), syscall.EEXIST},
		{"make below nothing", f.Mkdir("/no/such", 0o700), syscall.ENOENT},
		{"rename a lower file", f.Rename("/base/two", "/base/three"), nil},
		{"rename what has gone", f.Rename("/base/two", "/x"), syscall.ENOENT},
		{"rename a lower directory", f.Rename("/base", "/moved"), syscall.EXDEV},
		{"link", f.Link("/base/three", "/hard"), nil},
		{"symlink", f.Symlink("/base/three", "/soft"), nil},
		{"chmod", f.Chmod("/base/three", 0o400), nil},
	}
	for _, s := range steps {
		if !errors.Is(s.err, s.want) {
			t.Errorf("%s: %v, want %v", s.what, s.err, s.want)
		}
	}
	write(t, f, "/one", "new")
	write(t, f, "/empty/x", "made")
	if err := f.Rename("/empty/x", "/empty/y"); err != nil {
		t.Error(err)
	}
	if err := f.Rename("/empty", "/full"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"/one": "new", "/base/three": "llllllllll", "/hard": "llllllllll", "/soft": "llllllllll", "/full/y": "made"} {
		if got, err := read(f, name); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	if got := fmt.Sprint(names(t, f, "/"), names(t, f, "/base")); got != "[base full hard one soft] [big three]" {
		t.Errorf("names: %s", got)
	}
	if _, err := f.Open("/one", guestfs.OCreate|guestfs.OExcl|guestfs.ORdwr, 0o600); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("O_EXCL: %v", err)
	}
	if _, err := f.Open("/one", guestfs.ODirectory, 0); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("O_DIRECTORY: %v", err)
	}
	if after := tree(t, lower); after != before {
		t.Errorf("the lower tree was changed:\n%s\nbefore:\n%s", after, before)
	}
}

func tree(t *testing.T, dir string) string {
	t.Helper()
	var out string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		out += p
		if d.Type().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			out += " " + string(b)
		}
		out += "\n"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestOverlayLikeAFile compares random writes, reads and truncations with a plain slice.
func TestOverlayLikeAFile(t *testing.T) {
	f, lower := overlay(t)
	want, err := os.ReadFile(filepath.Join(lower, "base/big"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := f.Open("/base/big", guestfs.ORdwr, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		off, n := rnd.IntN(60000), 1+rnd.IntN(20000)
		if rnd.IntN(3) == 0 {
			off, n = off&^8191, 8192
		}
		switch rnd.IntN(5) {
		case 0:
			size := rnd.IntN(80000)
			if err := file.Truncate(int64(size)); err != nil {
				t.Fatal(err)
			}
			if size < len(want) {
				want = want[:size]
			} else {
				want = append(want, make([]byte, size-len(want))...)
			}
		case 1, 2:
			b := bytes.Repeat([]byte{byte(i)}, n)
			if _, err := file.WriteAt(b, int64(off)); err != nil {
				t.Fatal(err)
			}
			if off+n > len(want) {
				want = append(want, make([]byte, off+n-len(want))...)
			}
			copy(want[off:], b)
		default:
			b := make([]byte, n)
			got, err := file.ReadAt(b, int64(off))
			if err != nil {
				t.Fatal(err)
			}
			expect := want[min(off, len(want)):min(off+n, len(want))]
			if !bytes.Equal(b[:got], expect) {
				t.Fatalf("step %d: %d bytes at %d differ", i, n, off)
			}
		}
		st, err := file.Stat()
		if err != nil || st.Size != int64(len(want)) {
			t.Fatalf("step %d: size %d, %v; want %d", i, st.Size, err, len(want))
		}
	}
}
