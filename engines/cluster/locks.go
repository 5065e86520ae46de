package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// lockTrans makes the control directory if need be and takes trans.lock. It starts again
// when a destroy or a sweep removed the directory in between.
func (f files) lockTrans(ctx context.Context) (*dirlock.Lock, error) {
	const often = 100
	for tries := 1; ; tries++ {
		err := f.makeControl()
		if errors.Is(err, fs.ErrNotExist) && tries < often {
			continue
		}
		if err != nil {
			return nil, err
		}
		l, err := dirlock.Exclusive(ctx, f.trans())
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
			return nil, err
		}
	}
}

// makeControl makes the control directory, and checks what is in its and the data
// directory's place first, so that errors name the real obstacle.
func (f files) makeControl() error {
	parent := filepath.Dir(f.dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("make the directory for the cluster: %w", err)
	}
	if err := f.acceptable(); err != nil {
		return err
	}
	return place.Private(f.control)
}

// supervised reports whether a supervisor lives. It may be in the middle of a start or a
// stop unless the caller holds trans.lock.
func (f files) supervised() (bool, error) {
	l, err := dirlock.TryShared(f.supervisor())
	switch {
	case err == nil:
		return false, l.Unlock()
	case errors.Is(err, dirlock.ErrHeld):
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	return false, err
}

// awaitEnd returns when no supervisor lives.
func (f files) awaitEnd(ctx context.Context) error {
	l, err := dirlock.Shared(ctx, f.supervisor())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // destroyed, with its control directory
	}
	if err != nil {
		return err
	}
	return l.Unlock()
}
