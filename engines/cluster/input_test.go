package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.sql")
	if err := os.WriteFile(file, []byte("select 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := readInput(t.Context(), file); err != nil || string(b) != "select 1" {
		t.Errorf("a file: %q, %v", b, err)
	}
	if _, err := readInput(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no file and no pipe") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := readInput(t.Context(), "/dev/zero"); err == nil || !strings.Contains(err.Error(), "is no file and no pipe") {
		t.Errorf("a device: %v", err)
	}
}

// A pipe is read to its end, however late its writer comes and however it writes.
func TestReadInputPipe(t *testing.T) {
	pipe := fifo(t)
	want := strings.Repeat("-- a line that says little\n", 10_000) // more than a pipe holds
	wrote := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(want)
			err = errors.Join(err, f.Close())
		}
		wrote <- err
	}()
	got, err := readInput(t.Context(), pipe)
	if err := errors.Join(err, <-wrote); err != nil || string(got) != want {
		t.Errorf("read %d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestReadInputInterrupted(t *testing.T) {
	cause := errors.New("enough")
	for _, written := range []bool{false, true} {
		pipe := fifo(t)
		if written { // a writer that is silent
			w, err := os.OpenFile(pipe, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = w.Close() }()
			if _, err := w.WriteString("select"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() {
			_, err := readInput(ctx, pipe)
			done <- err
		}()
		cancel(cause)
		if err := <-done; !errors.Is(err, cause) {
			t.Errorf("written %v: %v", written, err)
		}
	}
}

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// PostgreSQL would cut a name that is too long, and create or drop what another one means.
func TestCheckDatabase(t *testing.T) {
	long := strings.Repeat("ä", 31) + "x" // 63 bytes
	for name, ok := range map[string]bool{"a": true, `o'd "d`: true, long: true, long + "y": false, "": false, "a\x00b": false} {
		if err := CheckDatabase(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	// They are refused before anything is asked of the server.
	if _, err := DropDatabase(t.Context(), nil, long+"y"); err == nil {
		t.Error("dropped")
	}
}
