package route

import (
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// renamed refuses an ALTER TABLE by whose new name, schema, or names of columns, a table's rows would
// be looked for on other shards than those which have them.
func (pb *builder) renamed(st *statement, p *Plan) {
	if pb.layout.Shards < 2 || !st.is(0, "alter") || !st.is(1, "table") {
		return
	}
	at := 2
	if st.is(at, "if") {
		at += 2
	}
	if st.is(at, "only") {
		at++
	}
	ident := func(i int) string {
		if i < len(st.toks) && (st.toks[i].Kind == lex.Word || st.toks[i].Kind == lex.Quoted) {
			return st.toks[i].Ident(st.sql)
		}
		return ""
	}
	schemaName, name := "", ident(at)
	if st.is(at+1, ".") {
		schemaName, name, at = name, ident(at+2), at+2
	}
	at++
	if st.is(at, "*") {
		at++
	}
	t := pb.snap.Table(schemaName, name, pb.path)
	if t == nil {
		return // the server says so
	}
	newSchema, newName, columns, by := t.Schema, t.Name, slices.Clone(t.Names()), "name"
	switch {
	case st.is(at, "rename") && st.is(at+1, "to"):
		newName = ident(at + 2)
	case st.is(at, "set") && st.is(at+1, "schema"):
		newSchema = ident(at + 2)
	case st.is(at, "rename") && !st.is(at+1, "constraint"):
		if st.is(at+1, "column") {
			at++
		}
		by = "columns"
		if i := slices.Index(columns, ident(at+1)); i >= 0 {
			columns[i] = ident(at + 3)
		}
	default:
		by = "columns"
		for _, r := range st.split(at, len(st.toks), ",") {
			i := r.From
			if !st.is(i, "drop") || st.is(i+1, "constraint") {
				continue
			}
			if i++; st.is(i, "column") {
				i++
			}
			if st.is(i, "if") {
				i += 2
			}
			columns = slices.DeleteFunc(columns, func(c string) bool { return c == ident(i) })
		}
	}
	was, is := pb.layout.Find(t.Schema, t.Name, t.Names()), pb.layout.Find(newSchema, newName, columns)
	switch {
	case was.Key != nil && is.Key != nil && was.Key.Colocated(is.Key), was.Key == nil && is.Key == nil && was.Pinned == is.Pinned && was.Shard == is.Shard:
		return
	}
	p.fixed = refuse("the rows of table "+name+" would not be looked for where they are, by its new "+by+": it is "+divided(was)+", and "+newName+" would be "+divided(is),
		"list it as it will be among the sharded tables or schemas first, or make a new table and move the rows")
}

// divided says where a table's rows are.
func divided(p sharding.Placement) string {
	switch {
	case p.Key != nil:
		return "divided by " + strings.Join(p.Key.Columns, ", ")
	case p.Pinned:
		return "on shard " + itoa(p.Shard)
	}
	return "on every shard"
}
