//go:build unix

package cluster

import (
	"errors"
	"net"
	"syscall"
)

func isDisconnect(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
