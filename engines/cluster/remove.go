package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// removeCluster removes a stopped cluster. The caller holds trans.lock, whose file goes
// too: those who wait for it notice.
func removeCluster(f files) error {
	doomed, err := unlinkCluster(f)
	if err != nil {
		return err
	}
	return os.RemoveAll(doomed)
}

// unlinkCluster takes a stopped cluster's name away, which is quick, and returns what has
// still to be removed. A kill before that leaves no cluster with files missing, but a
// directory that is swept like an unfinished one.
func unlinkCluster(f files) (doomed string, err error) {
	if err := f.sweepSiblings(); err != nil {
		return "", err
	}
	doomed = fmt.Sprintf("%s.tmp-%d", f.dir, os.Getpid())
	switch err := os.Rename(f.dir, doomed); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", fmt.Errorf("remove the data directory: %w", err)
	}
	return doomed, f.removeControl()
}

// removeControl removes the control directory. It goes whole and at once, so that nobody who
// takes a lock by its path makes a file in what is being emptied. What a kill leaves of it is
// swept like the control directory of an unfinished cluster.
func (f files) removeControl() error {
	doomed := place.Control(fmt.Sprintf("%s.tmp-%d", f.dir, os.Getpid()))
	if err := os.RemoveAll(doomed); err != nil {
		return err
	}
	switch err := os.Rename(f.control, doomed); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("remove the control directory: %w", err)
	}
	return os.RemoveAll(doomed)
}

// sweepSiblings removes what killed processes left while they made or removed the data
// directory. trans.lock, which the caller holds, keeps live ones away.
func (f files) sweepSiblings() error {
	left, _ := filepath.Glob(globQuote(f.dir) + ".tmp-[0-9]*") // the pattern is good
	errs := []error{f.sweepControls()}
	for _, path := range left {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// sweepControls removes the control directories that servers made which ran in unfinished
// data directories, as restore's does. The caller holds trans.lock; who makes a cluster
// without that holds owner.lock.
func (f files) sweepControls() error {
	left, _ := filepath.Glob(filepath.Join(globQuote(filepath.Dir(f.dir)), "."+globQuote(filepath.Base(f.dir))+".tmp-[0-9]*.pgx-dev")) // the pattern is good
	var errs []error
	for _, path := range left {
		owner := filepath.Join(path, "owner.lock")
		if _, err := os.Lstat(owner); err == nil {
			lock, err := dirlock.TryExclusive(owner)
			if err != nil {
				continue
			}
			defer func() { _ = lock.Unlock() }()
		}
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// globQuote quotes a path for filepath.Glob.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}
