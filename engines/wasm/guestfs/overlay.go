package guestfs

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// An Overlay shows a read-only tree and keeps every change in flat files of a directory
// of its own, in blocks: writing 8 kB into a 16 MB file of the lower tree takes 8 kB. The
// table of changes is in memory, so an Overlay ends with its process. It is not safe for
// concurrent use.
type Overlay struct {
	lower Tree
	upper string // host directory for changed blocks
	nodes map[string]*node
	ino   uint64
}

// A node is a path that differs from the lower tree. A nil node hides what is below.
type node struct {
	ino    uint64
	mode   fs.FileMode
	target string // of a symbolic link
	data   *content
	kept   bool // differs from the lower file; else it goes with its last open file
}

// NewOverlay shows lower, which it closes, and keeps changes in files of the existing
// empty host directory upper, which the caller removes.
func NewOverlay(lower Tree, upper string) *Overlay {
	return &Overlay{lower: lower, upper: upper, nodes: map[string]*node{}, ino: 1 << 40}
}

// Close closes the changed files and the lower tree.
func (o *Overlay) Close() error {
	var errs []error
	for _, n := range o.nodes {
		if n != nil && n.data != nil {
			errs = append(errs, n.data.release())
		}
	}
	o.nodes = nil
	return errors.Join(append(errs, o.lower.Close())...)
}

// find returns the node of name, or fromLower when it is unchanged.
func (o *Overlay) find(name string) (n *node, fromLower bool, err error) {
	n, changed := o.nodes[name]
	if changed {
		if n == nil {
			return nil, false, syscall.ENOENT
		}
		return n, false, nil
	}
	// A directory that was renamed or removed hides all below it.
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if n, changed := o.nodes[dir]; changed {
			if n == nil || n.mode.IsDir() {
				return nil, false, syscall.ENOENT
			}
			return nil, false, syscall.ENOTDIR
		}
	}
	return nil, true, nil
}

// parent checks that a file may be made at name.
func (o *Overlay) parent(name string) error {
	st, err := o.Stat(path.Dir(name))
	if err == nil && !st.Mode.IsDir() {
		return syscall.ENOTDIR
	}
	return err
}

// Open implements Tree.
func (o *Overlay) Open(name string, flags int, perm fs.FileMode) (File, error) {
	n, fromLower, err := o.find(name)
	if fromLower {
		st, lerr := o.lower.Stat(name)
		switch {
		case lerr == nil && flags&OExcl != 0 && flags&OCreate != 0:
			return nil, syscall.EEXIST
		case lerr == nil && !st.Mode.IsRegular():
			return o.lower.Open(name, flags&^(OCreate|OTrunc), 0)
		case lerr == nil:
			// Files that are only read pass here too: they must see later writes.
			if n, err = o.copyUp(name, st); err != nil {
				return nil, err
			}
		default:
			err = lerr
		}
	} else if err == nil && flags&OExcl != 0 && flags&OCreate != 0 {
		return nil, syscall.EEXIST
	}
	if errors.Is(err, syscall.ENOENT) && flags&OCreate != 0 {
		if err := o.parent(name); err != nil {
			return nil, err
		}
		n = o.put(name, &node{mode: perm, data: &content{dir: o.upper, refs: 1}, kept: true})
	} else if err != nil {
		return nil, err
	}
	switch {
	case n.mode&fs.ModeSymlink != 0:
		return nil, errEscape
	case n.mode.IsDir():
		if flags&accessMode != 0 {
			return nil, syscall.EISDIR
		}
		return dirFile{n}, nil
	case flags&ODirectory != 0:
		return nil, syscall.ENOTDIR
	}
	if flags&OTrunc != 0 {
		n.kept = true
		if err := n.data.truncate(0); err != nil {
			return nil, err
		}
	}
	n.data.refs++
	return &overlayFile{o: o, name: name, n: n, c: n.data}, nil
}

func (o *Overlay) put(name string, n *node) *node {
	o.ino++
	n.ino = o.ino
	o.nodes[name] = n
	return n
}

// copyUp makes an unchanged file changeable; its blocks are copied when they are written.
func (o *Overlay) copyUp(name string, st Stat) (*node, error) {
	f, err := o.lower.Open(name, 0, 0)
	if err != nil {
		return nil, err
	}
	return o.put(name, &node{mode: st.Mode, data: &content{lower: f, lowerName: name, lowerSize: st.Size, size: st.Size, dir: o.upper, refs: 1}}), nil
}

// forget drops the node of a file that was closed unchanged.
func (o *Overlay) forget(name string, n *node) error {
	if n.kept || n.data.refs > 1 || o.nodes[name] != n {
		return nil
	}
	delete(o.nodes, name)
	return n.data.release()
}

// Stat implements Tree.
func (o *Overlay) Stat(name string) (Stat, error) {
	st, err := o.Lstat(name)
	if err == nil && st.Mode&fs.ModeSymlink != 0 {
		return Stat{}, errEscape
	}
	return st, err
}

// Lstat implements Tree.
func (o *Overlay) Lstat(name string) (Stat, error) {
	n, fromLower, err := o.find(name)
	if err != nil {
		return Stat{}, err
	}
	if fromLower {
		return o.lower.Lstat(name)
	}
	return n.stat(), nil
}

func (n *node) stat() Stat {
	var size int64
	if n.data != nil {
		size = n.data.size
	}
	return memStat(n.mode, size, n.ino)
}

// Readlink implements Tree.
func (o *Overlay) Readlink(name string) (string, error) {
	n, fromLower, err := o.find(name)
	switch {
	case err != nil:
		return "", err
	case fromLower:
		return o.lower.Readlink(name)
	case n.mode&fs.ModeSymlink == 0:
		return "", syscall.EINVAL
	}
	return n.target, nil
}

// ReadDir implements Tree.
func (o *Overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	n, fromLower, err := o.find(name)
	if err != nil {
		return nil, err
	}
	var out []fs.DirEntry
	if fromLower {
		below, err := o.lower.ReadDir(name)
		if err != nil {
			return nil, err
		}
		for _, e := range below {
			if _, changed := o.nodes[path.Join(name, e.Name())]; !changed {
				out = append(out, e)
			}
		}
	} else if !n.mode.IsDir() {
		return nil, syscall.ENOTDIR
	}
	for p, n := range o.nodes {
		if n != nil && path.Dir(p) == name && p != "." {
			out = append(out, entry{path.Base(p), n})
		}
	}
	return out, nil
}

// Mkdir implements Tree.
func (o *Overlay) Mkdir(name string, perm fs.FileMode) error {
	if _, err := o.Lstat(name); err == nil {
		return syscall.EEXIST
	}
	if err := o.parent(name); err != nil {
		return err
	}
	o.put(name, &node{mode: perm | fs.ModeDir})
	return nil
}

// Remove implements Tree.
func (o *Overlay) Remove(name string, dir bool) error {
	st, err := o.Lstat(name)
	switch {
	case err != nil:
		return err
	case st.Mode.IsDir() && !dir:
		return syscall.EISDIR
	case !st.Mode.IsDir() && dir:
		return syscall.ENOTDIR
	}
	if dir {
		entries, err := o.ReadDir(name)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			return syscall.ENOTEMPTY
		}
	}
	return o.hide(name)
}

// hide makes name missing, whatever the lower tree has there.
func (o *Overlay) hide(name string) error {
	var err error
	if n := o.nodes[name]; n != nil && n.data != nil {
		err = n.data.release()
	}
	if _, lerr := o.lower.Lstat(name); lerr == nil {
		o.nodes[name] = nil
	} else {
		delete(o.nodes, name)
	}
	return err
}

// Rename implements Tree. A directory of the lower tree cannot be renamed (EXDEV), which
// PostgreSQL does not do.
func (o *Overlay) Rename(oldname, newname string) error {
	n, fromLower, err := o.find(oldname)
	if err != nil {
		return err
	}
	if fromLower {
		st, err := o.lower.Lstat(oldname)
		switch {
		case err != nil:
			return err
		case !st.Mode.IsRegular():
			return syscall.EXDEV
		}
		if n, err = o.copyUp(oldname, st); err != nil {
			return err
		}
	}
	if err := o.parent(newname); err != nil {
		return err
	}
	if oldname == newname {
		return nil
	}
	if st, err := o.Lstat(newname); err == nil {
		if err := o.Remove(newname, st.Mode.IsDir()); err != nil {
			return err
		}
	}
	if n.mode.IsDir() {
		prefix := oldname + "/"
		for p, child := range o.nodes {
			if strings.HasPrefix(p, prefix) {
				o.nodes[newname+"/"+p[len(prefix):]] = child
				delete(o.nodes, p)
			}
		}
	}
	n.kept = true
	delete(o.nodes, oldname)
	o.nodes[newname] = n
	if _, err := o.lower.Lstat(oldname); err == nil {
		o.nodes[oldname] = nil
	}
	return nil
}

// Link implements Tree.
func (o *Overlay) Link(oldname, newname string) error {
	n, fromLower, err := o.find(oldname)
	if err != nil {
		return err
	}
	if _, err := o.Lstat(newname); err == nil {
		return syscall.EEXIST
	}
	if fromLower {
		st, err := o.lower.Lstat(oldname)
		if err != nil {
			return err
		}
		if n, err = o.copyUp(oldname, st); err != nil {
			return err
		}
	}
	if n.data == nil {
		return syscall.EPERM
	}
	n.kept = true
	n.data.refs++
	o.nodes[newname] = n
	return nil
}

// Symlink implements Tree.
func (o *Overlay) Symlink(target, newname string) error {
	if _, err := o.Lstat(newname); err == nil {
		return syscall.EEXIST
	}
	if err := o.parent(newname); err != nil {
		return err
	}
	o.put(newname, &node{mode: fs.ModeSymlink | 0o777, target: target})
	return nil
}

// Chmod implements Tree. The mode of an unchanged directory cannot be changed; asking for
// the one it has is no error.
func (o *Overlay) Chmod(name string, mode fs.FileMode) error {
	n, fromLower, err := o.find(name)
	if err != nil {
		return err
	}
	if fromLower {
		st, err := o.lower.Lstat(name)
		if err != nil || st.Mode.Perm() == mode || !st.Mode.IsRegular() {
			return err
		}
		if n, err = o.copyUp(name, st); err != nil {
			return err
		}
	}
	n.kept = true
	n.mode = n.mode&^fs.ModePerm | mode
	return nil
}
