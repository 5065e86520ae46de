package lease

import (
	"errors"
	"net"
	"os"
	"time"
)

// A Watch waits for the end of a lease that its holder did not end: by a kick, by its time,
// with the server.
type Watch struct {
	conn *net.UnixConn
	lost chan struct{}
	done chan struct{}
}

// Watch begins to watch the connection. Until Stop, which has to be called, nothing may be
// asked of the server.
func (c *Client) Watch() *Watch {
	return watch(c.conn, func() error {
		_, err := c.r.Peek(1)
		return err
	})
}

// Watch begins to watch the connection. Stop has to be called.
func (l *Legacy) Watch() *Watch {
	return watch(l.conn, func() error {
		_, err := l.conn.Read(make([]byte, 1))
		return err
	})
}

// watch waits for the end by read, to which nothing comes: the server does not speak first.
func watch(conn *net.UnixConn, read func() error) *Watch {
	w := &Watch{conn: conn, lost: make(chan struct{}), done: make(chan struct{})}
	go func() { // Stop waits for it
		defer close(w.done)
		err := read()
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			close(w.lost)
		}
	}()
	return w
}

// Lost is closed when the lease has ended.
func (w *Watch) Lost() <-chan struct{} { return w.lost }

// Stop ends the watch.
func (w *Watch) Stop() {
	_ = w.conn.SetReadDeadline(time.Unix(1, 0))
	select {
	case <-w.done:
	case <-time.After(time.Second):
		// Who has a copy of the descriptor made it block, for us as well.
		_ = w.conn.CloseRead()
		<-w.done
	}
	_ = w.conn.SetReadDeadline(time.Time{})
}
