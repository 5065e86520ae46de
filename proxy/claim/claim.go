// Package claim keeps sessions that hold connections to several servers from waiting for each
// other's for ever: one that has the last connection to the first server and needs the second,
// another the other way round, both until a time limit ends them.
//
// A session that may come to need a connection to every shard takes each of them from a [Table]
// first, which grants it if all who hold some could still get the rest one after the other
// (Dijkstra's banker's algorithm, EWD 623), and lets it wait otherwise. That leaves little more
// than one connection of a pool unused. Sessions that hold one connection and need no more are
// in nobody's way for long, and do not ask.
package claim

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrTimeout says that no connection could be granted in time.
var ErrTimeout = errors.New("no connection could be granted in time")

// Stall is how long nobody must have given anything back for a connection to be granted that
// may be missed later: those who hold connections are idle rather than waiting.
const Stall = 500 * time.Millisecond

// A Table is the connections to all shards. It is safe for concurrent use.
type Table struct {
	mu      sync.Mutex
	shards  int
	places  []place // of each shard, the primary's and the replicas'
	full    int     // places without a connection left
	holders map[*Holder]struct{}
	queue   []*waiter
	given   time.Time // when something was given back last
}

// A place is the connections to a shard in a role. A size that is not above 0 is no limit.
type place struct{ size, used int }

func (p *place) free() bool { return p.size <= 0 || p.used < p.size }

// A Holder is a session. The zero value holds nothing.
type Holder struct {
	held []int // places
	done bool  // within safe
}

type waiter struct {
	h     *Holder
	place int
	since time.Time
	ready chan struct{}
}

// New makes a table for so many shards.
func New(shards int) *Table {
	return &Table{shards: shards, places: make([]place, 2*shards), holders: map[*Holder]struct{}{}}
}

func number(shard int, replica bool) int {
	if replica {
		return 2*shard + 1
	}
	return 2 * shard
}

// Learn says how many connections there are to a shard; 0, as long as nothing is known, and
// below: as many as are asked for.
func (t *Table) Learn(shard int, replica bool, size int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &t.places[number(shard, replica)]
	p.size = size
	t.full = 0
	for i := range t.places {
		if !t.places[i].free() {
			t.full++
		}
	}
	t.wake()
}

// Take takes a connection to a shard, to which the holder has none. It waits for at most
// patience, if that is above 0, and returns [ErrTimeout] then, or ctx's cause.
func (t *Table) Take(ctx context.Context, h *Holder, shard int, replica bool, patience time.Duration) error {
	i := number(shard, replica)
	t.mu.Lock()
	if !t.behind(h, i) && t.grant(h, i, true) {
		t.mu.Unlock()
		return nil
	}
	w := &waiter{h: h, place: i, since: time.Now(), ready: make(chan struct{})}
	t.queue = append(t.queue, w)
	t.mu.Unlock()
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
		t.mu.Lock()
		at := slices.Index(t.queue, w)
		if at < 0 { // it has been granted just now
			t.mu.Unlock()
			return nil
		}
		stalled := err == nil && time.Since(w.since) >= Stall && time.Since(t.given) >= Stall && t.grant(h, i, false)
		if stalled || err != nil {
			t.queue = slices.Delete(t.queue, at, at+1)
			t.mu.Unlock()
			return err
		}
		t.mu.Unlock()
	}
}

// Note takes down that a holder has a connection that it did not ask for.
func (t *Table) Note(h *Holder, shard int, replica bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.take(h, number(shard, replica))
}

// behind reports whether others go before a holder: those who hold something already, because
// the sooner they come to an end the better for all, and those who have waited for the same.
func (t *Table) behind(h *Holder, i int) bool {
	return len(h.held) == 0 && slices.ContainsFunc(t.queue, func(w *waiter) bool { return w.place == i || len(w.h.held) > 0 })
}

// Give gives back what Take took.
func (t *Table) Give(h *Holder, shard int, replica bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.untake(h, number(shard, replica))
	if len(t.queue) > 0 {
		t.given = time.Now()
		t.wake()
	}
}

// wake grants what can be granted: first to those who hold something, then, if none of them has
// to wait any more, to the others as they came.
func (t *Table) wake() {
	waits := false
	never := make([]bool, len(t.places)) // places that cannot be granted to one who holds nothing
	for _, holding := range []bool{true, false} {
		t.queue = slices.DeleteFunc(t.queue, func(w *waiter) bool {
			if len(w.h.held) > 0 != holding || !holding && (waits || never[w.place]) {
				return false
			}
			if t.grant(w.h, w.place, true) {
				close(w.ready)
				return true
			}
			if waits = waits || holding; !holding {
				never[w.place] = true
			}
			return false
		})
	}
}

// grant gives a holder a connection, if there is one and, as asked for, none will be missed;
// which is so as long as there is one in each place, whoever goes first.
func (t *Table) grant(h *Holder, i int, safely bool) bool {
	if !t.places[i].free() {
		return false
	}
	t.take(h, i)
	// Where it is not safe already, who can come to an end makes it no worse.
	if !safely || t.full == 0 || t.safe() || t.enough(h, t.left()) {
		return true
	}
	t.untake(h, i)
	return false
}

func (t *Table) take(h *Holder, i int) {
	p := &t.places[i]
	free := p.free()
	if p.used++; free && !p.free() {
		t.full++
	}
	if len(h.held) == 0 {
		t.holders[h] = struct{}{}
	}
	h.held = append(h.held, i)
}

func (t *Table) untake(h *Holder, i int) {
	at := slices.Index(h.held, i)
	if at < 0 {
		return
	}
	h.held = slices.Delete(h.held, at, at+1)
	if len(h.held) == 0 {
		delete(t.holders, h)
	}
	p := &t.places[i]
	full := !p.free()
	if p.used--; full && p.free() {
		t.full--
	}
}

// safe reports whether all holders could get a connection to every shard, one holder after the
// other.
func (t *Table) safe() bool {
	left := t.left()
	for h := range t.holders {
		h.done = false
	}
	for open, found := len(t.holders), true; open > 0; {
		if !found {
			return false
		}
		found = false
		for h := range t.holders {
			if h.done || !t.enough(h, left) {
				continue
			}
			h.done, found = true, true
			open--
			for _, i := range h.held {
				left[i]++
			}
		}
	}
	return true
}

// left is how many connections there are still in each place.
func (t *Table) left() []int {
	left := make([]int, len(t.places))
	for i, p := range t.places {
		left[i] = p.size - p.used
		if p.size <= 0 {
			left[i] = 1
		}
	}
	return left
}

// enough reports whether a holder could get what it does not have.
func (t *Table) enough(h *Holder, left []int) bool {
	for shard := range t.shards {
		if slices.Contains(h.held, 2*shard) || slices.Contains(h.held, 2*shard+1) {
			continue
		}
		if left[2*shard] < 1 || left[2*shard+1] < 1 {
			return false
		}
	}
	return true
}
