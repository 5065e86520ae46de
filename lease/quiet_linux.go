package lease

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A hall is where the clients of one lease socket wait and hold their leases, as long as
// they say nothing, which pgmanager's never do. One goroutine serves all of them: it writes
// a grant as soon as it has accepted a client, or has seen the one before go, and has no
// other goroutine to wait for. It waits for an epoll instance of its own, which the runtime's
// poller watches: a thread that slept in epoll_wait(2) itself would have to come back through
// the scheduler, which takes longer than the grant. Who says something is handed to a session.
type hall struct {
	server *Server
	pool   *Pool
	door   *door

	ep     int // the epoll instance, which poller owns
	poller *os.File
	ended  atomic.Bool
	quiet  map[int]*quiet // by descriptor
	warned time.Time      // that nobody could be accepted
}

// A quiet is a client that has said nothing.
type quiet struct {
	pid   int
	asked Request

	mu      sync.Mutex
	fd      int      // -1 when it is closed
	told    bool     // the grant has been written
	session *session // not nil: the client has spoken, and that serves it
}

// openHall returns a hall for the clients of d. run has to be called, and ended.
func openHall(s *Server, p *Pool, d *door) (*hall, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	h := &hall{server: s, pool: p, door: d, ep: ep, quiet: map[int]*quiet{}}
	if errno := rawWatch(ep, d.fd); errno != 0 {
		err = errno
	}
	// What does not block, the runtime's poller takes.
	if err = errors.Join(err, unix.SetNonblock(ep, true), unix.SetNonblock(d.fd, true)); err != nil {
		return nil, errors.Join(fmt.Errorf("watch a socket: %w", err), unix.Close(ep))
	}
	h.poller = os.NewFile(uintptr(ep), "lease clients")
	if err = h.poller.SetReadDeadline(time.Time{}); err != nil { // it has not taken it
		return nil, errors.Join(fmt.Errorf("wait for clients: %w", err), h.poller.Close())
	}
	d.use()
	return h, nil
}

// end makes run return.
func (h *hall) end() {
	h.ended.Store(true)
	_ = h.poller.Close()
}

// run serves until end, and then closes everything.
func (h *hall) run() {
	events := make([]unix.EpollEvent, 64)
	buf := make([]byte, MaxLine)
	raw, err := h.poller.SyscallConn()
	for err == nil {
		err = raw.Read(func(uintptr) bool {
			for range longRun {
				if !h.round(rawPoll(h.ep, events), buf) {
					return false // wait for more
				}
			}
			return true
		})
		runtime.Gosched() // others want the processor, too
	}
	if !h.ended.Load() {
		h.server.log.Error("wait for clients", "err", err)
	}
	for _, q := range h.quiet {
		h.leave(q)
	}
	h.door.release()
}

// longRun is how many rounds are made before others get the processor.
const longRun = 64

// round serves those who can be read from and reports whether there were any. Who comes is
// served before who goes, for whom nobody waits unless there is no name left; then, who
// comes has to queue anyway.
func (h *hall) round(events []unix.EpollEvent, buf []byte) bool {
	for _, ev := range events {
		if int(ev.Fd) == h.door.fd {
			h.meet()
		}
	}
	for _, ev := range events {
		if q := h.quiet[int(ev.Fd)]; q != nil && int(ev.Fd) != h.door.fd {
			h.hear(q, buf)
		}
	}
	return len(events) > 0
}

// meet accepts a client. Those behind it are met in the next round: who goes is as
// important as who comes.
func (h *hall) meet() {
	fd, errno := rawAccept(h.door.fd)
	switch {
	case errno == 0:
	case errno == unix.EAGAIN, errno == unix.EINTR, errno == unix.ECONNABORTED:
		return
	case h.door.isClosed():
		_ = unix.EpollCtl(h.ep, unix.EPOLL_CTL_DEL, h.door.fd, nil)
		return
	default: // out of descriptors, most likely; some will come back
		if time.Since(h.warned) > time.Second {
			h.warned = time.Now()
			h.server.log.Warn("accept", "err", errno)
		}
		<-time.After(50 * time.Millisecond)
		return
	}
	cred, errno := rawPeer(fd)
	if errno != 0 || !h.server.welcome(int(cred.Uid)) {
		h.server.log.Warn("refused", "pid", cred.Pid, "uid", cred.Uid, "err", errno)
		rawClose(fd)
		return
	}
	q := &quiet{pid: int(cred.Pid), fd: fd}
	q.asked.holder, q.asked.witness = Holder{PID: q.pid, End: q.ended}, q
	h.pool.ask(&q.asked)
	h.quiet[fd] = q
	if errno := rawWatch(h.ep, fd); errno != 0 {
		h.server.log.Warn("watch a client", "err", errno)
		h.leave(q)
	}
}

// granted writes the grant. The bytes fit into the empty buffer of a new socket, so that it
// does not wait.
func (q *quiet) granted(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.session != nil || q.fd < 0 {
		return
	}
	q.told = true
	var b [len(grantPrefix) + MaxName]byte
	rawWrite(q.fd, appendGrant(b[:0], name)) // one who has gone is seen by hear
}

// refused says that there will be no grant.
func (q *quiet) refused(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.session != nil || q.fd < 0 {
		return
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		rawWrite(q.fd, appendEmpty(nil, refused.Reason))
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
	n, errno := rawRead(q.fd, buf)
	switch {
	case errno == unix.EAGAIN, errno == unix.EINTR:
	case errno != 0 || n == 0:
		h.leave(q)
	default:
		h.introduce(q, string(buf[:n]))
	}
}

// leave ends a client's wait or lease.
func (h *hall) leave(q *quiet) {
	delete(h.quiet, q.fd)
	q.mu.Lock()
	rawClose(q.fd)
	q.fd = -1
	q.mu.Unlock()
	q.asked.Cancel() // ends the lease, too
}

// introduce hands a client that has spoken to a session.
func (h *hall) introduce(q *quiet, heard string) {
	_ = unix.EpollCtl(h.ep, unix.EPOLL_CTL_DEL, q.fd, nil) // the descriptor goes on
	delete(h.quiet, q.fd)
	c := newSession(h.server, h.pool, q.pid)
	c.control, c.asked, c.heard = false, &q.asked, heard
	conn := os.NewFile(uintptr(q.fd), "lease client")
	q.mu.Lock()
	q.session, c.told = c, q.told
	c.conn = conn
	q.mu.Unlock()
	h.server.serve(c)
}
