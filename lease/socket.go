package lease

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// A socket is a listener at a path that is ours for as long as its lock is held.
type socket struct {
	*door
	path string
	lock *dirlock.Lock
}

// errClosed is the error of accepting after the socket was closed.
var errClosed = errors.New("the socket has been closed")

// A stream is a connection that was accepted.
type stream interface {
	io.ReadWriteCloser
	SetWriteDeadline(t time.Time) error
}

// maxSocketPath is how long the path of a unix socket may be (unix(7)).
func maxSocketPath() int { return place.MaxSocketDir() + len("/.s.PGSQL.5432") }

// listen makes a socket with mode 0600 at path, in the place of one that a killed server
// left. The error wraps engines.ErrLocked where another server is alive there.
func listen(path string) (*socket, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if n, most := len(path), maxSocketPath(); n > most {
		return nil, fmt.Errorf("listen on %s: the path has %d bytes, a unix socket's may have %d; choose a shorter one by --socket or PGM_SOCKET", path, n, most)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the socket's directory: %w", err)
	}
	lock, err := dirlock.TryExclusive(path + ".lock")
	if errors.Is(err, dirlock.ErrHeld) {
		return nil, fmt.Errorf("listen on %s: another lease server is there: %w", path, engines.ErrLocked)
	} else if err != nil {
		return nil, err
	}
	l, err := listenLocked(path)
	if err != nil {
		return nil, errors.Join(err, lock.Remove())
	}
	return &socket{door: l, path: path, lock: lock}, nil
}

func listenLocked(path string) (*door, error) {
	switch fi, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case fi.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("listen on %s: there is something that is no socket; move it away", path)
	case answers(path):
		return nil, fmt.Errorf("listen on %s: a server that is not ours is there: %w", path, engines.ErrLocked)
	}
	// Made under another name and moved, so that nobody meets it with the mode that the
	// umask gives, and what was there before is replaced at once.
	tmp := filepath.Join(filepath.Dir(path), ".l"+strconv.FormatInt(int64(os.Getpid()), 36)+newID()[:4])
	if len(tmp) > maxSocketPath() {
		tmp = path
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	l, err := openDoor(tmp)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err = os.Chmod(tmp, 0o600); err == nil && tmp != path {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), l.close(), os.Remove(tmp))
	}
	return l, nil
}

// answers reports whether a process listens on the stream socket at path. Connecting would
// take a name from a pgmanager for ever; a datagram socket is refused in one way where
// somebody listens (EPROTOTYPE) and in another where nobody does (ECONNREFUSED).
func answers(path string) bool {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return false
	}
	defer func() { _ = syscall.Close(fd) }()
	err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: path})
	return err == nil || errors.Is(err, syscall.EPROTOTYPE)
}

// Close stops listening and removes the socket and its lock.
func (s *socket) Close() error {
	err := errors.Join(s.door.close(), os.Remove(s.path))
	return errors.Join(err, s.lock.Remove())
}
