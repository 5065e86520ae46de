//go:build unix

package socket

import (
	"context"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Shared listens on a TCP address at which other processes of the same user may listen, too, if
// they say so as well: each connection goes to one of them (SO_REUSEPORT).
func Shared(address string) (net.Listener, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); err != nil {
			return err
		}
		if failed != nil {
			return fmt.Errorf("so_reuseport: %w", failed)
		}
		return nil
	}}
	return c.Listen(context.Background(), "tcp", address)
}
