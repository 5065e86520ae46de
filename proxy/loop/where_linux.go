package loop

import (
	"net"
	"syscall"
)

// FD returns the connection's descriptor, to be shown only: it may be closed, and another's, the next
// moment. It is negative once the connection is closed.
func (c *Conn) FD() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.fd)
}

// LocalAddr returns this end's address; an empty one of a Unix socket if nothing better is known.
func (c *Conn) LocalAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 {
		sa, err := syscall.Getsockname(int(c.fd))
		if err == nil {
			switch sa := sa.(type) {
			case *syscall.SockaddrInet4:
				return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
			case *syscall.SockaddrInet6:
				return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
			case *syscall.SockaddrUnix:
				return &net.UnixAddr{Name: sa.Name, Net: "unix"}
			}
		}
	}
	return &net.UnixAddr{Net: "unix"}
}
