package merge

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A combiner makes rows of partial aggregates one row for each group.
type combiner struct {
	keys    *keyer
	outputs []output
	fields  []wire.Field // of the outputs
	columns int          // of the shards' rows
}

// An output is a column of the answer.
type output struct {
	column, count int
	new           func() state
}

// A state is an aggregate in the making. Values are valid during the call only.
type state interface {
	// add takes in a partial that is not NULL, and the count that goes with it, if any.
	add(value, count []byte) error
	// append appends the result to dst, or returns nil if it is NULL.
	append(dst []byte) ([]byte, error)
}

func newCombiner(local *gather.Local, fields []wire.Field, set sortkey.Settings) (*combiner, error) {
	c := &combiner{columns: len(fields)}
	var keys []int
	for _, k := range local.Keys {
		i := k.Index(len(fields))
		if err := inRange(i, k, fields); err != nil {
			return nil, err
		}
		keys = append(keys, i)
	}
	var err error
	if c.keys, err = equalKeyer(keys, fields, set); err != nil {
		return nil, err
	}
	for _, o := range local.Outputs {
		i := o.Column.Index(len(fields))
		if err := inRange(i, o.Column, fields); err != nil {
			return nil, err
		}
		out, f := output{column: i, count: -1}, fields[i]
		if o.Combine == gather.Avg {
			if out.count = o.Count.Index(len(fields)); out.count < 0 {
				return nil, inRange(out.count, o.Count, fields)
			}
			if t := sortkey.OID(fields[out.count].TypeOID); t != sortkey.Int8 {
				return nil, fmt.Errorf("avg %q: %w: its count has type %d", o.Name, ErrNeedsServer, t)
			}
		}
		if out.new, err = newState(o.Combine, f, fields[max(out.count, 0)].Format, set); err != nil {
			return nil, fmt.Errorf("output %q: %w", o.Name, err)
		}
		if o.Combine != gather.Same {
			f.TableOID, f.Column, f.TypeMod = 0, 0, -1
		}
		if t := sortkey.OID(f.TypeOID); o.Combine == gather.Avg && t == sortkey.Int8 {
			f.TypeOID, f.TypeSize = uint32(sortkey.Numeric), -1
		}
		f.Name = o.Name
		c.outputs = append(c.outputs, out)
		c.fields = append(c.fields, f)
	}
	return c, nil
}

// groupOverhead and stateOverhead are about what a group and each of its states take
// besides the values that they keep.
const (
	groupOverhead = 128
	stateOverhead = 64
)

// aggregated yields the combined rows, in the order of the program or that in which groups
// were first seen.
type aggregated struct {
	heads   *heads
	program *Program
	budget  *budget
	rows    []row
	at      int
	done    bool
}

func (a *aggregated) next(ctx context.Context) (row, error) {
	if !a.done {
		a.done = true
		groups, err := a.groups(ctx)
		if err != nil {
			return row{}, err
		}
		if err := a.finish(ctx, groups); err != nil {
			return row{}, err
		}
	}
	if a.at == len(a.rows) {
		return row{}, nil
	}
	a.at++
	return a.rows[a.at-1], nil
}

// groups reads all partial rows. The streams are read in turn, so that all shards work.
func (a *aggregated) groups(ctx context.Context) ([][]state, error) {
	c := a.program.combine
	found := map[string][]state{}
	var groups [][]state
	add := func(key []byte) ([]state, error) {
		states := make([]state, len(c.outputs))
		for i := range states {
			states[i] = c.outputs[i].new()
		}
		groups = append(groups, states)
		found[string(key)] = states
		return states, a.budget.take(len(key) + groupOverhead + len(states)*stateOverhead)
	}
	var values [][]byte
	var key []byte
	for open := len(a.heads.streams); open > 0; {
		open = 0
		for i := range a.heads.streams {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			body, err := a.heads.next(ctx, i)
			if err != nil {
				return nil, err
			}
			if body == nil {
				continue
			}
			open++
			if values, err = split(values, body, c.columns, c.columns); err != nil {
				return nil, err
			}
			if key, err = c.keys.append(key[:0], values); err != nil {
				return nil, err
			}
			states, ok := found[string(key)]
			if !ok {
				if states, err = add(key); err != nil {
					return nil, err
				}
			}
			if err := a.add(states, values); err != nil {
				return nil, err
			}
		}
	}
	if len(c.keys.parts) == 0 && len(groups) == 0 {
		if _, err := add(nil); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// add adds a partial row to its group.
func (a *aggregated) add(states []state, values [][]byte) error {
	for i, o := range a.program.combine.outputs {
		v := values[o.column]
		if v == nil {
			continue
		}
		var count []byte
		if o.count >= 0 {
			if count = values[o.count]; count == nil {
				return wire.Errorf(wire.CodeInternalError, "a shard sent a sum without a count")
			}
		}
		if k, ok := states[i].(keeper); ok {
			if err := a.budget.take(k.keeps(v)); err != nil {
				return err
			}
		}
		if err := states[i].add(v, count); err != nil {
			return err
		}
	}
	return nil
}

// finish makes rows of the groups and sorts them.
func (a *aggregated) finish(ctx context.Context, groups [][]state) error {
	c := a.program.combine
	var scratch []byte
	var values [][]byte
	a.rows = make([]row, 0, len(groups))
	for g, states := range groups {
		if g%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		body := binary.BigEndian.AppendUint16(nil, uint16(len(states)))
		for _, s := range states {
			v, err := s.append(scratch[:0])
			if err != nil {
				return err
			}
			body = appendValue(body, v)
			if v != nil {
				scratch = v
			}
		}
		groups[g] = nil
		r := row{body: body}
		if by := a.program.order; by != nil {
			var err error
			if values, err = split(values, body, len(c.outputs), len(c.outputs)); err != nil {
				return err
			}
			if r.key, err = by.append(nil, values); err != nil {
				return err
			}
		}
		if err := a.budget.take(len(r.body) + len(r.key)); err != nil {
			return err
		}
		a.rows = append(a.rows, r)
	}
	if a.program.order != nil {
		slices.SortStableFunc(a.rows, func(x, y row) int { return bytes.Compare(x.key, y.key) })
	}
	return nil
}
