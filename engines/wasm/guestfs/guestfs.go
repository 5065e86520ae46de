// Package guestfs is the file system that a guest sees: host directories mounted at guest
// paths, and nothing else of the host.
//
// Every path is resolved inside its mount through [os.Root], so neither ".." nor a
// symbolic link leads out. A link that is absolute, or that leaves its mount, is followed
// in the guest's own namespace. An [Overlay] mount shows a read-only directory and keeps
// what the guest changes elsewhere.
package guestfs

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Flags of Open, with Linux's numbers: the guest passes them through.
const (
	OWronly    = 0x1
	ORdwr      = 0x2
	OCreate    = 0x40
	OExcl      = 0x80
	OTrunc     = 0x200
	OAppend    = 0x400
	ODirectory = 0x10000

	accessMode = 0x3
)

// A Stat describes a file.
type Stat struct {
	Mode  fs.FileMode
	Size  int64
	Ino   uint64
	Nlink uint32
	Mtime time.Time
}

// A File is an open file. It has no position. It is not safe for concurrent use.
type File interface {
	ReadAt(b []byte, off int64) (int, error)
	WriteAt(b []byte, off int64) (int, error)
	Stat() (Stat, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// A Tree is what is mounted. Names are relative, clean, "." for the root. Errors wrap a
// syscall.Errno; errEscape asks for resolution in the guest's namespace.
type Tree interface {
	Open(name string, flags int, perm fs.FileMode) (File, error)
	Stat(name string) (Stat, error)
	Lstat(name string) (Stat, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Readlink(name string) (string, error)
	Mkdir(name string, perm fs.FileMode) error
	Remove(name string, dir bool) error
	Rename(oldname, newname string) error
	Link(oldname, newname string) error
	Symlink(target, newname string) error
	Chmod(name string, mode fs.FileMode) error
	Close() error
}

// errEscape is returned by a Tree for a name that a symbolic link leads out of it.
var errEscape = errors.New("path leaves its mount")

type mount struct {
	at   string
	tree Tree
}

// FS is a set of mounts. It is not safe for concurrent use.
type FS struct {
	mounts []mount // longest path first
	alias  map[string]string
}

// New returns an FS in which nothing exists yet.
func New() *FS { return &FS{alias: map[string]string{}} }

// Mount shows t at the guest path at; the FS closes it. Longer paths win.
func (f *FS) Mount(at string, t Tree) {
	f.mounts = append(f.mounts, mount{path.Clean(at), t})
	slices.SortStableFunc(f.mounts, func(a, b mount) int { return len(b.at) - len(a.at) })
}

// Alias makes one guest path stand for another.
func (f *FS) Alias(from, to string) { f.alias[from] = to }

// Close closes the mounted trees.
func (f *FS) Close() error {
	var errs []error
	for _, m := range f.mounts {
		errs = append(errs, m.tree.Close())
	}
	f.mounts = nil
	return errors.Join(errs...)
}

// locate returns the tree that holds a guest path, and the name in it.
func (f *FS) locate(p string) (Tree, string, error) {
	p = path.Clean("/" + p)
	if to, ok := f.alias[p]; ok {
		p = to
	}
	for _, m := range f.mounts {
		switch {
		case p == m.at:
			return m.tree, ".", nil
		case m.at == "/":
			return m.tree, p[1:], nil
		case strings.HasPrefix(p, m.at) && p[len(m.at)] == '/':
			return m.tree, p[len(m.at)+1:], nil
		}
	}
	return nil, "", syscall.ENOENT
}

// at runs op on the tree of p, a second time with links resolved when they lead elsewhere.
// final says that a link at the end of the path is followed too.
func (f *FS) at(p string, final bool, op func(t Tree, name string) error) error {
	t, name, err := f.locate(p)
	if err != nil {
		return err
	}
	if err = op(t, name); !errors.Is(err, errEscape) {
		return err
	}
	if p, err = f.resolve(p, final); err != nil {
		return err
	}
	if t, name, err = f.locate(p); err != nil {
		return err
	}
	if err = op(t, name); errors.Is(err, errEscape) {
		return syscall.EACCES
	}
	return err
}

// resolve follows the links of p in the guest's namespace.
func (f *FS) resolve(p string, final bool) (string, error) {
	rest := strings.Split(strings.Trim(path.Clean("/"+p), "/"), "/")
	done := "/"
	for links := 0; len(rest) > 0; {
		next := path.Join(done, rest[0])
		rest = rest[1:]
		if len(rest) == 0 && !final {
			return next, nil
		}
		t, name, err := f.locate(next)
		if err != nil {
			return "", err
		}
		st, err := t.Lstat(name)
		if err != nil || st.Mode&fs.ModeSymlink == 0 {
			done = next // a missing last component may be about to be created
			continue
		}
		if links++; links > 40 {
			return "", syscall.ELOOP
		}
		target, err := t.Readlink(name)
		if err != nil {
			return "", err
		}
		if !path.IsAbs(target) {
			target = path.Join(done, target)
		}
		rest = append(strings.Split(strings.Trim(path.Clean(target), "/"), "/"), rest...)
		done = "/"
	}
	return done, nil
}

// Open opens or creates the file at p.
func (f *FS) Open(p string, flags int, perm fs.FileMode) (file File, err error) {
	err = f.at(p, true, func(t Tree, name string) (err error) {
		file, err = t.Open(name, flags, perm.Perm())
		return err
	})
	return file, err
}

// Stat describes the file at p; Lstat does not follow a link there.
func (f *FS) Stat(p string) (st Stat, err error) {
	err = f.at(p, true, func(t Tree, name string) (err error) { st, err = t.Stat(name); return err })
	return st, err
}

// Lstat describes the file or link at p.
func (f *FS) Lstat(p string) (st Stat, err error) {
	err = f.at(p, false, func(t Tree, name string) (err error) { st, err = t.Lstat(name); return err })
	return st, err
}

// ReadDir lists the directory at p.
func (f *FS) ReadDir(p string) (entries []fs.DirEntry, err error) {
	err = f.at(p, true, func(t Tree, name string) (err error) { entries, err = t.ReadDir(name); return err })
	return entries, err
}

// Readlink returns the target of the link at p.
func (f *FS) Readlink(p string) (target string, err error) {
	err = f.at(p, false, func(t Tree, name string) (err error) { target, err = t.Readlink(name); return err })
	return target, err
}

// Mkdir makes a directory.
func (f *FS) Mkdir(p string, perm fs.FileMode) error {
	return f.at(p, false, func(t Tree, name string) error { return t.Mkdir(name, perm.Perm()) })
}

// Remove removes a file, or with dir an empty directory.
func (f *FS) Remove(p string, dir bool) error {
	return f.at(p, false, func(t Tree, name string) error { return t.Remove(name, dir) })
}

// Symlink makes a link at p. Its target is a guest path and is not checked now, but each
// time that it is followed.
func (f *FS) Symlink(target, p string) error {
	return f.at(p, false, func(t Tree, name string) error { return t.Symlink(target, name) })
}

// Chmod sets the permission bits of the file at p.
func (f *FS) Chmod(p string, mode fs.FileMode) error {
	return f.at(p, true, func(t Tree, name string) error { return t.Chmod(name, mode.Perm()) })
}

// Rename moves a file within one mount.
func (f *FS) Rename(from, to string) error { return f.two(from, to, Tree.Rename) }

// Link makes a hard link within one mount.
func (f *FS) Link(from, to string) error { return f.two(from, to, Tree.Link) }

func (f *FS) two(from, to string, op func(t Tree, oldname, newname string) error) error {
	return f.at(from, false, func(t Tree, oldname string) error {
		return f.at(to, false, func(t2 Tree, newname string) error {
			if t != t2 {
				return syscall.EXDEV
			}
			return op(t, oldname, newname)
		})
	})
}
