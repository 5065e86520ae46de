package guestfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Dir is a host directory as a Tree. Writes go through to it unless it is read-only.
type Dir struct {
	root     *os.Root
	readOnly bool
}

// OpenDir opens the host directory dir.
func OpenDir(dir string, readOnly bool) (*Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Dir{root, readOnly}, nil
}

// Close releases the directory.
func (d *Dir) Close() error { return d.root.Close() }

// hostErr lets errors of the system through and takes every other error of os.Root as one
// of confinement.
func hostErr(err error) error {
	var errno syscall.Errno
	if err == nil || errors.As(err, &errno) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return syscall.ENOENT
	}
	return errEscape
}

func hostFlags(flags int) int {
	out := 0
	switch flags & accessMode {
	case OWronly:
		out = os.O_WRONLY
	case ORdwr:
		out = os.O_RDWR
	}
	for _, f := range [...][2]int{{OCreate, os.O_CREATE}, {OExcl, os.O_EXCL}, {OTrunc, os.O_TRUNC}} {
		if flags&f[0] != 0 {
			out |= f[1]
		}
	}
	return out
}

// Open implements Tree.
func (d *Dir) Open(name string, flags int, perm fs.FileMode) (File, error) {
	if d.readOnly && flags&(accessMode|OCreate|OTrunc) != 0 {
		return nil, syscall.EROFS
	}
	f, err := d.root.OpenFile(name, hostFlags(flags), perm)
	if err != nil {
		return nil, hostErr(err)
	}
	if flags&ODirectory != 0 {
		if fi, err := f.Stat(); err != nil || !fi.IsDir() {
			_ = f.Close()
			return nil, syscall.ENOTDIR
		}
	}
	return &hostFile{f}, nil
}

// Stat implements Tree.
func (d *Dir) Stat(name string) (Stat, error) { return statOf(d.root.Stat(name)) }

// Lstat implements Tree.
func (d *Dir) Lstat(name string) (Stat, error) { return statOf(d.root.Lstat(name)) }

// ReadDir implements Tree.
func (d *Dir) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, hostErr(err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	return entries, hostErr(err)
}

// Readlink implements Tree.
func (d *Dir) Readlink(name string) (string, error) {
	s, err := d.root.Readlink(name)
	return s, hostErr(err)
}

func (d *Dir) write(op func() error) error {
	if d.readOnly {
		return syscall.EROFS
	}
	return hostErr(op())
}

// Mkdir implements Tree.
func (d *Dir) Mkdir(name string, perm fs.FileMode) error {
	return d.write(func() error { return d.root.Mkdir(name, perm) })
}

// Remove implements Tree.
func (d *Dir) Remove(name string, dir bool) error {
	return d.write(func() error {
		st, err := d.root.Lstat(name)
		switch {
		case err != nil:
			return err
		case st.IsDir() && !dir:
			return syscall.EISDIR
		case !st.IsDir() && dir:
			return syscall.ENOTDIR
		}
		return d.root.Remove(name)
	})
}

// Rename implements Tree.
func (d *Dir) Rename(oldname, newname string) error {
	return d.write(func() error { return d.root.Rename(oldname, newname) })
}

// Link implements Tree.
func (d *Dir) Link(oldname, newname string) error {
	return d.write(func() error { return d.root.Link(oldname, newname) })
}

// Symlink implements Tree.
func (d *Dir) Symlink(target, newname string) error {
	return d.write(func() error { return d.root.Symlink(target, newname) })
}

// Chmod implements Tree.
func (d *Dir) Chmod(name string, mode fs.FileMode) error {
	return d.write(func() error { return d.root.Chmod(name, mode) })
}

// hostFile is an open host file as a File.
type hostFile struct{ f *os.File }

func (h *hostFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := h.f.ReadAt(b, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

func (h *hostFile) WriteAt(b []byte, off int64) (int, error) { return h.f.WriteAt(b, off) }
func (h *hostFile) Stat() (Stat, error)                      { return statOf(h.f.Stat()) }
func (h *hostFile) Truncate(size int64) error                { return h.f.Truncate(size) }
func (h *hostFile) Sync() error                              { return h.f.Sync() }
func (h *hostFile) Close() error                             { return h.f.Close() }

func statOf(fi fs.FileInfo, err error) (Stat, error) {
	if err != nil {
		return Stat{}, hostErr(err)
	}
	st := Stat{Mode: fi.Mode(), Size: fi.Size(), Nlink: 1, Mtime: fi.ModTime()}
	sysStat(fi, &st)
	return st, nil
}

// A memStat describes a file that is on no disk.
func memStat(mode fs.FileMode, size int64, ino uint64) Stat {
	return Stat{Mode: mode, Size: size, Ino: ino, Nlink: 1, Mtime: time.Now()}
}
