package wasm

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// highWater is how much may wait in one direction of a stream before its writer waits.
const highWater = 1 << 20

// A stream is the connection between a client and the backend, in memory and buffered in
// both directions. The client's end is a net.Conn; what it writes is handed to the server
// side on the client's own goroutine, without another in between.
type stream struct {
	received func(b []byte) // takes the client's bytes; called without the lock
	hungUp   func()         // the client has closed its end

	mu       sync.Mutex
	readable sync.Cond // there is output, or no more to come
	writable sync.Cond // there is room for output, or for input

	out       []byte // to the client
	outOff    int
	ended     bool // the server will send nothing more
	closed    bool // the client has closed
	backlog   int  // input bytes that the server has not dealt with
	readLine  deadline
	writeLine deadline
}

func newStream() *stream {
	s := &stream{}
	s.readable.L, s.writable.L = &s.mu, &s.mu
	return s
}

// A deadline wakes those who wait when its time has come. The stream's lock guards it.
type deadline struct {
	timer  *time.Timer
	passed bool
	set    int
}

func (d *deadline) change(mu *sync.Mutex, t time.Time, wake func()) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.set++
	d.passed = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.passed = true
		wake()
		return
	}
	set := d.set
	d.timer = time.AfterFunc(left, func() {
		mu.Lock()
		defer mu.Unlock()
		if d.set == set {
			d.passed = true
			wake()
		}
	})
}

// send gives the client b. It waits while the client is far behind, and returns false
// when the client has gone.
func (s *stream) send(b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.out)-s.outOff > highWater && !s.closed && !s.ended {
		s.writable.Wait()
	}
	if s.closed || s.ended {
		return false
	}
	if s.outOff > highWater { // a client that is always a little behind
		s.out, s.outOff = append(s.out[:0], s.out[s.outOff:]...), 0
	}
	s.out = append(s.out, b...)
	s.readable.Broadcast()
	return true
}

// offer is send for who must not wait; it returns false when the client is far behind.
func (s *stream) offer(b []byte) bool {
	s.mu.Lock()
	full := len(s.out)-s.outOff > 8*highWater
	s.mu.Unlock()
	return !full && s.sendNow(b)
}

func (s *stream) sendNow(b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ended {
		return false
	}
	s.out = append(s.out, b...)
	s.readable.Broadcast()
	return true
}

// end closes the server's side; the client reads what is there and then io.EOF.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.readable.Broadcast()
	s.writable.Broadcast()
}

// consumed says that the server has dealt with n bytes of input.
func (s *stream) consumed(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backlog -= n
	s.writable.Broadcast()
}

// conn is the client's end.
type conn struct{ s *stream }

// Read implements net.Conn.
func (c conn) Read(b []byte) (int, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.outOff == len(s.out) {
		switch {
		case s.closed:
			return 0, net.ErrClosed
		case s.readLine.passed:
			return 0, os.ErrDeadlineExceeded
		case s.ended:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		s.readable.Wait()
	}
	if s.closed {
		return 0, net.ErrClosed
	}
	if s.readLine.passed {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, s.out[s.outOff:])
	s.outOff += n
	if s.outOff == len(s.out) {
		s.outOff = 0
		if s.out = s.out[:0]; cap(s.out) > highWater {
			s.out = nil
		}
		s.writable.Broadcast()
	}
	return n, nil
}

// Write implements net.Conn.
func (c conn) Write(b []byte) (int, error) {
	s := c.s
	const piece = 256 << 10
	for done := 0; ; {
		if done == len(b) && done > 0 {
			return done, nil
		}
		s.mu.Lock()
		for s.backlog > highWater && !s.closed && !s.ended && !s.writeLine.passed {
			s.writable.Wait()
		}
		switch {
		case s.closed:
			s.mu.Unlock()
			return done, net.ErrClosed
		case s.writeLine.passed:
			s.mu.Unlock()
			return done, os.ErrDeadlineExceeded
		case s.ended:
			// As on a socket: what the server does not read is lost, and the client goes on to
			// read why.
			s.mu.Unlock()
			return len(b), nil
		}
		n := min(piece, len(b)-done)
		s.mu.Unlock()
		if n == 0 {
			return done, nil
		}
		s.received(b[done : done+n])
		done += n
	}
}

// Close implements net.Conn.
func (c conn) Close() error {
	c.s.mu.Lock()
	again := c.s.closed
	c.s.closed = true
	c.s.readLine.change(&c.s.mu, time.Time{}, nil)
	c.s.writeLine.change(&c.s.mu, time.Time{}, nil)
	c.s.readable.Broadcast()
	c.s.writable.Broadcast()
	c.s.mu.Unlock()
	if !again {
		c.s.hungUp()
	}
	return nil
}

// SetDeadline implements net.Conn.
func (c conn) SetDeadline(t time.Time) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.readLine.change(&c.s.mu, t, c.s.readable.Broadcast)
	c.s.writeLine.change(&c.s.mu, t, c.s.writable.Broadcast)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c conn) SetReadDeadline(t time.Time) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.readLine.change(&c.s.mu, t, c.s.readable.Broadcast)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c conn) SetWriteDeadline(t time.Time) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.writeLine.change(&c.s.mu, t, c.s.writable.Broadcast)
	return nil
}

// LocalAddr implements net.Conn.
func (conn) LocalAddr() net.Addr { return addr{} }

// RemoteAddr implements net.Conn.
func (conn) RemoteAddr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "wasm" }
