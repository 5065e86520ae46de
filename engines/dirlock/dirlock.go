// Package dirlock is the file lock that keeps processes apart at one directory.
//
// A lock is flock(2) on a file that is never converted from shared to exclusive or back
// (that is not atomic) and never waited for with sleeps. The file may be removed by its
// exclusive holder; whoever opened the removed file notices and opens the new one.
package dirlock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gofrs/flock"
)

// ErrHeld is returned by the Try functions when somebody else holds the lock.
var ErrHeld = errors.New("lock is held")

// A Lock is a held lock. Its descriptor is not inherited by child processes. It is not
// safe for concurrent use.
type Lock struct {
	f *flock.Flock
}

// Exclusive waits until it alone holds the lock file at path, which it creates with mode
// 0600. When ctx ends first the wait goes on in the background until it can be undone.
func Exclusive(ctx context.Context, path string) (*Lock, error) { return wait(ctx, path, true) }

// Shared waits until no one holds the lock file at path exclusively. See Exclusive.
func Shared(ctx context.Context, path string) (*Lock, error) { return wait(ctx, path, false) }

// TryExclusive takes the lock if it is free, else returns an error wrapping ErrHeld.
func TryExclusive(path string) (*Lock, error) { return try(path, true) }

// TryShared takes the lock if no one holds it exclusively, else returns an error wrapping
// ErrHeld.
func TryShared(path string) (*Lock, error) { return try(path, false) }

// Unlock gives the lock back. A second Unlock does nothing.
func (l *Lock) Unlock() error {
	if l == nil || l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	return f.Close()
}

// Remove deletes the lock file and gives the lock back. Only the exclusive holder may.
func (l *Lock) Remove() error {
	err := os.Remove(l.f.Path())
	return errors.Join(err, l.Unlock())
}

func newFlock(path string) *flock.Flock {
	return flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
}

func try(path string, exclusive bool) (*Lock, error) {
	for {
		f := newFlock(path)
		lock := f.TryRLock
		if exclusive {
			lock = f.TryLock
		}
		ok, err := lock()
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !ok {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, ErrHeld)
		}
		if current(f, path) {
			return &Lock{f}, nil
		}
		_ = f.Close()
	}
}

func wait(ctx context.Context, path string, exclusive bool) (*Lock, error) {
	if l, err := try(path, exclusive); !errors.Is(err, ErrHeld) {
		return l, err
	}
	for {
		f := newFlock(path)
		lock := f.RLock
		if exclusive {
			lock = f.Lock
		}
		done := make(chan error, 1)
		go func() { done <- lock() }()
		select {
		case err := <-done:
			if err != nil {
				return nil, fmt.Errorf("lock %s: %w", path, err)
			}
		case <-ctx.Done():
			go func() {
				<-done //nolint:errcheck // undone either way
				_ = f.Close()
			}()
			return nil, fmt.Errorf("lock %s: %w", path, context.Cause(ctx))
		}
		if current(f, path) {
			return &Lock{f}, nil
		}
		_ = f.Close()
	}
}

// current reports whether the locked file is still the one at path.
func current(f *flock.Flock, path string) bool {
	held, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return err == nil && os.SameFile(held, there)
}
