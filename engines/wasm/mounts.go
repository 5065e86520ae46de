package wasm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// mounts is the file system of a server with the temporary directory it needs.
type mounts struct {
	fs   *guestfs.FS
	data guestfs.Tree // what is at guest.DataDir
	tmp  string
	lock *dirlock.Lock // says that tmp is in use
}

// tempNeed is the free space below which /dev/shm is not used for temporary servers.
const tempNeed = 512 << 20

// mount shows the data directory dir to a guest. With lower, dir is not used: the guest
// sees lower, and what it changes is kept in the temporary directory.
func (e *Engine) mount(l *loaded, dir, lower string) (*mounts, error) {
	if lower == "" {
		return e.mountTree(l, func(string) (guestfs.Tree, error) { return guestfs.OpenDir(dir, false) })
	}
	return e.mountTree(l, func(changes string) (guestfs.Tree, error) {
		below, err := guestfs.OpenDir(lower, true)
		if err != nil {
			return nil, err
		}
		return guestfs.NewOverlay(below, changes), nil
	})
}

// mountTree shows the data directory that open returns, which may keep files in the
// directory that it is given.
func (e *Engine) mountTree(l *loaded, open func(changes string) (guestfs.Tree, error)) (m *mounts, err error) {
	base, err := place.Temp(tempNeed)
	if err != nil {
		return nil, err
	}
	tmp, lock, err := tempDir(base)
	if err != nil {
		return nil, err
	}
	m = &mounts{tmp: tmp, lock: lock}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp), lock.Unlock())
		}
	}()
	for _, d := range []string{"scratch/tmp", "changes"} {
		if err := os.MkdirAll(filepath.Join(tmp, d), 0o700); err != nil {
			return nil, err
		}
	}
	data, err := open(filepath.Join(tmp, "changes"))
	if err != nil {
		return nil, err
	}
	m.data = data
	scratch, err := guestfs.OpenDir(filepath.Join(tmp, "scratch"), false)
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	if m.fs, err = l.rt.Mounts(data, scratch); err != nil {
		return nil, errors.Join(err, data.Close(), scratch.Close())
	}
	for at, host := range e.cfg.Mounts {
		tree, err := guestfs.OpenDir(host, false)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("mount %s at %s: %w", host, at, err), m.fs.Close())
		}
		m.fs.Mount(at, tree)
	}
	m.fs.Alias("/dev/blob", "/tmp/.blob")
	return m, nil
}

// close gives everything back.
func (m *mounts) close() error {
	return errors.Join(m.fs.Close(), os.RemoveAll(m.tmp), m.lock.Unlock())
}

// tempDir makes a directory that is locked as long as this process uses it. It gets the
// name that sweepTemp looks for once it is locked.
func tempDir(base string) (string, *dirlock.Lock, error) {
	hidden, err := os.MkdirTemp(base, ".wasm-")
	if err != nil {
		return "", nil, err
	}
	lock, err := dirlock.TryExclusive(filepath.Join(hidden, "lock"))
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(hidden))
	}
	tmp := filepath.Join(base, filepath.Base(hidden)[1:])
	if err := os.Rename(hidden, tmp); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(hidden), lock.Unlock())
	}
	return tmp, lock, nil
}

// sweepTemp removes the temporary directories of processes that were killed.
func sweepTemp() {
	for _, base := range place.TempRoots() {
		left, _ := filepath.Glob(filepath.Join(base, "wasm-*"))
		for _, dir := range left {
			file := filepath.Join(dir, "lock")
			if _, err := os.Stat(file); err != nil {
				continue // not one of ours
			}
			if lock, err := dirlock.TryExclusive(file); err == nil {
				_ = os.RemoveAll(dir)
				_ = lock.Unlock()
			}
		}
	}
}

// A versionError wraps engines.ErrVersion.
type versionError struct{ dir, got, want string }

func (e *versionError) Error() string {
	return fmt.Sprintf("%s was made by PostgreSQL %s, and the WebAssembly engine runs %s; dump it with that version and load the dump", e.dir, e.got, e.want)
}

func (e *versionError) Unwrap() error { return engines.ErrVersion }
