package backup

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/wire/replication"
)

func TestCopy(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *native.Engine) {
		dir := filepath.Join(t.TempDir(), "main")
		srv := start(t, e, engines.Spec{Dir: dir})
		exec(t, srv, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i")
		stop(t, srv)
		for name, sync := range map[string]bool{"synced": true, "not": false} {
			dst := filepath.Join(t.TempDir(), name)
			if err := Copy(t.Context(), dir, dst, sync); err != nil {
				t.Fatal(err)
			}
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(dst), ".tmp.*")); err != nil || len(left) > 0 {
				t.Errorf("left %q, %v", left, err)
			}
			clone := start(t, e, engines.Spec{Dir: dst, MustExist: true})
			if got := exec(t, clone, "SELECT count(*) FROM t"); got != "1000" {
				t.Errorf("%s rows", got)
			}
			stop(t, clone)
		}
	})
}

// TestCopyNoRoom copies a directory with a file of more bytes than any disk has, which is
// found out before anything is copied.
func TestCopyNoRoom(t *testing.T) {
	src := filepath.Join(t.TempDir(), "src")
	if err := os.MkdirAll(filepath.Join(src, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(src, "pg_wal")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(src, "base", "1"), filepath.Join(elsewhere, "2")} {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		const size = 8 << 40 // holes only
		if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := sizeOf(src); err != nil || got != 16<<40 {
		t.Errorf("size %d, %v", got, err)
	}
	dst := filepath.Join(t.TempDir(), "dst")
	if err := Copy(t.Context(), src, dst, true); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(dst); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is there: %v", err)
	}
	sink := roomySink{&replication.DirSink{Dir: dst}}
	if err := sink.Begin([]replication.Tablespace{{Size: 16 << 40}}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if err := checkRoom(filepath.Join(t.TempDir(), "not", "yet"), math.MaxInt64); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}

func TestSyncTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syncTree(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if err := syncTree(t.Context(), filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}
