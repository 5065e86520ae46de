package wasm_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// TestNativeDirectory checks that the directory of a native PostgreSQL of our own major
// version is left alone: one that runs, of which our lock tells nothing, and one at rest.
func TestNativeDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Dir: dir, Version: "18", Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = srv.Close(context.Background())
		}
	}()
	pid := read(t, filepath.Join(dir, "postmaster.pid"))
	control := read(t, filepath.Join(dir, "global", "pg_control"))
	refused := func(want error, text string) {
		t.Helper()
		if _, err := shared.Start(t.Context(), engines.Spec{Dir: dir}); !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %v with %q", err, want, text)
		}
	}
	refused(engines.ErrVersion, "made by a native PostgreSQL")
	// Even were its files ours to read: a copy of our own directory's control file in place.
	aside := place.Control(dir) + ".aside"
	if err := os.Rename(place.Control(dir), aside); err != nil { // as if pgx-dev had not started it
		t.Fatal(err)
	}
	changed := []byte(control)
	changed[248] = 0 // float8ByVal
	if err := os.WriteFile(filepath.Join(dir, "global", "pg_control"), changed, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(engines.ErrLocked, "PostgreSQL runs in")
	if err := os.WriteFile(filepath.Join(dir, "global", "pg_control"), []byte(control), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(place.Control(dir)), os.Rename(aside, place.Control(dir))); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir, "postmaster.pid")); got != pid {
		t.Errorf("postmaster.pid was changed:\n%s", got)
	}
	wantOne(t, connect(t, srv), "1", "select '1'")
	stopped = true
	if err := srv.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	refused(engines.ErrVersion, "made by a native PostgreSQL")
}

// TestStoreLock checks that a store is not removed under those who use it.
func TestStoreLock(t *testing.T) {
	store := t.TempDir()
	cache, err := place.Cache()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(cache, "wasm", "*.tgz"))
	if err != nil || len(kept) == 0 {
		t.Fatal(kept, err)
	}
	e := wasm.New(wasm.Config{Store: store, Packages: kept, Offline: true})
	if _, err := e.Extensions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := wasm.LockStore(store); !errors.Is(err, engines.ErrLocked) {
		t.Errorf("while an engine uses it: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	unlock, err := wasm.LockStore(store)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	late := wasm.New(wasm.Config{Store: store, Offline: true})
	if _, err := late.Extensions(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is being removed: %v", err)
	}
	if err := errors.Join(unlock(), late.Close()); err != nil {
		t.Error(err)
	}
}
