package backup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// syncTree flushes every file and directory of a copy, and the entry of its root, to disk
// (as fsync_pgdata in file_utils.c does).
func syncTree(ctx context.Context, root string) error {
	const workers = 8 // journals commit for several at once
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case d.IsDir() || d.Type().IsRegular():
			g.Go(func() error { return syncFile(path) })
		}
		return nil
	})
	if failed := g.Wait(); failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	return syncFile(filepath.Dir(root))
}

// syncFile flushes a file or directory.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
