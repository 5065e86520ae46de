package merge

import (
	"context"
	"errors"
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Ranker lets a server say how rows compare, of which the merger cannot tell.
type Ranker interface {
	// Ask asks for the order of rows, without waiting for it. keys has, for each of the
	// [RankKey]s, a value for each row, which is not needed afterwards; nil is NULL.
	Ask(keys [][][]byte) error
	// Order waits for what Ask asked for: the numbers of the rows in their order. Equal
	// rows keep theirs.
	Order(ctx context.Context) ([]int32, error)
}

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
