package lease

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A hall is where the clients of one lease socket wait and hold their leases, as long as
// they say nothing, which pgmanager's never do. One thread serves all of them by epoll(7):
// it writes a grant as soon as it has accepted a client, or has seen the one before go, and
// has no goroutine to wait for. By way of the runtime's poller and two goroutines for each
// client a grant takes twice as long. Who says something is handed to a session.
type hall struct {
	server *Server
	pool   *Pool
	door   *door

	ep, bell int            // the epoll instance; an eventfd that ends it
	quiet    map[int]*quiet // by descriptor
}

// A quiet is a client that has said nothing.
type quiet struct {
	pid   int
	asked *Request

	mu      sync.Mutex
	fd      int      // -1 when it is closed
	told    bool     // the grant has been written
	session *session // not nil: the client has spoken, and that serves it
}

// openHall returns a hall for the clients of d. run has to be called, and ended.
func openHall(s *Server, p *Pool, d *door) (*hall, error) {
	h := &hall{server: s, pool: p, door: d, bell: -1, quiet: map[int]*quiet{}}
	var err error
	if h.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if h.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = errors.Join(h.watch(h.bell), h.watch(d.fd), unix.SetNonblock(d.fd, true))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch a socket: %w", err), unix.Close(h.ep), unix.Close(h.bell))
	}
	d.use()
	return h, nil
}

func (h *hall) watch(fd int) error {
	return unix.EpollCtl(h.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)})
}

func (h *hall) unwatch(fd int) {
	_ = unix.EpollCtl(h.ep, unix.EPOLL_CTL_DEL, fd, nil) // it may be gone
}

// end makes run return.
func (h *hall) end() {
	_, _ = unix.Write(h.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// run serves until end, and then closes everything.
func (h *hall) run() {
	defer func() {
		for _, q := range h.quiet {
			h.leave(q)
		}
		h.door.release()
		_, _ = unix.Close(h.ep), unix.Close(h.bell)
	}()
	events := make([]unix.EpollEvent, 64)
	buf := make([]byte, MaxLine)
	for {
		n, err := unix.EpollWait(h.ep, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			h.server.log.Error("wait for clients", "err", err)
			return
		}
		for _, ev := range events[:max(n, 0)] {
			switch fd := int(ev.Fd); fd {
			case h.bell:
				return
			case h.door.fd:
				h.meet()
			default:
				if q := h.quiet[fd]; q != nil {
					h.hear(q, buf)
				}
			}
		}
	}
}

// meet accepts a client. Those behind it are met in the next round: who goes is as
// important as who comes.
func (h *hall) meet() {
	in, err := h.door.accept()
	switch {
	case errors.Is(err, errClosed):
		h.unwatch(h.door.fd)
		return
	case errors.Is(err, unix.EAGAIN):
		return
	case err != nil: // out of descriptors, most likely; some will come back
		h.server.log.Warn("accept", "err", err)
		<-time.After(50 * time.Millisecond)
		return
	}
	if in.err != nil || !h.server.welcome(in.uid) {
		h.server.log.Warn("refused", "pid", in.pid, "uid", in.uid, "err", in.err)
		in.sendAway()
		return
	}
	q := &quiet{pid: in.pid, fd: in.fd}
	h.quiet[in.fd] = q
	q.asked = h.pool.request(Holder{PID: in.pid, End: q.ended}, q.settled)
	if err := h.watch(in.fd); err != nil {
		h.server.log.Warn("watch a client", "err", err)
		h.leave(q)
	}
}

// settled writes the grant, or says that there will be none. It is called once, with the
// pool's mutex held; the bytes fit into the empty buffer of a new socket, so that it does
// not wait.
func (q *quiet) settled(l *Lease, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.session != nil || q.fd < 0 {
		return
	}
	if err == nil {
		q.told = true
		var b [len(grantPrefix) + MaxName]byte
		_, _ = unix.Write(q.fd, appendGrant(b[:0], l.Item.Name)) // one who has gone is seen by hear
		return
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		_, _ = unix.Write(q.fd, appendEmpty(nil, refused.Reason))
	}
	_ = unix.Shutdown(q.fd, unix.SHUT_RDWR) // hear closes it
}

// ended is called when the lease ends by force.
func (q *quiet) ended(why string) {
	q.mu.Lock()
	c := q.session
	if c == nil && q.fd >= 0 {
		_ = unix.Shutdown(q.fd, unix.SHUT_RDWR)
	}
	q.mu.Unlock()
	if c != nil {
		c.ended(why)
	}
}

// hear finds out why a client can be read from.
func (h *hall) hear(q *quiet, buf []byte) {
	n, err := unix.Read(q.fd, buf)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
	case err != nil || n == 0:
		h.leave(q)
	default:
		h.introduce(q, string(buf[:n]))
	}
}

// leave ends a client's wait or lease.
func (h *hall) leave(q *quiet) {
	delete(h.quiet, q.fd)
	q.mu.Lock()
	_ = unix.Close(q.fd)
	q.fd = -1
	q.mu.Unlock()
	q.asked.Cancel() // ends the lease, too
}

// introduce hands a client that has spoken to a session.
func (h *hall) introduce(q *quiet, heard string) {
	h.unwatch(q.fd)
	delete(h.quiet, q.fd)
	c := newSession(h.server, h.pool, q.pid)
	c.control, c.asked, c.heard = false, q.asked, heard
	conn := os.NewFile(uintptr(q.fd), "lease client")
	q.mu.Lock()
	q.session, c.told = c, q.told
	c.conn = conn
	q.mu.Unlock()
	h.server.serve(c)
}
