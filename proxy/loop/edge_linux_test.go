package loop_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/loop"
)

// A sipper reads a few bytes at each call, and is paused before every other one, to be resumed by
// somebody else.
type sipper struct {
	size   int
	resume chan struct{}
	calls  int
	got    bytes.Buffer
	ended  chan struct{}
	once   sync.Once
}

func (s *sipper) Readable(c *loop.Conn, buf []byte) {
	if s.calls++; s.calls%2 == 1 {
		c.Pause()
		s.resume <- struct{}{}
		return
	}
	n, err := c.Read(buf[:s.size])
	s.got.Write(buf[:n])
	if err != nil && !errors.Is(err, loop.ErrAgain) {
		if !errors.Is(err, io.EOF) {
			s.got.WriteString(err.Error())
		}
		_ = c.Close()
	}
}

func (s *sipper) Drained(*loop.Conn) {}

func (s *sipper) Closed(*loop.Conn) { s.once.Do(func() { close(s.ended) }) }

// TestNothingIsForgotten checks that all is read though epoll tells of it once only, whatever a
// handler leaves, and in particular the end that came together with the last bytes.
func TestNothingIsForgotten(t *testing.T) {
	g, err := loop.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	want := bytes.Repeat([]byte("0123456789"), 100)
	for _, size := range []int{1, 3, len(want) - 1, len(want), len(want) + 1} {
		a, b := pair(t)
		// All of it and the end are there before the loop looks for the first time.
		if _, err := b.Write(want); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		s := &sipper{size: size, resume: make(chan struct{}, 1), ended: make(chan struct{})}
		c, err := g.Adopt(a, s)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-s.resume:
					c.Resume()
				case <-s.ended:
					return
				}
			}
		})
		c.Resume()
		await(t, "the end was not noticed", s.ended)
		wg.Wait()
		if !bytes.Equal(s.got.Bytes(), want) {
			t.Errorf("%d bytes at a time: %d came: %.40q", size, s.got.Len(), s.got.Bytes())
		}
	}
}

// TestUrgent checks that bytes behind an urgent one are read: a read ends before that.
func TestUrgent(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	b, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		text  string
		flags int
	}{{"before", 0}, {"!", syscall.MSG_OOB}, {"behind", 0}} {
		var sendErr error
		if err := raw.Write(func(fd uintptr) bool {
			sendErr = syscall.Sendto(int(fd), []byte(part.text), part.flags, nil)
			return !errors.Is(sendErr, syscall.EAGAIN)
		}); err != nil || sendErr != nil {
			t.Fatal(err, sendErr)
		}
	}
	g, err := loop.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	h := newEcho()
	c, err := g.Adopt(a, h)
	if err != nil {
		t.Fatal(err)
	}
	c.Resume()
	_ = b.SetDeadline(time.Now().Add(time.Minute))
	got := make([]byte, len("beforebehind"))
	if _, err := io.ReadFull(b, got); err != nil || string(got) != "beforebehind" {
		t.Errorf("%q, %v", got, err)
	}
}
