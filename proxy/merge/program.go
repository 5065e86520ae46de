package merge

import (
	"context"
	"io"
	"math"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// DefaultMemory is how many bytes a merge may take unless told otherwise: 64 MiB.
const DefaultMemory = 64 << 20

// A Program is a [gather.Spec] prepared for rows of known columns. It never changes and is
// safe for concurrent use.
type Program struct {
	fields  []wire.Field // what the client gets
	hidden  int
	order   *keyer // of the shards' rows, or of the aggregated ones
	unique  *keyer
	joined  bool // the order brings rows together that are equal in unique
	ties    bool
	turns   []int // of the streams, for rows in no order
	combine *combiner
	ranks   []RankKey // of CompileRanked, and the number of columns in rows
	width   int
}

// Compile prepares a merge of rows with the given columns. An error that wraps
// [ErrNeedsServer] says that it has to be done by the Spec's Finish.
func Compile(spec *gather.Spec, fields []wire.Field, set sortkey.Settings) (*Program, error) {
	p := &Program{ties: spec.WithTies, hidden: spec.Hidden, turns: spec.Turns}
	var err error
	switch spec.Kind {
	case gather.Concat, gather.Ordered, gather.Unique:
	case gather.Aggregate:
		if spec.Local == nil {
			return nil, ErrNeedsServer
		}
		if p.combine, err = newCombiner(spec.Local, fields, set); err != nil {
			return nil, err
		}
		fields = p.combine.fields
	default:
		return nil, ErrNeedsServer
	}
	if spec.Hidden < 0 || spec.Hidden > len(fields) {
		return nil, wire.Errorf(wire.CodeInternalError, "merge specification hides %d of %d columns", spec.Hidden, len(fields))
	}
	p.fields = fields[:len(fields)-spec.Hidden]
	if spec.Kind != gather.Concat && len(spec.Order) > 0 {
		if p.order, err = orderKeyer(spec.Order, fields, set); err != nil {
			return nil, err
		}
	}
	if p.ties && p.order == nil {
		return nil, wire.Errorf(wire.CodeInternalError, "merge specification has WITH TIES without an order")
	}
	if spec.Kind == gather.Unique || spec.Kind == gather.Aggregate && (spec.DistinctAll || len(spec.Distinct) > 0) {
		if err := p.setUnique(spec, fields, set); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// setUnique sets what rows must differ in.
func (p *Program) setUnique(spec *gather.Spec, fields []wire.Field, set sortkey.Settings) error {
	var columns []int
	if spec.DistinctAll {
		for i := range p.fields {
			columns = append(columns, i)
		}
	}
	for _, c := range spec.Distinct {
		i := c.Index(len(fields))
		if err := inRange(i, c, fields); err != nil {
			return err
		}
		columns = append(columns, i)
	}
	var err error
	if p.unique, err = equalKeyer(columns, fields, set); err != nil || p.order == nil {
		return err
	}
	// Rows that are equal in the first order keys stand together.
	var order []int
	for _, part := range p.order.parts {
		order = append(order, part.column)
	}
	p.setJoined(order)
	return nil
}

// Fields returns the description of the merged rows.
func (p *Program) Fields() []wire.Field { return p.fields }

// A Window is what OFFSET and LIMIT leave of the rows.
type Window struct {
	Offset, Limit uint64
}

// All is the window without OFFSET and LIMIT.
func All() Window { return Window{Limit: math.MaxUint64} }

// Run starts a merge of streams. memory is in bytes; 0 means [DefaultMemory]. Nothing is
// read before the first Next.
func (p *Program) Run(streams []Stream, w Window, memory int) *Rows {
	if memory <= 0 {
		memory = DefaultMemory
	}
	h := &heads{streams: streams, ended: make([]bool, len(streams))}
	b := &budget{left: memory, limit: memory}
	r := &Rows{heads: h, program: p, window: w}
	switch {
	case p.combine != nil:
		r.source = &aggregated{heads: h, program: p, budget: b}
	case p.order != nil:
		r.source = newOrdered(h, p.order)
	default:
		r.source = &concat{heads: h, turns: p.turns}
	}
	if p.unique != nil {
		r.source = &unique{source: r.source, by: p.unique, joined: p.joined, budget: b, seen: map[string]struct{}{}}
	}
	return r
}

// Rows are the merged rows. They are not safe for concurrent use.
type Rows struct {
	heads   *heads
	program *Program
	source  source
	paged   *ranked // in place of heads
	window  Window
	count   uint64
	last    []byte // the key of the last row within the limit, for WITH TIES
	err     error  // io.EOF after the last row
}

// Next returns the body of the next DataRow, valid until the next call, io.EOF after the
// last row, or the error that has ended the merge: a stream's own, ctx's, or a *wire.Error.
func (r *Rows) Next(ctx context.Context) ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	body, err := r.fetch(ctx)
	if err == nil && body != nil {
		return body, nil
	}
	if err == nil {
		err = io.EOF
	}
	r.err = err
	if err == io.EOF { //nolint:errorlint // an error that wraps it is the end of a connection
		r.stop(nil)
	} else {
		r.stop(err)
	}
	return nil, err
}

func (r *Rows) stop(cause error) {
	if r.paged != nil {
		r.paged.stop(cause)
		return
	}
	r.heads.stop(cause)
}

func (r *Rows) fetch(ctx context.Context) ([]byte, error) {
	ties := r.program.ties
	if r.count >= r.window.Limit && (!ties || r.window.Limit == 0) {
		return nil, nil
	}
	var next row
	var err error
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if next, err = r.source.next(ctx); err != nil || next.body == nil {
			return nil, err
		}
		if r.window.Offset == 0 {
			break
		}
		r.window.Offset--
	}
	if ties && r.count >= r.window.Limit {
		if string(next.key) != string(r.last) {
			return nil, nil
		}
	} else if ties && r.count == r.window.Limit-1 {
		r.last = append(r.last, next.key...)
	}
	r.count++
	if r.program.hidden > 0 {
		return cut(next.body, len(r.program.fields))
	}
	return next.body, nil
}

// Count returns how many rows Next has returned: what a command tag says.
func (r *Rows) Count() uint64 { return r.count }

// Close ends the merge before its last row, for the given reason, and stops the streams;
// afterwards it does nothing.
func (r *Rows) Close(cause error) {
	if r.err == nil {
		r.err = context.Canceled
		if cause != nil {
			r.err = cause
		}
	}
	r.stop(cause)
}
