package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// Copy copies the data directory src, in which no server may be running, to dst, which
// must be missing, as native.CopyDir does, but looks first whether there is room for it.
// sync flushes the copy to disk. The error wraps syscall.ENOSPC if there is no room. When
// it fails nothing is left at dst.
func Copy(ctx context.Context, src, dst string, sync bool) error {
	if !sharesBlocks(src, filepath.Dir(dst)) {
		need, err := sizeOf(src)
		if err != nil {
			return fmt.Errorf("copy data directory %s: %w", src, err)
		}
		if err := checkRoom(filepath.Dir(dst), need); err != nil {
			return fmt.Errorf("copy data directory %s: %w", src, err)
		}
	}
	if err := native.CopyDir(ctx, src, dst); err != nil || !sync {
		return err
	}
	if err := syncTree(ctx, dst); err != nil {
		return errors.Join(fmt.Errorf("copy data directory %s: %w", src, err), os.RemoveAll(dst))
	}
	return nil
}

// checkRoom returns an error if need bytes more do not fit into the directory dir, which
// may be missing.
func checkRoom(dir string, need int64) error {
	free, err := place.Free(dir)
	for errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		free, err = place.Free(dir)
	}
	if err != nil {
		return err
	}
	if free < need {
		const mega = 1 << 20
		return fmt.Errorf("it needs %d MB, and %s has %d MB free: %w", need/mega+1, dir, free/mega, syscall.ENOSPC)
	}
	return nil
}

// sizeOf returns how many bytes the files under dir take up in a copy.
func sizeOf(dir string) (size int64, err error) {
	const block = 4096 // small files take whole ones
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		// Not Lstat: a pg_wal elsewhere is a symbolic link to be followed.
		fi, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case fi.IsDir():
			real, err := filepath.EvalSymlinks(path)
			if err != nil {
				return err
			}
			n, err := sizeOf(real)
			size += n
			return err
		}
		size += (fi.Size() + block - 1) &^ (block - 1)
		return nil
	})
	return size, err
}
