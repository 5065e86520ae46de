//go:build unix

package socket

import (
	"errors"
	"net"
	"runtime"
	"syscall"
	"testing"
)

// TestShared has two listeners at one address, both of which get connections.
func TestShared(t *testing.T) {
	a, err := Shared("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := net.Listen("tcp", a.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("who does not share listens there, too: %v", err)
	}
	b, err := Shared(a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	came := make(chan net.Listener, 256)
	for _, l := range []net.Listener{a, b} {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
				came <- l
			}
		}()
	}
	got := map[net.Listener]int{}
	for range 100 {
		c, err := net.Dial("tcp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		got[<-came]++
		_ = c.Close()
	}
	if len(got) != 2 && runtime.GOOS == "linux" { // others need not spread them
		t.Errorf("connections went to %v", got)
	}
}
