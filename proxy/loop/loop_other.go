//go:build !linux

package loop

import (
	"net"
	"time"
)

// A Group is some loops.
type Group struct{}

// New returns ErrUnsupported.
func New(int) (*Group, error) { return nil, ErrUnsupported }

// Close does nothing.
func (*Group) Close() {}

// Adopt returns ErrUnsupported.
func (*Group) Adopt(net.Conn, Handler) (*Conn, error) { return nil, ErrUnsupported }

// A Conn is a connection that a loop drives: there are none.
type Conn struct{}

// Post does nothing.
func (*Conn) Post(func()) {}

// PostTask does nothing.
func (*Conn) PostTask(Task) {}

// Again does nothing.
func (*Conn) Again() {}

// Now returns the time.
func (*Conn) Now() time.Time { return time.Now() }

// FD returns -1.
func (*Conn) FD() int { return -1 }

// Dead returns true.
func (*Conn) Dead() bool { return true }

// Paused returns false.
func (*Conn) Paused() bool { return false }

// Do calls f.
func (*Conn) Do(f func()) { f() }

// Read returns net.ErrClosed.
func (*Conn) Read([]byte) (int, error) { return 0, net.ErrClosed }

// Write returns net.ErrClosed.
func (*Conn) Write([]byte) (int, error) { return 0, net.ErrClosed }

// Pending returns 0.
func (*Conn) Pending() int { return 0 }

// Pause does nothing.
func (*Conn) Pause() {}

// Resume does nothing.
func (*Conn) Resume() {}

// Close returns net.ErrClosed.
func (*Conn) Close() error { return net.ErrClosed }

// RemoteAddr returns nil.
func (*Conn) RemoteAddr() net.Addr { return nil }

// LocalAddr returns nil.
func (*Conn) LocalAddr() net.Addr { return nil }

// SetDeadline does nothing.
func (*Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (*Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (*Conn) SetWriteDeadline(time.Time) error { return nil }
