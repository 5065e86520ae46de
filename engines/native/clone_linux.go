package native

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A cloner copies files by the cheapest means that works: FICLONE shares the blocks (xfs,
// btrfs), copy_file_range copies in the kernel, read and write always work. What the file
// system refused once is not tried again. It uses system calls directly: a data directory
// is a thousand small files, and os.File registers each with the poller.
type cloner struct {
	noClone, noRange atomic.Bool
}

func (c *cloner) file(src, dst string, buf *[]byte) error {
	in, err := openRetry(src, unix.O_RDONLY, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: src, Err: err}
	}
	defer func() { _ = unix.Close(in) }()
	var st unix.Stat_t
	if err := unix.Fstat(in, &st); err != nil {
		return &os.PathError{Op: "stat", Path: src, Err: err}
	}
	out, err := openRetry(dst, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: dst, Err: err}
	}
	err = c.data(in, out, st.Size, buf)
	if cerr := unix.Close(out); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", src, dst, err)
	}
	return nil
}

func (c *cloner) data(in, out int, size int64, buf *[]byte) error {
	if size == 0 {
		return nil
	}
	if !c.noClone.Load() {
		err := unix.IoctlFileClone(out, in)
		if err == nil {
			return nil
		}
		if isFull(err) {
			return err
		}
		c.noClone.Store(true)
	}
	for left := size; left > 0 && !c.noRange.Load(); {
		n, err := unix.CopyFileRange(in, nil, out, nil, 1<<30, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil && isFull(err):
			return err
		case err != nil:
			// EXDEV, EOPNOTSUPP, ENOSYS, EINVAL: both offsets stand where the copy ended.
			c.noRange.Store(true)
		case n == 0:
			left = 0 // some file systems claim an early end: let read have the last word
		default:
			left -= int64(n)
		}
	}
	if *buf == nil {
		*buf = make([]byte, 256<<10)
	}
	for {
		n, err := unix.Read(in, *buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		for rest := (*buf)[:n]; len(rest) > 0; {
			w, err := unix.Write(out, rest)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return err
			}
			rest = rest[w:]
		}
	}
}

func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EIO)
}

func openRetry(path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
