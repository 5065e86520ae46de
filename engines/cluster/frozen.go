package cluster

import (
	"fmt"
	"syscall"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/occupant"
)

// A frozenError reports a postmaster that is stopped, so that it cannot shut down.
type frozenError struct{ pid int }

func (e *frozenError) Error() string {
	return fmt.Sprintf("its postmaster (process %d) is stopped, as by SIGSTOP: let it go on by kill -CONT %d, or end it by --force of down or destroy", e.pid, e.pid)
}

func (e *frozenError) Unwrap() error { return engines.ErrLocked }

// frozen returns the postmaster if it is stopped, else 0.
func (r *running) frozen() int {
	if pid := r.Info.PID; pid != 0 && occupant.Stopped(pid) && occupant.IsPostgres(pid, r.Info.Dir) {
		return pid
	}
	return 0
}

// killFrozen ends a postmaster that is stopped. Its children notice and end.
func (r *running) killFrozen() error {
	pid := r.frozen()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill its postmaster (process %d): %w", pid, err)
	}
	return nil
}

// forcedGrace bounds the polite part of a stop by force.
const forcedGrace = 5 * time.Second

// killGrace is what a server may take that did not end by itself in the polite part: the
// native engine gives it 10 s before SIGKILL.
const killGrace = 15 * time.Second
