package lease_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/lease"
)

// shortDir returns a directory whose name leaves room for sockets.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgxl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// serveNames serves n names t_0… and returns the socket.
func serveNames(t testing.TB, n int) (*lease.Server, string) {
	t.Helper()
	return servePool(t, lease.NewPool(lease.PoolConfig{Engine: "none", Count: new(n)}, lease.NewNames("t_"), nil))
}

func servePool(t testing.TB, p *lease.Pool) (*lease.Server, string) {
	t.Helper()
	s := lease.NewServer(nil)
	path := filepath.Join(shortDir(t), "s")
	if err := s.Add(path, p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, path
}

func connect(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// read reads once, as pgmanager's client does.
func read(t testing.TB, conn net.Conn) string {
	t.Helper()
	b := make([]byte, 1024)
	n, err := conn.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(b[:n])
}

// await waits until a pool's status satisfies ok.
func await(t testing.TB, s *lease.Server, what string, ok func(lease.PoolStatus) bool) lease.PoolStatus {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		st := s.Status().Pools[0]
		if ok(st) {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %+v", what, st)
		}
		<-time.After(time.Millisecond) // another process's or goroutine's doing: nothing to wait on
	}
}

// TestLegacyBytes holds pgmanager's protocol: silence, one write without a newline, names
// in turn.
func TestLegacyBytes(t *testing.T) {
	_, path := serveNames(t, 2)
	a, b, c := connect(t, path), connect(t, path), connect(t, path)
	if got := read(t, a); got != "OK:t_0" {
		t.Errorf("first client got %q", got)
	}
	if got := read(t, b); got != "OK:t_1" {
		t.Errorf("second client got %q", got)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the third client read %d bytes, %v: there should be nothing yet", n, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if got := read(t, c); got != "OK:t_1" {
		t.Errorf("third client got %q", got)
	}
	a.Close()
	if got := read(t, connect(t, path)); got != "OK:t_0" {
		t.Errorf("fourth client got %q", got)
	}
}

// TestNoNameLost ends a lease in every way that a client can, with one name in the pool:
// the next client gets it.
func TestNoNameLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		use  func(t *testing.T, conn *net.UnixConn)
	}{
		{"close", func(t *testing.T, c *net.UnixConn) { read(t, c); c.Close() }},
		{"unread grant", func(t *testing.T, c *net.UnixConn) { c.Close() }},
		{"half close", func(t *testing.T, c *net.UnixConn) {
			read(t, c)
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := read(t, c); got != "" {
				t.Errorf("after a half close the server sent %q", got)
			}
		}},
		{"half close at once", func(t *testing.T, c *net.UnixConn) {
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}},
		{"stray byte", func(t *testing.T, c *net.UnixConn) {
			read(t, c)
			send(t, c, "x")
			c.Close()
		}},
		{"stray byte before the grant", func(t *testing.T, c *net.UnixConn) {
			send(t, c, "\x00")
			read(t, c)
			c.Close()
		}},
		{"unknown request", func(t *testing.T, c *net.UnixConn) {
			read(t, c)
			send(t, c, "GET / HTTP/1.1\r\n")
			if got := read(t, c); got != "ERR:unknown request \"GET\"\n" {
				t.Errorf("got %q", got)
			}
			c.Close()
		}},
		{"a line without end", func(t *testing.T, c *net.UnixConn) {
			read(t, c)
			_, _ = c.Write([]byte(strings.Repeat("x", 3*lease.MaxLine)))
			if got := read(t, c); got != fmt.Sprintf("ERR:a request may have %d bytes\n", lease.MaxLine) {
				t.Errorf("got %q", got)
			}
		}},
		{"release", func(t *testing.T, c *net.UnixConn) {
			read(t, c)
			send(t, c, "release\n")
			if got := read(t, c); got != "OK:\n" {
				t.Errorf("got %q", got)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, path := serveNames(t, 1)
			for range 3 {
				tt.use(t, connect(t, path))
				next := connect(t, path)
				if got := read(t, next); got != "OK:t_0" {
					t.Fatalf("the next client got %q", got)
				}
				next.Close()
			}
			await(t, s, "all back", func(st lease.PoolStatus) bool { return st.Ready == 1 && len(st.Leases) == 0 })
		})
	}
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// TestWaitersAreServedInOrder lets waiters come one after the other, some of whom leave.
func TestWaitersAreServedInOrder(t *testing.T) {
	s, path := serveNames(t, 1)
	first := connect(t, path)
	read(t, first)
	var conns []*net.UnixConn
	for range 1000 {
		conns = append(conns, connect(t, path))
	}
	await(t, s, "all wait", func(st lease.PoolStatus) bool { return len(st.Waiting) == 1000 })
	for i, c := range conns {
		if i%7 == 3 {
			c.Close()
		}
	}
	await(t, s, "some left", func(st lease.PoolStatus) bool { return len(st.Waiting) == 857 })
	first.Close()
	for i, c := range conns {
		if i%7 == 3 {
			continue
		}
		if got := read(t, c); got != "OK:t_0" {
			t.Fatalf("waiter %d got %q", i, got)
		}
		if st := s.Status().Pools[0]; i%100 == 0 && len(st.Leases) != 1 {
			t.Fatalf("%d leases of one name", len(st.Leases))
		}
		c.Close()
	}
}

// TestSocket holds who gets the path of a socket.
func TestSocket(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "deep", "s")
	newPool := func() *lease.Pool {
		return lease.NewPool(lease.PoolConfig{Engine: "none"}, lease.NewNames("t_"), nil)
	}
	first := lease.NewServer(nil)
	if err := first.Add(path, newPool()); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, lease.ControlPath(path)} {
		fi, err := os.Lstat(p)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != os.ModeSocket|0o600 {
			t.Errorf("%s has mode %v", p, fi.Mode())
		}
	}
	if err := lease.NewServer(nil).Add(path, newPool()); !errors.Is(err, engines.ErrLocked) {
		t.Errorf("a second server: %v", err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 0 {
		t.Errorf("a closed server left %v, %v", left, err)
	}

	// What a killed server leaves is taken over; what is alive, or no socket, is not.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.NewServer(nil).Add(path, newPool()); !errors.Is(err, engines.ErrLocked) {
		t.Errorf("beside a server that is not ours: %v", err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	second := lease.NewServer(nil)
	if err := second.Add(path, newPool()); err != nil {
		t.Errorf("over a stale socket: %v", err)
	}
	if got := read(t, connect(t, path)); got != "OK:t_0" {
		t.Errorf("from the new server: %q", got)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := lease.NewServer(nil).Add(file, newPool()); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("over a file: %v", err)
	}
	long := filepath.Join(dir, strings.Repeat("x", 120))
	if err := lease.NewServer(nil).Add(long, newPool()); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("at a long path: %v", err)
	}
	if _, err := lease.Dial(t.Context(), file); !errors.Is(err, engines.ErrNotExist) {
		t.Errorf("dial where there is no server: %v", err)
	}
}

// TestClose refuses those who wait and ends those who hold.
func TestClose(t *testing.T) {
	s, path := serveNames(t, 1)
	holder, waiter := connect(t, path), connect(t, path)
	read(t, holder)
	await(t, s, "waits", func(st lease.PoolStatus) bool { return len(st.Waiting) == 1 })
	drained := make(chan error)
	go func() { drained <- s.Drain(context.Background()) }()
	if got := read(t, waiter); got != "EMPTY:the lease server is ending" {
		t.Errorf("the waiter got %q", got)
	}
	if _, err := net.Dial("unix", path); !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect while draining: %v", err)
	}
	holder.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
