package scatter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// batchRows and batchBytes bound the statements that are made of rows.
const (
	batchRows  = 500
	batchBytes = 1 << 20
)

// feed is an INSERT … SELECT whose rows are placed one by one.
func (s *Session) feed(ctx context.Context, d *route.Decision, q *request) (*answer, error) {
	if err := s.lossy(); err != nil {
		return nil, err
	}
	before, after, role := d.FeedBefore, d.FeedAfter, d.Role
	sub := &request{sql: d.FeedSelect, extended: q.extended}
	if q.extended && len(q.values) > 0 {
		types, err := s.described(ctx, q)
		if err != nil {
			return nil, err
		}
		if sub.types, sub.formats, sub.values, err = parameters(q, types, append([]int{}, d.FeedParams...)); err != nil {
			return nil, err
		}
	}
	var selected route.Decision
	if err := s.decide(ctx, &selected, sub); err != nil {
		return nil, err
	}
	selected.Role = role // what the transaction has written must be seen
	source, err := s.source(ctx, &selected, sub)
	if err != nil {
		return nil, err
	}
	l, err := s.typer(ctx)
	if err != nil {
		source.stop(err)
		return nil, err
	}
	// The rows are stored first: the connections that they come by are needed to insert.
	rows, _, err := s.all(ctx, source)
	if err != nil {
		return nil, err
	}
	types, err := s.typeNames(l, source.fields)
	if err != nil {
		return nil, err
	}
	for i, f := range source.fields {
		types[i] = literalType(f, types[i])
	}
	for _, i := range d.Plan.Feed.Untyped {
		if i < len(types) {
			types[i] = ""
		}
	}
	if len(rows) == 0 {
		return s.nothing(ctx, q, "INSERT 0 0")
	}
	if len(source.fields) == 0 {
		// Rows of no columns have every column's default; that there may be none, a server says.
		if err := s.analysed(ctx, q); err != nil {
			return nil, err
		}
	}
	var answers []*answer
	var tags []string
	for len(rows) > 0 {
		text := []byte(before)
		n := 0
		for n < len(rows) && n < batchRows && len(text) < batchBytes {
			if n > 0 {
				text = append(text, ", "...)
			}
			if len(rows[n]) == 0 {
				text = append(text, "(DEFAULT)"...)
			} else {
				text = s.appendRow(text, rows[n], types)
			}
			n++
		}
		rows = rows[n:]
		text = append(append(text, ' '), after...)
		var insert route.Decision
		part := &request{sql: string(text), extended: q.extended, results: q.results}
		if err := s.decide(ctx, &insert, part); err != nil {
			return nil, err
		}
		a, err := s.source(ctx, &insert, part)
		if err != nil {
			return nil, err
		}
		kept, tag, err := s.held(ctx, a)
		if err != nil {
			return nil, err
		}
		answers, tags = append(answers, kept), append(tags, tag)
	}
	return joined(answers, tags)
}

// nothing is the answer of a statement that concerns no rows.
func (s *Session) nothing(ctx context.Context, q *request, tag string) (*answer, error) {
	a := settled(tag)
	// Where no row came so far that a server would have had to find fault with it.
	if err := s.analysed(ctx, q); err != nil {
		return nil, err
	}
	if q.st.fields == nil {
		return a, nil
	}
	a.rows = true
	a.fields = slices.Clone(q.st.fields)
	for i := range a.fields {
		a.fields[i].Format = wire.FormatAt(q.results, i)
	}
	return a, nil
}

// analysed lets a server analyse the client's statement, which carries it out in no other way.
func (s *Session) analysed(ctx context.Context, q *request) error {
	if q.st == nil {
		q.st = &statement{sql: q.sql, types: q.types}
	}
	return s.describe(ctx, q.st)
}

// typer is a connection that tells types' names.
func (s *Session) typer(ctx context.Context) (*link, error) {
	for _, l := range s.links {
		if l != nil && l.inTx && !l.running {
			return l, nil
		}
	}
	return s.acquire(ctx, s.sticky, route.Primary)
}

// source runs a decision, whether it concerns one shard or more, without writing anything.
func (s *Session) source(ctx context.Context, d *route.Decision, q *request) (*answer, error) {
	shard, own := s.own(d)
	if !own {
		return s.execute(ctx, d, q)
	}
	one := *d
	one.Shards, one.Merge = sharding.One(shard), nil
	return s.gather(ctx, &one, q)
}

// held reads an answer's rows into memory.
func (s *Session) held(ctx context.Context, a *answer) (*answer, string, error) {
	rows, err := s.store(ctx, a)
	if err != nil {
		return nil, "", err
	}
	tag, err := a.tag()
	if err != nil {
		return nil, "", err
	}
	out := replayRows(rows, tag)
	out.fields, out.rows = a.fields, a.rows
	return out, tag, nil
}

// joined is one answer after the other.
func joined(answers []*answer, tags []string) (*answer, error) {
	total := uint64(0)
	for _, t := range tags {
		n, err := strconv.ParseUint(t[strings.LastIndexByte(t, ' ')+1:], 10, 64)
		if err != nil {
			return nil, wire.Errorf(wire.CodeInternalError, "unexpected command tag %q", t)
		}
		total += n
	}
	out := settled(fmt.Sprintf("INSERT 0 %d", total))
	out.fields, out.rows = answers[0].fields, answers[0].rows
	out.next = func(ctx context.Context) ([]byte, error) {
		for {
			body, err := answers[0].next(ctx)
			if err == nil || len(answers) == 1 {
				return body, err
			}
			answers = answers[1:]
		}
	}
	return out, nil
}

// move is an UPDATE of the sharding key: the rows are deleted, and inserted where they
// belong now.
func (s *Session) move(ctx context.Context, d *route.Decision, q *request) (*answer, error) {
	if err := s.lossy(); err != nil {
		return nil, err
	}
	m := d.Plan.Move
	plain := *q
	plain.results = nil
	del := *d
	deleted, err := s.gather(ctx, &del, &plain)
	if err != nil {
		return nil, err
	}
	fields := deleted.fields
	rows, _, err := s.all(ctx, deleted)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return s.nothing(ctx, q, "UPDATE 0")
	}
	l, err := s.typer(ctx)
	if err != nil {
		return nil, err
	}
	types, err := s.typeNames(l, fields)
	if err != nil {
		return nil, err
	}
	byShard := map[int][][][]byte{}
	for _, row := range rows {
		key := make([]sharding.Raw, len(m.KeyAt))
		for i, at := range m.KeyAt {
			// NULL has a shard, too; that the column may not have it, the server says.
			key[i] = sharding.Raw{Type: hash.OID(fields[at].TypeOID), Bytes: row[at], Null: row[at] == nil}
		}
		m.Fit.Apply(key)
		shard, err := s.place(ctx, m.Key, key)
		if err != nil {
			return nil, err
		}
		byShard[shard] = append(byShard[shard], row)
	}
	into := "INSERT INTO " + quoteIdent(m.Schema) + "." + quoteIdent(m.Table)
	if m.Alias != "" {
		into += " AS " + m.Alias
	}
	into += " (" + names(m.Columns) + ") OVERRIDING SYSTEM VALUE VALUES "
	if d.MoveAfter != "" {
		return s.moved(ctx, d.Plan, q, into, d.MoveAfter, byShard, types)
	}
	for shard := range s.ex.cfg.Layout.Shards {
		if err := s.insertRows(ctx, shard, into, byShard[shard], types); err != nil {
			return nil, err
		}
	}
	return settled(fmt.Sprintf("UPDATE %d", len(rows))), nil
}

// moved inserts the rows of a move, by shard, and returns what RETURNING says of them.
func (s *Session) moved(ctx context.Context, plan *route.Plan, q *request, into, after string, byShard map[int][][][]byte, types []string) (*answer, error) {
	var answers []*answer
	var tags []string
	for shard := range s.ex.cfg.Layout.Shards {
		for rows := byShard[shard]; len(rows) > 0; {
			text := []byte(into)
			n := 0
			for n < len(rows) && n < batchRows && len(text) < batchBytes {
				if n > 0 {
					text = append(text, ", "...)
				}
				text = s.appendRow(text, rows[n], types)
				n++
			}
			rows = rows[n:]
			text = append(append(text, ' '), after...)
			one := route.Decision{Plan: plan, Shards: sharding.One(shard), Role: route.Primary, Limit: -1}
			a, err := s.gather(ctx, &one, &request{sql: string(text), extended: q.extended, results: q.results})
			if err != nil {
				return nil, unplaced(err)
			}
			kept, tag, err := s.held(ctx, a)
			if err != nil {
				return nil, err
			}
			answers, tags = append(answers, kept), append(tags, tag)
		}
	}
	out, err := joined(answers, tags)
	if err != nil {
		return nil, err
	}
	tag, err := out.tag()
	if err != nil {
		return nil, err
	}
	out.tag = func() (string, error) { return "UPDATE" + strings.TrimPrefix(tag, "INSERT 0"), nil }
	return out, nil
}

// place finds a row's shard, with lookups as they are needed.
func (s *Session) place(ctx context.Context, key *sharding.Key, values []sharding.Raw) (int, error) {
	if slices.ContainsFunc(values, func(v sharding.Raw) bool { return !s.state.Encoding.Comparable(v) }) {
		err := wire.Errorf(wire.CodeFeatureNotSupported, "the sharding key of a row has other than ASCII characters, and client_encoding is not UTF8")
		err.Hint = "SET client_encoding = 'UTF8'"
		return 0, err
	}
	for range 2 {
		shard, err := key.Place(values, &s.found)
		need, ok := errors.AsType[*sharding.NeedLookup](err)
		if !ok {
			return shard, placeError(err, key, values)
		}
		if err := s.lookup(ctx, need); err != nil {
			return 0, err
		}
	}
	return 0, wire.Errorf(wire.CodeInternalError, "a sharding key cannot be looked up")
}

// placeError is the client's error for a key that has no shard.
func placeError(err error, key *sharding.Key, values []sharding.Raw) error {
	if err == nil {
		return nil
	}
	what := "NULL"
	if !values[0].Null {
		what = strconv.Quote(string(values[0].Bytes[:min(40, len(values[0].Bytes))]))
	}
	if errors.Is(err, sharding.ErrUnmapped) {
		return &wire.Error{
			Code: wire.CodeCheckViolation, Message: "no shard is configured for sharding key " + quoteIdent(key.Columns[0]) + " = " + what,
			Hint: "Add the value to the mapping, or a default.",
		}
	}
	if v, ok := errors.AsType[*hash.ValueError](err); ok && v.Malformed {
		return &wire.Error{Code: wire.CodeInvalidTextRepresentation, Message: v.Error()}
	}
	return &wire.Error{
		Code: wire.CodeFeatureNotSupported, Message: "sharding key " + quoteIdent(key.Columns[0]) + " = " + what + " cannot be placed: " + err.Error(),
		Hint: "Give the key as a value of its own type, in ISO format.",
	}
}

// insertRows inserts rows into one shard.
func (s *Session) insertRows(ctx context.Context, shard int, into string, rows [][][]byte, types []string) error {
	if len(rows) == 0 {
		return nil
	}
	l, err := s.acquire(ctx, shard, route.Primary)
	if err != nil {
		return err
	}
	l.wrote = true
	for len(rows) > 0 {
		text := []byte(into)
		n := 0
		for n < len(rows) && n < batchRows && len(text) < batchBytes {
			if n > 0 {
				text = append(text, ", "...)
			}
			text = s.appendRow(text, rows[n], types)
			n++
		}
		rows = rows[n:]
		if _, err := l.exec(string(text)); err != nil {
			return unplaced(err)
		}
	}
	return nil
}

// replay is an INSERT into an omnisharded table with values that are computed: one shard
// computes them.
func (s *Session) replay(ctx context.Context, d *route.Decision, q *request) (*answer, error) {
	if err := s.lossy(); err != nil {
		return nil, err
	}
	first := d.Shards.Lowest()
	one := *d
	one.Shards, one.Merge = sharding.One(first), nil
	plain := *q
	var err error
	if plain.results, err = s.replayFormats(ctx, d, q); err != nil {
		return nil, err
	}
	a, err := s.gather(ctx, &one, &plain)
	if err != nil {
		return nil, err
	}
	rows, tag, err := s.all(ctx, a)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return s.nothing(ctx, q, tag)
	}
	l := s.links[first]
	types, err := s.typeNames(l, a.fields)
	if err != nil {
		return nil, err
	}
	table, err := l.table(fmt.Sprintf(`SELECT CASE WHEN n.nspname ~ '^pg_temp' THEN 'pg_temp' ELSE pg_catalog.quote_ident(n.nspname) END || '.' || pg_catalog.quote_ident(c.relname), a.attname, a.attgenerated <> ''
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE c.oid = %d ORDER BY a.attnum`, a.fields[len(a.fields)-1].TableOID))
	if err != nil {
		return nil, err
	}
	own := len(a.fields) - len(table) // the client's columns
	if own < 0 {
		return nil, wire.Errorf(wire.CodeInternalError, "the inserted rows have %d columns, their table %d", len(a.fields), len(table))
	}
	var columns, kept []string
	var at []int
	for i, row := range table {
		if string(row[2]) != "t" {
			columns, kept, at = append(columns, string(row[1])), append(kept, types[own+i]), append(at, own+i)
		}
	}
	var returned [][]byte
	for i, row := range rows {
		if own > 0 {
			returned = append(returned, (&wire.DataRow{Values: row[:own]}).AppendTo(nil)[wire.HeaderLen:])
		}
		values := make([][]byte, len(at))
		for j, c := range at {
			values[j] = row[c]
		}
		rows[i] = values
	}
	into := "INSERT INTO " + string(table[0][0]) + " (" + names(columns) + ") OVERRIDING SYSTEM VALUE VALUES "
	for _, shard := range d.Targets() {
		if shard == first {
			continue
		}
		if err := s.insertRows(ctx, shard, into, rows, kept); err != nil {
			return nil, err
		}
	}
	out := replayRows(returned, tag)
	out.rows, out.fields = own > 0, a.fields[:own]
	return out, nil
}

// replayFormats are the formats of the rows of a replay: the client's for what it asked for, and
// text for what other shards are given; nil is text for all.
func (s *Session) replayFormats(ctx context.Context, d *route.Decision, q *request) ([]wire.Format, error) {
	if !q.extended || !anyBinary(q.results) {
		return nil, nil
	}
	types, err := s.described(ctx, q)
	if err != nil {
		return nil, err
	}
	oids, _, _, err := parameters(q, types, append([]int{}, d.Params...))
	if err != nil {
		return nil, err
	}
	all := &statement{sql: d.SQL, types: oids}
	if err := s.describe(ctx, all); err != nil {
		return nil, unplaced(err)
	}
	if err := s.analysed(ctx, q); err != nil {
		return nil, err
	}
	out := make([]wire.Format, len(all.fields))
	for i := range min(len(q.st.fields), len(out)) {
		out[i] = wire.FormatAt(q.results, i)
	}
	return out, nil
}

var _ merge.Stream = (*branch)(nil)
