//go:build !unix

package socket

import (
	"errors"
	"net"
)

// Shared is not there on this system.
func Shared(string) (net.Listener, error) {
	return nil, errors.New("so_reuseport is not supported on this system")
}
