package wasm

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
)

var (
	errKilled  = errors.New("the server was stopped")
	errClosing = &fault{code: "57P01", message: "terminating connection due to administrator command"}
)

// limits are the host's own rules for sharing the backend.
type limits struct {
	wait       time.Duration // for the backend, while another client holds it
	idleInTx   time.Duration // 0: only PostgreSQL's idle_in_transaction_session_timeout
	maxClients int
	maxWAL     int64 // written since the last checkpoint, before the host asks for one
}

// A backend shares one guest among clients. A goroutine of its own runs the guest; it
// serves one client at a time, until that client is between transactions and holds
// nothing that the session state cannot carry, and then the one that has waited longest.
type backend struct {
	log    *slog.Logger
	limits limits
	reboot func(ctx context.Context, database string) (*guest.Instance, error)

	// Used on the guest's goroutine only.
	in         *guest.Instance
	sym        *guest.Symbols
	settings   *guest.Settings
	out        router
	message    []byte  // what the guest has still to read of the current message
	current    *client // whose session is loaded; nil: nobody's
	database   string
	superuser  string
	original   map[string]string // values of parameters that startup messages changed
	listening  listeners
	walWritten int64
	steps      uint64 // messages of clients that were carried out
	timeouts   timeoutVars
	spare      []uint32 // empty tables for prepared statements, of clients that left

	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	err     error
	clients map[uint32]*client
	queue   []*client       // those with input, in the order in which they asked
	holder  *client         // the client whose turn it is, or who holds the backend between turns
	pinned  string          // why the holder keeps it; "": it does not
	running *client         // whose message the guest is carrying out
	live    *guest.Instance // the guest, as long as other goroutines may touch its memory
	closing bool
	killed  bool
	nextID  uint32
	tasks   []func()
	tasked  bool // a task had the last turn
}

func newBackend(in *guest.Instance, database, superuser string, l limits, log *slog.Logger) (*backend, error) {
	b := &backend{
		log: log, limits: l, database: database, superuser: superuser,
		original: map[string]string{}, clients: map[uint32]*client{}, nextID: 1000,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	b.out.b = b
	return b, b.adopt(in)
}

// adopt takes a guest that has just been booted or restored.
func (b *backend) adopt(in *guest.Instance) (err error) {
	b.in, b.sym, b.current, b.spare = in, in.Symbols(), nil, nil
	clear(b.original)
	b.listening = listeners{sets: map[*client][]string{}}
	in.Read, in.Write, in.OnInterrupts = b.read, b.out.write, b.interrupts
	b.mu.Lock()
	b.live = in
	b.mu.Unlock()
	alarm := in.Proc.OnAlarm
	in.Proc.OnAlarm = func() {
		alarm()
		b.signal()
	}
	in.Proc.Written = func(path string, n int) {
		if len(path) > len(walDir) && path[:len(walDir)] == walDir {
			b.walWritten += int64(n)
		}
	}
	return b.protect(func() error {
		in.Proc.Alarms() // of a former life
		if b.settings, err = in.Settings(); err != nil {
			return err
		}
		b.timeouts = timeoutVars{
			idleInTx: b.settings.Variable("idle_in_transaction_session_timeout"),
			idle:     b.settings.Variable("idle_session_timeout"),

			statement:   b.settings.Variable("statement_timeout"),
			transaction: b.settings.Variable("transaction_timeout"),
			lock:        b.settings.Variable("lock_timeout"),
		}
		return nil
	})
}

const walDir = guest.DataDir + "/pg_wal/"

func (b *backend) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run is the guest's goroutine. It returns when the backend has been closed or is broken.
func (b *backend) run() {
	defer close(b.done)
	err := b.loop()
	b.mu.Lock()
	if !b.closing {
		b.err = err
	}
	b.closing = true
	b.live, b.running = nil, nil
	clients := make([]*client, 0, len(b.clients))
	for _, c := range b.clients {
		clients = append(clients, c)
	}
	clear(b.clients)
	b.queue, b.holder = nil, nil
	tasks := b.tasks
	b.tasks = nil
	b.mu.Unlock()
	for _, c := range clients {
		f := errClosing
		if b.err != nil {
			f = &fault{code: "57P02", message: "terminating connection because the server ended: " + b.err.Error()}
		}
		c.end(f)
	}
	for _, t := range tasks {
		t()
	}
}

func (b *backend) loop() (err error) {
	defer func() {
		if x := recover(); x != nil {
			if e, ok := x.(error); ok {
				err = fmt.Errorf("run the guest: %w", e)
			} else {
				err = fmt.Errorf("run the guest: %v", x)
			}
		}
	}()
	for {
		c, task, err := b.await()
		switch {
		case err != nil:
			return err
		case task != nil:
			task()
		case c == nil:
			return b.drain()
		default:
			if err := b.turn(c); err != nil {
				return fmt.Errorf("run the guest: %w", err)
			}
		}
	}
}

// drain ends the current client's transaction before the guest is shut down.
func (b *backend) drain() error {
	if c := b.current; c != nil {
		c.fatal = errClosing
		return b.quit(c)
	}
	return nil
}

// do runs f on the guest's goroutine while no client holds the backend, and waits for it.
func (b *backend) do(ctx context.Context, f func() error) error {
	result := make(chan error, 1)
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		return errKilled
	}
	b.tasks = append(b.tasks, func() {
		select {
		case <-b.done:
			result <- errKilled
			return
		default:
		}
		b.mu.Lock()
		closing := b.closing
		b.mu.Unlock()
		if closing {
			result <- errKilled
			return
		}
		result <- f()
	})
	b.mu.Unlock()
	b.signal()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// add makes a client and returns its stream. It counts among MaxConns once its startup
// message is there.
func (b *backend) add() *client {
	c := &client{b: b, stream: newStream(), params: map[string]string{}, status: 'I'}
	c.stream.received = c.receive
	c.stream.hungUp = c.hangUp
	return c
}

// enqueue puts a client that has input at the end of the queue.
func (b *backend) enqueue(c *client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		c.end(errClosing)
		return
	}
	if !c.registered {
		c.registered = true
		if len(b.clients) >= b.limits.maxClients {
			c.end(&fault{code: "53300", message: "sorry, too many clients already"})
			return
		}
		b.nextID++
		c.id = b.nextID
		var secret [4]byte
		if _, err := rand.Read(secret[:]); err != nil {
			c.end(asFault(err))
			return
		}
		c.secret = binary.BigEndian.Uint32(secret[:])
		b.clients[c.id] = c
	}
	if b.clients[c.id] != c {
		return
	}
	if c != b.holder && !c.queued && !c.refusing {
		b.push(c)
	}
	b.signal()
}

// lost notes that a client hung up. What it has sent is still carried out, as PostgreSQL
// would; a statement that runs with nothing behind it is cancelled.
func (b *backend) lost(c *client, pending bool) {
	b.mu.Lock()
	if b.running == c && !pending {
		b.cancel()
	}
	known := c.registered
	b.mu.Unlock()
	if known {
		b.enqueue(c)
	}
}

// cancelRequest cancels what a client does or waits for.
func (b *backend) cancelRequest(id, secret uint32) {
	b.mu.Lock()
	c := b.clients[id]
	if c == nil || c.secret != secret {
		b.mu.Unlock()
		return
	}
	if b.running == c {
		b.cancel()
	}
	waits := c.queued && c.ready
	b.mu.Unlock()
	if waits {
		b.giveUp(c, true)
	}
}

// stop makes the loop end: politely, which still rolls transactions back, or at once.
func (b *backend) stop(now bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closing = true
	b.killed = b.killed || now
	if b.running != nil || now {
		b.cancel()
	}
	b.signal()
}

// cancel cancels what the guest does, if there is one; mu is held.
func (b *backend) cancel() {
	if b.live != nil {
		b.live.Cancel()
	}
}

func (b *backend) isKilled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.killed
}
