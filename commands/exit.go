package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines"
)

// The exit codes of pgx-dev. A command that runs another program ends with that program's
// own code, and one that a signal ended with 128 plus the signal's number.
const (
	ExitOK       = 0
	ExitFailed   = 1
	ExitUsage    = 2 // the command line or the config file is wrong; nothing was done
	ExitLocked   = 3 // in use by another process (engines.ErrLocked)
	ExitNotExist = 4 // what was named is not there (engines.ErrNotExist)
)

// An ExitError ends the process with Code. A nil Err prints nothing: whoever failed has
// said so already, as a wrapped program does.
type ExitError struct {
	Code int
	Err  error
}

// Error returns Err's text.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }

// ChildError turns the error of [exec.Cmd.Run] and its like into one that ends pgx-dev the
// way the program ended: with its code, or 128 plus the signal that killed it. Other
// errors, and nil, are returned unchanged.
func ChildError(err error) error {
	var child *exec.ExitError
	if !errors.As(err, &child) {
		return err
	}
	if ws, ok := child.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return &ExitError{Code: 128 + int(ws.Signal())}
	}
	return &ExitError{Code: child.ExitCode()}
}

// usageError is an error in what the person typed or wrote; it ends with ExitUsage.
func usageError(format string, args ...any) error {
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}

// A signalError is the cause of a context that a signal cancelled.
type signalError struct{ sig os.Signal }

func (e signalError) Error() string { return e.sig.String() }

// exitCode says how to end after a command returned err. A command that ends because ctx
// was cancelled by a signal and says so in its error ends with 128 plus the signal.
func exitCode(ctx context.Context, err error) int {
	var exit *ExitError
	var sig signalError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &exit):
		return exit.Code
	case errors.As(err, &sig), errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &sig):
		if n, ok := sig.sig.(syscall.Signal); ok {
			return 128 + int(n)
		}
		return ExitFailed
	case errors.Is(err, engines.ErrLocked):
		return ExitLocked
	case errors.Is(err, engines.ErrNotExist):
		return ExitNotExist
	}
	return ExitFailed
}
