package socket

import (
	"fmt"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, which package syscall lacks.
const tcpUserTimeout = 18

func (o Options) set(fd uintptr) error {
	if o.UserTimeout > 0 {
		ms := int(min(o.UserTimeout.Milliseconds(), 1<<31-1))
		if err := syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, max(ms, 1)); err != nil {
			return fmt.Errorf("tcp.user_timeout: %w", err)
		}
	}
	if o.Congestion != "" {
		if err := syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, o.Congestion); err != nil {
			return fmt.Errorf("tcp.congestion_control %q: %w", o.Congestion, err)
		}
	}
	return nil
}
