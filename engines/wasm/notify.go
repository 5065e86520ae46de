package wasm

import (
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Notification is one message of NOTIFY.
type Notification struct {
	Channel, Payload string
	PID              uint32 // the sender's, as it was told at connection
}

// A notifier has a connection that does nothing but listen.
type notifier struct {
	mu       sync.Mutex
	conn     *pgx.Conn
	handlers map[int]handler
	next     int
	stop     context.CancelFunc
	done     chan struct{}
	commands chan command
}

type handler struct {
	channel string // "" for every channel
	f       func(Notification)
}

type command struct {
	sql  string
	done chan error
}

// Listen calls f with each notification on a channel, in order, on a goroutine that all
// listeners share, until stop is called or the DB is closed. f must not call Listen.
func (d *DB) Listen(ctx context.Context, channel string, f func(Notification)) (stop func(ctx context.Context) error, err error) {
	id, err := d.listen(ctx, channel, f)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		n := &d.notify
		n.mu.Lock()
		_, there := n.handlers[id]
		delete(n.handlers, id)
		last := true
		for _, h := range n.handlers {
			last = last && h.channel != channel
		}
		n.mu.Unlock()
		if !there || !last {
			return nil
		}
		return n.exec(ctx, "UNLISTEN "+Identifier(channel))
	}, nil
}

// OnNotification calls f with every notification on a channel that somebody listens to
// through Listen, until remove is called.
func (d *DB) OnNotification(f func(Notification)) (remove func()) {
	n := &d.notify
	n.mu.Lock()
	defer n.mu.Unlock()
	id := n.add("", f)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.handlers, id)
	}
}

// add registers a handler; mu is held.
func (n *notifier) add(channel string, f func(Notification)) int {
	if n.handlers == nil {
		n.handlers = map[int]handler{}
	}
	n.next++
	n.handlers[n.next] = handler{channel, f}
	return n.next
}

func (d *DB) listen(ctx context.Context, channel string, f func(Notification)) (int, error) {
	n := &d.notify
	n.mu.Lock()
	if n.conn == nil {
		conn, err := d.Connect(ctx)
		if err != nil {
			n.mu.Unlock()
			return 0, err
		}
		n.start(conn)
	}
	id := n.add(channel, f)
	n.mu.Unlock()
	if err := n.exec(ctx, "LISTEN "+Identifier(channel)); err != nil {
		n.mu.Lock()
		delete(n.handlers, id)
		n.mu.Unlock()
		return 0, err
	}
	return id, nil
}

// start begins to wait for notifications on conn; mu is held.
func (n *notifier) start(conn *pgx.Conn) {
	ctx, stop := context.WithCancel(context.Background())
	n.conn, n.stop, n.done, n.commands = conn, stop, make(chan struct{}), make(chan command)
	go func() {
		defer close(n.done)
		n.run(ctx, conn)
	}()
}

// run waits for notifications and, between them, for commands: a command interrupts the
// wait with a deadline, which pgx takes for no error of the connection.
func (n *notifier) run(ctx context.Context, conn *pgx.Conn) {
	type outcome struct {
		n   *pgconn.Notification
		err error
	}
	for {
		wait, interrupt := context.WithCancel(ctx)
		got := make(chan outcome, 1)
		go func() {
			m, err := conn.WaitForNotification(wait)
			got <- outcome{m, err}
		}()
		var cmd *command
		var o outcome
		select {
		case o = <-got:
		case c := <-n.commands:
			cmd = &c
			interrupt()
			o = <-got
		}
		interrupt()
		if o.n != nil {
			n.deliver(Notification{o.n.Channel, o.n.Payload, o.n.PID})
		}
		if cmd != nil {
			_, err := conn.Exec(ctx, cmd.sql)
			cmd.done <- err
		}
		if ctx.Err() != nil || conn.IsClosed() {
			return
		}
	}
}

func (n *notifier) deliver(m Notification) {
	n.mu.Lock()
	var fs []func(Notification)
	for i := 1; i <= n.next; i++ {
		if h, ok := n.handlers[i]; ok && (h.channel == "" || h.channel == m.Channel) {
			fs = append(fs, h.f)
		}
	}
	n.mu.Unlock()
	for _, f := range fs {
		f(m)
	}
}

func (n *notifier) exec(ctx context.Context, sql string) error {
	n.mu.Lock()
	commands, done := n.commands, n.done
	n.mu.Unlock()
	c := command{sql, make(chan error, 1)}
	select {
	case commands <- c:
	case <-done:
		return errors.New("the connection for notifications has ended")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (n *notifier) close() error {
	n.mu.Lock()
	conn, stop, done := n.conn, n.stop, n.done
	n.conn = nil
	n.mu.Unlock()
	if conn == nil {
		return nil
	}
	stop()
	<-done
	return conn.Close(context.Background())
}
