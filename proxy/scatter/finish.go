package scatter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// pull fetches the relations of a Finish and lets a server do it.
func (s *Session) pull(ctx context.Context, d *route.Decision, q *request) (*answer, error) {
	if err := s.lossy(); err != nil {
		return nil, err
	}
	types, err := s.described(ctx, q)
	if err != nil {
		return nil, err
	}
	left := s.ex.cfg.Memory
	var relations []*relation
	for i, rel := range d.Merge.Finish.Relations {
		r, err := s.fetch(ctx, d, q, types, d.Relations[i], rel.Columns, &left)
		if err != nil {
			return nil, err
		}
		r.row = rel.Row
		relations = append(relations, r)
	}
	return s.finish(ctx, d, q, types, relations)
}

// fetch reads a relation from its shards; from the first one, without its rows, if it has
// rows on none.
func (s *Session) fetch(ctx context.Context, d *route.Decision, q *request, types []uint32, from route.Query, columns []gather.RelationColumn, left *int) (*relation, error) {
	shards := from.Shards.AppendTo(nil)
	none := len(shards) == 0
	if none {
		shards = []int{d.FinishShard}
	}
	sub := *q
	sub.results = nil
	one := route.Decision{Plan: d.Plan, Role: d.Role, Queries: []route.Query{{Shards: sharding.First(s.ex.cfg.Layout.Shards), SQL: from.SQL, Params: from.Params}}}
	branches, err := s.branches(ctx, &one, &sub, shards)
	if err != nil {
		return nil, err
	}
	if err := each(branches, func(b *branch) error { return b.start(&sub, types, nil) }); err != nil {
		return nil, err
	}
	if err := each(branches, (*branch).header); err != nil {
		return nil, err
	}
	fields, err := agree(branches)
	if err != nil {
		stopAll(branches, err)
		return nil, err
	}
	if none {
		stopAll(branches, errors.New("only the types are wanted"))
		return newRelation(columns, fields)
	}
	r, err := collect(ctx, columns, branches, fields, left)
	if err != nil {
		stopAll(branches, err)
	}
	return r, err
}

// finishOwn lets a server do the merge of rows that are on their way already.
func (s *Session) finishOwn(ctx context.Context, d *route.Decision, q *request, spec *gather.Spec, branches []*branch, fields []wire.Field) (*answer, error) {
	columns, err := ownColumns(spec, fields)
	if err == nil {
		err = s.lossy()
	}
	var types []uint32
	if err == nil && spec.Finish != nil {
		types = paramTypes(q)
	}
	var r *relation
	if err == nil {
		left := s.ex.cfg.Memory
		r, err = collect(ctx, columns, branches, fields, &left)
	}
	if err != nil {
		stopAll(branches, err)
		return nil, err
	}
	if spec.Finish != nil {
		return s.finish(ctx, d, q, types, []*relation{r})
	}
	own := *d
	own.FinishParams, own.FinishShard = nil, branches[0].l.shard
	own.Finish = sortedBy(d, spec, fields)
	return s.finish(ctx, &own, q, nil, []*relation{r})
}

// paramTypes are the types that have been asked for already.
func paramTypes(q *request) []uint32 {
	if q.st != nil && q.st.params != nil {
		return q.st.params
	}
	return q.types
}

// ownColumns are the columns of the relation that the shards' own rows make.
func ownColumns(spec *gather.Spec, fields []wire.Field) ([]gather.RelationColumn, error) {
	if spec.Finish != nil {
		if len(spec.Finish.Relations) != 1 || !spec.Finish.Relations[0].Own {
			return nil, wire.Errorf(wire.CodeInternalError, "a merge has other relations than its own rows")
		}
		return spec.Finish.Relations[0].Columns, nil
	}
	columns := make([]gather.RelationColumn, len(fields))
	for i := range columns {
		columns[i].Name = fmt.Sprintf("c%d", i)
	}
	for _, k := range spec.Order {
		i := k.Column.Index(len(fields))
		if i < 0 {
			return nil, wire.Errorf(wire.CodeInternalError, "a merge sorts by column %d of %d", k.Column, len(fields))
		}
		columns[i].Collation = k.Collation
		if collatable(fields[i].TypeOID) && !k.Collation.Known {
			return nil, refuse("the collation by which "+quoteIdent(fields[i].Name)+" is sorted is not known", "write it as … COLLATE \"name\" in ORDER BY")
		}
	}
	return columns, nil
}

// collatable reports whether values of a built-in type are compared by a collation.
func collatable(oid uint32) bool {
	return slices.Contains([]uint32{19, 25, 1042, 1043, 1002, 1003, 1009, 1014, 1015}, oid)
}

// sortedBy is the query that does an Ordered or Unique merge.
func sortedBy(d *route.Decision, spec *gather.Spec, fields []wire.Field) []gather.Piece {
	n := len(fields)
	var list []string
	for i := range n - spec.Hidden {
		list = append(list, fmt.Sprintf("r.c%d AS %s", i, quoteIdent(fields[i].Name)))
	}
	col := func(c gather.Column) string { return fmt.Sprintf("r.c%d", c.Index(n)) }
	var b strings.Builder
	b.WriteString("SELECT ")
	switch {
	case spec.Kind == gather.Unique && spec.DistinctAll:
		b.WriteString("DISTINCT ")
	case spec.Kind == gather.Unique:
		var on []string
		for _, c := range spec.Distinct {
			on = append(on, col(c))
		}
		b.WriteString("DISTINCT ON (" + strings.Join(on, ", ") + ") ")
	}
	b.WriteString(strings.Join(list, ", ") + " FROM ")
	pieces := []gather.Piece{{Text: b.String()}, {Kind: gather.Source}}
	b.Reset()
	b.WriteString(" AS r")
	for i, k := range spec.Order {
		b.WriteString(map[bool]string{true: " ORDER BY ", false: ", "}[i == 0] + col(k.Column))
		b.WriteString(map[bool]string{true: " DESC", false: " ASC"}[k.Descending])
		b.WriteString(map[bool]string{true: " NULLS FIRST", false: " NULLS LAST"}[k.NullsFirst])
	}
	if d.Offset > 0 {
		fmt.Fprintf(&b, " OFFSET %d", d.Offset)
	}
	switch {
	case d.Limit >= 0 && spec.WithTies:
		fmt.Fprintf(&b, " FETCH FIRST %d ROWS WITH TIES", d.Limit)
	case d.Limit >= 0:
		fmt.Fprintf(&b, " LIMIT %d", d.Limit)
	}
	return append(pieces, gather.Piece{Text: b.String()})
}

// finish runs a Finish's SQL on its shard. types are those of the client's parameters.
func (s *Session) finish(ctx context.Context, d *route.Decision, q *request, types []uint32, relations []*relation) (*answer, error) {
	l, err := s.acquire(ctx, d.FinishShard, d.Role)
	if err != nil {
		return nil, err
	}
	names := make([][]string, len(relations))
	for i, r := range relations {
		if names[i], err = s.typeNames(l, r.fields); err != nil {
			return nil, err
		}
	}
	run := &request{extended: true, results: q.results}
	if run.types, run.formats, run.values, err = parameters(q, types, append([]int{}, d.FinishParams...)); err != nil {
		return nil, err
	}
	first := make([]int, len(relations))
	for i, r := range relations {
		first[i] = len(run.values) + 1
		r.parameters(run)
	}
	used := make([]bool, len(relations))
	var b strings.Builder
	for _, p := range d.Finish {
		switch p.Kind {
		case gather.Source:
			b.WriteString(relations[p.Relation].source(names[p.Relation], first[p.Relation]))
			used[p.Relation] = true
		case gather.TypeOf:
			b.WriteString(names[p.Relation][p.Column])
		default:
			b.WriteString(p.Text)
		}
	}
	run.sql = b.String()
	if len(run.values) > 65535 {
		return nil, wire.Errorf(wire.CodeProgramLimitExceeded, "the query has %d relations to be combined by a server, which are too many", len(relations))
	}
	br := &branch{l: l, sql: run.sql}
	if err := br.start(run, nil, q.results); err != nil {
		return nil, err
	}
	if err := br.header(); err != nil {
		return nil, unplaced(err)
	}
	return &answer{
		fields: br.fields, rows: br.rows,
		next: br.Next,
		tag:  func() (string, error) { return br.tag, br.finish() },
		stop: br.Stop,
	}, nil
}

// unplaced takes the position off an error whose text is not the client's.
func unplaced(err error) error {
	var e *wire.Error
	if !errors.As(err, &e) || e.Position == 0 {
		return err
	}
	c := *e
	c.Position = 0
	return &c
}

// typeNames are the names of the columns' types, with their modifiers.
func (s *Session) typeNames(l *link, fields []wire.Field) ([]string, error) {
	out := make([]string, len(fields))
	var missing []int
	var sql strings.Builder
	s.ex.mu.Lock()
	for i, f := range fields {
		name, ok := s.ex.types[typeKey{f.TypeOID, f.TypeMod}]
		if !ok {
			sql.WriteString(map[bool]string{true: "SELECT ", false: ", "}[len(missing) == 0])
			fmt.Fprintf(&sql, "pg_catalog.format_type(%d, %d)", l.oids.serverOf(f.TypeOID), f.TypeMod)
			missing = append(missing, i)
		}
		out[i] = name
	}
	s.ex.mu.Unlock()
	if len(missing) == 0 {
		return out, nil
	}
	values, err := l.row(sql.String())
	if err != nil {
		return nil, err
	}
	if len(values) != len(missing) {
		return nil, badRow()
	}
	s.ex.mu.Lock()
	defer s.ex.mu.Unlock()
	for j, i := range missing {
		if values[j] == nil {
			return nil, wire.Errorf(wire.CodeUndefinedObject, "type %d is not known on shard %d", fields[i].TypeOID, l.shard)
		}
		out[i] = string(values[j])
		if fields[i].TypeOID < 16384 { // FirstNormalObjectId: the same everywhere and always
			s.ex.types[typeKey{fields[i].TypeOID, fields[i].TypeMod}] = out[i]
		}
	}
	return out, nil
}

// row runs a query and returns its first row, nil if there is none.
func (l *link) row(sql string) ([][]byte, error) {
	rows, err := l.table(sql)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// table runs a query and returns its rows, which must be few.
func (l *link) table(sql string) ([][][]byte, error) {
	b := &branch{l: l, sql: sql}
	if err := b.start(&request{}, nil, nil); err != nil {
		return nil, err
	}
	if err := b.header(); err != nil {
		return nil, err
	}
	var out [][][]byte
	for {
		body, err := b.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		values, err := columnsOf(nil, append([]byte(nil), body...))
		if err != nil {
			return nil, err
		}
		out = append(out, values)
	}
}
