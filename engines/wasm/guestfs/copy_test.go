package guestfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// show returns everything that a tree shows.
func show(t *testing.T, f *guestfs.FS, dir string) string {
	t.Helper()
	out := ""
	for _, name := range names(t, f, dir) {
		full := dir + "/" + name
		st, err := f.Lstat(full)
		if err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintf("%s %v %d\n", full, st.Mode, st.Size)
		if st.Mode.IsDir() {
			out += show(t, f, full)
		} else if text, err := read(f, full); err == nil {
			out += text + "\n"
		}
	}
	return out
}

func mounted(t *testing.T, tree guestfs.Tree) *guestfs.FS {
	t.Helper()
	f := guestfs.New()
	f.Mount("/", tree)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// change does something random to a tree; what cannot be done is left.
func change(t *testing.T, f *guestfs.FS, rnd *rand.Rand) {
	t.Helper()
	pick := func() string {
		return []string{"/one", "/base/big", "/base/two", "/base/new", "/empty/x", "/hard", "/dir/y"}[rnd.IntN(7)]
	}
	switch rnd.IntN(8) {
	case 0:
		_ = f.Remove(pick(), false)
	case 1:
		_ = f.Rename(pick(), pick())
	case 2:
		_ = f.Link(pick(), pick())
	case 3:
		_ = f.Mkdir("/dir", 0o700)
	case 4:
		_ = f.Chmod(pick(), 0o400)
	default:
		file, err := f.Open(pick(), guestfs.ORdwr|guestfs.OCreate, 0o600)
		if err != nil {
			return
		}
		if rnd.IntN(4) == 0 {
			err = file.Truncate(rnd.Int64N(60000))
		} else {
			_, err = file.WriteAt(bytes.Repeat([]byte{byte('a' + rnd.IntN(26))}, 1+rnd.IntN(20000)), rnd.Int64N(50000))
		}
		if err = errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCopy copies an overlay again and again in the middle of random changes: each copy is
// what the original was then, and neither sees what the other does later; overlays that
// stand on a frozen copy at once see each other's changes neither.
func TestCopy(t *testing.T) {
	_, lower := overlay(t)
	before := tree(t, lower)
	o := guestfs.NewOverlay(dir(t, lower, true), t.TempDir())
	f := mounted(t, o)
	rnd := rand.New(rand.NewPCG(7, 7))
	for round := range 30 {
		for range 20 {
			change(t, f, rnd)
		}
		open, err := f.Open("/base/two", guestfs.ORdwr, 0) // one that is open, changed or not
		c, cerr := o.Copy(t.TempDir())
		if cerr != nil {
			t.Fatal(cerr)
		}
		if err == nil {
			if err := open.Close(); err != nil {
				t.Fatal(err)
			}
		}
		want := show(t, f, "")
		ended := false
		frozen := guestfs.Freeze(c, func() error { ended = true; return nil })
		var wg sync.WaitGroup
		for i := range 3 {
			share, err := frozen.Share()
			if err != nil {
				t.Fatal(err)
			}
			over := guestfs.New()
			over.Mount("/", guestfs.NewOverlay(share, t.TempDir()))
			if got := show(t, over, ""); got != want {
				t.Fatalf("round %d: the copy shows\n%.2000s\nwant\n%.2000s", round, got, want)
			}
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(round), uint64(i)))
				for range 20 {
					change(t, over, rnd)
				}
				if err := over.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		for range 10 {
			change(t, f, rnd)
		}
		wg.Wait()
		after := guestfs.New()
		share, err := frozen.Share()
		if err != nil {
			t.Fatal(err)
		}
		after.Mount("/", share)
		if got := show(t, after, ""); got != want {
			t.Fatalf("round %d: what is frozen has changed", round)
		}
		if _, err := after.Open("/one", guestfs.OWronly, 0); !errors.Is(err, syscall.EROFS) {
			t.Errorf("writing to what is frozen: %v", err)
		}
		if err := errors.Join(after.Close(), frozen.Close(), frozen.Close()); err != nil || !ended {
			t.Errorf("the last to close: %v, %v", ended, err)
		}
	}
	if after := tree(t, lower); after != before {
		t.Error("the lower tree was changed")
	}
}
