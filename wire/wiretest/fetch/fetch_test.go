package fetch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRun has a program succeed at its third run, never, and not within the caller's time.
func TestRun(t *testing.T) {
	ran := func(dir string) int {
		b, _ := os.ReadFile(filepath.Join(dir, "runs"))
		return len(b)
	}
	dir := t.TempDir()
	if err := run(t.Context(), time.Millisecond, dir, "sh", "-c", `printf x >> runs; test "$(cat runs)" = xxx`); err != nil {
		t.Errorf("a program that succeeds at last: %v", err)
	}
	if n := ran(dir); n != 3 {
		t.Errorf("it was run %d times, not 3", n)
	}
	dir = t.TempDir()
	err := run(t.Context(), time.Millisecond, dir, "sh", "-c", `printf x >> runs; echo refused "$(cat runs)"; exit 7`)
	if err == nil || !strings.Contains(err.Error(), "exit status 7 (after 4 tries)\nrefused xxxx\n") || ran(dir) != tries {
		t.Errorf("a program that fails: %v, after %d runs", err, ran(dir))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if err := run(ctx, time.Hour, t.TempDir(), "sleep", "600"); !errors.Is(err, enough) {
		t.Errorf("a caller who has no time: %v", err)
	}
}
