package pgserver

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Why a query's context ends.
var (
	errCancelled = &wire.Error{Code: wire.CodeQueryCanceled, Message: "canceling statement due to user request"}
	errShutdown  = &wire.Error{Severity: wire.SeverityFatal, Code: wire.CodeAdminShutdown, Message: "terminating connection due to administrator command"}
	errGone      = &wire.Error{Severity: wire.SeverityFatal, Code: wire.CodeConnectionFailure, Message: "connection to client lost"}
	errFinished  = errors.New("the query has ended")
)

// running is what a session does now. Cancelling it reaches the handler's context, rows that
// are being sent and COPY data that is waited for.
type running struct {
	parent  context.Context // the session's
	started func()          // called when somebody asks for the context

	stopped atomic.Bool // a cause is set: cheap to look at for every row

	mu     sync.Mutex
	active bool
	cause  error
	ctx    context.Context
	end    context.CancelCauseFunc
}

// begin says that a command starts or goes on. An old cancellation is forgotten: it came too
// late, as it may in PostgreSQL.
func (r *running) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active, r.cause = true, nil
	r.stopped.Store(false)
	if r.ctx != nil && r.started != nil {
		r.started()
	}
}

// pause says that a portal is suspended: its context lives on, but cannot be cancelled.
func (r *running) pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active = false
}

// finish ends the command's context.
func (r *running) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active = false
	if r.end != nil {
		r.end(errFinished)
		r.ctx, r.end = nil, nil
	}
}

// cancel ends what runs, if something does, and reports whether.
func (r *running) cancel(cause error) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.active || r.cause != nil {
		return false
	}
	r.cause = cause
	r.stopped.Store(true)
	if r.end != nil {
		r.end(cause)
	}
	return true
}

// stop is cancel for what does not run now.
func (r *running) stop(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cause = cause
	r.stopped.Store(true)
	if r.end != nil {
		r.end(cause)
	}
}

// err returns why the command must end, or nil.
func (r *running) err() error {
	if !r.stopped.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cause
}

// context makes the context when it is first asked for: most short queries never do.
func (r *running) context() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx != nil {
		return r.ctx
	}
	ctx, end := context.WithCancelCause(r.parent)
	switch {
	case !r.active:
		end(errFinished)
		return ctx
	case r.cause != nil:
		end(r.cause)
	}
	r.ctx, r.end = ctx, end
	if r.started != nil {
		r.started()
	}
	return ctx
}

// A registry knows the sessions' cancel keys.
type registry struct {
	mu   sync.Mutex
	last uint32
	keys map[uint32]*keyed
}

type keyed struct {
	key  []byte
	conn *conn
}

// add gives a session a process id and a key of n random bytes.
func (r *registry) add(c *conn, n int) (pid uint32, key []byte) {
	key = make([]byte, n)
	rand.Read(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = map[uint32]*keyed{}
		var seed [4]byte
		rand.Read(seed[:])
		r.last = binary.BigEndian.Uint32(seed[:]) >> 2
	}
	for {
		// A positive int32, since some clients take it for one.
		if r.last = (r.last + 1) & 0x7fffffff; r.last != 0 && r.keys[r.last] == nil {
			break
		}
	}
	r.keys[r.last] = &keyed{key: key, conn: c}
	return r.last, key
}

func (r *registry) remove(pid uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, pid)
}

// cancel finds the session and cancels what it runs. The key is compared in constant time,
// and nothing tells the asker whether it fit.
func (r *registry) cancel(pid uint32, key []byte) bool {
	r.mu.Lock()
	k := r.keys[pid]
	r.mu.Unlock()
	if k == nil || subtle.ConstantTimeCompare(k.key, key) != 1 {
		return false
	}
	if k.conn.current.Load().cancel(errCancelled) {
		k.conn.wake(wakeCancel)
	}
	return true
}

// Cancel cancels what the session runs now, as a CancelRequest does.
func (s *Session) Cancel() {
	if s.conn.current.Load().cancel(errCancelled) {
		s.conn.wake(wakeCancel)
	}
}

// watchAfter is how long a query runs before its session looks whether the client is still
// there. Short queries do not pay for it.
const watchAfter = 250 * time.Millisecond
