package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	return doomed, os.RemoveAll(f.control)
}

// sweepSiblings removes what killed processes left while they made or removed the data
// directory. trans.lock, which the caller holds, keeps live ones away.
func (f files) sweepSiblings() error {
	left, _ := filepath.Glob(globQuote(f.dir) + ".tmp-[0-9]*") // the pattern is good
	// A server that ran in one, as restore's does, made a control directory for it.
	controls, _ := filepath.Glob(filepath.Join(globQuote(filepath.Dir(f.dir)), "."+globQuote(filepath.Base(f.dir))+".tmp-[0-9]*.pgx-dev"))
	left = append(left, controls...)
	var errs []error
	for _, path := range left {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// globQuote quotes a path for filepath.Glob.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}
