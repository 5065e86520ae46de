package loop_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/loop"
)

// An echo sends back what it reads, and stops reading while the peer does not take it.
type echo struct {
	closed  chan struct{}
	once    sync.Once
	pauses  int
	stopped bool
}

func newEcho() *echo { return &echo{closed: make(chan struct{})} }

func (e *echo) Readable(c *loop.Conn, buf []byte) {
	n, err := c.Read(buf)
	switch {
	case errors.Is(err, loop.ErrAgain):
		return
	case err != nil:
		_ = c.Close()
		return
	}
	if _, err := c.Write(buf[:n]); err != nil {
		_ = c.Close()
	} else if c.Pending() > 0 {
		e.pauses++
		e.stopped = true
		c.Pause()
	}
}

func (e *echo) Drained(c *loop.Conn) {
	if e.stopped {
		e.stopped = false
		c.Resume()
	}
}

func (e *echo) Closed(*loop.Conn) { e.once.Do(func() { close(e.closed) }) }

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

func descriptors(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatal(what)
	}
}

func TestEcho(t *testing.T) {
	before := descriptors(t)
	g, err := loop.New(2)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		a, b := pair(t)
		h := newEcho()
		c, err := g.Adopt(a, h)
		if err != nil {
			t.Fatal(err)
		}
		c.Resume()
		wg.Go(func() {
			defer func() { _ = b.Close() }()
			want := bytes.Repeat([]byte{byte(i), byte(i >> 1), 3}, 1<<19)
			var sent sync.WaitGroup
			sent.Go(func() { _, _ = b.Write(want) })
			// Nothing is taken until the sender is stuck: what is sent back must not be lost.
			got := make([]byte, len(want))
			if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("connection %d: %v", i, err)
			}
			sent.Wait()
			_ = b.Close()
			await(t, "the end was not noticed", h.closed)
		})
	}
	wg.Wait()
	g.Close()
	g.Close()
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestSlowPeer checks that what a peer does not take is kept, and that reading stops.
func TestSlowPeer(t *testing.T) {
	g, err := loop.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	a, b := pair(t)
	h := newEcho()
	c, err := g.Adopt(a, h)
	if err != nil {
		t.Fatal(err)
	}
	c.Resume()
	_ = b.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	sent := 0
	for {
		n, err := b.Write(chunk[sent%16:])
		sent += n
		if err != nil {
			break // both directions are full
		}
		if sent > 64<<20 {
			t.Fatal("the loop takes without end what nobody takes of it")
		}
	}
	got := 0
	buf := make([]byte, 1<<16)
	for got < sent {
		_ = b.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := b.Read(buf)
		if err != nil {
			t.Fatalf("after %d of %d bytes: %v", got, sent, err)
		}
		for i := range n {
			if buf[i] != "0123456789abcdef"[(got+i)%16] {
				t.Fatalf("byte %d is wrong", got+i)
			}
		}
		got += n
	}
	_ = b.Close()
	await(t, "the end was not noticed", h.closed)
}

// TestClose closes from outside, while paused, and with the peer gone.
func TestClose(t *testing.T) {
	g, err := loop.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, peerFirst := range []bool{true, false} {
		a, b := pair(t)
		h := newEcho()
		c, err := g.Adopt(a, h)
		if err != nil {
			t.Fatal(err)
		}
		c.Resume()
		c.Pause()
		if _, err := b.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if peerFirst {
			_ = b.Close()
		}
		done := make(chan struct{})
		c.Post(func() { close(done) })
		await(t, "what was posted is not done", done)
		select {
		case <-h.closed:
			t.Error("a paused connection was read from")
		default:
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the second Close: %v", err)
		}
		await(t, "the handler was not told", h.closed)
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
		_ = b.Close()
	}
}

// TestGroupClosed checks that connections end with the group, and that none is taken after it.
func TestGroupClosed(t *testing.T) {
	g, err := loop.New(1)
	if err != nil {
		t.Fatal(err)
	}
	a, b := pair(t)
	h := newEcho()
	c, err := g.Adopt(a, h)
	if err != nil {
		t.Fatal(err)
	}
	c.Resume()
	g.Close()
	await(t, "the handler was not told", h.closed)
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer reads %v", err)
	}
	a, b2 := pair(t)
	if _, err := g.Adopt(a, h); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Adopt after Close: %v", err)
	}
	if _, err := a.Write([]byte("x")); err != nil {
		t.Errorf("a connection that was not taken is closed: %v", err)
	}
	p, q := net.Pipe()
	if _, err := g.Adopt(p, h); !errors.Is(err, loop.ErrUnsupported) {
		t.Errorf("Adopt of a pipe: %v", err)
	}
	for _, c := range []net.Conn{a, b, b2, p, q} {
		_ = c.Close()
	}
}
