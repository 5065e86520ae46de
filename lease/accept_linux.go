package lease

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A door listens on a unix socket.
type door struct {
	fd int

	mu     sync.Mutex
	used   bool // somebody accepts, and closes the descriptor
	closed bool // it accepts no more
	freed  bool // the descriptor is closed
}

// openDoor binds a socket to path, with the mode that the umask gives, and listens.
func openDoor(path string) (*door, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrUnix{Name: path})); err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &door{fd: fd}, nil
}

// backlog is how many may have connected and not been met yet; net.core.somaxconn, which
// is 4096 by default, bounds it.
const backlog = 4096

// accept waits for the next client. Only one goroutine may call it. The error wraps
// errClosed after close.
func (d *door) accept() (*caller, error) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, errClosed
	}
	d.used = true
	d.mu.Unlock()
	fd, err := d.wait()
	d.mu.Lock()
	if d.closed {
		err = errors.Join(errClosed, d.free())
	}
	d.mu.Unlock()
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return nil, err
	}
	c := &caller{fd: fd}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		c.err = fmt.Errorf("ask who is connected: %w", err)
		return c, nil
	}
	c.pid, c.uid = int(cred.Pid), int(cred.Uid)
	return c, nil
}

func (d *door) wait() (int, error) {
	for {
		fd, _, err := unix.Accept4(d.fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		default:
			return -1, os.NewSyscallError("accept", err)
		}
	}
}

// free closes the descriptor once. d.mu is held.
func (d *door) free() error {
	if d.freed {
		return nil
	}
	d.freed = true
	return unix.Close(d.fd)
}

// use says that whoever calls it will call release, and until then uses the descriptor.
func (d *door) use() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used = true
}

func (d *door) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.free()
}

func (d *door) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// close ends accept, and with it the listening. A second close does nothing.
func (d *door) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	if !d.used {
		return d.free()
	}
	// That ends the accept, which closes the descriptor, so that its number is not another
	// file's meanwhile.
	return os.NewSyscallError("shutdown", unix.Shutdown(d.fd, unix.SHUT_RDWR))
}

// A caller is a client that has just connected. It becomes a stream, or is sent away.
type caller struct {
	fd       int
	pid, uid int
	err      error // why pid and uid are not known
}

// stream makes the connection one that can be waited for.
func (c *caller) stream() stream { return os.NewFile(uintptr(c.fd), "lease client") }

func (c *caller) sendAway() { _ = unix.Close(c.fd) }
