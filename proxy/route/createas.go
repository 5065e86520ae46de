package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A creation is CREATE TABLE AS, CREATE MATERIALIZED VIEW or CREATE VIEW.
type creation struct {
	kind         byte // as pg_class.relkind
	temporary    bool
	schema, name string
	columns      []string // those that are named before AS
	from, to     int      // the tokens of the query
	empty        bool     // WITH NO DATA
}

// creation reads the statement; ok is false if it is none of them.
func (st *statement) creation() (c creation, ok bool) {
	at := 1
words:
	for ; at < len(st.toks); at++ {
		switch lex.Fold(st.toks[at].Text(st.sql)) {
		case "or", "replace", "unlogged", "recursive", "local", "global":
		case "temp", "temporary":
			c.temporary = true
		case "materialized":
			c.kind = 'm'
		case "table", "view":
			if c.kind == 0 {
				c.kind = st.toks[at].Text(st.sql)[0] | 0x20
			}
			break words
		default:
			return c, false
		}
	}
	if at++; st.is(at, "if") {
		at += 3
	}
	if at >= len(st.toks) {
		return c, false
	}
	c.name = st.toks[at].Ident(st.sql)
	for at++; st.is(at, ".") && at+1 < len(st.toks); at += 2 {
		c.schema, c.name = c.name, st.toks[at+1].Ident(st.sql)
	}
	if st.is(at, "(") {
		end := lex.Match(st.sql, st.toks, at)
		for i := at + 1; i < end; i += 2 {
			c.columns = append(c.columns, st.toks[i].Ident(st.sql))
		}
	}
	depth := 0 // a column's GENERATED … AS (…) is no query
	for i := at; i < len(st.toks); i++ {
		switch {
		case st.is(i, "("):
			depth++
		case st.is(i, ")"):
			depth--
		}
		if depth != 0 || !st.is(i, "as") || !slices.ContainsFunc([]string{"select", "with", "table", "values", "("}, func(w string) bool { return st.is(i+1, w) }) {
			continue
		}
		c.from, c.to = i+1, len(st.toks)
		end := len(st.toks)
		switch {
		case c.kind == 'v' && st.is(end-2, "check") && st.is(end-1, "option"):
			if c.to = end - 3; st.is(end-3, "local") || st.is(end-3, "cascaded") {
				c.to--
			}
		case st.is(end-3, "with") && st.is(end-2, "no") && st.is(end-1, "data"):
			c.to, c.empty = end-3, true
		case st.is(end-2, "with") && st.is(end-1, "data"):
			c.to = end - 2
		}
		return c, c.from < c.to
	}
	return c, false
}

// createAs plans what is made of a query: each shard makes its own part where that is what the
// configuration says of the new table.
func (pb *builder) createAs(st *statement, p *Plan) error {
	c, ok := st.creation()
	if !ok {
		return nil
	}
	inner, err := pb.plan(st.sql, st.toks[c.from:c.to])
	switch {
	case err != nil && c.kind == 'v':
		return nil // the server may know better; statements that read it say why they cannot
	case err != nil:
		return err
	}
	if c.kind != 'v' {
		unbound, unknown := inner.Unbound()
		p.views, p.unknown = append(p.views, unbound...), append(p.unknown, unknown...)
	}
	if pb.layout.Shards < 2 {
		return nil
	}
	switch sharded := inner.real > 0; {
	case c.kind == 'v':
		if sharded && (c.temporary || slices.ContainsFunc(inner.unknown, func(t string) bool { return t != c.name })) {
			p.fixed = refuse("a temporary view of sharded tables, whose query is not known to other statements",
				"create a view that lasts, or use a WITH query")
		}
	case c.kind == 'm':
		// Reading it says why it cannot be read.
		if sharded {
			p.omni, p.makes = false, true
			if p.fixed = inner.fixed; p.fixed == nil && inner.dist.kind != parted {
				p.fixed = refuse("a materialized view whose rows would have to be merged from several shards: "+inner.dist.why,
					"make a view of rows that each shard can compute for itself, or create a table and use INSERT … SELECT")
			}
		}
	case c.empty:
	default:
		if p.fixed = pb.made(inner, c.schema, c.name, c.columns); p.fixed == nil && sharded {
			p.omni, p.makes, p.why = false, true, "each shard makes the table of its own rows, the sharding key being the same"
		}
	}
	return nil
}

// made refuses a table that is made of a query, if its rows would not be where they are looked for.
func (pb *builder) made(inner *Plan, schemaName, name string, columns []string) error {
	if inner.fixed != nil {
		return inner.fixed
	}
	if schemaName == "" && len(pb.path) > 0 {
		schemaName = pb.path[0]
	}
	outputs := slices.Clone(inner.outputs)
	copy(outputs, columns)
	place := pb.layout.Find(schemaName, name, outputs)
	const insert = "create the table, and use INSERT … SELECT"
	switch {
	case inner.real == 0 && place.Key != nil:
		return refuse("table "+name+" would be divided by "+strings.Join(place.Key.Columns, ", ")+", and the query has all of its rows on every shard", insert)
	case inner.real == 0 && place.Omni() && inner.varies:
		return refuse("a table made of a query with a function like now() or random(), or a LIMIT, would have other rows on every shard", insert)
	case inner.real == 0:
		return nil
	case place.Key == nil || !pb.follows(inner.dist, place.Key, outputs):
		return refuse("a table made of a query on sharded tables would have other rows on every shard",
			"list it among the sharded tables, with a column of the query that is the sharding key; or create it, and use INSERT … SELECT")
	}
	return nil
}

// follows reports whether rows that are divided by d are where key looks for them.
func (pb *builder) follows(d dist, key *sharding.Key, outputs []string) bool {
	if d.kind != parted || d.key == nil || len(d.out) != len(key.Columns) {
		return false
	}
	for i, at := range d.out {
		if at >= len(outputs) || outputs[at] != key.Columns[i] {
			return false
		}
	}
	k, err := key.WithTypes(d.key.Types)
	return err == nil && k.Colocated(d.key)
}

// into plans SELECT INTO.
func (a *analysis) intoTable(p *Plan) {
	p.ReloadSchema = true
	if a.layout.Shards < 2 {
		p.omni = p.real == 0 && len(p.refs) == 0
		return
	}
	sel, _ := a.st.tree.(*ast.SelectStmt)
	for sel != nil && sel.Larg != nil {
		sel = sel.Larg
	}
	inner := &Plan{fixed: p.fixed, real: len(p.refs), dist: p.dist, outputs: p.outputs, varies: p.varies}
	if sel == nil || sel.IntoClause == nil || sel.IntoClause.Rel == nil {
		p.fixed = refuse("SELECT INTO whose table could not be found", "use CREATE TABLE AS")
		return
	}
	name, _ := a.st.name(sel.IntoClause.Rel.RelName)
	schemaName, _ := a.st.name(sel.IntoClause.Rel.SchemaName)
	pb := &builder{layout: a.layout, snap: a.snap, path: a.path}
	if p.fixed = pb.made(inner, schemaName, name, nil); p.fixed == nil && (strings.HasPrefix(schemaName, "pg_temp") || a.st.intoTemporary()) {
		p.fixed = pb.hides(name)
	}
	if p.fixed != nil {
		return
	}
	if p.omni = len(p.refs) == 0; !p.omni {
		p.every, p.makes, p.why = true, true, "each shard makes the table of its own rows, the sharding key being the same"
	}
}
