package socket

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// option reads an option of a connection.
func option(t *testing.T, c net.Conn, level, name int) (v int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { v, err = syscall.GetsockoptInt(int(fd), level, name) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return v
}

// TestOptions asks the system what both sides of a connection have.
func TestOptions(t *testing.T) {
	o := Options{Keepalive: true, Idle: 77 * time.Second, Interval: 7 * time.Second, Count: 4, UserTimeout: 12345 * time.Millisecond, Congestion: "reno"}
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wrapped := Listen(l, func() Options { return o }, func(err error) { t.Error(err) })
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	served, err := wrapped.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	if err := o.Apply(client); err != nil {
		t.Fatal(err)
	}
	for side, c := range map[string]net.Conn{"client": client, "served": served} {
		for name, want := range map[[2]int]int{
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE}:    1,
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE}:   77,
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL}:  7,
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT}:    4,
			{syscall.IPPROTO_TCP, tcpUserTimeout}:         12345,
			{syscall.IPPROTO_TCP, syscall.TCP_CONGESTION}: int('r') | int('e')<<8 | int('n')<<16 | int('o')<<24,
		} {
			if got := option(t, c, name[0], name[1]); got != want {
				t.Errorf("%s: option %v is %d, want %d", side, name, got, want)
			}
		}
	}
	if err := (Options{}).Apply(client); err != nil {
		t.Fatal(err)
	}
	if got := option(t, client, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE); got != 0 {
		t.Error("keepalive is still on")
	}
	if err := (Options{Keepalive: true, Congestion: "none_such"}).Check(); err == nil || !strings.Contains(err.Error(), `tcp.congestion_control "none_such"`) {
		t.Errorf("got %v", err)
	}
}
