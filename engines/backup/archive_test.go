package backup

import (
	"errors"
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestArchiveWAL(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "000000010000000000000001")
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(dst); err != nil || string(got) != want {
			t.Errorf("the archive has %d bytes (%v), want %d", len(got), err, len(want))
		}
		if left := temporary(dir); len(left) > 0 {
			t.Errorf("left %q", left)
		}
	}
	segment := strings.Repeat("log", 1<<20)
	put(src, segment)
	for range 2 { // new; the same again
		if err := ArchiveWAL(src, dst); err != nil {
			t.Error(err)
		}
		check(segment)
	}
	for _, other := range []string{"", segment + "x", segment[1:], segment[:len(segment)-1] + "x"} {
		put(src, other)
		if err := ArchiveWAL(src, dst); err == nil || !strings.Contains(err.Error(), "other content") {
			t.Errorf("other content of %d bytes: %v", len(other), err)
		}
		check(segment)
	}
	for _, bad := range [][2]string{{filepath.Join(dir, "missing"), filepath.Join(dir, "2")}, {src, filepath.Join(dir, "missing", "2")}} {
		if err := ArchiveWAL(bad[0], bad[1]); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("archive %s to %s: %v", bad[0], bad[1], err)
		}
	}
	check(segment)
}

// TestArchiveWALKilled kills an archiver half way through a segment. What it leaves is not
// taken for a segment, does not hinder the next one, and goes when it is old.
func TestArchiveWALKilled(t *testing.T) {
	into := t.TempDir()
	if err := os.Mkdir(walDir(into), 0o700); err != nil {
		t.Fatal(err)
	}
	const name = "000000010000000000000001"
	dst := filepath.Join(walDir(into), name)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	archiver := osexec.Command(exe, "archive-wal", pipe, dst)
	if err := archiver.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns when the archiver reads
	if err != nil {
		t.Fatal(err)
	}
	// More than the pipe holds, so that part of it is written when this returns.
	if _, err := w.Write(make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	if err := archiver.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := archiver.Wait(); err == nil {
		t.Error("the archiver was not killed")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	left := temporary(walDir(into))
	if _, err := os.Lstat(dst); !errors.Is(err, fs.ErrNotExist) || len(left) != 1 {
		t.Fatalf("left %q; the segment: %v", left, err)
	}
	src := filepath.Join(t.TempDir(), "src")
	if err := os.WriteFile(src, []byte("whole"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ArchiveWAL(src, dst); err != nil {
		t.Error(err)
	}
	sweep(into)
	if got := temporary(walDir(into)); len(got) != 1 {
		t.Errorf("what may be a living archiver's was swept: %q", got)
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left[0], past, past); err != nil {
		t.Fatal(err)
	}
	sweep(into)
	if entries, err := os.ReadDir(walDir(into)); err != nil || len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("after sweeping: %v, %v", entries, err)
	}
}
