package pool

import (
	"errors"
	"fmt"
)

// Sizes of a connection's read buffer: it grows while reads fill it.
const (
	minRead = 8 << 10
	maxRead = 64 << 10
)

// ErrDetached is what a Sink answers that was given bytes which are not for it.
var ErrDetached = errors.New("the connection is not attached to this sink")

// read is the connection's goroutine.
func (c *Conn) read(rest []byte) {
	err := c.pump(rest)
	c.fall(err.Error())
	c.mu.Lock()
	s := c.sink
	c.ended = true
	c.mu.Unlock()
	if s != nil {
		s.Lost(c, err)
	}
	c.pool.lost(c)
}

func (c *Conn) pump(rest []byte) error {
	buf := make([]byte, max(minRead, len(rest)))
	have := copy(buf, rest)
	for {
		if have > 0 {
			n, err := c.deliver(buf[:have])
			if err != nil {
				return err
			}
			have = copy(buf, buf[n:have])
		}
		if have == len(buf) {
			buf = append(buf, make([]byte, len(buf))...) // a message that is wanted whole
		}
		n, err := c.nc.Read(buf[have:])
		c.BytesIn.Add(int64(n))
		if n > 0 {
			if have += n; have == len(buf) && have < maxRead {
				n, err := c.deliver(buf)
				if err != nil {
					return err
				}
				bigger := make([]byte, 2*len(buf))
				have = copy(bigger, buf[n:])
				buf = bigger
			}
			continue // an error that comes with bytes comes again
		}
		if err != nil {
			return fmt.Errorf("read from the server: %w", err)
		}
	}
}

// deliver gives bytes to the one who has the connection now.
func (c *Conn) deliver(b []byte) (int, error) {
	for {
		c.mu.Lock()
		s := c.sink
		if s == nil {
			n, err := c.idle(b)
			c.mu.Unlock()
			return n, err
		}
		c.mu.Unlock()
		n, err := s.Data(c, b)
		if !errors.Is(err, ErrDetached) {
			return n, err
		}
		c.mu.Lock()
		if c.sink == s {
			c.mu.Unlock()
			return n, errors.New("bytes of the server that nobody takes")
		}
		c.mu.Unlock()
	}
}
