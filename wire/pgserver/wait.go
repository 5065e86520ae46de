package pgserver

import (
	"errors"
	"os"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A wakeup is a reason to interrupt the wait for a client's message.
type wakeup uint8

const (
	wakeNotify   wakeup = 1 << iota // a notification arrived
	wakeShutdown                    // the server is shutting down
	wakeCancel                      // the query was cancelled while it waits for COPY data
)

// next waits for the next message, and meanwhile does what the session is woken for.
func (c *conn) next() (wire.Frame, error) {
	c.unwatch()
	idle := time.Time{}
	if d := c.srv.IdleTimeout; d > 0 {
		idle = time.Now().Add(d)
	}
	for {
		if err := c.attend(idle); err != nil {
			return wire.Frame{}, err
		}
		f, err := c.r.ReadFrame()
		c.wakeMu.Lock()
		c.reading = false
		c.wakeMu.Unlock()
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return f, lost(err)
		}
		if !idle.IsZero() && !time.Now().Before(idle) {
			return f, &wire.Error{
				Severity: wire.SeverityFatal, Code: wire.CodeIdleSessionTimeout,
				Message: "terminating connection due to idle-session timeout",
			}
		}
	}
}

// attend does what the session was woken for and makes it wakeable again.
func (c *conn) attend(idle time.Time) error {
	for {
		c.wakeMu.Lock()
		woken := c.woken
		if c.state != ready {
			woken &^= wakeNotify // for when it is idle
		}
		if woken == 0 {
			defer c.wakeMu.Unlock()
			c.reading = true
			if !idle.IsZero() || c.deadline {
				c.deadline = !idle.IsZero()
				return lost(c.nc.SetReadDeadline(idle))
			}
			return nil
		}
		c.woken &^= woken
		c.wakeMu.Unlock()
		if woken&wakeShutdown != 0 && c.state != copyIn {
			return errShutdown
		}
		if woken&wakeCancel != 0 && (c.state == copyIn || c.state == copyBoth) {
			if err := c.current.Load().err(); err != nil {
				return err
			}
		}
		if woken&wakeNotify != 0 && c.sess.TxStatus() == wire.TxIdle {
			if err := c.sendNotes(); err != nil {
				return err
			}
			if err := c.w.Flush(); err != nil {
				return err
			}
		}
	}
}

// wake interrupts the session's wait. Any goroutine may call it.
func (c *conn) wake(why wakeup) {
	c.wakeMu.Lock()
	defer c.wakeMu.Unlock()
	c.woken |= why
	if c.reading {
		c.deadline = true
		_ = c.nc.SetReadDeadline(longAgo)
	}
}

// flushIfPromised sends what the client waits for, before the session waits for the client.
func (c *conn) flushIfPromised() error {
	if !c.mustFlush {
		return nil
	}
	c.mustFlush = false
	if err := c.w.Flush(); err != nil {
		return err
	}
	if cap(c.w.Buffer()) > idleWriteBuffer && c.state == ready {
		c.w = wire.NewWriter(timedWriter{c}) // an idle session costs little
	}
	return nil
}

const idleWriteBuffer = 16 << 10

// watch begins to look for the client's end when a query runs long and somebody cares.
func (c *conn) watch() {
	if c.watcher == nil {
		c.watcher = time.AfterFunc(watchAfter, c.lookOut)
		return
	}
	c.watcher.Reset(watchAfter)
}

func (c *conn) lookOut() {
	c.in.watch(func() { c.current.Load().cancel(errGone) })
}

func (c *conn) unwatch() {
	if c.watcher != nil {
		c.watcher.Stop()
	}
	c.in.unwatch()
}
