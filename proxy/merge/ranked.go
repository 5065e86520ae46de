package merge

import (
	"context"
	"errors"
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Ranker lets a server say how rows compare, of which the merger cannot tell: it returns
// the numbers of the rows in their order. keys has, for each of the [RankKey]s, a value for
// each row; nil is NULL. Equal rows keep their order.
type Ranker func(ctx context.Context, keys [][][]byte) ([]int32, error)

// A RankKey is one of the keys that a [Ranker] compares by, the most significant first.
type RankKey struct {
	// Encoded says that the values are byte strings of the merger's, which compare as bytes,
	// ascending, without NULLs.
	Encoded bool
	// Key is the key of the ORDER BY otherwise, and Field describes its column.
	Key   gather.Key
	Field wire.Field

	column int
	keyer  *keyer
}

// A Paged stream is one whose rows come by the page, so that its connection is free for other
// questions meanwhile.
type Paged interface {
	// Ask asks for so many rows, without waiting for them.
	Ask(rows int) error
	// Take hands over the rows that were asked for, each valid during the call only; more is
	// false if they are the last.
	Take(ctx context.Context, row func(body []byte) error) (more bool, err error)
	// Stop is that of a [Stream].
	Stop(cause error)
}

// Sizes of pages, in rows and bytes.
const (
	firstPage = 64
	mostPage  = 4096
	leastPage = 8
	pageBytes = 512 << 10
)

// CompileRanked prepares a merge of sorted streams whose order only a server knows. The error
// wraps [ErrNeedsServer] if that is not the only reason for needing one.
func CompileRanked(spec *gather.Spec, fields []wire.Field, set sortkey.Settings) (*Program, error) {
	if spec.Kind != gather.Ordered && spec.Kind != gather.Unique || len(spec.Order) == 0 || spec.WithTies ||
		spec.Hidden < 0 || spec.Hidden > len(fields) {
		return nil, ErrNeedsServer
	}
	p := &Program{hidden: spec.Hidden, fields: fields[:len(fields)-spec.Hidden]}
	var run []gather.Key // of keys that can be encoded
	flush := func() error {
		if len(run) == 0 {
			return nil
		}
		k, err := orderKeyer(run, fields, set)
		if err != nil {
			return err
		}
		p.ranks = append(p.ranks, RankKey{Encoded: true, keyer: k})
		run = nil
		return nil
	}
	for _, key := range spec.Order {
		if _, err := orderKeyer([]gather.Key{key}, fields, set); err == nil {
			run = append(run, key)
			continue
		} else if !errors.Is(err, ErrNeedsServer) {
			return nil, err
		}
		if err := flush(); err != nil {
			return nil, err
		}
		i := key.Column.Index(len(fields))
		f := fields[i]
		switch t := sortkey.OID(f.TypeOID); {
		case !key.Collation.Known && t.Collatable(), f.TypeOID == 2249, f.TypeOID == 2287: // record, record[]
			return nil, ErrNeedsServer
		case t == sortkey.Text || t == sortkey.Varchar || t == sortkey.Bpchar || t == sortkey.Name:
			// Their binary form is their text.
		case f.Format != wire.Text:
			return nil, ErrNeedsServer
		}
		p.ranks = append(p.ranks, RankKey{Key: key, Field: f, column: i})
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if spec.Kind == gather.Unique {
		if err := p.setUnique(spec, fields, set); err != nil {
			return nil, err
		}
		var leading []int
		for _, key := range spec.Order {
			leading = append(leading, key.Column.Index(len(fields)))
		}
		p.setJoined(leading)
	}
	p.width = len(fields)
	return p, nil
}

// Ranks are the keys that the Ranker of a program of [CompileRanked] is given.
func (p *Program) Ranks() []RankKey { return p.ranks }

// RunRanked starts a merge by a ranker. memory is in bytes; 0 means [DefaultMemory].
func (p *Program) RunRanked(streams []Paged, rank Ranker, w Window, memory int) *Rows {
	if memory <= 0 {
		memory = DefaultMemory
	}
	b := &budget{left: memory, limit: memory}
	s := &ranked{program: p, rank: rank, memory: memory}
	for _, x := range streams {
		s.streams = append(s.streams, &pages{Paged: x, size: firstPage})
	}
	r := &Rows{heads: &heads{}, program: p, window: w, paged: s}
	r.source = s
	if p.unique != nil {
		r.source = &unique{source: s, by: p.unique, joined: p.joined, budget: b, seen: map[string]struct{}{}}
	}
	return r
}

// pages are a stream and those of its rows that are here and have not been passed on.
type pages struct {
	Paged
	rows  [][]byte
	bytes int
	size  int // of the next page, in rows
	asked bool
	ended bool
}

// ask asks for the next page.
func (p *pages) ask() error {
	if p.asked || p.ended {
		return nil
	}
	p.asked = true
	return p.Ask(p.size)
}

// take reads the page that has been asked for.
func (p *pages) take(ctx context.Context, left int) error {
	page, count := 0, 0
	block := make([]byte, 0, 16<<10)
	more, err := p.Take(ctx, func(body []byte) error {
		if page += len(body) + 32; page > left {
			return (&budget{limit: left}).take(1)
		}
		if len(body) > cap(block)-len(block) {
			block = make([]byte, 0, max(16<<10, len(body)))
		}
		at := len(block)
		block = append(block, body...)
		p.rows = append(p.rows, block[at:len(block):len(block)])
		count++
		return nil
	})
	p.asked, p.ended = false, !more
	if err != nil {
		p.ended = true
		return err
	}
	p.bytes += page
	if count > 0 {
		p.size = min(max(leastPage, pageBytes/(page/count)), mostPage, 4*p.size)
	}
	return nil
}

// ranked merges streams by asking for the order of the rows at hand. What comes before the
// last of a stream's rows is settled; what is behind it may have to wait for that stream's
// next page.
type ranked struct {
	program *Program
	rank    Ranker
	streams []*pages
	memory  int

	order  []int32 // the stream of each row, as they are to be passed on
	at     int
	values [][]byte
}

func (r *ranked) next(ctx context.Context) (row, error) {
	for {
		if r.at < len(r.order) {
			s := r.streams[r.order[r.at]]
			r.at++
			body := s.rows[0]
			s.rows = s.rows[1:]
			s.bytes -= len(body) + 32
			if len(s.rows) == 0 && !s.ended {
				r.order = r.order[:r.at] // what follows waits for its next page
			}
			return row{body: body}, nil
		}
		if done, err := r.fill(ctx); done || err != nil {
			return row{}, err
		}
	}
}

// fill gets pages for the streams that have none, and the order of all rows at hand; done
// says that there are none.
func (r *ranked) fill(ctx context.Context) (done bool, err error) {
	r.order, r.at = r.order[:0], 0
	for _, s := range r.streams {
		if len(s.rows) == 0 {
			if err := s.ask(); err != nil {
				return false, err
			}
		}
	}
	for _, s := range r.streams {
		if !s.asked {
			continue
		}
		left := r.memory
		for _, o := range r.streams {
			left -= o.bytes
		}
		if err := s.take(ctx, left); err != nil {
			return false, err
		}
	}
	n := 0
	for _, s := range r.streams {
		n += len(s.rows)
	}
	if n == 0 {
		return true, nil
	}
	keys := make([][][]byte, len(r.program.ranks))
	for k := range keys {
		keys[k] = make([][]byte, 0, n)
	}
	type place struct{ stream, row int32 }
	places := make([]place, 0, n)
	var block []byte
	for i, s := range r.streams {
		for j, body := range s.rows {
			if r.values, err = split(r.values, body, r.program.width, r.program.width); err != nil {
				return false, err
			}
			for k, x := range r.program.ranks {
				if !x.Encoded {
					keys[k] = append(keys[k], r.values[x.column])
					continue
				}
				at := len(block)
				if block, err = x.keyer.append(block, r.values); err != nil {
					return false, err
				}
				keys[k] = append(keys[k], block[at:len(block):len(block)])
			}
			places = append(places, place{int32(i), int32(j)})
		}
	}
	numbers, err := r.rank(ctx, keys)
	if err != nil {
		return false, err
	}
	seen := make([]bool, n)
	at := make([]int32, len(r.streams))
	for _, number := range numbers {
		if number < 0 || int(number) >= n || seen[number] {
			return false, wire.Errorf(wire.CodeInternalError, "a server's order of %d rows has row %d twice or out of range", n, number)
		}
		seen[number] = true
		p := places[number]
		if p.row != at[p.stream] {
			return false, unsorted(int(p.stream))
		}
		at[p.stream]++
		r.order = append(r.order, p.stream)
	}
	if len(numbers) != n {
		return false, wire.Errorf(wire.CodeInternalError, "a server's order of %d rows has %d", n, len(numbers))
	}
	return false, nil
}

// stop stops the streams that have not been.
func (r *ranked) stop(cause error) {
	for _, s := range r.streams {
		s.Stop(cause)
	}
	r.streams = nil
}

// setJoined sets whether the order by columns brings equal rows together.
func (p *Program) setJoined(order []int) {
	if p.unique == nil {
		return
	}
	var leading []int
	for _, c := range order {
		if !slices.ContainsFunc(p.unique.parts, func(k keyPart) bool { return k.column == c }) {
			break
		}
		leading = append(leading, c)
	}
	p.joined = !slices.ContainsFunc(p.unique.parts, func(k keyPart) bool { return !slices.Contains(leading, k.column) })
}
