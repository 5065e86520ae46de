package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A lane repeats one client's transactions at a mirror. It has goroutines only while there is
// something to repeat, and shortly after.
type lane struct {
	p      *Proxy
	m      *mirror
	client Client

	mu      sync.Mutex
	queue   []*taped
	running bool
	closed  bool
	more    chan struct{} // has something when run should look again
}

const (
	// laneIdle is how long a lane keeps its session while there is nothing to repeat.
	laneIdle = 5 * time.Second
	// lanePatience is how long an answer of the mirror's is waited for, and how long a pause of a
	// client's is made at most.
	lanePatience = time.Minute
)

// offer takes a transaction to be repeated, if there is room for it. It never waits.
func (l *lane) offer(t *taped) {
	if !l.m.wants(t) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes := &l.p.mirrors.bytes
	if l.closed || len(l.queue) >= l.m.Queue || bytes.Add(int64(t.bytes)) > maxMirrored {
		if !l.closed && len(l.queue) < l.m.Queue {
			bytes.Add(-int64(t.bytes))
		}
		l.m.dropped.Add(1)
		return
	}
	l.queue = append(l.queue, t)
	l.m.waiting.Add(1)
	if l.more == nil {
		l.more = make(chan struct{}, 1)
	}
	l.ring()
	if !l.running {
		l.running = true
		l.p.background(l.run)
	}
}

func (l *lane) ring() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// close lets the lane end when it has repeated what it has.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed = true; l.more != nil {
		l.ring()
	}
}

// next returns the transaction to be repeated next; nil when the lane is to rest, which it then
// does.
func (l *lane) next() *taped {
	idle := time.NewTimer(laneIdle)
	defer idle.Stop()
	for {
		l.mu.Lock()
		if len(l.queue) > 0 && l.p.ctx.Err() == nil {
			t := l.queue[0]
			l.queue[0] = nil
			if l.queue = l.queue[1:]; len(l.queue) == 0 {
				l.queue = nil
			}
			l.mu.Unlock()
			l.m.waiting.Add(-1)
			l.p.mirrors.bytes.Add(-int64(t.bytes))
			return t
		}
		if l.closed || l.p.ctx.Err() != nil {
			l.rest()
			return nil
		}
		l.mu.Unlock()
		select {
		case <-l.more:
		case <-l.p.ctx.Done():
		case <-idle.C:
			l.mu.Lock()
			if len(l.queue) == 0 {
				l.rest()
				return nil
			}
			l.mu.Unlock()
		}
	}
}

// rest ends run. What cannot be repeated any more is dropped. It gives up the lock.
func (l *lane) rest() {
	for _, t := range l.queue {
		l.m.waiting.Add(-1)
		l.m.dropped.Add(1)
		l.p.mirrors.bytes.Add(-int64(t.bytes))
	}
	l.queue, l.running = nil, false
	l.mu.Unlock()
}

// run repeats transactions until there are no more for a while.
func (l *lane) run() {
	var e *echo
	defer func() { e.close() }()
	told := false
	for t := l.next(); t != nil; t = l.next() {
		err := l.p.ctx.Err()
		if e == nil {
			e, err = l.open()
		}
		failed := false
		if err == nil {
			failed, err = e.play(l.p.ctx, t)
		}
		switch {
		case err != nil:
			l.m.failed.Add(1)
			if !told {
				l.p.log.Warn("a transaction could not be mirrored", "user", l.client.User, "database", l.m.Source, "mirror", l.m.Destination, "error", err)
			}
			told = true
			e.close()
			e = nil
		case failed && !t.failed:
			l.m.failed.Add(1)
		default:
			told = false
			l.m.mirrored.Add(1)
		}
	}
}

// An echo is a session at a mirror: one of the proxy's own, whose client is a lane.
type echo struct {
	s     *session
	nc    net.Conn
	wg    sync.WaitGroup
	ready chan wire.TxStatus // what the session's ReadyForQuery said
	gone  chan struct{}      // closed when the session says no more
	wrong atomic.Bool        // there was an error
	known map[string]string  // prepared statements that it has
}

// open makes a session at the mirror.
func (l *lane) open() (*echo, error) {
	c := l.client
	c.Database = l.m.Destination
	ctx, end := context.WithCancelCause(l.p.ctx)
	ours, theirs := net.Pipe()
	s := l.p.newSession(ctx, end, c, theirs)
	s.id = l.p.mirrors.last.Add(1) | 1<<31 // which no client has
	var err error
	if s.db, err = l.p.cfg.Lookup(ctx, c); err == nil {
		s.startup, err = l.p.cfg.startupParams(c)
	}
	if err != nil {
		end(err)
		_, _ = ours.Close(), theirs.Close()
		return nil, err
	}
	s.want = s.startup
	e := &echo{s: s, nc: ours, ready: make(chan wire.TxStatus, 16), gone: make(chan struct{}), known: map[string]string{}}
	e.wg.Go(func() {
		var err error
		if s.db.Sharded != nil {
			err = s.runSharded(nil)
		} else {
			err = s.run(nil)
		}
		if x := (*wire.Error)(nil); errors.As(err, &x) {
			s.goodbye(x)
		}
		s.leave()
	})
	e.wg.Go(e.listen)
	return e, nil
}

// listen reads what the session says.
func (e *echo) listen() {
	defer close(e.gone)
	r := wire.NewReader(e.nc, wire.Backend, 0)
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return
		}
		switch f.Type {
		case wire.TypeErrorResponse:
			e.wrong.Store(true)
		case wire.TypeReadyForQuery:
			if len(f.Body) != 1 {
				return
			}
			select {
			case e.ready <- wire.TxStatus(f.Body[0]):
			default: // nobody has asked so often
				return
			}
		}
	}
}

// close ends the session.
func (e *echo) close() {
	if e == nil {
		return
	}
	e.s.finished(errGoodbye)
	_ = e.nc.Close()
	e.wg.Wait()
}

var errMirror = errors.New("the mirror does not answer as it should")

// play repeats a transaction, and reports whether it had an error. After an error of play the
// session is of no more use.
func (e *echo) play(ctx context.Context, t *taped) (failed bool, err error) {
	e.wrong.Store(false)
	if t.known && e.s.db.Sharded == nil {
		e.s.mu.Lock()
		if !e.s.want.Same(t.want) {
			e.s.want = t.want
			if e.s.server != nil {
				e.s.resync = true
			}
		}
		e.s.mu.Unlock()
	}
	status, due := wire.TxIdle, false
	for i := range t.steps {
		st := &t.steps[i]
		if due && !st.copy {
			if status, err = e.answer(ctx); err != nil {
				return false, err
			}
			due = false
		}
		if err := pause(ctx, min(st.after, lanePatience)); err != nil {
			return false, err
		}
		if e.wrong.Load() {
			clear(e.known)
		}
		if err := e.say(st); err != nil {
			return false, err
		}
		if st.forgets {
			clear(e.known)
		}
		due = due || st.ready
	}
	if due {
		if status, err = e.answer(ctx); err != nil {
			return false, err
		}
	}
	if e.wrong.Load() {
		clear(e.known)
	}
	if status != wire.TxIdle {
		return true, errMirror
	}
	return e.wrong.Load(), nil
}

// say sends a step, and before it what it needs.
func (e *echo) say(st *step) error {
	var out []byte
	if st.name != "" && (st.makes || e.known[st.name] != st.key) {
		out = appendNamed(out, wire.TypeClose, st.name)
		if !st.makes {
			out = appendParse(out, st.name, st.key)
		}
		e.known[st.name] = st.key
	}
	out = append(out, st.msg...)
	delete(e.known, st.closes)
	_ = e.nc.SetWriteDeadline(time.Now().Add(lanePatience))
	_, err := e.nc.Write(out)
	return err
}

// answer waits for ReadyForQuery.
func (e *echo) answer(ctx context.Context) (wire.TxStatus, error) {
	t := time.NewTimer(lanePatience)
	defer t.Stop()
	select {
	case status := <-e.ready:
		return status, nil
	case <-e.gone:
		select {
		case status := <-e.ready:
			return status, nil
		default:
			return 0, errMirror
		}
	case <-t.C:
		return 0, errMirror
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// pause waits as the client did.
func pause(ctx context.Context, d time.Duration) error {
	if d < time.Millisecond {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
