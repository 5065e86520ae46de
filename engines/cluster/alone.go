package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pgx-dev/pgx-dev/engines"
)

// StartAlone calls start, which starts a server of the calling process in spec.Dir, without
// a supervisor and without others, while nobody else creates, starts or destroys a cluster
// there. exists says whether there is one already. When start has succeeded, the engine is
// remembered, so that Open starts the cluster with the same one. The error wraps
// engines.ErrLocked if a supervisor runs the cluster, and engines.ErrNotExist if
// spec.MustExist is set and there is none.
func StartAlone(ctx context.Context, spec engines.Spec, engine string, start func(exists bool) error) error {
	f, err := at(spec.Dir)
	if err != nil {
		return err
	}
	if spec.MustExist && !f.exists() {
		return fmt.Errorf("open cluster %s: %w", f.dir, engines.ErrNotExist)
	}
	_, err = os.Lstat(f.control)
	fresh := errors.Is(err, fs.ErrNotExist)
	trans, err := f.lockTrans(ctx)
	if err != nil {
		return fmt.Errorf("open cluster %s: %w", f.dir, err)
	}
	defer func() { _ = trans.Unlock() }()
	err = f.startAlone(engine, start)
	if err != nil && fresh {
		err = errors.Join(err, f.leaveNothing())
	}
	return err
}

func (f files) startAlone(engine string, start func(exists bool) error) error {
	alive, err := f.supervised()
	if err == nil && alive {
		err = fmt.Errorf("cluster %s runs: %w", f.dir, engines.ErrLocked)
	}
	if err != nil {
		return err
	}
	r, err := f.readRecord()
	if err != nil {
		return err
	}
	if _, err := (Request{Engine: engine}).engineFor(r); err != nil {
		return fmt.Errorf("open cluster %s: %w", f.dir, err)
	}
	if err := start(f.exists()); err != nil {
		return err
	}
	return f.updateRecord(func(r *record) { r.Engine = cmp.Or(r.Engine, engine) })
}
