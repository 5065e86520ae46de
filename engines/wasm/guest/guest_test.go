package guest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
	"github.com/pgx-dev/pgx-dev/engines/wasm/pglite"
)

func TestBoot(t *testing.T) {
	ctx := t.Context()
	cache, err := place.Cache()
	if err != nil {
		t.Fatal(err)
	}
	files, err := pglite.Source{Dir: filepath.Join(cache, "wasm")}.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t0 := time.Now()
	rt, err := guest.Load(ctx, files.Dir, filepath.Join(cache, "wasm", "compiled"))
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	fmt.Println("load", time.Since(t0))
	tmp := t.TempDir()
	for _, d := range []string{"data", "scratch/tmp"} {
		os.MkdirAll(filepath.Join(tmp, d), 0o700)
	}
	mounts := func() *guestfs.FS {
		data, err := guestfs.OpenDir(filepath.Join(tmp, "data"), false)
		if err != nil {
			t.Fatal(err)
		}
		scratch, err := guestfs.OpenDir(filepath.Join(tmp, "scratch"), false)
		if err != nil {
			t.Fatal(err)
		}
		fs, err := rt.Mounts(data, scratch)
		if err != nil {
			t.Fatal(err)
		}
		return fs
	}
	t0 = time.Now()
	if err := rt.Initdb(ctx, mounts(), "postgres"); err != nil {
		t.Fatal(err)
	}
	fmt.Println("initdb", time.Since(t0))
	t0 = time.Now()
	in, err := rt.Boot(ctx, mounts(), guest.Options{User: "postgres", Database: "postgres", Params: []string{"shared_buffers=8MB"}, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("boot", time.Since(t0))
	fmt.Printf("%+v\n", *in.Symbols())
	if err := in.Shutdown(); err != nil {
		t.Fatal(err)
	}
	in.Close()
}
