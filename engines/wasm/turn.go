package wasm

import (
	"errors"
	"time"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
)

// turn lets the holder go on: it carries out what the client has sent until the client
// is between transactions and somebody else waits, or nothing is left to do.
func (b *backend) turn(c *client) error {
	if !c.ready {
		return b.start(c)
	}
	if err := b.load(c); err != nil {
		return err
	}
	for {
		msg, bad, eof := c.next()
		switch {
		case msg == nil && bad != nil:
			c.fatal = bad
			return b.quit(c)
		case msg == nil && eof:
			return b.quit(c)
		case msg == nil:
			c.idleSince = time.Now()
			return nil
		case msg[0] == 'X':
			return b.quit(c)
		}
		if err := b.step(c, msg); err != nil {
			return err
		}
		if c.fatal != nil {
			return b.quit(c)
		}
		if b.closingNow() {
			return nil
		}
		if c.status == 'I' && !c.midway {
			if err := b.checkpoint(); err != nil {
				return err
			}
			if b.othersWait() {
				return nil
			}
		}
	}
}

func (b *backend) closingNow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closing
}

func (b *backend) othersWait() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) > 0 || len(b.tasks) > 0
}

// step gives the guest one message of the current client.
func (b *backend) step(c *client, msg []byte) error {
	if c.skipSync {
		// The error was reported while the client waited for its turn.
		c.stream.consumed(len(msg))
		if msg[0] == 'S' {
			c.skipSync = false
			c.stream.send(message('Z', []byte{c.status}))
		}
		return nil
	}
	b.mu.Lock()
	b.running = c
	b.in.ClearCancel()
	killed := b.killed
	b.mu.Unlock()
	if killed {
		return errKilled
	}
	b.steps++
	typ, size := msg[0], len(msg) // msg itself is gone once COPY has taken more
	switch typ {
	case 'P', 'B', 'D', 'E', 'C':
		c.midway = true // until Sync. COPY data behind a COPY that failed is nothing.
	}
	b.message = msg
	b.out.target = c
	err := b.in.Step()
	if err == nil && len(b.message) > 0 {
		err = errors.New("the guest left a part of a message")
	}
	c.stream.consumed(size)
	if err == nil {
		err = b.settle(c, typ)
	}
	b.mu.Lock()
	b.running = nil
	b.in.ClearCancel() // one that came too late is nobody else's
	b.mu.Unlock()
	if b.isKilled() {
		return errKilled
	}
	return err
}

// settle lets the guest say that it is ready, with notifications for everybody who
// listens.
func (b *backend) settle(c *client, typ byte) error {
	if typ != 'Q' && typ != 'S' && typ != 'F' {
		return nil // no ReadyForQuery follows
	}
	if err := b.listening.before(b, c); err != nil {
		return err
	}
	if err := b.in.Settle(); err != nil {
		return err
	}
	return b.listening.after(b, c)
}

// read gives the guest bytes of the current message. When it wants more, it is in a COPY
// and waits for the client's data.
func (b *backend) read(buf []byte) int {
	if len(b.message) == 0 {
		b.message = b.copyData()
	}
	n := copy(buf, b.message)
	b.message = b.message[n:]
	return n
}

// copyData waits for the next message of the current client, which is in COPY FROM STDIN.
// A client that has gone, or has to go, is answered for: the COPY fails, and Sync ends the
// pipeline.
func (b *backend) copyData() []byte {
	c := b.out.target
	if c == nil || b.out.capture != nil {
		return message('f', append([]byte("no data"), 0))
	}
	for {
		msg, bad, eof := c.next()
		switch {
		case msg != nil && msg[0] != 'X':
			c.stream.consumed(len(msg))
			return msg
		case msg != nil || eof:
			c.fatal = &fault{code: "08006", message: "connection to client lost"}
		case bad != nil:
			c.fatal = bad
		case b.closingNow():
			c.fatal = errClosing
		}
		if c.fatal != nil {
			return message('f', append([]byte(c.fatal.message), 0))
		}
		b.sleep(time.Time{})
		b.interrupts()
	}
}

// interrupts runs inside of ProcessInterrupts. It lets the guest's timers fire, and turns
// what would end the whole backend into the end of one client: its statement is cancelled,
// and it gets PostgreSQL's message afterwards.
func (b *backend) interrupts() {
	in, s := b.in, b.sym
	in.Proc.Alarms()
	if b.isKilled() {
		panic(errKilled)
	}
	c := b.out.target
	end := func(flag uint32, f *fault) {
		if in.Load(flag) == 0 {
			return
		}
		in.Store(flag, 0)
		if c != nil && c.fatal == nil {
			c.fatal = f
		}
	}
	end(s.ProcDiePending, errClosing)
	end(s.TxTimeoutPending, errTxTimeout)
	// The client was quicker than these, or it would not run.
	in.Store(s.IdleInTxTimeoutPending, 0)
	in.Store(s.IdleTimeoutPending, 0)
	if c != nil && c.fatal != nil {
		in.Store(s.QueryCancelPending, 1)
	}
}

var (
	errTxTimeout   = &fault{code: "25P04", message: "terminating connection due to transaction timeout"}
	errIdleInTx    = &fault{code: "25P03", message: "terminating connection due to idle-in-transaction timeout"}
	errIdleSession = &fault{code: "57P05", message: "terminating connection due to idle-session timeout"}
)

// idleChecks lets the guest's timers fire while the holder is idle, and ends the holder
// when one of them is about it.
func (b *backend) idleChecks(c *client) (gone bool, err error) {
	if b.in.Proc.AlarmDue() {
		if err := b.protect(func() error { b.in.Proc.Alarms(); return nil }); err != nil && !errors.Is(err, guest.ErrRaised) {
			return false, err
		}
	}
	in, s := b.in, b.sym
	if !c.hasInput() && c == b.current {
		inTx := c.status != 'I'
		switch {
		case in.Load(s.ProcDiePending) != 0:
			c.fatal = errClosing
		case in.Load(s.TxTimeoutPending) != 0 && inTx:
			c.fatal = errTxTimeout
		case in.Load(s.IdleInTxTimeoutPending) != 0 && inTx:
			c.fatal = errIdleInTx
		case in.Load(s.IdleTimeoutPending) != 0 && !inTx:
			c.fatal = errIdleSession
		case inTx && b.limits.idleInTx > 0 && time.Since(c.idleSince) >= b.limits.idleInTx:
			c.fatal = errIdleInTx
		}
	}
	for _, flag := range []uint32{s.TxTimeoutPending, s.IdleInTxTimeoutPending, s.IdleTimeoutPending, s.ProcDiePending} {
		in.Store(flag, 0)
	}
	if c.fatal != nil {
		return true, b.quit(c)
	}
	b.parkedIdle()
	return false, nil
}

// parkedIdle ends clients whose idle_session_timeout ran out while others had the backend.
func (b *backend) parkedIdle() {
	for _, c := range b.parked() {
		if c.idleLimit > 0 && time.Since(c.idleSince) >= c.idleLimit && !c.hasInput() {
			// Its session is cleared away when its turn comes.
			c.idleLimit = 0
			c.end(errIdleSession)
			c.hangUp()
		}
	}
}

func (b *backend) parked() []*client {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*client
	for _, c := range b.clients {
		if c != b.holder && c.ready && c.idleLimit > 0 {
			out = append(out, c)
		}
	}
	return out
}

// nextIdle returns when an idle client's time is up, by the host's clock.
func (b *backend) nextIdle(holder *client) time.Time {
	var next time.Time
	earlier := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if holder != nil && holder.status != 'I' && b.limits.idleInTx > 0 {
		earlier(holder.idleSince.Add(b.limits.idleInTx))
	}
	for _, c := range b.parked() {
		earlier(c.idleSince.Add(c.idleLimit))
	}
	return next
}
