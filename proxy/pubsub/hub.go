package pubsub

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Conn is an authenticated connection of the hub's own.
type Conn interface {
	// Send sends bytes that are whole messages.
	Send(messages []byte) error
	// Receive returns the next message. The body is valid until the next call. Close ends it.
	Receive() (wire.Type, []byte, error)
	Close()
}

// A Config is what a [Hub] needs.
type Config struct {
	// Connect connects to the server. Required.
	Connect func(ctx context.Context) (Conn, error)
	// Log gets what no client is told. Nil discards it.
	Log *slog.Logger
}

// A Hub listens on one server for many. It is safe for concurrent use. Close ends it.
type Hub struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	channels map[string]*channel
	conn     Conn          // nil while there is none
	pending  []func(error) // what waits for answers on conn, in order
	running  bool
	closed   bool
	flush    flushes

	received, dropped int64
}

// A channel is one that somebody wants to listen to.
type channel struct {
	subs    map[*Mailbox]struct{}
	on      bool // the server has said so
	waiting []chan<- error

	received, dropped int64
}

// A ChannelInfo is a channel that somebody listens to.
type ChannelInfo struct {
	Name string
	// Listeners is how many do. Received counts the notifications, Dropped those that some of them
	// had no room for, once for each.
	Listeners         int
	Received, Dropped int64
}

// Channels lists the channels, in no order, and the totals of all that there ever were.
func (h *Hub) Channels() (list []ChannelInfo, received, dropped int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, c := range h.channels {
		list = append(list, ChannelInfo{Name: name, Listeners: len(c.subs), Received: c.received, Dropped: c.dropped})
	}
	return list, h.received, h.dropped
}

// New makes a hub. It connects when somebody subscribes.
func New(cfg Config) *Hub {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{cfg: cfg, channels: map[string]*channel{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// errClosed says that the hub is closed.
var errClosed = errors.New("notifications are not delivered any more")

// Subscribe lets a mailbox have what is sent to a channel, from when it returns without an
// error. What the mailbox has of the channel by then may have been sent before the call.
func (h *Hub) Subscribe(ctx context.Context, name string, m *Mailbox) error {
	done := make(chan error, 1)
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return errClosed
	}
	c := h.channels[name]
	if c == nil {
		c = &channel{subs: map[*Mailbox]struct{}{}}
		h.channels[name] = c
	}
	c.subs[m] = struct{}{}
	if c.on {
		h.mu.Unlock()
		// What others are still to be told is not for who comes after it. If the connection is lost
		// there is nothing of that any more, and this one is told that it was.
		if err := h.Flush(ctx); err != nil && ctx.Err() != nil {
			h.Unsubscribe(name, m)
			return err
		}
		return nil
	}
	c.waiting = append(c.waiting, done)
	switch {
	case h.conn != nil && len(c.waiting) == 1:
		h.listen(name, c)
	case h.conn == nil && !h.running:
		h.running = true
		h.wg.Go(h.run)
	}
	h.mu.Unlock()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		h.Unsubscribe(name, m)
	}
	return err
}

// Unsubscribe ends a subscription. One that is not there is no mistake.
func (h *Hub) Unsubscribe(name string, m *Mailbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.channels[name]
	if c == nil {
		return
	}
	delete(c.subs, m)
	if len(c.subs) > 0 {
		return
	}
	delete(h.channels, name)
	switch {
	case h.conn == nil:
	case len(h.channels) == 0:
		h.conn.Close() // run takes note
		h.conn = nil
	default:
		h.query("UNLISTEN "+quote(name), func(error) {})
	}
}

// Reconnect lets go of the connection, which is made anew as long as somebody listens.
func (h *Hub) Reconnect() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn != nil {
		h.conn.Close()
	}
}

// Close ends all subscriptions and the connection.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	clear(h.channels)
	h.mu.Unlock()
	h.cancel()
	h.wg.Wait()
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// listen asks the server to listen. The lock is held.
func (h *Hub) listen(name string, c *channel) {
	h.query("LISTEN "+quote(name), func(err error) {
		c.on = err == nil
		if err != nil {
			for m := range c.subs {
				m.warn("the server does not let the proxy listen to " + quote(name) + ": " + err.Error())
			}
		}
		for _, w := range c.waiting {
			w <- err
		}
		c.waiting = nil
	})
}

// query sends a query; done is called with the lock held. The lock is held.
func (h *Hub) query(sql string, done func(error)) {
	b, err := wire.Append(nil, &wire.Query{SQL: sql})
	if err == nil {
		err = h.conn.Send(b)
	}
	if err != nil {
		done(err)
		return
	}
	h.pending = append(h.pending, done)
}

// reconnectDelay bounds how long a lost connection is waited with.
const (
	firstDelay = 100 * time.Millisecond
	mostDelay  = 5 * time.Second
)

// run keeps the connection for as long as somebody listens.
func (h *Hub) run() {
	delay, lost := firstDelay, false
	for {
		conn, err := h.cfg.Connect(h.ctx)
		h.mu.Lock()
		if err != nil {
			h.fail(err)
			if h.idle() {
				h.mu.Unlock()
				return
			}
			h.mu.Unlock()
			h.cfg.Log.Warn("the connection for LISTEN cannot be had; it will be tried again", "error", err)
			select {
			case <-h.ctx.Done():
			case <-time.After(delay):
			}
			delay = min(2*delay, mostDelay)
			continue
		}
		delay, h.conn, h.pending = firstDelay, conn, nil
		for name, c := range h.channels {
			h.listen(name, c)
			if lost {
				for m := range c.subs {
					m.warn("the connection that listens was lost for a while: notifications may be missing")
				}
			}
		}
		h.mu.Unlock()
		stop := context.AfterFunc(h.ctx, conn.Close)
		err = h.read(conn)
		stop()
		conn.Close()
		h.mu.Lock()
		lost = h.conn != nil // else nobody listened any more, and nothing was missed
		h.conn, h.flush.stuck = nil, false
		for _, done := range h.pending {
			done(err)
		}
		h.pending = nil
		for _, c := range h.channels {
			c.on = false
		}
		if h.idle() {
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		if lost {
			h.cfg.Log.Warn("the connection for LISTEN was lost", "error", err)
		}
	}
}

// idle reports that nobody listens, which ends run. The lock is held.
func (h *Hub) idle() bool {
	if len(h.channels) > 0 && !h.closed {
		return false
	}
	h.running = false
	return true
}

// fail tells those who wait that there is no connection. The lock is held.
func (h *Hub) fail(err error) {
	for name, c := range h.channels {
		for _, w := range c.waiting {
			w <- err
		}
		if c.waiting = nil; len(c.subs) == 0 {
			delete(h.channels, name)
		}
	}
}

// read hands out what the server sends, until the connection ends.
func (h *Hub) read(conn Conn) error {
	var failure error
	for {
		typ, body, err := conn.Receive()
		if err != nil {
			if failure != nil {
				return failure
			}
			return err
		}
		switch typ {
		case wire.TypeNotificationResponse:
			var n wire.NotificationResponse
			if err := n.Decode(body); err != nil {
				return err
			}
			h.mu.Lock()
			if c := h.channels[n.Channel]; c != nil {
				h.received++
				c.received++
				for m := range c.subs {
					if !m.put(n) {
						h.dropped++
						c.dropped++
					}
				}
			}
			h.mu.Unlock()
		case wire.TypeErrorResponse:
			var m wire.ErrorResponse
			if err := m.Decode(body); err != nil {
				return err
			}
			e := m.Error
			failure = &e
		case wire.TypeReadyForQuery:
			h.mu.Lock()
			if len(h.pending) > 0 {
				done := h.pending[0]
				h.pending = h.pending[1:]
				done(failure)
			}
			h.mu.Unlock()
			failure = nil
		}
	}
}
