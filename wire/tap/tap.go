package tap

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// DefaultMaxValue is how many bytes of a value or a query are told.
const DefaultMaxValue = 200

// maxBody is how much of one message is kept to be decoded; of a longer one the name and
// the size are told.
const maxBody = 1 << 20

// A Tap passes sessions on and tells of their messages. Its fields must not change once it
// serves.
type Tap struct {
	// Dial opens a connection to the server.
	Dial func(ctx context.Context) (net.Conn, error)
	// Report is called for each message, by one goroutine at a time. The event is its own.
	Report func(Event)
	// HideValues tells of values only how long they are.
	HideValues bool
	// PassTLS passes requests for TLS and GSSAPI encryption on to the server; when it
	// agrees, nothing more can be told of the session. Otherwise they are declined.
	PassTLS bool
	// MaxValue is how many bytes of each value and query are told. 0 is DefaultMaxValue,
	// negative is all of them.
	MaxValue int
	// StartupTimeout is how long a client may take to say what it wants. 0 is one minute, as
	// PostgreSQL's authentication_timeout.
	StartupTimeout time.Duration

	report sync.Mutex

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	ended bool
	empty chan struct{} // is closed when there is no connection, for Wait
	count uint64
	wg    sync.WaitGroup
}

// A Source is who caused an event.
type Source string

// The sources of events.
const (
	Client Source = "client"
	Server Source = "server"
	Self   Source = "tap" // a connection opened or ended, or the tap itself answered
)

// An Event is one message, or something that happened to a connection.
type Event struct {
	Time    time.Time
	Conn    uint64 // counted from 1
	From    Source
	Message string // as the protocol's documentation names it
	Size    int    // bytes on the wire, header and all
	Fields  []Field
	// Took is the time since the request that this answers: of CommandComplete,
	// ErrorResponse and ReadyForQuery.
	Took time.Duration
}

// A Field is one thing that a message says: a string, a number, a bool, a list of them, or
// nil.
type Field struct {
	Name  string
	Value any
}

// Serve accepts connections on ln until ctx ends; then it closes the listener and every
// connection, waits for them, and returns nil.
func (t *Tap) Serve(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		_ = ln.Close()
		t.closeAll()
	})
	defer func() {
		stop()
		_ = ln.Close()
		t.closeAll()
		t.wg.Wait()
	}()
	for {
		nc, err := ln.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			switch {
			case ctx.Err() != nil:
				return nil
			case errors.As(err, &temporary) && temporary.Temporary():
				// Out of descriptors: wait a little, as net/http does.
				select {
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
				continue
			}
			return err
		}
		if !t.track(nc) {
			continue
		}
		t.mu.Lock()
		t.count++
		c := &conn{tap: t, id: t.count, client: nc}
		t.mu.Unlock()
		t.wg.Go(func() { c.run(ctx) })
	}
}

// track remembers a connection, so that the end closes it; false means that it has come.
func (t *Tap) track(nc net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		_ = nc.Close()
		return false
	}
	if t.conns == nil {
		t.conns = map[net.Conn]struct{}{}
	}
	t.conns[nc] = struct{}{}
	return true
}

func (t *Tap) untrack(nc net.Conn) {
	_ = nc.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, nc)
	if len(t.conns) == 0 && t.empty != nil {
		close(t.empty)
		t.empty = nil
	}
}

// Wait returns when no session is open, or when ctx ends. It is for whoever wants to see
// the last messages of clients that have gone before ending Serve.
func (t *Tap) Wait(ctx context.Context) {
	t.mu.Lock()
	if len(t.conns) == 0 {
		t.mu.Unlock()
		return
	}
	if t.empty == nil {
		t.empty = make(chan struct{})
	}
	empty := t.empty
	t.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
	}
}

func (t *Tap) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	for nc := range t.conns {
		_ = nc.Close()
	}
}

func (t *Tap) dial(ctx context.Context) (net.Conn, error) {
	nc, err := t.Dial(ctx)
	if err != nil {
		return nil, err
	}
	if !t.track(nc) {
		return nil, wire.Errorf(wire.CodeAdminShutdown, "the tap is ending")
	}
	return nc, nil
}
