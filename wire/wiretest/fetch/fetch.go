// Package fetch runs the programs by which tests fetch packages, again where a registry
// refuses: it may do so for a moment, or leave one without an answer.
package fetch

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// How long one run may take, and the pauses before the others.
const (
	limit = 3 * time.Minute
	tries = 4
	pause = 3 * time.Second // then twice as long, and so on
)

// Run runs a program in a directory ("" is the current one) until it succeeds, four times at
// most and three minutes each. The error has what it printed the last time.
func Run(ctx context.Context, dir, program string, args ...string) error {
	return run(ctx, pause, dir, program, args...)
}

func run(ctx context.Context, pause time.Duration, dir, program string, args ...string) error {
	for try := 1; ; try++ {
		out, err := once(ctx, dir, program, args...)
		if err == nil {
			return nil
		}
		if try == tries || ctx.Err() != nil {
			return fmt.Errorf("%s %s: %w (after %d tries)\n%s", program, strings.Join(args, " "), err, try, out)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause << (try - 1)):
		}
	}
}

func once(ctx context.Context, dir, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no end within %s", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second // for what it has started
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return out, err
}
