package guest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
	"github.com/pgx-dev/pgx-dev/engines/wasm/pglite"
)

func load(t *testing.T) *guest.Runtime {
	t.Helper()
	cache, err := place.Cache()
	if err != nil {
		t.Fatal(err)
	}
	files, err := pglite.Source{Dir: filepath.Join(cache, "wasm")}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rt, err := guest.Load(t.Context(), files.Dir, filepath.Join(cache, "wasm", "compiled"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	return rt
}

func mounts(t *testing.T, rt *guest.Runtime, tmp string) *guestfs.FS {
	t.Helper()
	var trees []guestfs.Tree
	for _, d := range []string{"data", "scratch"} {
		if err := os.MkdirAll(filepath.Join(tmp, d, "tmp"), 0o700); err != nil {
			t.Fatal(err)
		}
		if d == "data" {
			if err := os.Remove(filepath.Join(tmp, d, "tmp")); err != nil {
				t.Fatal(err)
			}
		}
		tree, err := guestfs.OpenDir(filepath.Join(tmp, d), false)
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, tree)
	}
	f, err := rt.Mounts(trees[0], trees[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// TestLife takes a data directory from initdb through boots, a snapshot and shutdown. It
// is also the check of a new version of the package: every import, export, variable and
// structure that we depend on is used, or looked for by Load.
func TestLife(t *testing.T) {
	rt := load(t)
	f := mounts(t, rt, t.TempDir())
	if err := rt.Initdb(t.Context(), f, "someone"); err != nil {
		t.Fatal(err)
	}
	o := guest.Options{User: "someone", Database: "postgres", Params: []string{"shared_buffers=8MB"}, NoSync: true}
	in, err := rt.Boot(t.Context(), f, o)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := in.Settings()
	if err != nil {
		t.Fatal(err)
	}
	err = in.Protect(func() error {
		if err := settings.Set("work_mem", "1234", guest.SourceSession); err != nil {
			return err
		}
		return settings.Set("random_page_cost", "1.23456789012", guest.SourceSession)
	})
	if err != nil {
		t.Fatal(err)
	}
	changed := map[string]string{}
	for _, s := range settings.Changed() {
		changed[s.Name] = s.Value
	}
	if len(changed) != 2 || changed["work_mem"] != "1234" || changed["random_page_cost"] != "1.23456789012" {
		t.Errorf("changed: %v", changed)
	}
	if err := in.Protect(func() error { return settings.Set("work_mem", "nonsense", guest.SourceSession) }); !errors.Is(err, guest.ErrRaised) {
		t.Errorf("a bad value: %v, want ErrRaised", err)
	}
	if got := settings.Get("work_mem"); got != "1234" {
		t.Errorf("work_mem is %s", got)
	}
	if got := settings.Get("no_such_thing"); got != "" {
		t.Errorf("an unknown parameter is %q", got)
	}
	dir := t.TempDir()
	if err := in.Save(dir); err != nil {
		t.Fatal(err)
	}
	in.Close() // as a crash would: the snapshot and the directory belong together
	img, err := guest.LoadImage(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := rt.Restore(t.Context(), f, img)
	if err != nil {
		t.Fatal(err)
	}
	if settings, err = again.Settings(); err != nil || settings.Get("work_mem") != "1234" {
		t.Errorf("after restore: %v, %v", settings, err)
	}
	if err := again.Shutdown(); err != nil {
		t.Fatal(err)
	}
	again.Close()
	if err := os.Truncate(filepath.Join(dir, "memory.img"), 1000); err != nil {
		t.Fatal(err)
	}
	if err := img.Close(); err != nil {
		t.Error(err)
	}
	if half, err := guest.LoadImage(dir); err == nil {
		t.Error("half a snapshot was taken", half.Close())
	}
	o.Params = []string{"work_mem=plenty"}
	var boot *guest.BootError
	if _, err := rt.Boot(t.Context(), f, o); !errors.As(err, &boot) || boot.Log == "" {
		t.Errorf("a bad parameter: %v, want a BootError with a log", err)
	}
}

// TestCompileCache checks that a large module passes for compiled only where wazero's own
// file of it is.
func TestCompileCache(t *testing.T) {
	rt := load(t)
	libs, err := filepath.Glob(filepath.Join(rt.Root(), "pglite", "lib", "postgresql", "citext.so"))
	if err != nil || len(libs) != 1 {
		t.Fatalf("%v, %v", libs, err)
	}
	if err := rt.Compile(t.Context(), libs[0]); err != nil {
		t.Fatal(err)
	}
	if !load(t).Compiled(libs[0]) {
		t.Error("another runtime with the same cache does not know that it is compiled")
	}
	fresh, err := guest.Load(t.Context(), filepath.Dir(rt.Root()), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if fresh.Compiled(libs[0]) {
		t.Error("it passes for compiled with an empty cache")
	}
}

func TestCancelledInitdb(t *testing.T) {
	rt := load(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	if err := rt.Initdb(ctx, mounts(t, rt, t.TempDir()), "postgres"); !errors.Is(err, reason) {
		t.Errorf("%v, want %v", err, reason)
	}
}
