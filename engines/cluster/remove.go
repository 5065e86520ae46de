package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// removeCluster removes a stopped cluster. The caller holds trans.lock, whose file goes
// too: those who wait for it notice. The data directory is renamed first, so that a kill
// in the middle leaves no cluster with files missing.
func removeCluster(f files) error {
	doomed := fmt.Sprintf("%s.tmp-%d", f.dir, os.Getpid()) // swept like an unfinished one
	switch err := os.Rename(f.dir, doomed); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("remove the data directory: %w", err)
	}
	return errors.Join(os.RemoveAll(doomed), os.RemoveAll(f.control))
}
