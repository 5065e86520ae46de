package commands

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
)

func TestExitCode(t *testing.T) {
	signalled, cancel := context.WithCancelCause(t.Context())
	cancel(signalError{syscall.SIGTERM})
	child := func(script string) error {
		return ChildError(exec.CommandContext(t.Context(), "sh", "-c", script).Run())
	}
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"fine", t.Context(), nil, 0},
		{"fine although interrupted", signalled, nil, 0},
		{"failed", t.Context(), errors.New("x"), 1},
		{"failed while interrupted", signalled, errors.New("x"), 1},
		{"usage", t.Context(), fmt.Errorf("wrapped: %w", usageError("x")), 2},
		{"locked", t.Context(), fmt.Errorf("start: %w", engines.ErrLocked), 3},
		{"not there", t.Context(), fmt.Errorf("open: %w", engines.ErrNotExist), 4},
		{"interrupted", signalled, fmt.Errorf("wait: %w", context.Canceled), 128 + 15},
		{"interrupted, by cause", signalled, context.Cause(signalled), 128 + 15},
		{"cancelled by itself", t.Context(), context.Canceled, 1},
		{"child's code", t.Context(), child("exit 7"), 7},
		{"child's signal", t.Context(), child("kill -KILL $$"), 128 + 9},
		{"no child", t.Context(), ChildError(exec.CommandContext(t.Context(), "/nonexistent").Run()), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := exitCode(tt.ctx, tt.err); got != tt.want {
				t.Errorf("%v gives %d, want %d", tt.err, got, tt.want)
			}
		})
	}
}
