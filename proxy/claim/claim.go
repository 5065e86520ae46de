// Package claim keeps sessions that hold connections to several servers from waiting for each
// other's for ever: one that has the last connection to the first server and needs the second,
// another the other way round, both until a time limit ends them.
//
// A session that may come to need a connection to every shard takes each of them from a [Table]
// first, which grants it if all who hold some could still get the rest one after the other
// (Dijkstra's banker's algorithm, EWD 623), and lets it wait otherwise. That leaves little more
// than one connection of a pool unused. Sessions that hold one connection and need no more are
// in nobody's way for long, and do not ask.
//
// Where limits bound the connections of several tables together, as those of all users to a
// server, their sessions wait for each other, too: such tables have one [Bank].
package claim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrTimeout says that no connection could be granted in time.
var ErrTimeout = errors.New("no connection could be granted in time")

// ErrNever says that a holder has all the connections already that a limit allows to anyone.
var ErrNever = errors.New("a limit allows no more connections than the session has")

// Stall is how long nobody must have given anything back for a connection to be granted that
// may be missed later: those who hold connections, and have neither asked for more nor got it for
// that long, are idle and taken for ones that need no more.
const Stall = 500 * time.Millisecond

// A Table is the connections to all shards. It is safe for concurrent use. What it holds is
// guarded by the lock of its bank.
type Table struct {
	bank    *Bank
	group   *group
	shards  int
	places  []place // of each shard, the primary's and the replicas'
	alias   []bool  // shards whose reads go to the primary's pool, too
	full    int     // places without a connection left
	holders map[*Holder]struct{}
}

// A place is the connections to a shard in a role. A size that is not above 0 is no limit.
type place struct {
	size, used int
	limits     []Limit
	pool       any
}

func (p *place) free() bool { return p.size <= 0 || p.used < p.size }

// A Holder is a session. The zero value holds nothing.
type Holder struct {
	t    *Table
	held []holding
	done bool // within safe

	waits, opens bool      // for what it has not been granted, or has not got
	moved        time.Time // when it took or gave something last
}

// idle reports whether a holder has not stirred for so long that it is taken for one which needs
// no more.
func (h *Holder) idle(now time.Time) bool { return !h.waits && !h.opens && now.Sub(h.moved) >= Stall }

// A holding is a connection, with what it counted for when it was taken.
type holding struct {
	place  int
	limits []Limit
}

func (h *Holder) has(place int) bool {
	return slices.ContainsFunc(h.held, func(x holding) bool { return x.place == place })
}

// of is how many connections that a limit bounds the holder has.
func (h *Holder) of(l Limit) (n int) {
	for _, x := range h.held {
		if slices.Contains(x.limits, l) {
			n++
		}
	}
	return n
}

type waiter struct {
	h     *Holder
	t     *Table
	place int
	since time.Time
	ready chan struct{}
}

// New makes a table for so many shards, with a bank that is shared with other tables; nil: with
// one of its own.
func New(shards int, bank *Bank) *Table {
	if bank == nil {
		bank = NewBank()
	}
	bank.mu.Lock()
	defer bank.mu.Unlock()
	bank.most = max(bank.most, shards)
	t := &Table{bank: bank, group: &group{}, shards: shards, places: make([]place, 2*shards), alias: make([]bool, shards), holders: map[*Holder]struct{}{}}
	for i := range t.alias {
		t.alias[i] = true // as long as nothing else is known
	}
	return t
}

// number is the place that a session's connection comes from.
func (t *Table) number(shard int, replica bool) int {
	if replica && !t.alias[shard] {
		return 2*shard + 1
	}
	return 2 * shard
}

// Learn says of what pool connections to a shard come, how many it has, and what limits them
// together with others'; 0, as long as nothing is known, and below: as many as are asked for. A
// shard may have several replicas: what limits all of them counts.
func (t *Table) Learn(shard int, replica bool, pool any, size int, limits ...Limit) {
	t.bank.mu.Lock()
	defer t.bank.mu.Unlock()
	p := &t.places[2*shard]
	if replica {
		if p = &t.places[2*shard+1]; p.pool != nil {
			limits = slices.DeleteFunc(slices.Clone(limits), func(l Limit) bool { return !slices.Contains(p.limits, l) })
		}
	}
	p.size, p.pool = size, pool
	t.limit(p, limits)
	other := t.places[2*shard+1].pool
	t.alias[shard] = other == nil || other == t.places[2*shard].pool
	t.full = 0
	for i := range t.places {
		if !t.places[i].free() {
			t.full++
		}
	}
	t.group.wake()
}

// Take takes a connection to a shard, to which the holder has none. It waits for at most
// patience, if that is above 0, and returns [ErrTimeout] then, or ctx's cause, or [ErrNever] at once.
func (t *Table) Take(ctx context.Context, h *Holder, shard int, replica bool, patience time.Duration) error {
	mu := &t.bank.mu
	mu.Lock()
	i := t.number(shard, replica)
	if !t.behind(h, i) && t.grant(h, i, true) {
		mu.Unlock()
		return nil
	}
	if err := t.never(h, i); err != nil {
		mu.Unlock()
		return err
	}
	w := &waiter{h: h, t: t, place: i, since: time.Now(), ready: make(chan struct{})}
	t.group.queue = append(t.group.queue, w)
	h.waits = true
	mu.Unlock()
	var over <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		over = timer.C
	}
	look := time.NewTicker(Stall / 2)
	defer look.Stop()
	for {
		var err error
		select {
		case <-w.ready:
			return nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-over:
			err = ErrTimeout
		case <-look.C:
		}
		mu.Lock()
		g := t.group
		at := slices.Index(g.queue, w)
		if at < 0 { // it has been granted just now
			mu.Unlock()
			return nil
		}
		if err == nil {
			err = t.never(h, i) // the limit has been lowered
		}
		stalled := err == nil && time.Since(w.since) >= Stall && time.Since(g.given) >= Stall && t.grant(h, i, false)
		if stalled || err != nil {
			g.queue = slices.Delete(g.queue, at, at+1)
			h.waits = false
			mu.Unlock()
			return err
		}
		mu.Unlock()
	}
}

// never returns an error if a holder would wait for what only it could give back.
func (t *Table) never(h *Holder, i int) error {
	for _, l := range t.places[i].limits {
		if most := l.Max(); most > 0 && h.of(l) >= most {
			return fmt.Errorf("%w: %v (%d)", ErrNever, l, most)
		}
	}
	return nil
}

// Note takes down that a holder has a connection that it did not ask for.
func (t *Table) Note(h *Holder, shard int, replica bool) {
	t.bank.mu.Lock()
	defer t.bank.mu.Unlock()
	t.take(h, t.number(shard, replica))
	h.opens = false
}

// Got says that the holder has the connection that was granted last.
func (t *Table) Got(h *Holder) {
	t.bank.mu.Lock()
	defer t.bank.mu.Unlock()
	h.opens, h.moved = false, time.Now()
}

// behind reports whether others go before a holder: those who hold something already, because
// the sooner they come to an end the better for all, and those who have waited for the same.
func (t *Table) behind(h *Holder, i int) bool {
	return len(h.held) == 0 && slices.ContainsFunc(t.group.queue, func(w *waiter) bool { return w.t == t && w.place == i || len(w.h.held) > 0 })
}

// Give gives back what Take took.
func (t *Table) Give(h *Holder, shard int) {
	t.bank.mu.Lock()
	defer t.bank.mu.Unlock()
	t.untake(h, shard)
	h.opens = false
	if len(t.group.queue) > 0 {
		t.group.given = time.Now()
		t.group.wake()
	}
}

// wake grants what can be granted: first to those who hold something, then, if none of them has
// to wait any more, to the others as they came.
func (g *group) wake() {
	type wanted struct {
		t     *Table
		place int
	}
	waits := false
	never := map[wanted]bool{} // what cannot be granted to one who holds nothing
	for _, holding := range []bool{true, false} {
		g.queue = slices.DeleteFunc(g.queue, func(w *waiter) bool {
			want := wanted{w.t, w.place}
			if len(w.h.held) > 0 != holding || !holding && (waits || never[want]) {
				return false
			}
			if w.t.grant(w.h, w.place, true) {
				w.h.waits = false
				close(w.ready)
				return true
			}
			if waits = waits || holding; !holding {
				never[want] = true
			}
			return false
		})
	}
}

// grant gives a holder a connection, if there is one and none will be missed, but for those that
// only holders who are idle could miss, if that is enough; which is so as long as there is one in
// each place, and room in each limit, whoever goes first.
func (t *Table) grant(h *Holder, i int, safely bool) bool {
	if !t.places[i].free() || slices.ContainsFunc(t.places[i].limits, func(l Limit) bool { return !t.bank.room(l, 1) }) {
		return false
	}
	opens, moved := h.opens, h.moved
	t.take(h, i)
	if t.roomy() || t.group.safe(t, safely) {
		return true
	}
	// Where it is not safe already, who can come to an end makes it no worse.
	if left := t.group.left(t); left.enough(h, t) {
		return true
	}
	t.untake(h, i/2)
	h.opens, h.moved = opens, moved
	return false
}

func (t *Table) take(h *Holder, i int) {
	p := &t.places[i]
	free := p.free()
	if p.used++; free && !p.free() {
		t.full++
	}
	if len(h.held) == 0 {
		h.t = t
		if t.holders[h] = struct{}{}; len(t.holders) == 1 {
			t.group.tables = append(t.group.tables, t)
		}
	}
	h.held = append(h.held, holding{i, p.limits})
	h.opens, h.moved = true, time.Now()
	t.bank.use(p.limits, 1)
}

func (t *Table) untake(h *Holder, shard int) {
	at := slices.IndexFunc(h.held, func(x holding) bool { return x.place/2 == shard })
	if at < 0 {
		return
	}
	i := h.held[at].place
	h.moved = time.Now()
	t.bank.use(h.held[at].limits, -1)
	h.held = slices.Delete(h.held, at, at+1)
	if len(h.held) == 0 {
		if delete(t.holders, h); len(t.holders) == 0 {
			t.group.tables = slices.DeleteFunc(t.group.tables, func(o *Table) bool { return o == t })
		}
	}
	p := &t.places[i]
	full := !p.free()
	if p.used--; full && p.free() {
		t.full--
	}
}
