package twophase

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, dir string, opt LogOptions) *Log {
	t.Helper()
	l, err := OpenLog(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// segment returns the one segment of a log that is closed.
func segment(t *testing.T, dir string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(list) != 1 {
		t.Fatalf("segments %v, %v", list, err)
	}
	return list[0]
}

func TestLogKeepsWhatIsOpen(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, LogOptions{})
	instance := l.Instance()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := l.Decide(fmt.Sprintf("t%d", i), []int{i, i + 1}); err != nil {
				t.Error(err)
			}
			if i%2 == 0 {
				if err := l.End(fmt.Sprintf("t%d", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := OpenLog(dir, LogOptions{}); !errors.Is(err, errInUse) {
		t.Errorf("a second opener: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Decide("late", nil); err == nil {
		t.Error("Decide after Close")
	}
	for range 2 {
		l = open(t, dir, LogOptions{})
		got := l.Open()
		if len(got) != 50 || !slices.Equal(got["t7"], []int{7, 8}) || got["t8"] != nil {
			t.Errorf("%d open: %v", len(got), got)
		}
		if l.Instance() != instance {
			t.Error("another instance")
		}
		_ = l.Close()
		segment(t, dir)
	}
}

// TestLogIsCut cuts the last segment at every byte: what was whole before stays.
func TestLogIsCut(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, LogOptions{})
	for i := range 2 {
		if err := l.Decide(fmt.Sprintf("transaction %d", i), []int{1, 300}); err != nil {
			t.Fatal(err)
		}
	}
	_ = l.Close()
	path := segment(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	record := len(appendRecord(nil, record{decided, "transaction 0", []int{1, 300}}))
	for n := len(magic); n <= len(whole); n++ {
		for _, garbage := range []string{"", "\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
			d := t.TempDir()
			write := func(name string, b []byte) {
				if err := os.WriteFile(filepath.Join(d, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(instanceFile, []byte(l.Instance()))
			write(filepath.Base(path), append(slices.Clone(whole[:n]), garbage...))
			cut := open(t, d, LogOptions{})
			if got, want := len(cut.Open()), (n-len(magic))/record; got != want {
				t.Fatalf("%d bytes: %d transactions, want %d", n, got, want)
			}
			if err := cut.Decide("after", []int{0}); err != nil {
				t.Fatal(err)
			}
			_ = cut.Close()
			again := open(t, d, LogOptions{})
			if again.Open()["after"] == nil {
				t.Fatal("a decision after the cut is lost")
			}
			_ = again.Close()
		}
	}
}

// TestLogIsDamaged changes bytes before the last record: that is no torn end.
func TestLogIsDamaged(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, LogOptions{})
	for i := range 3 {
		if err := l.Decide(fmt.Sprintf("transaction %d", i), []int{1}); err != nil {
			t.Fatal(err)
		}
	}
	_ = l.Close()
	path := segment(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := len(appendRecord(nil, record{decided, "transaction 0", []int{1}}))
	for at := range len(whole) - size {
		b := slices.Clone(whole)
		b[at] ^= 0x40
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := OpenLog(dir, LogOptions{}); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d changed: %v, %v", at, err, maps.Keys(l.Open()))
		}
	}
	if err := os.Remove(filepath.Join(dir, instanceFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLog(dir, LogOptions{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("without its name: %v", err)
	}
}

// TestCheckpoints keeps a log small and loses nothing.
func TestCheckpoints(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, LogOptions{SegmentSize: 2000, FsyncInterval: -1, CheckpointInterval: time.Millisecond})
	for i := range 2000 {
		name := fmt.Sprintf("t%d", i)
		if err := l.Decide(name, []int{0, 1}); err != nil {
			t.Fatal(err)
		}
		if i%100 != 0 {
			if err := l.End(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = l.Close()
	info, err := os.Stat(segment(t, dir))
	if err != nil || info.Size() > 4000 {
		t.Errorf("the last segment: %d bytes, %v", info.Size(), err)
	}
	if got := open(t, dir, LogOptions{}).Open(); len(got) != 20 {
		t.Errorf("%d open", len(got))
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, record{decided, "a", []int{1, 2}}))
	f.Add(appendRecord(nil, record{ended, "", nil}))
	f.Add([]byte("\x00\x00\x00\x01\x00\x00\x00\x00C"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := readRecord(b)
		if err != nil {
			return
		}
		if n < recordHeader || n > len(b) {
			t.Fatalf("%d of %d bytes", n, len(b))
		}
		again, _, err := readRecord(appendRecord(nil, r))
		if err != nil || again.name != r.name || !slices.Equal(again.shards, r.shards) || again.kind != r.kind {
			t.Fatalf("%+v is %+v, %v", r, again, err)
		}
	})
}

// BenchmarkDecide shows the group commit: one sync for many.
func BenchmarkDecide(b *testing.B) {
	l, err := OpenLog(b.TempDir(), LogOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Decide("transaction", []int{0, 1}); err != nil {
				b.Error(err)
			}
			if err := l.End("transaction"); err != nil {
				b.Error(err)
			}
		}
	})
}
