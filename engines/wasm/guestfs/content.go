package guestfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// block is the unit in which an overlay copies: PostgreSQL's page size (BLCKSZ and
// XLOG_BLCKSZ), so that pages are never copied in part.
const block = 8192

// content is what a changed regular file holds: blocks of the lower file until they are
// written, then blocks of upper. Names and open files share it by refs.
type content struct {
	lower     File // nil: made here
	lowerName string
	lowerSize int64
	dir       string   // where upper is made
	upper     *os.File // nil until something is written
	size      int64
	changed   []uint64 // bitmap: block is in upper
	refs      int
}

func (c *content) release() error {
	if c.refs--; c.refs > 0 {
		return nil
	}
	var err error
	if c.upper != nil {
		err = c.upper.Close()
	}
	if c.lower != nil {
		if lerr := c.lower.Close(); err == nil {
			err = lerr
		}
	}
	return err
}

func (c *content) has(b int64) bool {
	i := b >> 6
	return c.lower == nil || i < int64(len(c.changed)) && c.changed[i]&(1<<(b&63)) != 0
}

func (c *content) mark(b int64) {
	for b>>6 >= int64(len(c.changed)) {
		c.changed = append(c.changed, 0)
	}
	c.changed[b>>6] |= 1 << (b & 63)
}

func (c *content) readAt(b []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, nil
	}
	b = b[:min(int64(len(b)), c.size-off)]
	for done := 0; done < len(b); {
		at := off + int64(done)
		n := min(len(b)-done, int(block-at%block))
		part := b[done : done+n]
		var got int
		var err error
		switch blk := at / block; {
		case c.upper != nil && c.has(blk):
			if got, err = c.upper.ReadAt(part, at); errors.Is(err, io.EOF) {
				err = nil
			}
		case c.lower != nil && at < c.lowerSize:
			got, err = c.lower.ReadAt(part[:min(int64(n), c.lowerSize-at)], at)
		}
		if err != nil {
			return done, err
		}
		clear(part[got:])
		done += n
	}
	return len(b), nil
}

// open makes the file for changed blocks. Nothing else needs its name, and without one
// nothing is left behind by a crash.
func (c *content) open() error {
	if c.upper != nil {
		return nil
	}
	f, err := os.CreateTemp(c.dir, "f")
	if err != nil {
		return err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return err
	}
	c.upper = f
	return nil
}

func (c *content) writeAt(b []byte, off int64) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if err := c.open(); err != nil {
		return 0, err
	}
	if c.lower != nil {
		// Blocks written in part are completed from below first.
		end := off + int64(len(b))
		for _, blk := range [...]int64{off / block, (end - 1) / block} {
			whole := off <= blk*block && end >= (blk+1)*block
			if !c.has(blk) && !whole {
				if err := c.copyBlock(blk); err != nil {
					return 0, err
				}
			}
		}
		for blk := off / block; blk*block < end; blk++ {
			c.mark(blk)
		}
	}
	n, err := c.upper.WriteAt(b, off)
	c.size = max(c.size, off+int64(n))
	return n, err
}

func (c *content) copyBlock(blk int64) error {
	if at := blk * block; at < c.lowerSize {
		var buf [block]byte
		n, err := c.lower.ReadAt(buf[:min(block, c.lowerSize-at)], at)
		if err != nil {
			return err
		}
		if _, err := c.upper.WriteAt(buf[:n], at); err != nil {
			return err
		}
	}
	c.mark(blk)
	return nil
}

func (c *content) truncate(size int64) error {
	if size < c.size {
		if c.lower != nil && size%block != 0 && !c.has(size/block) {
			if err := c.open(); err != nil {
				return err
			}
			if err := c.copyBlock(size / block); err != nil {
				return err
			}
		}
		c.lowerSize = min(c.lowerSize, size)
		if c.upper == nil {
			c.size = size
			return nil
		}
		if err := c.upper.Truncate(size); err != nil {
			return err
		}
	}
	c.size = size
	return nil
}

// overlayFile is an open changed file.
type overlayFile struct {
	o    *Overlay
	name string
	n    *node
	c    *content
}

func (f *overlayFile) ReadAt(b []byte, off int64) (int, error) { return f.c.readAt(b, off) }

func (f *overlayFile) WriteAt(b []byte, off int64) (int, error) {
	f.n.kept = true
	return f.c.writeAt(b, off)
}

func (f *overlayFile) Stat() (Stat, error) { return memStat(f.n.mode, f.c.size, f.n.ino), nil }

func (f *overlayFile) Truncate(size int64) error {
	f.n.kept = true
	return f.c.truncate(size)
}

// Sync does nothing: what the overlay holds ends with the process anyway.
func (f *overlayFile) Sync() error { return nil }

func (f *overlayFile) Close() error {
	if err := f.c.release(); err != nil {
		return err
	}
	return f.o.forget(f.name, f.n)
}

// dirFile is an open directory that was made in the overlay.
type dirFile struct{ n *node }

func (dirFile) ReadAt([]byte, int64) (int, error)  { return 0, syscall.EISDIR }
func (dirFile) WriteAt([]byte, int64) (int, error) { return 0, syscall.EBADF }
func (d dirFile) Stat() (Stat, error)              { return d.n.stat(), nil }
func (dirFile) Truncate(int64) error               { return syscall.EINVAL }
func (dirFile) Sync() error                        { return nil }
func (dirFile) Close() error                       { return nil }

// entry is a directory entry of a changed path.
type entry struct {
	name string
	n    *node
}

func (e entry) Name() string               { return e.name }
func (e entry) IsDir() bool                { return e.n.mode.IsDir() }
func (e entry) Type() fs.FileMode          { return e.n.mode.Type() }
func (e entry) Info() (fs.FileInfo, error) { return nil, syscall.ENOSYS }
