package wasm

import (
	"slices"
	"time"
)

// timeoutVars are addresses of the C variables of PostgreSQL's session timeouts.
type timeoutVars struct {
	idleInTx, idle               uint32
	statement, transaction, lock uint32 // which concern statements of the host's own too
}

// await returns what is to be done next on the guest's goroutine: a client's turn, a
// task, or neither when the backend is being closed. It waits for clients, for their
// deadlines and for timers of the guest.
func (b *backend) await() (*client, func(), error) {
	for {
		b.mu.Lock()
		if b.closing {
			b.mu.Unlock()
			return nil, nil, nil
		}
		others := len(b.queue) > 0 || len(b.tasks) > 0
		holder := b.holder
		b.mu.Unlock()

		if holder != nil {
			if holder.hasInput() && (b.pinnedBy(holder) || !others) {
				return holder, nil, nil
			}
			if gone, err := b.idleChecks(holder); err != nil || gone {
				if err != nil {
					return nil, nil, err
				}
				continue
			}
			if others && !b.pinnedBy(holder) {
				reason, err := b.holds(holder)
				if err != nil {
					return nil, nil, err
				}
				if reason == "" {
					b.release(holder)
					continue
				}
				b.mu.Lock()
				b.pinned = reason
				b.mu.Unlock()
				if holder.hasInput() {
					return holder, nil, nil
				}
			}
		}
		b.mu.Lock()
		if b.holder == nil {
			// Tasks and clients take turns: neither keeps the other waiting for ever.
			if len(b.tasks) > 0 && (len(b.queue) == 0 || !b.tasked) {
				t := b.tasks[0]
				b.tasks = b.tasks[1:]
				b.tasked = true
				b.mu.Unlock()
				return nil, t, nil
			}
			if len(b.queue) > 0 {
				c := b.queue[0]
				b.unqueue(c)
				b.holder, b.pinned, b.tasked = c, "", false
				b.mu.Unlock()
				return c, nil, nil
			}
		}
		b.mu.Unlock()
		b.sleep(b.nextIdle(holder))
	}
}

func (b *backend) sleep(until time.Time) {
	if until.IsZero() {
		<-b.wake
		return
	}
	t := time.NewTimer(max(time.Until(until), time.Millisecond))
	defer t.Stop()
	select {
	case <-b.wake:
	case <-t.C:
	}
}

// pinnedBy reports whether the holder is known to keep the backend: inside a transaction
// or a pipeline it does without looking further.
func (b *backend) pinnedBy(c *client) bool {
	if c.status != 'I' || c.midway {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.pinned == "" {
			b.pinned = "an open transaction"
		}
		return true
	}
	return false
}

// release lets the holder go; it queues again if it has more to say. Its input is looked at
// only when it is no longer the holder: what comes later queues it by itself.
func (b *backend) release(c *client) {
	c.idleSince = time.Now()
	c.idleLimit = b.duration(b.timeouts.idle)
	b.mu.Lock()
	b.holder, b.pinned = nil, ""
	b.mu.Unlock()
	if c.hasInput() {
		b.enqueue(c)
	}
}

func (b *backend) duration(variable uint32) time.Duration {
	if variable == 0 {
		return 0
	}
	return time.Duration(int32(b.in.Load(variable))) * time.Millisecond
}

// push queues a client; mu is held. A timer answers it when it has waited for too long,
// on a goroutine of its own, because the guest may be busy all that time.
func (b *backend) push(c *client) {
	c.queued = true
	b.queue = append(b.queue, c)
	c.wait = time.AfterFunc(b.limits.wait, func() { b.giveUp(c, false) })
}

// unqueue takes a client out of the queue; mu is held. Whoever does so has the client to
// itself, as its holder or while it refuses.
func (b *backend) unqueue(c *client) bool {
	if !c.queued {
		return false
	}
	c.queued = false
	c.wait.Stop()
	b.queue = slices.DeleteFunc(b.queue, func(q *client) bool { return q == c })
	return true
}

// giveUp ends a client's wait.
func (b *backend) giveUp(c *client, cancelled bool) {
	b.mu.Lock()
	mine := b.unqueue(c)
	why := b.pinned
	if why == "" {
		why = "a statement that runs"
	}
	c.refusing = c.refusing || mine
	b.mu.Unlock()
	if !mine {
		return
	}
	b.refuse(c, cancelled, why)
	b.mu.Lock()
	c.refusing = false
	b.mu.Unlock()
	if c.hasInput() {
		b.enqueue(c)
	}
}

// refuse answers a waiting client's request with an error, without the guest.
func (b *backend) refuse(c *client, cancelled bool, why string) {
	f := &fault{
		code:    "55P03",
		message: "timed out after " + b.limits.wait.String() + " waiting for the backend, which another client holds by " + why,
		hint:    "This server has one backend. End transactions soon, drop temporary tables and release session locks, or use the native engine.",
	}
	if cancelled {
		f = &fault{code: "57014", message: "canceling statement due to user request"}
	}
	if !c.ready {
		b.forget(c)
		c.end(f)
		return
	}
	if _, _, eof := c.peek(); eof {
		b.forget(c)
		c.end(nil)
		return
	}
	c.answer(f)
}

// peek is next for the case that nothing is taken.
func (c *client) peek() (pending bool, bad *fault, eof bool) {
	c.rxMu.Lock()
	defer c.rxMu.Unlock()
	pending = c.off < c.scanned
	return pending, c.bad, c.eof && !pending
}

// answer takes one request off the client's input, a simple query or everything up to a
// Sync, and answers it with an error.
func (c *client) answer(f *fault) {
	reported := c.skipSync
	for {
		msg, _, _ := c.next()
		if msg == nil {
			c.skipSync = reported // the Sync is still to come
			return
		}
		c.stream.consumed(len(msg))
		typ := msg[0]
		if typ == 'X' {
			c.b.forget(c)
			c.end(nil)
			return
		}
		if !reported && typ != 'S' && typ != 'H' {
			reported = true
			c.stream.sendNow(errorResponse("ERROR", f))
		}
		if typ == 'Q' || typ == 'S' || typ == 'F' {
			c.skipSync = false
			c.stream.sendNow(message('Z', []byte{'I'}))
			return
		}
	}
}

// forget takes a client out of the books.
func (b *backend) forget(c *client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clients[c.id] == c {
		delete(b.clients, c.id)
	}
	if b.holder == c {
		b.holder, b.pinned = nil, ""
	}
	b.unqueue(c)
}
