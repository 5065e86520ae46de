package guestfs

import (
	"io/fs"
	"sync"
	"syscall"
)

// A Sharer is a Tree that can be had a second time: both show the same, and each is closed
// by itself.
type Sharer interface {
	Tree
	Share() (Tree, error)
}

// A frozen tree is one that nobody changes any more, for several overlays to stand on, in
// goroutines of their own.
type frozen struct {
	mu   sync.Mutex
	tree Tree
	refs int
	done func() error
}

// Freeze shows tree read-only; its Share gives others the same view. When the last of them
// is closed, tree is closed and done called.
func Freeze(tree Tree, done func() error) Sharer {
	return &frozenView{f: &frozen{tree: tree, refs: 1, done: done}}
}

// A frozenView is one user's view of a frozen tree.
type frozenView struct {
	f      *frozen
	closed bool // guarded by f.mu
}

// Share implements Sharer.
func (v *frozenView) Share() (Tree, error) {
	v.f.mu.Lock()
	defer v.f.mu.Unlock()
	if v.closed {
		return nil, fs.ErrClosed
	}
	v.f.refs++
	return &frozenView{f: v.f}, nil
}

// Close implements Tree. A second Close does nothing.
func (v *frozenView) Close() error {
	v.f.mu.Lock()
	defer v.f.mu.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	if v.f.refs--; v.f.refs > 0 {
		return nil
	}
	err := v.f.tree.Close()
	if derr := v.f.done(); err == nil {
		err = derr
	}
	return err
}

// Open implements Tree.
func (v *frozenView) Open(name string, flags int, perm fs.FileMode) (File, error) {
	if flags&(accessMode|OCreate|OTrunc) != 0 {
		return nil, syscall.EROFS
	}
	v.f.mu.Lock()
	defer v.f.mu.Unlock()
	file, err := v.f.tree.Open(name, flags, perm)
	if err != nil {
		return nil, err
	}
	return &frozenFile{v.f, file}, nil
}

// Stat implements Tree.
func (v *frozenView) Stat(name string) (Stat, error) {
	v.f.mu.Lock()
	defer v.f.mu.Unlock()
	return v.f.tree.Stat(name)
}

// Lstat implements Tree.
func (v *frozenView) Lstat(name string) (Stat, error) {
	v.f.mu.Lock()
	defer v.f.mu.Unlock()
	return v.f.tree.Lstat(name)
}

// ReadDir implements Tree.
func (v *frozenView) ReadDir(name string) ([]fs.DirEntry, error) {
	v.f.mu.Lock()
	defer v.f.mu.Unlock()
	return v.f.tree.ReadDir(name)
}

// Readlink implements Tree.
func (v *frozenView) Readlink(name string) (string, error) {
	v.f.mu.Lock()
	defer v.f.mu.Unlock()
	return v.f.tree.Readlink(name)
}

// Mkdir implements Tree.
func (*frozenView) Mkdir(string, fs.FileMode) error { return syscall.EROFS }

// Remove implements Tree.
func (*frozenView) Remove(string, bool) error { return syscall.EROFS }

// Rename implements Tree.
func (*frozenView) Rename(string, string) error { return syscall.EROFS }

// Link implements Tree.
func (*frozenView) Link(string, string) error { return syscall.EROFS }

// Symlink implements Tree.
func (*frozenView) Symlink(string, string) error { return syscall.EROFS }

// Chmod implements Tree.
func (*frozenView) Chmod(string, fs.FileMode) error { return syscall.EROFS }

// A frozenFile is an open file of a frozen tree. Reading takes no lock: nobody writes.
type frozenFile struct {
	f    *frozen
	file File
}

func (h *frozenFile) ReadAt(b []byte, off int64) (int, error) { return h.file.ReadAt(b, off) }
func (h *frozenFile) WriteAt([]byte, int64) (int, error)      { return 0, syscall.EBADF }
func (h *frozenFile) Stat() (Stat, error)                     { return h.file.Stat() }
func (h *frozenFile) Truncate(int64) error                    { return syscall.EINVAL }
func (h *frozenFile) Sync() error                             { return nil }

func (h *frozenFile) Close() error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	return h.file.Close()
}
