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

// defaultLookTimeout is how long a shard may take to say who waits: one that does not answer keeps
// those that wait on the others no longer.
const defaultLookTimeout = 5 * time.Second

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

// A doom is that a session was chosen to fail.
type doom struct {
	detail string
	sent   chan struct{} // closed once the request to cancel has been delivered, or will not be sent
	told   bool          // to the client, which only the session knows
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
		d.look(stuck)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed = len(d.spread) > 0; d.armed {
		time.AfterFunc(d.after, d.tick)
	}
}

// look ends the circles that go through the sessions. What the shards say is not of one moment: only
// what they say twice counts, and only of sessions that have been waiting all the while.
func (d *deadlocks) look(stuck []*Session) {
	first, _ := d.edges()
	if len(circle(first, stuck)) == 0 {
		return
	}
	second, conns := d.edges()
	before := make(map[edge]bool, len(first))
	for _, e := range first {
		before[e] = true
	}
	both := slices.DeleteFunc(second, func(e edge) bool { return !before[e] || !d.still(e.from.s) })
	for {
		list := circle(both, stuck)
		if len(list) == 0 {
			return
		}
		victim := d.choose(list)
		if victim == nil {
			return
		}
		d.end(victim, list, conns)
		both = slices.DeleteFunc(both, func(e edge) bool { return e.from.s == victim })
	}
}

// still reports that a session, if it is one, does what it did at the last tick.
func (d *deadlocks) still(s *Session) bool {
	if s == nil {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	sp := d.spread[s]
	return sp != nil && sp.beat == s.beats.Load()
}

// choose returns the session of a circle that came last to several shards: it has the least to lose.
func (d *deadlocks) choose(list []edge) (victim *Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var latest uint64
	for _, e := range list {
		if sp := d.spread[e.from.s]; sp != nil && sp.began > latest && sp.beat&1 == 1 {
			victim, latest = e.from.s, sp.began
		}
	}
	return victim
}

// end cancels what a session waits for in a circle, unless that has ended meanwhile: a session that
// is doomed sends nothing until the request has been delivered, which meets nothing else then.
func (d *deadlocks) end(victim *Session, list []edge, conns map[place]Conn) {
	var detail []string
	var c Conn
	for _, e := range list {
		detail = append(detail, fmt.Sprintf("Process %d of shard %d waits for process %d.", e.at.pid, e.at.shard, e.by))
		if e.from.s == victim {
			c = conns[e.at] // the only one: nobody is in a circle twice
		}
	}
	doom := &doom{detail: strings.Join(detail, "\n"), sent: make(chan struct{})}
	defer close(doom.sent)
	victim.mu.Lock()
	_, held := victim.active[c]
	if !held {
		victim.mu.Unlock()
		return
	}
	release := c.Hold()
	victim.mu.Unlock()
	defer release()
	if !victim.victim.CompareAndSwap(victim.victim.Load(), doom) {
		return // it goes on
	}
	if !d.still(victim) {
		victim.victim.CompareAndSwap(doom, nil)
		return
	}
	d.ex.cfg.Log.Info("deadlock over several shards", "detail", doom.detail)
	ctx, cancel := context.WithTimeout(context.Background(), d.ex.cfg.LookTimeout)
	defer cancel()
	if err := c.Cancel(ctx); err != nil {
		d.ex.cfg.Log.Warn("the end of a deadlock", "detail", doom.detail, "error", err)
	}
}

// awaitDoom waits, if the session is doomed, until nothing is under way any more that would cancel
// what it sends next.
func (s *Session) awaitDoom() {
	if d := s.victim.Load(); d != nil {
		<-d.sent
	}
}

// spare ends a session's doom, if there is one, with all that it could have met.
func (s *Session) spare() {
	if d := s.victim.Load(); d != nil {
		<-d.sent
		s.victim.CompareAndSwap(d, nil)
	}
}

// A process knows its number.
type process interface{ PID() uint32 }

// edges asks the shards on which a session is that is watched who waits for whom.
func (d *deadlocks) edges() ([]edge, map[place]Conn) {
	owner, conns := map[place]*Session{}, map[place]Conn{}
	waits, used := make([][]Wait, d.ex.cfg.Layout.Shards), make([]bool, d.ex.cfg.Layout.Shards)
	d.mu.Lock()
	sessions := make([]*Session, 0, len(d.spread))
	for s := range d.spread {
		sessions = append(sessions, s)
	}
	d.mu.Unlock()
	for _, s := range sessions {
		s.mu.Lock()
		for c, shard := range s.active {
			if p, ok := c.(process); ok && p.PID() != 0 && shard >= 0 {
				used[shard] = true
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
	ctx, cancel := context.WithTimeout(context.Background(), d.ex.cfg.LookTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for shard := range waits {
		if !used[shard] {
			continue
		}
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
	d := s.victim.Load()
	if d == nil || d.told {
		return nil
	}
	d.told, s.tx.deadlocked = true, true
	return &wire.Error{
		Severity: wire.SeverityError, Code: wire.CodeDeadlockDetected, Message: "deadlock detected",
		Detail: d.detail, Hint: "Sessions wait for each other on several shards. Send the transaction again; take locks in the same order everywhere.",
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
