package scatter

import (
	"context"
	"errors"
	"fmt"
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
		case values[0] == nil:
			continue // a row that matches none
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

// besides are rows with columns of ours beside those of a step: first ours, which have names of
// theirs, then the others.
type besides struct {
	all  stepRows
	ours []string
	step *stepRows // whose columns the others are
}

// beside makes columns of ours.
func (r *stepRows) beside(names []string, fields []wire.Field, types []string) *besides {
	return &besides{ours: names, step: r, all: stepRows{fields: append(slices.Clone(fields), r.fields...), types: append(slices.Clone(types), r.types...)}}
}

func (b *besides) row(ours, others [][]byte) {
	b.all.rows = append(b.all.rows, append(slices.Clone(ours), others...))
}

// numbered are the rows with their numbers: all, or if there are numbers, those of them, or the others.
func (r *stepRows) numbered(numbers map[int]bool, are bool) *besides {
	b := r.beside([]string{"n"}, []wire.Field{{Name: "n", TypeOID: 23}}, []string{"pg_catalog.int4"})
	for i, row := range r.rows {
		if numbers[i] == are {
			b.row([][]byte{strconv.AppendInt(nil, int64(i), 10)}, row)
		}
	}
	return b
}

// marked are the rows with whether they are among those of the numbers.
func (r *stepRows) marked(numbers map[int]bool) *besides {
	b := r.beside([]string{"n"}, []wire.Field{{Name: "n", TypeOID: 16}}, []string{"pg_catalog.bool"})
	for i, row := range r.rows {
		b.row([][]byte{strconv.AppendBool(nil, numbers[i])}, row)
	}
	return b
}

// by are the rows of another step with those of r whose numbers are in its first column; NULL is none.
func (r *stepRows) by(o *stepRows) (*besides, error) {
	names := make([]string, len(o.fields))
	for i := range names {
		names[i] = fmt.Sprintf("r%d", i)
	}
	b := r.beside(names, o.fields, o.types)
	none := make([][]byte, len(r.fields))
	for _, row := range o.rows {
		others := none
		if row[0] != nil {
			n, err := strconv.Atoi(string(row[0]))
			if err != nil || n < 0 || n >= len(r.rows) {
				return nil, wire.Errorf(wire.CodeInternalError, "there is no row %q of an earlier step", row[0])
			}
			others = r.rows[n]
		}
		b.row(row, others)
	}
	return b, nil
}

// appendBeside appends a relation of a name with our columns, and beside it what stands for the
// rows as they are, but for its alias: whole rows of these have no columns of ours.
func (s *Session) appendBeside(dst []byte, name string, b *besides) ([]byte, error) {
	dst, err := s.appendRelation(dst, &b.all, name, func(i int) string {
		if i < len(b.ours) {
			return name + "_" + b.ours[i]
		}
		return fmt.Sprintf("%s_c%d", name, i-len(b.ours))
	}, " CROSS JOIN LATERAL (SELECT ")
	if err != nil {
		return dst, err
	}
	dst, err = b.step.appendColumns(dst, name+"_c")
	return append(dst, ')'), err
}

// once refuses what a MERGE would change twice (ExecMergeMatched in nodeModifyTable.c): the second
// column counts the rows of the source that would.
func (r *stepRows) once() error {
	for _, row := range r.rows {
		if n, err := strconv.Atoi(string(row[1])); err != nil || n > 1 {
			e := wire.Errorf(wire.Code("21000"), "MERGE command cannot affect row a second time")
			e.Hint = "Ensure that not more than one source row matches any one target row."
			return e
		}
	}
	return nil
}
