package wholefile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines/wholefile"
)

// TestWhole has readers beside writers, who see whole files only.
func TestWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "note.json")
	values := []string{strings.Repeat("a", 100_000), "b"}
	if err := wholefile.WriteJSON(path, values[0]); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 50 {
				if err := wholefile.WriteJSON(path, values[(i+n)%2]); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				var got string
				if err := wholefile.ReadJSON(path, &got); err != nil || got != values[0] && got != values[1] {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	if err := wholefile.WriteJSON(filepath.Join(dir, "none", "x"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "d", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := wholefile.WriteJSON(filepath.Join(dir, "d"), 1); err == nil {
		t.Error("a directory was replaced")
	}
	if err := wholefile.WriteJSON(filepath.Join(dir, "x"), make(chan int)); err == nil {
		t.Error("a channel became JSON")
	}
	var v int
	if err := wholefile.ReadJSON(filepath.Join(dir, "x"), &v); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := wholefile.ReadJSON(filepath.Join(dir, "bad"), &v); err == nil || !strings.Contains(err.Error(), "bad") {
		t.Errorf("half a file: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
