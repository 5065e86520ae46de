package lease

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A Watch waits for the end of a lease that its holder did not end: by a kick, by its time,
// with the server. Stop has to be called.
type Watch struct {
	bell *os.File // closed by Stop
	lost chan struct{}
	done chan struct{}
}

// Watch begins to watch the connection. Nothing may be asked of the server before Stop.
func (c *Client) Watch() (*Watch, error) { return watch(c.conn) }

// Watch begins to watch the connection.
func (l *Legacy) Watch() (*Watch, error) { return watch(l.conn) }

// watch waits until there is something to read: the server does not speak first, so that is
// the end. It does so by poll(2), as a read would hang in it: who has a copy of the
// descriptor may have made it block, for us as well (as os/exec does).
func watch(conn *net.UnixConn) (*Watch, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	ear, bell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	w := &Watch{bell: bell, lost: make(chan struct{}), done: make(chan struct{})}
	go func() { // Stop waits for it
		defer close(w.done)
		defer func() { _ = ear.Close() }()
		err := raw.Control(func(fd uintptr) {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(ear.Fd()), Events: unix.POLLIN}}
			for {
				if _, err := unix.Poll(fds, -1); !errors.Is(err, unix.EINTR) {
					break
				}
			}
			if fds[0].Revents != 0 {
				close(w.lost)
			}
			_ = unix.SetNonblock(int(fd), true) // so that what is asked next can be given up
		})
		if err != nil { // the connection was closed before
			close(w.lost)
		}
	}()
	return w, nil
}

// Lost is closed when the lease has ended.
func (w *Watch) Lost() <-chan struct{} { return w.lost }

// Stop ends the watch.
func (w *Watch) Stop() {
	_ = w.bell.Close()
	<-w.done
}
