package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/pgx-dev/pgx-dev/engines"
)

// CopyDir copies the data directory src, in which no server may be running, to dst, which
// must not exist. Blocks are shared where the file system can (reflink), else copied
// inside the kernel. Directories get mode 0700 and files 0600. What belongs to one run of
// a server (postmaster.pid, postmaster.opts, what is in pg_stat_tmp and pg_dynshmem) is left out; a
// pg_wal that is a symbolic link becomes a directory. A directory with tablespaces
// elsewhere is refused with engines.ErrUnsupported, because the copy would share them.
// When it fails, or ctx ends, nothing is left at dst.
func CopyDir(ctx context.Context, src, dst string) error { return copyDir(ctx, src, dst, false) }

// copyDir is CopyDir, if need be aside of what else the machine does.
func copyDir(ctx context.Context, src, dst string, aside bool) (err error) {
	if err := os.Mkdir(dst, 0o700); err != nil {
		return fmt.Errorf("copy data directory: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("copy data directory %s: %w", src, err), os.RemoveAll(dst))
		}
	}()
	c := &copier{ctx: ctx, src: src, dst: dst, aside: aside}
	dirs := []string{"."}
	for len(dirs) > 0 {
		next, err := c.readDir(dirs[0])
		if err != nil {
			return err
		}
		dirs = append(dirs[1:], next...)
	}
	return c.copyFiles()
}

// A copier first makes all directories, then copies all files with several workers.
type copier struct {
	ctx      context.Context
	src, dst string
	files    []string // relative
	clone    cloner
	aside    bool
}

// readDir makes the directories in dir, notes its files and returns the directories.
func (c *copier) readDir(dir string) (dirs []string, err error) {
	if err := c.ctx.Err(); err != nil {
		return nil, context.Cause(c.ctx)
	}
	entries, err := os.ReadDir(filepath.Join(c.src, dir))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		rel := filepath.Join(dir, entry.Name())
		mode := entry.Type()
		if mode&fs.ModeSymlink != 0 {
			if dir == "pg_tblspc" {
				return nil, fmt.Errorf("tablespace %s is outside of the directory, so a copy would share it: %w", entry.Name(), engines.ErrUnsupported)
			}
			fi, err := os.Stat(filepath.Join(c.src, rel))
			if err != nil {
				return nil, err
			}
			mode = fi.Mode().Type()
		}
		switch {
		case transient(rel) || mode&fs.ModeSocket != 0:
		case mode.IsDir():
			if err := os.Mkdir(filepath.Join(c.dst, rel), 0o700); err != nil {
				return nil, err
			}
			dirs = append(dirs, rel)
		case mode.IsRegular():
			c.files = append(c.files, rel)
		default:
			return nil, fmt.Errorf("%s is neither a file nor a directory", rel)
		}
	}
	return dirs, nil
}

// transient reports whether a file belongs to one run of a server.
func transient(rel string) bool {
	return rel == "postmaster.pid" || rel == "postmaster.opts" ||
		strings.HasPrefix(rel, "pg_stat_tmp/") || strings.HasPrefix(rel, "pg_dynshmem/")
}

func (c *copier) copyFiles() error {
	workers := max(2, min(8, 2*runtime.GOMAXPROCS(0)))
	if c.aside {
		workers = 1
	}
	work := make(chan string)
	var failed error
	var once sync.Once
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			if c.aside {
				// The thread ends with the goroutine, which does not unlock it.
				runtime.LockOSThread()
				lowerPriority()
			}
			var buf []byte
			for rel := range work {
				if err := c.clone.file(filepath.Join(c.src, rel), filepath.Join(c.dst, rel), &buf); err != nil {
					once.Do(func() { failed = err; close(stop) })
					return
				}
			}
		})
	}
feed:
	for _, rel := range c.files {
		select {
		case work <- rel:
		case <-stop:
			break feed
		case <-c.ctx.Done():
			once.Do(func() { failed = context.Cause(c.ctx); close(stop) })
			break feed
		}
	}
	close(work)
	wg.Wait()
	return failed
}

// dirSize returns how many bytes the files under dir take up.
func dirSize(dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			// Small files take whole blocks.
			size += (fi.Size() + 4095) &^ 4095
		}
		return err
	})
	return size, err
}
