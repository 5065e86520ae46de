package pool

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/loop"
)

// A Prompt is a Sink that may be called by a loop: neither Data nor Lost waits for anything.
// Of a sink that is none of that kind a goroutine takes care.
type Prompt interface {
	Sink
	// Prompt says whether that is so for this one.
	Prompt() bool
	// Taken says that the server has taken all that was written, after it had not at once.
	Taken(c *Conn)
}

// Evented reports that a loop drives the connection: Write never waits, and Pending says how
// much the server has not taken yet.
func (c *Conn) Evented() bool { return c.lc != nil }

// Came is when what Data is given came, if a loop drives the connection; else zero. Only Data of a
// Prompt may ask.
func (c *Conn) Came() time.Time { return c.came }

// Pending returns how many bytes the server has not taken yet.
func (c *Conn) Pending() int {
	if c.lc == nil {
		return 0
	}
	return c.lc.Pending()
}

// Pause keeps a loop from reading from the server until Resume, or until somebody else is
// attached.
func (c *Conn) Pause() { c.lc.Pause() }

// Resume ends Pause.
func (c *Conn) Resume() {
	if c.nc != net.Conn(c.lc) && c.lc.Paused() {
		defer c.lc.Again() // TLS may have read more than it has given
	}
	c.lc.Resume()
}

// A socket is what TLS is spoken over until a loop takes the connection over, and then that.
type socket struct{ net.Conn }

// drive has a connection read from now on. rest came before.
func (p *Pool) drive(c *Conn, rest []byte) {
	if p.cfg.Loops != nil && p.evented(c, rest) {
		return
	}
	p.wg.Go(func() { c.read(rest) })
}

// evented hands a connection to a loop, if that can drive it.
func (p *Pool) evented(c *Conn, rest []byte) bool {
	under := c.nc
	var over *socket
	if t, ok := c.nc.(*tls.Conn); ok {
		if over, ok = t.NetConn().(*socket); !ok {
			return false
		}
		under = over.Conn
	}
	lc, err := p.cfg.Loops.Adopt(under, c)
	if err != nil {
		return false
	}
	if over != nil {
		over.Conn = lc
	} else {
		c.nc = lc
	}
	c.lc = lc
	p.wg.Add(1) // until Closed
	if len(rest) > 0 {
		lc.Do(func() {
			c.came = time.Now()
			c.take(append([]byte(nil), rest...))
		})
	}
	c.Resume()
	return true
}

// Readable implements loop.Handler.
func (c *Conn) Readable(lc *loop.Conn, buf []byte) {
	c.came = lc.Now()
	for {
		n, err := c.nc.Read(buf)
		if n > 0 {
			c.BytesIn.Add(int64(n))
			b := buf[:n]
			if len(c.rest) > 0 {
				b = append(c.rest, b...)
			}
			if !c.take(b) {
				return
			}
		}
		if err != nil {
			if !errors.Is(err, loop.ErrAgain) {
				c.fall("read from the server: " + err.Error())
			}
			return
		}
		if c.nc == net.Conn(lc) || lc.Paused() {
			return // the loop says when there is more
		}
	}
}

// take gives bytes to who has the connection, and keeps what he leaves.
func (c *Conn) take(b []byte) bool {
	n, err := c.deliver(b)
	if err != nil {
		c.Break(err.Error())
		return false
	}
	if n == len(b) {
		if cap(c.rest) > minRead {
			c.rest = nil
		}
		c.rest = c.rest[:0]
		return true
	}
	c.rest = append(c.rest[:0], b[n:]...)
	return true
}

// Drained implements loop.Handler.
func (c *Conn) Drained(*loop.Conn) {
	c.mu.Lock()
	s := c.sink
	c.mu.Unlock()
	if p, ok := s.(Prompt); ok {
		p.Taken(c)
	}
}

// Closed implements loop.Handler.
func (c *Conn) Closed(*loop.Conn) {
	defer c.pool.wg.Done()
	c.mu.Lock()
	s := c.sink
	c.ended = true
	c.mu.Unlock()
	if s != nil {
		s.Lost(c, errors.New(c.Why()))
	}
	c.pool.lost(c)
}

// AttachPrompt is Attach for who knows that a loop drives the connection, and that s is a Prompt
// that says so of itself now.
func (c *Conn) AttachPrompt(s Sink) bool { return c.attach(s) }

// attachEvented is Attach where a loop drives the connection.
func (c *Conn) attachEvented(s Sink) bool {
	if s != nil {
		if p, ok := s.(Prompt); !ok || !p.Prompt() {
			if _, ok := s.(*Direct); !ok {
				f := newFeed(c, s)
				c.pool.wg.Go(f.run)
				s = f
			}
		}
	}
	return c.attach(s)
}

// attach makes s the one who is told what the server sends.
func (c *Conn) attach(s Sink) bool {
	c.mu.Lock()
	old := c.sink
	c.sink = s
	ended := c.ended
	c.mu.Unlock()
	if f, ok := old.(*feed); ok {
		f.end()
	}
	if ended {
		if f, ok := s.(*feed); ok {
			f.end()
		}
		return false
	}
	if c.lc.Paused() {
		c.Resume()
	}
	return true
}

// maxInbox is how much may wait in an inbox before the loop stops reading.
const maxInbox = 256 << 10

// An inbox is what a loop has read for a goroutine.
type inbox struct {
	more chan struct{} // of one

	mu    sync.Mutex
	bytes []byte
}

func (i *inbox) put(c *Conn, b []byte) {
	i.mu.Lock()
	i.bytes = append(i.bytes, b...)
	full := len(i.bytes) > maxInbox
	if full {
		c.Pause() // with the lock held: who empties the inbox resumes after that
	}
	i.mu.Unlock()
	select {
	case i.more <- struct{}{}:
	default:
	}
}

// get appends what there is to b.
func (i *inbox) get(c *Conn, b []byte) []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.bytes) > maxInbox {
		c.Resume()
	}
	if len(b) == 0 {
		b, i.bytes = i.bytes, nil
		return b
	}
	b = append(b, i.bytes...)
	i.bytes = i.bytes[:0]
	return b
}

// collect takes what has come into the inbox, and reports whether that was anything.
func (d *Direct) collect() bool {
	had := len(d.bytes)
	d.bytes = d.inbox.get(d.conn, d.bytes)
	d.open = d.open || len(d.bytes) > 0
	return len(d.bytes) > had
}

// closeEvented gives what was not looked at back to the connection.
func (d *Direct) closeEvented() {
	d.conn.lc.Do(func() {
		c := d.conn
		c.mu.Lock()
		mine := c.sink == Sink(d)
		if mine {
			c.sink = nil
		}
		c.mu.Unlock()
		if left := d.inbox.get(c, d.bytes); len(left) > 0 && !c.Broken() {
			if !mine || len(c.rest) > 0 || d.skip > 0 {
				c.Break("bytes of the server that nobody takes")
				return
			}
			c.came = time.Now()
			c.take(left)
		}
	})
	d.conn.Resume()
	close(d.quit)
}
