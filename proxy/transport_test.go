package proxy_test

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/loop"
)

// transports runs a test over each transport that there is here.
func transports(t *testing.T, test func(t *testing.T)) {
	t.Run("goroutine", test)
	if g, err := loop.New(1); err == nil {
		g.Close()
		t.Run("epoll", test)
	}
}

func onLoops(t testing.TB) bool { return strings.Contains(t.Name(), "/epoll") }

// newLoops starts the loops of a test that transports runs; nil: it is for goroutines.
func newLoops(t testing.TB, n int) *loop.Group {
	t.Helper()
	if !onLoops(t) {
		return nil
	}
	g, err := loop.New(n)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// pair returns two ends of a connection of the system's.
func pair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	end := func(fd int) net.Conn {
		f := os.NewFile(uintptr(fd), "pair")
		defer func() { _ = f.Close() }()
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return end(fds[0]), end(fds[1])
}
