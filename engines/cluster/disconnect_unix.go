//go:build unix

package cluster

import (
	"errors"
	"net"
	"syscall"
)

// isDisconnect reports that the peer of a unix socket has ended, or ends: it has closed its
// end, or its listener, or removed the socket.
func isDisconnect(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// signalSupervisor signals a supervisor. It holds its lock, so the number is still its.
func signalSupervisor(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }
