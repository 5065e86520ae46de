package merge

import (
	"bytes"
	"context"
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// ranked merges sorted streams by asking for the order of the rows at hand, a batch of them
// at a time. What comes before the last that a batch has of a stream is settled; what is
// behind it may have to wait for that stream's next row.
//
// A server sorts fastest what is sorted. So rows are asked about in the order that they
// likely have, and those that likely come behind what this batch can settle are left out of
// it, but for a few that would show if they did not. If guesses turn out wrong, all rows at
// hand are asked about.
//
// While the rows of a batch are passed on, the next is asked about, and the shards are
// asked for the pages after it.
type ranked struct {
	program *Program
	rank    Ranker
	streams []*pages
	memory  int
	guess   bool
	misses  int

	ready [][]byte // rows in their order, to be passed on
	at    int
	bytes int     // of those
	batch []place // the rows whose order has been asked for
	taken []int   // how many of each stream are in it
	sure  int     // how many of them are likely to be settled
	err   error   // after the rows that are ready
}

// A place is a row of a stream.
type place struct{ stream, row int32 }

const (
	// spareRows of a stream are asked about though they are likely behind.
	spareRows = 16
	// overlapRows have to be ready for the next batch to be asked about meanwhile: who wants
	// a few rows only does not wait for more.
	overlapRows = 512
)

// RunRanked starts a merge by a ranker. memory is in bytes; 0 means [DefaultMemory].
func (p *Program) RunRanked(streams []Paged, rank Ranker, w Window, memory int) *Rows {
	if memory <= 0 {
		memory = DefaultMemory
	}
	b := &budget{left: memory, limit: memory}
	s := &ranked{program: p, rank: rank, memory: memory, guess: true, taken: make([]int, len(streams))}
	for _, k := range p.ranks {
		s.guess = s.guess && (k.Encoded || likely(k))
	}
	for _, x := range streams {
		s.streams = append(s.streams, &pages{Paged: x, program: p, size: firstPage, memory: memory, most: min(pageBytes, memory/(6*len(streams)))})
	}
	r := &Rows{heads: &heads{}, program: p, window: w, paged: s}
	r.source = s
	if p.unique != nil {
		r.source = &unique{source: s, by: p.unique, joined: p.joined, budget: b, seen: map[string]struct{}{}}
	}
	return r
}

// likely reports whether there is a guess for the order by a key.
func likely(k RankKey) bool {
	switch sortkey.OID(k.Field.TypeOID) {
	case sortkey.Text, sortkey.Varchar, sortkey.Bpchar, sortkey.Name:
		return true
	}
	return false
}

func (r *ranked) next(ctx context.Context) (row, error) {
	for r.at == len(r.ready) {
		if r.err == nil && len(r.batch) == 0 {
			r.err = r.ask(ctx)
		}
		if r.err != nil {
			return row{}, r.err
		}
		if r.at == len(r.ready) {
			if len(r.batch) == 0 {
				return row{}, nil
			}
			if r.err = r.settle(ctx); r.err == nil && len(r.ready) >= overlapRows {
				r.err = r.ask(ctx)
			}
		}
	}
	body := r.ready[r.at]
	r.at++
	return row{body: body}, nil
}

// ask gets pages for the streams that have few rows, and asks for the order of a batch. If
// only one stream is left, its rows are ready; if there are no rows, the batch is empty.
func (r *ranked) ask(ctx context.Context) error {
	for _, s := range r.streams {
		if len(s.rows) < s.size/2 {
			if err := s.ask(); err != nil {
				return err
			}
		}
	}
	left, alone := 0, -1
	for i, s := range r.streams {
		for s.asked || len(s.rows) == 0 && !s.ended {
			if err := s.ask(); err != nil {
				return err
			}
			if err := s.take(ctx, r.free()); err != nil {
				return err
			}
		}
		if len(s.rows) > 0 {
			left, alone = left+1, i
		}
	}
	if left < 2 {
		if left == 1 && r.at == len(r.ready) {
			s := r.streams[alone]
			r.ready, r.at, r.bytes = append(r.ready[:0], s.rows...), 0, s.bytes
			s.pass(len(s.rows))
		}
		return nil
	}
	r.choose()
	keys := make([][][]byte, len(r.program.ranks))
	for k := range keys {
		keys[k] = make([][]byte, len(r.batch))
		for i, p := range r.batch {
			keys[k][i] = r.streams[p.stream].key(int(p.row), k)
		}
	}
	if err := r.rank.Ask(keys); err != nil {
		return err
	}
	if len(r.batch) < overlapRows {
		return nil
	}
	for i, s := range r.streams {
		if len(s.rows)-r.taken[i] < s.size/2 {
			if err := s.ask(); err != nil {
				return err
			}
		}
	}
	return nil
}

// free is the memory that is not taken.
func (r *ranked) free() int {
	left := r.memory - r.bytes
	for _, s := range r.streams {
		left -= s.bytes
	}
	return left
}

// choose chooses a batch: at most a page of each stream.
func (r *ranked) choose() {
	r.batch = r.batch[:0]
	var heads []int // the streams with rows, the one whose next is likely the first in front
	enter := func(i int) {
		at, _ := slices.BinarySearchFunc(heads, i, func(a, b int) int {
			if c := r.likely(a, r.taken[a], b, r.taken[b]); c != 0 {
				return c
			}
			return a - b
		})
		heads = slices.Insert(heads, at, i)
	}
	ends := make([]int, len(r.streams))
	for i, s := range r.streams {
		r.taken[i], ends[i] = 0, min(len(s.rows), max(s.size, spareRows))
		switch {
		case ends[i] == 0:
		case r.guess:
			enter(i)
		default:
			for row := range ends[i] {
				r.batch = append(r.batch, place{int32(i), int32(row)})
			}
			r.taken[i] = ends[i]
		}
	}
	r.sure = 0
	for len(heads) > 0 {
		i := heads[0]
		heads = heads[1:]
		r.batch = append(r.batch, place{int32(i), int32(r.taken[i])})
		r.taken[i]++
		switch s := r.streams[i]; {
		case r.taken[i] < ends[i]:
			enter(i)
		case r.sure == 0 && (ends[i] < len(s.rows) || !s.ended):
			// What comes now has to wait for this stream's next row.
			r.sure = len(r.batch)
			for j := range ends {
				ends[j] = min(ends[j], r.taken[j]+spareRows)
			}
		}
	}
}

// likely compares two rows by a guess.
func (r *ranked) likely(a, i, b, j int) int {
	for k, x := range r.program.ranks {
		v, w := r.streams[a].key(i, k), r.streams[b].key(j, k)
		c := 0
		switch {
		case x.Encoded:
			c = bytes.Compare(v, w)
		case v == nil || w == nil:
			if (v == nil) != (w == nil) {
				if c = 1; (v == nil) == x.Key.NullsFirst {
					c = -1
				}
			}
		default:
			if c = sortkey.Likely(v, w); x.Key.Descending {
				c = -c
			}
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// settle takes the order that was asked for, and makes the rows ready that are settled by it.
func (r *ranked) settle(ctx context.Context) error {
	numbers, err := r.rank.Order(ctx)
	if err != nil {
		return err
	}
	n := len(r.batch)
	if len(numbers) != n {
		return wire.Errorf(wire.CodeInternalError, "a server's order of %d rows has %d", n, len(numbers))
	}
	r.ready, r.at, r.bytes = r.ready[:0], 0, 0
	seen := make([]bool, n)
	at := make([]int, len(r.streams))
	passed := make([]int, len(r.streams))
	settled := true
	for _, number := range numbers {
		if number < 0 || int(number) >= n || seen[number] {
			return wire.Errorf(wire.CodeInternalError, "a server's order of %d rows has row %d twice or out of range", n, number)
		}
		seen[number] = true
		p := r.batch[number]
		s := r.streams[p.stream]
		if int(p.row) != at[p.stream] {
			return unsorted(int(p.stream))
		}
		if at[p.stream]++; !settled {
			continue
		}
		body := s.rows[p.row]
		r.ready = append(r.ready, body)
		r.bytes += s.cost(body)
		passed[p.stream]++
		settled = at[p.stream] < r.taken[p.stream] || s.ended && r.taken[p.stream] == len(s.rows)
	}
	for i, s := range r.streams {
		s.pass(passed[i])
	}
	if r.misses++; 2*len(r.ready) >= r.sure {
		r.misses = 0
	}
	r.guess = r.guess && r.misses < 3
	r.batch = r.batch[:0]
	return nil
}

// stop stops the streams that have not been.
func (r *ranked) stop(cause error) {
	for _, s := range r.streams {
		s.Stop(cause)
	}
	r.streams = nil
}
