// Package socket sets the options of TCP connections, of clients and to servers alike.
package socket

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// Options are those of a connection. Zero fields leave what the system, or Go, has.
type Options struct {
	// Keepalive probes connections that are idle for Idle (Go's default: 15 s), every
	// Interval (15 s), and gives them up after Count probes (9) without an answer.
	Keepalive      bool
	Idle, Interval time.Duration
	Count          int
	// UserTimeout is how long sent bytes may stay unacknowledged. Linux only.
	UserTimeout time.Duration
	// Congestion is the congestion control's name. Linux only.
	Congestion string
}

// Of returns what a configuration says.
func Of(t *conf.TCP) Options {
	return Options{Keepalive: t.Keepalive, Idle: t.Time, Interval: t.Interval, Count: t.Retries, UserTimeout: t.UserTimeout, Congestion: t.CongestionControl}
}

// Check tries the options on a connection of this process to itself: one that the system does
// not have, or does not allow, is an error that names its key.
func (o Options) Check() error {
	if o.UserTimeout == 0 && o.Congestion == "" {
		return nil // the others are there everywhere
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("try the options of [tcp]: %w", err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return fmt.Errorf("try the options of [tcp]: %w", err)
	}
	defer c.Close()
	return o.Apply(c)
}

// Apply sets the options of a connection over TCP; others stay as they are.
func (o Options) Apply(c net.Conn) error {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	if err := t.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: o.Keepalive, Idle: cmp.Or(o.Idle, -1), Interval: cmp.Or(o.Interval, -1), Count: cmp.Or(o.Count, -1),
	}); err != nil {
		return fmt.Errorf("tcp.keepalive: %w", err)
	}
	if o.UserTimeout == 0 && o.Congestion == "" {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = o.set(fd) })
	return errors.Join(err, failed)
}

// Listen sets the options of each connection that a listener accepts. options is asked each
// time. A connection whose options cannot be set is served all the same; report is told.
func Listen(l net.Listener, options func() Options, report func(error)) net.Listener {
	return &listener{l, options, report}
}

type listener struct {
	net.Listener
	options func() Options
	report  func(error)
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		if err := l.options().Apply(c); err != nil {
			l.report(err)
		}
	}
	return c, err
}
