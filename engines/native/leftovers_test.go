package native

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines/dirlock"
)

func TestSweepStore(t *testing.T) {
	store := t.TempDir()
	e := New(Config{Store: store})
	for _, name := range []string{"17.3", "17.3.tmp-12", "18.4.tmp-13", "18.3.tmp-14", "16.1.tmp-4194999", "15.2.tmp-old", "unpinned.tmp-15"} {
		if err := os.MkdirAll(filepath.Join(store, name, "npm"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	lock := func(name string, take func(string) (*dirlock.Lock, error)) *dirlock.Lock {
		t.Helper()
		l, err := take(filepath.Join(store, name+".lock"))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	running := lock("17.3", dirlock.TryShared) // a server
	defer func() { _ = running.Unlock() }()
	installing := lock("18.3", dirlock.TryExclusive)
	defer func() { _ = installing.Unlock() }()
	for _, dead := range []string{"18.4", "unpinned"} {
		if err := lock(dead, dirlock.TryExclusive).Unlock(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"16.1.tmp-4194999", "17.3.tmp-12", "18.4.tmp-13", "unpinned.tmp-15"} // the first without a lock, by its number
	var got []string
	for _, dir := range e.Leftovers() {
		got = append(got, filepath.Base(dir))
	}
	if !slices.Equal(got, want) {
		t.Errorf("leftovers are %v, want %v", got, want)
	}
	e.SweepStore()
	if left := e.Leftovers(); left != nil {
		t.Errorf("after the sweep there are %v", left)
	}
	for _, name := range []string{"17.3", "18.3.tmp-14", "15.2.tmp-old"} {
		if _, err := os.Stat(filepath.Join(store, name, "npm")); err != nil {
			t.Error(err)
		}
	}
}
