package front

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/pgx-dev/pgx-dev/lease"
)

// A claim is the lease that all connections of one client share. The front's mutex guards
// it, but for what is set before ready is closed.
type claim struct {
	request *lease.Request
	users   int
	conns   map[net.Conn]bool
	timer   *time.Timer // runs while there is no user
}

// claim makes conn a user of the lease of key, and waits for the lease. The caller calls
// leave in any case.
func (f *Front) claim(key string, h lease.Holder, conn net.Conn) *claim {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.claims[key]
	if c == nil {
		c = &claim{conns: map[net.Conn]bool{}}
		h.End = func(string) { f.ended(key, c) }
		f.claims[key] = c
		c.request = f.pool.Request(h)
	}
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.users++
	c.conns[conn] = true
	return c
}

// wait returns the item of the lease.
func (c *claim) wait(ctx context.Context) (*lease.Item, error) {
	select {
	case <-c.request.Done():
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	l, err := c.request.Lease()
	if err != nil {
		return nil, err
	}
	return l.Item, nil
}

// granted reports whether the claim has its lease.
func (c *claim) granted() bool {
	select {
	case <-c.request.Done():
		_, err := c.request.Lease()
		return err == nil
	default:
		return false
	}
}

// leave ends the use by one connection. The last one's starts the grace period; who was
// not granted anything has none.
func (f *Front) leave(key string, c *claim, conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.users--
	delete(c.conns, conn)
	if c.users > 0 || f.claims[key] != c {
		return
	}
	if !c.granted() {
		delete(f.claims, key)
		f.work.Go(c.drop)
		return
	}
	c.timer = time.AfterFunc(f.grace, func() { f.expire(key, c) })
}

func (f *Front) expire(key string, c *claim) {
	f.mu.Lock()
	if c.users > 0 || f.claims[key] != c {
		f.mu.Unlock()
		return
	}
	delete(f.claims, key)
	f.mu.Unlock()
	c.drop()
}

// drop ends the lease, or the wait for it.
func (c *claim) drop() { c.request.Cancel() }

// ended is called when the lease ends by force.
func (f *Front) ended(key string, c *claim) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.claims[key] == c {
		delete(f.claims, key)
	}
	for conn := range c.conns {
		_ = conn.Close()
	}
}

var errGone = errors.New("the client went away")
