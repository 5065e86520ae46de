package guestfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Copy returns an overlay that shows what o shows now, with changes of its own in files of
// the existing directory upper. It takes as long as copying what o has changed. The tree
// below must be a Sharer.
func (o *Overlay) Copy(upper string) (_ *Overlay, err error) {
	below, ok := o.lower.(Sharer)
	if !ok {
		return nil, fmt.Errorf("copy an overlay: %T cannot be shared", o.lower)
	}
	lower, err := below.Share()
	if err != nil {
		return nil, err
	}
	to := NewOverlay(lower, upper)
	to.ino = o.ino
	defer func() {
		if err != nil {
			err = errors.Join(err, to.Close())
		}
	}()
	copied := map[*node]*node{} // several names may be one file
	for name, n := range o.nodes {
		switch {
		case n == nil:
			to.nodes[name] = nil
			continue
		case n.data != nil && !n.kept:
			continue // open, and as it is below
		}
		if c := copied[n]; c != nil {
			c.data.refs++
			to.nodes[name] = c
			continue
		}
		c := &node{ino: n.ino, mode: n.mode, target: n.target, kept: n.kept}
		if n.data != nil {
			if c.data, err = n.data.copyTo(lower, upper); err != nil {
				return nil, fmt.Errorf("copy %s: %w", name, err)
			}
		}
		copied[n] = c
		to.nodes[name] = c
	}
	return to, nil
}

// copyTo returns a copy of the content, over the same file of another view of the lower
// tree.
func (c *content) copyTo(lower Tree, dir string) (_ *content, err error) {
	to := &content{lowerName: c.lowerName, lowerSize: c.lowerSize, dir: dir, size: c.size, changed: slices.Clone(c.changed), refs: 1}
	defer func() {
		if err != nil {
			err = errors.Join(err, to.release())
		}
	}()
	if c.lower != nil {
		if to.lower, err = lower.Open(c.lowerName, 0, 0); err != nil {
			return nil, err
		}
	}
	if c.upper == nil {
		return to, nil
	}
	if err := to.open(); err != nil {
		return nil, err
	}
	if c.lower == nil {
		return to, copyRange(to.upper, c.upper, 0, c.size)
	}
	for from := int64(0); from*block < c.size; from++ {
		if !c.has(from) {
			continue
		}
		end := from + 1
		for end*block < c.size && c.has(end) {
			end++
		}
		if err := copyRange(to.upper, c.upper, from*block, min(end*block, c.size)); err != nil {
			return nil, err
		}
		from = end
	}
	return to, nil
}

// copyRange copies bytes between files at the same place, in the kernel where it can. What
// is behind the end of src is nothing.
func copyRange(dst, src *os.File, from, to int64) error {
	for _, f := range []*os.File{dst, src} {
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			return err
		}
	}
	_, err := io.CopyN(dst, src, to-from)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// Share implements Sharer for read-only directories.
func (d *Dir) Share() (Tree, error) {
	if !d.readOnly {
		return nil, errors.New("a directory that is written to cannot be shared")
	}
	root, err := d.root.OpenRoot(".")
	if err != nil {
		return nil, err
	}
	return &Dir{root, true}, nil
}
