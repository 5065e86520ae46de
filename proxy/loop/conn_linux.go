package loop

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// A Conn is a connection that a loop drives. It is a net.Conn that never waits: see Read and
// Write; deadlines mean nothing to it. It is safe for concurrent use.
type Conn struct {
	loop       *Loop
	h          Handler
	remote     netip.AddrPort // of TCP
	local      *net.UnixAddr  // else; nil for one without a name, as clients' are
	slot       uint32
	generation uint32

	// turn is held by who handles the connection.
	turn  sync.Mutex
	ready bool // something has come, and it is not known that all of it was read
	// wary: there may be more even if a read gets less than it could, since the other end has said
	// that nothing follows, or something urgent. Else such a read is the last one until epoll tells.
	wary  bool
	armed uint8 // under mu: what epoll looks for; here it takes no room

	// Changed under mu only.
	paused, behind atomic.Bool // behind: there is something in back

	mu   sync.Mutex
	fd   int32   // -1: closed
	back *[]byte // written, and not taken yet; nil: there is nothing
}

// What epoll looks for.
const (
	in uint8 = 1 << iota
	out
)

// What the other end's last word, and urgent bytes, look like.
const (
	rdhup = 0x2000 // EPOLLRDHUP
	signs = syscall.EPOLLHUP | syscall.EPOLLERR | syscall.EPOLLPRI | rdhup
	edges = 1 << 31 // EPOLLET
)

// Adopt takes a TCP or Unix connection over: nc is closed, and its descriptor lives on in the
// Conn. Nothing is read before Resume. If there is an error nc is as it was.
func (g *Group) Adopt(nc net.Conn, h Handler) (*Conn, error) {
	var raw syscall.RawConn
	var err error
	switch nc := nc.(type) {
	case *net.TCPConn:
		raw, err = nc.SyscallConn()
	case *net.UnixConn:
		raw, err = nc.SyscallConn()
	default:
		return nil, ErrUnsupported
	}
	if err != nil {
		return nil, err
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(old uintptr) {
		n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		if errno != 0 {
			dupErr = os.NewSyscallError("fcntl", errno)
			return
		}
		fd = int(n)
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, dupErr
	}
	c := &Conn{loop: g.pick(), h: h, fd: int32(fd)}
	c.paused.Store(true)
	switch a := nc.RemoteAddr().(type) {
	case *net.TCPAddr:
		c.remote = a.AddrPort()
	case *net.UnixAddr:
		if a.Name != "" {
			c.local = a
		}
	}
	if !c.loop.enter(c) {
		_ = syscall.Close(fd)
		return nil, net.ErrClosed
	}
	_ = nc.Close() // the runtime's poller lets go of it
	return c, nil
}

// Post has the connection's loop call f soon.
func (c *Conn) Post(f func()) { c.loop.Post(f) }

// PostTask is Post of a task, which needs no memory.
func (c *Conn) PostTask(t Task) { c.loop.PostTask(t) }

// Again has Readable called soon, though nothing may have come.
func (c *Conn) Again() {
	c.loop.Post(func() { c.happened(syscall.EPOLLIN, c.loop.buf[:]) })
}

// Now is when what the loop deals with came, or a little later. Only what the loop calls may
// call it.
func (c *Conn) Now() time.Time { return c.loop.time() }

// Dead reports that the connection is closed.
func (c *Conn) Dead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fd < 0
}

// Paused reports that Readable is not called.
func (c *Conn) Paused() bool { return c.paused.Load() }

// Do calls f while no handler of the connection runs. Handlers must not call it.
func (c *Conn) Do(f func()) {
	c.turn.Lock()
	defer c.turn.Unlock()
	f()
}

// happened deals with an event.
func (c *Conn) happened(events uint32, buf []byte) {
	c.turn.Lock()
	c.handle(events, buf)
	c.turn.Unlock()
}

// handle is happened with the turn held.
func (c *Conn) handle(events uint32, buf []byte) {
	if events&(syscall.EPOLLOUT|syscall.EPOLLERR|syscall.EPOLLHUP) != 0 {
		c.mu.Lock()
		had := c.back != nil
		err := c.push()
		drained := had && c.back == nil && err == nil && c.fd >= 0
		c.arm()
		c.mu.Unlock()
		switch {
		case err != nil:
			_ = c.Close()
			return
		case drained:
			c.h.Drained(c)
		}
	}
	if events&^syscall.EPOLLOUT == 0 {
		return
	}
	c.ready = true
	c.wary = c.wary || events&signs != 0
	c.readable(buf)
}

// readable lets the handler read what there is, if it may. The turn is held.
func (c *Conn) readable(buf []byte) {
	if !c.ready || c.paused.Load() {
		return // Resume comes back to it
	}
	c.h.Readable(c, buf)
	if c.ready && !c.paused.Load() {
		c.loop.PostTask((*leftover)(c)) // after the others: epoll tells of what comes once only
	}
}

// A leftover is a connection that has more to read.
type leftover Conn

// Do implements Task.
func (l *leftover) Do() {
	c := (*Conn)(l)
	c.turn.Lock()
	defer c.turn.Unlock()
	c.readable(c.loop.buf[:])
}

// Read reads what has come, or returns ErrAgain.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.mu.Lock()
	n, err := c.receive(b)
	c.mu.Unlock()
	return n, err
}

// receive is Read with the lock held. Sockets have calls of their own that take a shorter way than
// files'.
func (c *Conn) receive(b []byte) (int, error) {
	switch {
	case c.fd < 0:
		return 0, net.ErrClosed
	case !c.ready:
		return 0, ErrAgain // epoll will tell
	}
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
		switch {
		case errno == 0 && n == 0:
			return 0, io.EOF
		case errno == 0:
			if int(n) < len(b) && !c.wary {
				c.ready = false
			}
			return int(n), nil
		case errno == syscall.EAGAIN:
			c.ready = false
			return 0, ErrAgain
		case errno != syscall.EINTR:
			return 0, os.NewSyscallError("recvfrom", errno)
		}
	}
}

// Write sends b. It does not wait: what the peer does not take at once is copied and sent later,
// which Pending tells of. An error means that the connection is closed, or should be.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	n, err := c.write(b)
	c.mu.Unlock()
	return n, err
}

func (c *Conn) write(b []byte) (int, error) {
	if c.fd < 0 {
		return 0, net.ErrClosed
	}
	n := 0
	if c.back == nil {
		var err error
		if n, err = c.send(b); err != nil {
			return n, err
		}
	}
	if n < len(b) {
		if c.back == nil {
			c.back = new([]byte)
			c.behind.Store(true)
		}
		*c.back = append(*c.back, b[n:]...)
		c.arm()
	}
	return len(b), nil
}

// Pending returns how many bytes the peer has not taken yet. If there are any, Drained follows,
// or Closed.
func (c *Conn) Pending() int {
	if !c.behind.Load() {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.back == nil {
		return 0
	}
	return len(*c.back)
}

// send writes what the peer takes.
func (c *Conn) send(b []byte) (n int, err error) {
	for n < len(b) {
		k, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&b[n])), uintptr(len(b)-n), syscall.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			n += int(k)
		case syscall.EAGAIN:
			return n, nil
		case syscall.EINTR:
		default:
			return n, os.NewSyscallError("sendto", errno)
		}
	}
	return n, nil
}

// push sends what is left.
func (c *Conn) push() error {
	if c.fd < 0 || c.back == nil {
		return nil
	}
	b := *c.back
	n, err := c.send(b)
	if err != nil {
		return err
	}
	if n == len(b) {
		c.back = nil // an idle connection costs little
		c.behind.Store(false)
		return nil
	}
	*c.back = b[:copy(b, b[n:])]
	return nil
}

// Pause keeps Readable from being called.
func (c *Conn) Pause() {
	c.mu.Lock()
	c.paused.Store(true) // epoll tells once when something comes all the same
	c.mu.Unlock()
}

// Resume ends Pause.
func (c *Conn) Resume() {
	if !c.paused.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 && c.paused.Load() {
		c.paused.Store(false)
		if c.armed&in != 0 {
			c.loop.PostTask((*leftover)(c))
		}
		c.arm() // the first time epoll tells what there is already
	}
}

// arm has epoll look for what is wanted. What it looks for beyond that may stay.
func (c *Conn) arm() {
	if c.fd < 0 {
		return
	}
	want := c.armed & in
	if !c.paused.Load() {
		want |= in
	}
	if c.back != nil {
		want |= out
	}
	c.look(want)
}

func (c *Conn) look(want uint8) {
	if want == c.armed {
		return
	}
	op := syscall.EPOLL_CTL_MOD
	switch {
	case c.armed == 0:
		op = syscall.EPOLL_CTL_ADD
	case want == 0:
		op = syscall.EPOLL_CTL_DEL
	}
	e := syscall.EpollEvent{Events: edges, Fd: int32(c.slot), Pad: int32(c.generation)}
	if want&in != 0 {
		e.Events |= syscall.EPOLLIN | syscall.EPOLLPRI | rdhup
	}
	if want&out != 0 {
		e.Events |= syscall.EPOLLOUT
	}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(c.loop.epoll), uintptr(op), uintptr(c.fd), uintptr(unsafe.Pointer(&e)), 0, 0)
	if errno == 0 {
		c.armed = want
	} else {
		// Out of memory or watches: nobody would ever hear of it again.
		c.loop.Post(func() { _ = c.Close() })
	}
}

// Close closes the connection; what was not taken yet is lost. Any goroutine may call it.
func (c *Conn) Close() error {
	if !c.shut() {
		return net.ErrClosed
	}
	c.loop.leave(c)
	c.loop.Post(func() {
		c.turn.Lock()
		defer c.turn.Unlock()
		c.h.Closed(c)
	})
	return nil
}

func (c *Conn) shut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return false
	}
	_ = syscall.Close(int(c.fd)) // epoll forgets it
	c.fd, c.armed, c.back = -1, 0, nil
	c.behind.Store(false)
	c.paused.Store(true) // for good
	return true
}

// RemoteAddr returns the address of the other end. It is made anew each time: an idle connection
// costs little.
func (c *Conn) RemoteAddr() net.Addr {
	switch {
	case c.remote.IsValid():
		return net.TCPAddrFromAddrPort(c.remote)
	case c.local != nil:
		return c.local
	}
	return &net.UnixAddr{Net: "unix"}
}

// SetDeadline does nothing: nothing waits.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }
