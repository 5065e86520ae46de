package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/occupant"
)

// acceptable returns an error unless the data directory's place is free, empty, or holds a
// cluster: nothing else may be touched.
func (f files) acceptable() error {
	fi, err := os.Stat(f.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !fi.IsDir():
		return fmt.Errorf("%s is a file, not a data directory; move it away or choose another name", f.dir)
	case f.exists():
		return nil
	}
	entries, err := os.ReadDir(f.dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is no data directory and not empty (it has %s); choose another", f.dir, entries[0].Name())
	}
	return err
}

// unoccupied returns an error wrapping engines.ErrLocked if a server runs in the data
// directory that no supervisor of ours owns: one started by hand, or by a program that
// uses an engine directly. One whose supervisor was killed is on its way out and is waited
// for. The caller holds trans.lock.
func (f files) unoccupied(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f.occupied()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (f files) occupied() error {
	if pid := occupant.Postmaster(f.dir); pid != 0 {
		return fmt.Errorf("postmaster %d runs in it, which pgx-dev did not start; stop it first (pg_ctl -D %s stop): %w", pid, f.dir, engines.ErrLocked)
	}
	owner, err := dirlock.TryExclusive(filepath.Join(f.control, "owner.lock"))
	switch {
	case err == nil:
		return owner.Unlock()
	case errors.Is(err, dirlock.ErrHeld):
		return fmt.Errorf("another program runs a server in it: %w", engines.ErrLocked)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// endBroken returns when a supervisor that cannot be reached has ended. One that goes on
// without its socket, because somebody removed that, is told to end by a signal.
func (f files) endBroken(ctx context.Context, run *running) error {
	for _, patience := range []time.Duration{2 * time.Second, stopGrace} {
		waiting, cancel := context.WithTimeout(ctx, patience)
		err := f.awaitEnd(waiting)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := signalSupervisor(run.PID, syscall.SIGTERM); err != nil {
			return fmt.Errorf("its supervisor (process %d) cannot be reached: %w", run.PID, err)
		}
	}
	return &silentError{run.PID}
}

// A silentError reports a supervisor that does not answer.
type silentError struct{ pid int }

func (e *silentError) Error() string {
	return fmt.Sprintf("its supervisor (process %d) does not answer; it may be stopped: let it go on by kill -CONT %d, or end it by --force of down or destroy", e.pid, e.pid)
}

func (e *silentError) Unwrap() error { return engines.ErrLocked }

// killSilent kills a supervisor that does not answer. It may have been frozen with trans.lock
// in its hands, which is why the caller need not hold that.
func (f files) killSilent(ctx context.Context) error {
	alive, err := f.supervised()
	if err != nil || !alive {
		return err
	}
	run, err := readRunning(f)
	if err != nil || run == nil {
		return err // it starts or stops just now
	}
	_, err = run.askOnce(ctx, request{Cmd: "status"})
	if _, silent := errors.AsType[*silentError](err); silent {
		return f.killSupervisor(ctx, run)
	}
	return nil // what else is wrong, whoever holds trans.lock will see
}

// killSupervisor ends a supervisor that does not answer: politely, should it only have been
// stopped, then by SIGKILL, which takes its server along.
func (f files) killSupervisor(ctx context.Context, run *running) error {
	polite, cancel := context.WithTimeout(ctx, answerWithin)
	err := errors.Join(signalSupervisor(run.PID, syscall.SIGTERM), signalSupervisor(run.PID, syscall.SIGCONT))
	if err == nil {
		err = f.awaitEnd(polite)
	}
	cancel()
	if err == nil || ctx.Err() != nil {
		return err
	}
	if err := signalSupervisor(run.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill its supervisor (process %d): %w", run.PID, err)
	}
	if err := f.awaitEnd(ctx); err != nil {
		return err
	}
	// The death signal had no effect on a postmaster that is stopped, too.
	if err := run.killFrozen(); err != nil {
		return err
	}
	if err := os.Remove(f.run()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.unoccupied(ctx)
}

// answerWithin is how long a supervisor may take to answer what needs no work.
const answerWithin = 5 * time.Second

// ask asks a supervisor, and says which one it is that does not answer in time: at once, but
// for a stop.
func (r *running) ask(ctx context.Context, c *controlConn, req request) (response, error) {
	patience := answerWithin
	switch {
	case req.Cmd == "stop" && req.Kill:
		patience += forcedGrace + killGrace
	case req.Cmd == "stop":
		patience += stopGrace + killGrace
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := c.ask(waiting, req)
	if waiting.Err() != nil && ctx.Err() == nil {
		err = &silentError{r.PID}
	}
	return resp, err
}

func (r *running) askOnce(ctx context.Context, req request) (response, error) {
	c, err := dialControl(ctx, r.Socket)
	if err != nil {
		return response{}, err
	}
	defer func() { _ = c.Close() }()
	return r.ask(ctx, c, req)
}

// forget drops what is remembered of a cluster whose data directory was removed by hand.
// The caller holds trans.lock.
func (f files) forget() error {
	err := f.updateRecord(func(r *record) {
		*r = record{Name: r.Name, Project: r.Project, Temp: r.Temp, Port: r.Port}
	})
	for _, path := range []string{f.pgpass(), filepath.Join(f.control, "superuser")} {
		if rmErr := os.Remove(path); !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}
	return err
}

// patience is how long a command waits for trans.lock before it says so.
const patience = 2 * time.Second

// lockTrans is files.lockTrans that says when it waits for long.
func (m *Manager) lockTrans(ctx context.Context, f files) (*dirlock.Lock, error) {
	told := time.AfterFunc(patience, func() {
		m.log().Warn("waiting for another process that starts or stops this cluster", "dir", f.dir)
	})
	defer told.Stop()
	return f.lockTrans(ctx)
}
