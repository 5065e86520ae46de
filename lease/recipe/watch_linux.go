package recipe

import (
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A watch tells whether anything in some directories may have changed, by inotify(7): one
// system call that the kernel answers by what has happened before it, where looking at every
// file takes as long as the rest of a grant several times over.
type watch struct {
	fd   int
	dirs []string
}

// watchMask is everything after which a file may be another one, or another's.
const watchMask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_MODIFY | unix.IN_CLOSE_WRITE |
	unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// newWatch watches directories, or returns nil where that would not see everything: below a
// symbolic link, or on a file system that others change as well.
func newWatch(dirs []string) *watch {
	for _, dir := range dirs {
		var st unix.Statfs_t
		real, err := filepath.EvalSymlinks(dir)
		if err != nil || real != dir || unix.Statfs(dir, &st) != nil || !local(st.Type) {
			return nil
		}
	}
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil
	}
	w := &watch{fd, dirs}
	for _, dir := range dirs {
		if _, err := unix.InotifyAddWatch(fd, dir, watchMask); err != nil {
			w.close()
			return nil
		}
	}
	return w
}

// local reports whether all changes of a file system go through this kernel.
func local(kind int64) bool {
	return slices.Contains([]int64{
		unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC,
	}, kind)
}

// quiet reports whether nothing has happened since the last call.
func (w *watch) quiet() bool {
	if w == nil {
		return false
	}
	var buf [4096]byte
	n, err := unix.Read(w.fd, buf[:])
	return n <= 0 && err == unix.EAGAIN //nolint:errorlint // as it comes from the kernel
}

func (w *watch) watches(dirs []string) bool { return w != nil && slices.Equal(w.dirs, dirs) }

func (w *watch) close() {
	if w != nil {
		_ = unix.Close(w.fd)
	}
}

// watchable reports whether a path's directory says all about the path: no pattern matches
// directories, and the file is no link to another place.
func watchable(pattern string) bool { return !strings.ContainsAny(filepath.Dir(pattern), `*?[\`) }
