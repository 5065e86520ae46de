package scatter

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Wait is a server process that waits for locks, and those that have them, or are before it.
type Wait struct {
	PID uint32
	For []uint32
}

// WaitsSQL asks a server for its waits: a process, and the others' numbers, separated by spaces.
// Everybody may see them.
const WaitsSQL = `SELECT pid, pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(pid), ' ')
FROM (SELECT DISTINCT pid FROM pg_catalog.pg_locks WHERE NOT granted AND pid IS NOT NULL) w`

// ReadWait reads a row of WaitsSQL.
func ReadWait(row [][]byte) (w Wait, err error) {
	if len(row) != 2 {
		return w, fmt.Errorf("%d columns, want 2", len(row))
	}
	number := func(s string) uint32 {
		n, e := strconv.ParseInt(s, 10, 32)
		if e != nil && err == nil {
			err = e
		}
		return uint32(max(n, 0))
	}
	w.PID = number(string(row[0]))
	for s := range strings.FieldsSeq(string(row[1])) {
		w.For = append(w.For, number(s))
	}
	return w, err
}

// defaultDeadlockTimeout is PostgreSQL's deadlock_timeout.
const defaultDeadlockTimeout = time.Second

// lookTimeout bounds a look at the shards' waits.
const lookTimeout = 10 * time.Second

// deadlocks finds sessions that wait for each other on several shards, none of whose servers can
// know: each sees a process that waits for another, which does nothing. One of them is made to fail,
// as the server would.
//
// A circle over several shards goes through a session that has connections to two of them at least;
// only these are watched. All is done by a timer, which runs while there are any.
type deadlocks struct {
	ex    *Executor
	after time.Duration

	mu     sync.Mutex
	spread map[*Session]*spell
	count  uint64
	armed  bool
}

// A spell is how long a session has been waiting.
type spell struct {
	began uint64 // which of all spells
	beat  uint64
	ticks uint
}

// A place is a server process.
type place struct {
	shard int
	pid   uint32
}

// A waiter is a session, or a process that is none's that is watched.
type waiter struct {
	s *Session
	place
}

// An edge says that a waiter waits for another, and where.
type edge struct {
	from, to waiter
	at       place
	by       uint32
}

// enter begins to watch a session, leave ends it.
func (d *deadlocks) enter(s *Session) {
	if d.ex.cfg.Waits == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	d.spread[s] = &spell{began: d.count}
	if !d.armed {
		d.armed = true
		time.AfterFunc(d.after, d.tick)
	}
}

func (d *deadlocks) leave(s *Session) {
	if d.ex.cfg.Waits == nil {
		return
	}
	d.mu.Lock()
	delete(d.spread, s)
	d.mu.Unlock()
	s.victim.Store(nil)
}

// tick looks at who has been waiting since the last one: after one, two, four and so on, for a
// circle may be closed later by somebody who is not watched.
func (d *deadlocks) tick() {
	var stuck []*Session
	d.mu.Lock()
	for s, sp := range d.spread {
		beat := s.beats.Load()
		switch {
		case beat&1 == 0 || beat != sp.beat:
			sp.ticks = 0
		default:
			if sp.ticks++; bits.OnesCount(sp.ticks) == 1 || sp.ticks%16 == 0 {
				stuck = append(stuck, s)
			}
		}
		sp.beat = beat
	}
	d.mu.Unlock()
	if len(stuck) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
		d.look(ctx, stuck)
		cancel()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed = len(d.spread) > 0; d.armed {
		time.AfterFunc(d.after, d.tick)
	}
}

// look ends a circle that goes through one of the sessions. What the shards say is not of one
// moment: only what they say twice counts.
func (d *deadlocks) look(ctx context.Context, stuck []*Session) {
	first, _ := d.edges(ctx)
	if len(circle(first, stuck)) == 0 {
		return
	}
	second, conns := d.edges(ctx)
	list := circle(slices.DeleteFunc(second, func(e edge) bool { return !slices.Contains(first, e) }), stuck)
	if len(list) == 0 {
		return
	}
	// The session that came last to several shards has the least to lose.
	var victim *Session
	var latest uint64
	d.mu.Lock()
	for _, e := range list {
		if sp := d.spread[e.from.s]; sp != nil && sp.began > latest && sp.beat == e.from.s.beats.Load() {
			victim, latest = e.from.s, sp.began
		}
	}
	d.mu.Unlock()
	if victim == nil {
		return
	}
	var detail []string
	for _, e := range list {
		detail = append(detail, fmt.Sprintf("Process %d of shard %d waits for process %d.", e.at.pid, e.at.shard, e.by))
	}
	text := strings.Join(detail, "\n")
	d.ex.cfg.Log.Info("deadlock over several shards", "detail", text)
	victim.victim.Store(&text)
	for _, e := range list {
		if e.from.s != victim {
			continue
		}
		victim.mu.Lock()
		c := conns[e.at]
		_, held := victim.active[c]
		var release func()
		if held {
			release = c.Hold()
		}
		victim.mu.Unlock()
		if !held {
			continue
		}
		if err := c.Cancel(ctx); err != nil {
			d.ex.cfg.Log.Warn("the end of a deadlock", "shard", e.at.shard, "error", err)
		}
		release()
	}
}

// A process knows its number.
type process interface{ PID() uint32 }

// edges asks all shards who waits for whom.
func (d *deadlocks) edges(ctx context.Context) ([]edge, map[place]Conn) {
	owner, conns := map[place]*Session{}, map[place]Conn{}
	d.mu.Lock()
	sessions := make([]*Session, 0, len(d.spread))
	for s := range d.spread {
		sessions = append(sessions, s)
	}
	d.mu.Unlock()
	for _, s := range sessions {
		s.mu.Lock()
		for c, shard := range s.active {
			if p, ok := c.(process); ok && p.PID() != 0 {
				at := place{shard, p.PID()}
				owner[at], conns[at] = s, c
			}
		}
		s.mu.Unlock()
	}
	who := func(at place) waiter {
		if s := owner[at]; s != nil {
			return waiter{s: s}
		}
		return waiter{place: at}
	}
	waits := make([][]Wait, d.ex.cfg.Layout.Shards)
	var wg sync.WaitGroup
	for shard := range waits {
		wg.Go(func() {
			var err error
			if waits[shard], err = d.ex.cfg.Waits(ctx, shard); err != nil {
				d.ex.cfg.Log.Debug("who waits for whom", "shard", shard, "error", err)
			}
		})
	}
	wg.Wait()
	var out []edge
	for shard, list := range waits {
		for _, w := range list {
			at := place{shard, w.PID}
			for _, by := range w.For {
				if by != 0 { // a prepared transaction waits for nobody
					out = append(out, edge{who(at), who(place{shard, by}), at, by})
				}
			}
		}
	}
	return out, conns
}

// circle is a way from one of the sessions back to it, over more than one shard: a server ends
// those of its own. It is the shortest one of its session.
func circle(edges []edge, sessions []*Session) []edge {
	from := map[waiter][]edge{}
	for _, e := range edges {
		if e.from != e.to { // parallel workers, or connections of one session
			from[e.from] = append(from[e.from], e)
		}
	}
	for _, s := range sessions {
		start := waiter{s: s}
		came := map[waiter]edge{}
		queue := []waiter{start}
		for len(queue) > 0 {
			at := queue[0]
			queue = queue[1:]
			for _, e := range from[at] {
				if _, seen := came[e.to]; seen {
					continue
				}
				came[e.to] = e
				queue = append(queue, e.to)
			}
			if _, back := came[start]; back {
				break
			}
		}
		last, back := came[start]
		if !back {
			continue
		}
		list := []edge{last}
		for list[0].from != start {
			list = append([]edge{came[list[0].from]}, list...)
		}
		if slices.ContainsFunc(list, func(e edge) bool { return e.at.shard != list[0].at.shard }) {
			return list
		}
	}
	return nil
}

// deadlocked is the error of a statement that was cancelled to end a deadlock, or nil.
func (s *Session) deadlocked(e *wire.Error) *wire.Error {
	if e.Code != wire.CodeQueryCanceled {
		return nil
	}
	detail := s.victim.Swap(nil)
	if detail == nil {
		return nil
	}
	s.tx.deadlocked = true
	return &wire.Error{
		Severity: wire.SeverityError, Code: wire.CodeDeadlockDetected, Message: "deadlock detected",
		Detail: *detail, Hint: "Sessions wait for each other on several shards. Send the transaction again; take locks in the same order everywhere.",
	}
}

// unlock ends a transaction that has failed by a deadlock on all shards, so that the others may go
// on before the client says ROLLBACK. Savepoints need what there is before them.
func (s *Session) unlock() {
	if !s.tx.deadlocked || !s.tx.failed {
		return
	}
	s.tx.deadlocked = false
	if slices.ContainsFunc(s.tx.replay, func(r replayed) bool { return r.savepoint != "" }) {
		return
	}
	for _, l := range s.parts() {
		if l.dead || l.busy() || l.unsynced || len(l.buf) > 0 {
			continue
		}
		if _, err := l.exec("ROLLBACK"); err != nil {
			l.dead = true
		}
		l.inTx, l.wrote = false, false
	}
}
