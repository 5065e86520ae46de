package scatter

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"

	"github.com/pgx-dev/pgx-dev/wire"
)

// numbers reads an answer whose only column has numbers of rows. There may be many that are the
// same: only which there are is kept.
func (s *Session) numbers(ctx context.Context, a *answer) (map[int]bool, error) {
	out := map[int]bool{}
	for {
		body, err := a.next(ctx)
		if errors.Is(err, io.EOF) {
			_, err := a.tag()
			return out, err
		}
		var values [][]byte
		if err == nil {
			values, err = columnsOf(nil, body)
		}
		n := 0
		switch {
		case err != nil:
		case len(values) != 1:
			err = wire.Errorf(wire.CodeInternalError, "a row's number has %d columns", len(values))
		default:
			n, err = strconv.Atoi(string(values[0]))
		}
		if err != nil {
			a.stop(err)
			return nil, err
		}
		out[n] = true
	}
}

// with is r with a further column.
func (r *stepRows) with(name string, oid uint32, typ string, value func(i int) string) *stepRows {
	out := *r
	out.fields = append(slices.Clone(r.fields), wire.Field{Name: name, TypeOID: oid})
	out.types = append(slices.Clone(r.types), typ)
	out.rows = make([][][]byte, len(r.rows))
	for i, row := range r.rows {
		out.rows[i] = append(slices.Clone(row), []byte(value(i)))
	}
	return &out
}

// numbered is r with the numbers of its rows, from 0, in a further column.
func (r *stepRows) numbered(name string) *stepRows {
	return r.with(name, 23, "pg_catalog.int4", strconv.Itoa)
}

// marked is r with a further column that says which rows are among those of the numbers.
func (r *stepRows) marked(numbers map[int]bool, name string) *stepRows {
	return r.with(name, 16, "pg_catalog.bool", func(i int) string { return strconv.FormatBool(numbers[i]) })
}

// chosen are the rows of r that are among those of the numbers, or that are not.
func (r *stepRows) chosen(numbers map[int]bool, are bool) *stepRows {
	out := *r
	out.rows = nil
	for i, row := range r.rows {
		if numbers[i] == are {
			out.rows = append(out.rows, row)
		}
	}
	return &out
}
