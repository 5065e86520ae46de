package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// A Making says what a cluster will be that Make fills.
type Making struct {
	// Engine will run it.
	Engine string
	// Init are the SQL files that were run in what it is a copy of.
	Init []InitRun
	// Unknown says that those are not known: then none will be run in it.
	Unknown bool
}

// Make fills a data directory that is not there yet by other means than an engine's: a
// copy, a backup. fill makes and fills the directory tmp, which takes its place when fill
// has succeeded, and is removed otherwise. Nobody sees it before. An existing cluster is an
// error wrapping fs.ErrExist.
func (m *Manager) Make(ctx context.Context, dir string, how Making, fill func(ctx context.Context, tmp string) error) error {
	f, err := at(dir)
	if err != nil {
		return err
	}
	trans, err := m.lockTrans(ctx, f)
	if err != nil {
		return err
	}
	defer func() { _ = trans.Unlock() }()
	switch left, err := os.ReadDir(f.dir); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case len(left) > 0:
		return fmt.Errorf("%s is there already and not empty: %w", f.dir, fs.ErrExist)
	default:
		if err := os.Remove(f.dir); err != nil {
			return err
		}
	}
	if err := f.sweepSiblings(); err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.tmp-%d", f.dir, os.Getpid())
	defer func() { _ = os.RemoveAll(place.Control(tmp)) }() // if a server ran in it
	err = fill(ctx, tmp)
	if err == nil {
		err = os.Chmod(tmp, 0o700)
	}
	if err == nil {
		err = f.updateRecord(func(r *record) { *r = record{Engine: how.Engine, Init: how.Init, Filled: how.Unknown} })
	}
	if err == nil {
		err = os.Rename(tmp, f.dir)
	}
	if err == nil {
		err = syncDir(filepath.Dir(f.dir))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp), f.removeControl())
	}
	return nil
}

// syncDir makes a rename in dir outlast a crash of the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// WhileStopped calls fn while nobody can start the cluster in dir. The error wraps
// engines.ErrLocked if it runs, and engines.ErrNotExist if there is none.
func (m *Manager) WhileStopped(ctx context.Context, dir string, fn func() error) error {
	f, err := at(dir)
	if err != nil {
		return err
	}
	if !f.exists() {
		return fmt.Errorf("cluster %s: %w", dir, engines.ErrNotExist)
	}
	trans, err := m.lockTrans(ctx, f)
	if err != nil {
		return err
	}
	defer func() { _ = trans.Unlock() }()
	run, err := m.current(ctx, f)
	switch {
	case err != nil:
		return err
	case run != nil:
		return fmt.Errorf("cluster %s runs: %w", dir, engines.ErrLocked)
	}
	if err := f.unoccupied(ctx); err != nil {
		return fmt.Errorf("cluster %s: %w", dir, err)
	}
	return fn()
}

// SetArchive records where the cluster's write-ahead log is archived to, from its next
// start on; nil ends it.
func (m *Manager) SetArchive(ctx context.Context, dir string, a *Archive) error {
	f, err := at(dir)
	if err != nil {
		return err
	}
	trans, err := m.lockTrans(ctx, f)
	if err != nil {
		return err
	}
	defer func() { _ = trans.Unlock() }()
	return f.updateRecord(func(r *record) { r.Archive = a })
}

// Restart stops and starts a cluster of which srv, which is closed by it, is the only
// user; with others the error wraps engines.ErrLocked and srv goes on. req says how to
// start it.
func (m *Manager) Restart(ctx context.Context, srv *Server, req Request) (*Server, error) {
	f := srv.f
	if srv.run.Destroy {
		return nil, fmt.Errorf("restart cluster %s: it is temporary, and would be gone: %w", f.dir, engines.ErrUnsupported)
	}
	trans, err := m.lockTrans(ctx, f)
	if err != nil {
		return nil, err
	}
	defer func() { _ = trans.Unlock() }()
	status, err := srv.run.askOnce(ctx, request{Cmd: "status"})
	if err != nil {
		return nil, err
	}
	if n := len(status.Users); n > 1 {
		return nil, fmt.Errorf("restart cluster %s: %d others use it: %w", f.dir, n-1, engines.ErrLocked)
	}
	if _, err := m.stopLocked(ctx, f, StopOptions{Why: "restart"}); err != nil {
		return nil, err
	}
	if err := srv.Close(ctx); err != nil {
		return nil, err
	}
	return m.openLocked(ctx, f, req, job{Spec: req.Spec, Pinned: status.Pinned, Idle: status.Idle})
}
