package scatter

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// stepRows are the rows of a step, for the texts that follow.
type stepRows struct {
	fields     []wire.Field
	types      []string
	rows       [][][]byte
	step       *route.Step
	collations []gather.Collation
	numbers    map[int]bool // of an earlier step's rows
}

// mostStaging is how deep steps may lie in steps.
const mostStaging = 8

// steps carries out a statement one query after the other, each routed by itself.
func (s *Session) steps(ctx context.Context, d *route.Decision, q *request) (*answer, error) {
	if err := s.lossy(); err != nil {
		return nil, err
	}
	if s.staging >= mostStaging {
		return nil, refuse("a step of the statement needs steps of its own, which need more", "write it as several statements, in one transaction")
	}
	s.staging++
	defer func() { s.staging-- }()
	types, err := s.described(ctx, q)
	if err != nil {
		return nil, err
	}
	plan, list, last, role, own, returns := d.Plan, d.Steps, d.Last, d.Role, d.StepsTag, d.StepsReturn
	if own != "" {
		// Its parts are put together anew, where names may find what they do not find in the whole.
		if err := s.analysed(ctx, q); err != nil {
			return nil, err
		}
	}
	total := uint64(0)
	var done []*stepRows
	var returned [][]byte
	left := s.ex.cfg.Memory
	for _, x := range list {
		var results []wire.Format
		if x.Step.Returns {
			results = q.results
		}
		if x.Step.Place != nil {
			rows, n, err := s.placed(ctx, x, plan, q, types, done, results)
			if err != nil {
				return nil, err
			}
			if !x.Step.Uncounted {
				total += n
			}
			returned, done = append(returned, rows...), append(done, nil)
			continue
		}
		a, err := s.step(ctx, x, q, types, role, done, results)
		if err != nil {
			return nil, err
		}
		if x.Step.Numbers {
			numbers, err := s.numbers(ctx, a)
			if err != nil {
				return nil, err
			}
			done = append(done, &stepRows{step: x.Step, numbers: numbers})
			continue
		}
		if x.Step.Returns {
			rows, err := s.store(ctx, a)
			if err != nil {
				return nil, err
			}
			tag, err := a.tag()
			if err == nil {
				err = s.sameFields(q, a)
			}
			if err != nil {
				return nil, err
			}
			total += affected(tag)
			returned, done = append(returned, rows...), append(done, nil)
			continue
		}
		rows, tag, err := s.all(ctx, a)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			for _, v := range row {
				left -= len(v) + 24
			}
		}
		if left < 0 {
			return nil, &wire.Error{
				Code: wire.CodeProgramLimitExceeded, Message: "the rows that go from one step of the statement to the next take more memory than is allowed",
				Hint: "Narrow the statement, or raise the proxy's memory limit for merging.",
			}
		}
		if len(rows) == 0 && x.Step.Empty != "" {
			return s.nothing(ctx, q, x.Step.Empty)
		}
		if tag != "" && own != "" && x.Step.Write && !x.Step.Uncounted {
			total += affected(tag)
		}
		r := &stepRows{step: x.Step, fields: a.fields, rows: rows, collations: x.Step.Collations}
		if x.Step.Plain {
			r.collations = slices.Repeat([]gather.Collation{{Known: true}}, len(a.fields))
		}
		if x.Step.Once {
			if err := r.once(); err != nil {
				return nil, err
			}
		}
		if len(a.fields) > 0 {
			l, err := s.typer(ctx)
			if err != nil {
				return nil, err
			}
			if r.types, err = s.typeNames(l, a.fields); err != nil {
				return nil, err
			}
		}
		done = append(done, r)
	}
	if own == "" {
		return s.step(ctx, last, q, types, role, done, q.results)
	}
	out := replayRows(returned, own+" "+strconv.FormatUint(total, 10))
	if out.rows = returns; returns {
		out.fields = slices.Clone(q.st.fields)
		for i := range out.fields {
			out.fields[i].Format = wire.FormatAt(q.results, i)
		}
	}
	return out, nil
}

// affected is the number of rows in a command tag.
func affected(tag string) uint64 {
	n, err := strconv.ParseUint(tag[strings.LastIndexByte(tag, ' ')+1:], 10, 64)
	if err != nil {
		return 0 // a tag without one
	}
	return n
}

// step routes and runs one text.
func (s *Session) step(ctx context.Context, x route.Staged, q *request, types []uint32, role route.Role, done []*stepRows, results []wire.Format) (*answer, error) {
	sub, err := s.stepText(x, q, types, done, results)
	if err != nil {
		return nil, err
	}
	var d route.Decision
	if err := s.decide(ctx, &d, sub); err != nil {
		return nil, unplaced(err)
	}
	d.Role = role // what the transaction has written must be seen
	a, err := s.source(ctx, &d, sub)
	return a, unplaced(err)
}

// stepText is a step with the rows of those before it in its text.
func (s *Session) stepText(x route.Staged, q *request, types []uint32, done []*stepRows, results []wire.Format) (*request, error) {
	sub := &request{extended: q.extended, results: results}
	if q.extended && len(q.values) > 0 {
		var err error
		if sub.types, sub.formats, sub.values, err = parameters(q, types, append([]int{}, x.Params...)); err != nil {
			return nil, err
		}
	}
	var text []byte
	for _, p := range x.Pieces {
		var err error
		switch p.Kind {
		case gather.Text:
			text = append(text, p.Text...)
		case gather.Source:
			text, err = s.appendSource(text, done[p.Relation])
		case gather.Values:
			text, err = s.appendValues(text, done[p.Relation])
		case gather.Names:
			text = append(text, " ("...)
			for i, f := range done[p.Relation].fields {
				text = append(append(text, map[bool]string{true: "", false: ", "}[i == 0]...), quoteIdent(f.Name)...)
			}
			text = append(text, ')')
		case gather.Value:
			text, err = s.appendScalar(text, done[p.Relation])
		case gather.Numbered:
			text, err = s.appendBeside(text, p.Text, done[p.Relation].numbered(nil, false))
		case gather.Taken:
			text, err = s.appendBeside(text, p.Text, done[p.Relation].numbered(done[p.Column].numbers, true))
		case gather.Left:
			text, err = s.appendBeside(text, p.Text, done[p.Relation].numbered(done[p.Column].numbers, false))
		case gather.Marked:
			text, err = s.appendBeside(text, p.Text, done[p.Relation].marked(done[p.Column].numbers))
		case gather.Whole:
			text = append(text, quoteIdent(p.Text)...)
			if f := done[p.Relation].fields; len(f) == 1 {
				text = append(append(text, '.'), quoteIdent(f[0].Name)...)
			}
		case gather.Placed:
			var b *besides
			if b, err = done[p.Relation].by(done[p.Column]); err == nil {
				text, err = s.appendBeside(text, p.Text, b)
			}
		default:
			err = wire.Errorf(wire.CodeInternalError, "a step has a piece of kind %d", p.Kind)
		}
		if err != nil {
			return nil, err
		}
	}
	sub.sql = string(text)
	return sub, nil
}

// literalType is the type that a literal is cast to: of a string without its length, which
// its values have already.
func literalType(f wire.Field, name string) string {
	switch f.TypeOID {
	case oidVarchar:
		return "varchar"
	case oidBpchar:
		return "bpchar"
	}
	return name
}

// appendValues appends (VALUES (…), (…)); there must be a row.
func (s *Session) appendValues(dst []byte, r *stepRows) ([]byte, error) {
	if len(r.rows) == 0 {
		return dst, wire.Errorf(wire.CodeInternalError, "a list of no rows")
	}
	types := make([]string, len(r.types))
	for i, f := range r.fields {
		if f.TypeOID == 2249 || f.TypeOID == 2287 { // record, record[]
			return dst, refuse("rows with a column of an anonymous row type cannot go from one step of a statement to the next", "return the row's columns")
		}
		types[i] = literalType(f, r.types[i])
	}
	dst = append(dst, "(VALUES "...)
	for i, row := range r.rows {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = s.appendRow(dst, row, types)
	}
	return append(dst, ')'), nil
}

// appendSource appends what stands for the rows in a FROM clause, but for its alias.
func (s *Session) appendSource(dst []byte, r *stepRows) ([]byte, error) {
	dst = append(dst, "(SELECT "...)
	dst, err := r.appendColumns(dst, "v.c")
	if err != nil {
		return dst, err
	}
	dst = append(dst, " FROM "...)
	return s.appendRelation(dst, r, "v", func(i int) string { return fmt.Sprintf("c%d", i) }, ")")
}

// appendColumns appends a list of the columns, which are called by a prefix and their numbers, by
// their own names, and with their collations.
func (r *stepRows) appendColumns(dst []byte, prefix string) ([]byte, error) {
	for i, f := range r.fields {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = fmt.Appendf(dst, "%s%d", prefix, i)
		switch {
		case !collatable(f.TypeOID):
		case r.collations == nil || i >= len(r.collations) || !r.collations[i].Known:
			return dst, refuse("the collation of column "+quoteIdent(f.Name)+", which goes from one step of the statement to the next, is not known", "name it: … COLLATE \"name\"")
		case r.collations[i].Name != "":
			dst = append(append(dst, " COLLATE "...), r.collations[i].Name...)
		}
		dst = append(append(dst, " AS "...), quoteIdent(f.Name)...)
	}
	return dst, nil
}

// appendRelation appends the rows as a relation of a name, whose columns have names, too.
func (s *Session) appendRelation(dst []byte, r *stepRows, alias string, name func(i int) string, end string) ([]byte, error) {
	var names []string
	for i := range r.fields {
		names = append(names, name(i))
	}
	if len(r.rows) > 0 {
		var err error
		if dst, err = s.appendValues(dst, r); err != nil {
			return dst, err
		}
	} else {
		dst = append(dst, "(SELECT "...)
		for i, f := range r.fields {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = fmt.Appendf(dst, "NULL::%s", literalType(f, r.types[i]))
		}
		dst = append(dst, " WHERE false)"...)
	}
	return fmt.Appendf(dst, " AS %s(%s)%s", alias, strings.Join(names, ", "), end), nil
}

// appendScalar appends the only value, if it may be assigned to its column.
func (s *Session) appendScalar(dst []byte, r *stepRows) ([]byte, error) {
	if len(r.fields) != 3 || len(r.rows) != 1 || r.rows[0][1] == nil {
		return dst, wire.Errorf(wire.CodeInternalError, "a value of %d columns and %d rows", len(r.fields), len(r.rows))
	}
	from, err := strconv.ParseUint(string(r.rows[0][1]), 10, 32)
	if err != nil {
		return dst, wire.Errorf(wire.CodeInternalError, "the type of a value: %w", err)
	}
	if !assignable(uint32(from), r.fields[0].TypeOID) {
		return dst, wire.Errorf(wire.CodeDatatypeMismatch, "column %s is of type %s but expression is of type %s", quoteIdent(r.step.Column), r.step.Type, r.rows[0][2])
	}
	return appendLiteral(dst, r.rows[0][0], literalType(r.fields[0], r.types[0]), s.state.EscapeStrings), nil
}

// assignable reports whether a cast between types of pg_catalog needs not be written.
func assignable(from, to uint32) bool {
	if from == to {
		return true
	}
	for _, family := range [][]uint32{
		{20, 21, 23, 700, 701, 1700}, // int8, int2, int4, float4, float8, numeric
		{oidText, oidVarchar, oidBpchar, oidName},
		{1082, 1114, 1184}, // date, timestamp, timestamptz
	} {
		if slices.Contains(family, from) && slices.Contains(family, to) {
			return true
		}
	}
	return false
}
