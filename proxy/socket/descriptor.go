package socket

import (
	"crypto/tls"
	"net"
	"syscall"
)

// Descriptor returns the file descriptor of a connection, TLS over one included; -1 if it has none
// (any more). It is to be shown only: the next moment it may be another's.
func Descriptor(nc net.Conn) int {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	fd := -1
	switch c := nc.(type) {
	case interface{ FD() int }:
		fd = c.FD()
	case syscall.Conn:
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(n uintptr) { fd = int(n) })
		}
	}
	return fd
}
