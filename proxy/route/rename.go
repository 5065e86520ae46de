package route

import (
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A Vacancy is a table that a statement divides in another way than its rows are, which is right
// only while it has none.
type Vacancy struct {
	// Table is its name, quoted and with its schema.
	Table string
	// Why is what the statement is refused with if there are rows.
	Why error
}

// renamed refuses an ALTER by which a table's rows would be looked for on other shards than those
// which have them.
func (pb *builder) renamed(st *statement, p *Plan) {
	t, err := pb.altered(st, 0, len(st.toks))
	if t != nil && !t.Secured { // whose rows may be hidden
		p.Vacancy = &Vacancy{Table: quoteIdent(t.Schema) + "." + quoteIdent(t.Name), Why: err}
		return
	}
	p.fixed = err
}

// ident is the name at a token, empty if there is none.
func (st *statement) ident(i int) string {
	if i >= 0 && i < len(st.toks) && (st.toks[i].Kind == lex.Word || st.toks[i].Kind == lex.Quoted) {
		return st.toks[i].Ident(st.sql)
	}
	return ""
}

// qualified reads a name that may have a schema, and returns the token after it.
func (st *statement) qualified(at int) (schemaName, name string, end int) {
	name = st.ident(at)
	if st.is(at+1, ".") {
		schemaName, name, at = name, st.ident(at+2), at+2
	}
	return schemaName, name, at + 1
}

// altered looks at the ALTER at a token. The error is why it must not be done; if there is a table,
// only if that has rows.
func (pb *builder) altered(st *statement, at, end int) (*schema.Table, error) {
	if pb.layout.Shards < 2 || !st.is(at, "alter") {
		return nil, nil
	}
	at++
	switch {
	case st.is(at, "schema"):
		return nil, pb.renamedSchema(st, at+1)
	case st.is(at, "materialized"), st.is(at, "foreign"):
		at++
	}
	if !st.is(at, "table") && !st.is(at, "view") {
		return nil, nil
	}
	if at++; st.is(at, "if") {
		at += 2
	}
	if st.is(at, "only") {
		at++
	}
	schemaName, name, at := st.qualified(at)
	if st.is(at, "*") {
		at++
	}
	t := pb.snap.Table(schemaName, name, pb.path)
	if t == nil || t.View() {
		return nil, nil // the server says so; a view is where its tables are, whatever its name
	}
	newSchema, newName, columns, by := t.Schema, t.Name, slices.Clone(t.Names()), "name"
	switch {
	case st.is(at, "rename") && st.is(at+1, "to"):
		newName = st.ident(at + 2)
	case st.is(at, "set") && st.is(at+1, "schema"):
		newSchema = st.ident(at + 2)
	case st.is(at, "rename") && !st.is(at+1, "constraint"):
		i := at + 1
		if st.is(i, "column") {
			i++
		}
		by = "columns"
		old := st.ident(i)
		if err := pb.unkeyed(t, old, false); err != nil {
			return nil, err
		}
		if c := slices.Index(columns, old); c >= 0 {
			columns[c] = st.ident(i + 2)
		}
	case st.is(at, "attach"), st.is(at, "detach"):
		return pb.attached(st, t, at)
	default:
		by = "columns"
		if table, err := pb.inherits(st, t, at, end); err != nil {
			return table, err
		}
		for _, c := range st.columnChanges(at, end) {
			if err := pb.unkeyed(t, c.name, c.verb == "alter"); err != nil && c.verb != "add" && !st.compatible(t, c) {
				return t, err
			}
			has := slices.Contains(columns, c.name)
			switch {
			case c.verb == "drop":
				columns = slices.DeleteFunc(columns, func(name string) bool { return name == c.name })
			case c.verb == "add" && !has:
				columns = append(columns, c.name)
				if key := pb.place(t).Key; key != nil && slices.Contains(key.Columns, c.name) {
					return t, refuse("the rows that table "+name+" has would all have the same value of the sharding key "+c.name+", wherever they are",
						"make a new table with the column, and use INSERT … SELECT")
				}
			}
		}
	}
	was, is := pb.layout.Find(t.Schema, t.Name, t.Names()), pb.layout.Find(newSchema, newName, columns)
	if t.Parent != nil && was.Omni() && is.Omni() || alike(was, is) {
		return nil, nil // a partition is where its table is
	}
	err := elsewhere(name, newName, "by its new "+by, was, is,
		"list it as it will be among the sharded tables or schemas first, or make a new table and move the rows")
	if was.Omni() && !st.is(at, "rename") && by == "columns" {
		return t, err
	}
	return nil, err
}

// unkeyed refuses to take away, or to change, a column by which a table is divided.
func (pb *builder) unkeyed(t *schema.Table, column string, stays bool) error {
	key := pb.place(t).Key
	if key == nil || !slices.Contains(key.Columns, column) || t.Column(column) < 0 {
		return nil
	}
	if !stays && pb.layout.Find(t.Schema, t.Name, slices.DeleteFunc(t.Names(), func(c string) bool { return c == column })).Key == nil {
		return nil // what becomes of it is found by its new columns
	}
	return refuse("the rows of table "+t.Name+" would not be looked for where they are, by its new columns: it is divided by "+strings.Join(key.Columns, ", "),
		"make a new table, list it among the sharded tables, and move the rows")
}

// A columnChange is an ADD, DROP or ALTER … TYPE of a column.
type columnChange struct {
	verb, name string
	typ        lex.Range // of ALTER … TYPE: what follows
}

// compatible reports whether values of a column's new type are the same as before, and have the same
// hash.
func (st *statement) compatible(t *schema.Table, c columnChange) bool {
	families := [][]hash.OID{{hash.Int2, hash.Int4, hash.Int8}, {hash.Text, hash.Varchar}}
	words := [][]string{{"smallint", "int2", "integer", "int", "int4", "bigint", "int8"}, {"text", "varchar", "character"}}
	i := t.Column(c.name)
	if i < 0 || c.typ.Len() < 1 || c.typ.Len() > 5 {
		return false
	}
	for f, family := range families {
		if slices.Contains(family, t.Columns[i].Type) && slices.Contains(words[f], st.ident(c.typ.From)) {
			at := c.typ.From + 1
			if st.is(at, "varying") != st.is(at-1, "character") {
				return false
			}
			if st.is(at, "varying") {
				at++
			}
			return at == c.typ.To || st.is(at, "(") && at+3 == c.typ.To
		}
	}
	return false
}

// columnChanges are those in the tokens of an ALTER TABLE.
func (st *statement) columnChanges(from, to int) (out []columnChange) {
	for _, r := range st.split(from, to, ",") {
		i := r.From
		c := columnChange{verb: st.ident(i)}
		switch c.verb {
		case "add", "drop", "alter":
		default:
			continue
		}
		i++
		if i < len(st.toks) && st.toks[i].Kind == lex.Word && slices.Contains([]string{"constraint", "primary", "unique", "foreign", "check", "exclude", "not"}, st.ident(i)) {
			continue
		}
		if st.is(i, "column") {
			i++
		}
		if st.is(i, "if") {
			for i++; st.is(i, "not") || st.is(i, "exists"); i++ {
			}
		}
		if c.name = st.ident(i); c.name == "" {
			continue
		}
		if c.verb == "alter" {
			if i++; st.is(i, "set") && st.is(i+1, "data") {
				i += 2
			}
			if !st.is(i, "type") {
				continue
			}
			c.typ = lex.Range{From: i + 1, To: r.To}
		}
		out = append(out, c)
	}
	return out
}

// inherits looks at INHERIT and NO INHERIT: rows of the children of a table are its own, too.
func (pb *builder) inherits(st *statement, t *schema.Table, at, end int) (*schema.Table, error) {
	for _, r := range st.split(at, end, ",") {
		switch {
		case st.is(r.From, "inherit"):
			schemaName, name, _ := st.qualified(r.From + 1)
			return pb.joins(t, pb.snap.Table(schemaName, name, pb.path))
		case st.is(r.From, "no") && st.is(r.From+1, "inherit"):
			return pb.leaves(t)
		}
	}
	return nil, nil
}

// attached looks at ATTACH and DETACH PARTITION.
func (pb *builder) attached(st *statement, t *schema.Table, at int) (*schema.Table, error) {
	schemaName, name, _ := st.qualified(at + 2)
	child := pb.snap.Table(schemaName, name, pb.path)
	switch {
	case child == nil:
		return nil, nil
	case st.is(at, "attach"):
		return pb.joins(child, t)
	}
	return pb.leaves(child)
}

// joins is about a table whose rows become those of a parent, too.
func (pb *builder) joins(child, parent *schema.Table) (*schema.Table, error) {
	if parent == nil {
		return nil, nil
	}
	was, is := pb.place(child), pb.place(parent)
	if alike(was, is) {
		return nil, nil
	}
	return child, elsewhere(child.Name, child.Name, "as a part of "+parent.Name, was, is,
		"empty it first, and write its rows anew once it belongs to "+parent.Name)
}

// leaves is about a table whose rows are those of a parent no longer.
func (pb *builder) leaves(child *schema.Table) (*schema.Table, error) {
	was, is := pb.place(child), pb.layout.Find(child.Schema, child.Name, child.Names())
	if alike(was, is) {
		return nil, nil
	}
	return child, elsewhere(child.Name, child.Name, "as a table of its own", was, is, "list it among the sharded tables with the key of its parent first")
}

// place is where a table's rows are; a partition is where its table is.
func (pb *builder) place(t *schema.Table) sharding.Placement {
	p := pb.layout.Find(t.Schema, t.Name, t.Names())
	if t.Parent != nil && p.Omni() {
		p = pb.layout.Find(t.Parent.Schema, t.Parent.Name, t.Parent.Names())
	}
	return p
}

// renamedSchema looks at ALTER SCHEMA … RENAME TO: its tables may be divided by its name.
func (pb *builder) renamedSchema(st *statement, at int) error {
	old, to := st.ident(at), st.ident(at+3)
	if !st.is(at+1, "rename") || !st.is(at+2, "to") || old == "" || to == "" {
		return nil
	}
	hint := "list the schema and its tables by the new name first, or make a new schema and move the rows"
	shard, pinned := pb.layout.Schema(old)
	newShard, newPinned := pb.layout.Schema(to)
	if was, is := (sharding.Placement{Pinned: pinned, Shard: shard}), (sharding.Placement{Pinned: newPinned, Shard: newShard}); pinned != newPinned || pinned && shard != newShard {
		return refuse("what is in schema "+old+" would not be looked for where it is, by the new name: it is "+divided(was)+", and "+to+" would be "+divided(is), hint)
	}
	var err error
	first := "" // so that of several tables the same one is named each time
	for t := range pb.snap.All {
		if t.Schema != old || err != nil && t.Name > first {
			continue
		}
		was, is := pb.place(t), pb.layout.Find(to, t.Name, t.Names())
		if t.Parent != nil && is.Omni() {
			parent := t.Parent.Schema
			if parent == old {
				parent = to
			}
			is = pb.layout.Find(parent, t.Parent.Name, t.Parent.Names())
		}
		if !alike(was, is) {
			first, err = t.Name, elsewhere(t.Name, to+"."+t.Name, "by its schema's new name", was, is, hint)
		}
	}
	return err
}

func alike(a, b sharding.Placement) bool {
	if a.Key != nil && b.Key != nil {
		return a.Key.Colocated(b.Key)
	}
	return a.Key == nil && b.Key == nil && a.Pinned == b.Pinned && (!a.Pinned || a.Shard == b.Shard)
}

func elsewhere(name, newName, by string, was, is sharding.Placement, hint string) error {
	return refuse("the rows of table "+name+" would not be looked for where they are, "+by+": it is "+divided(was)+", and "+newName+" would be "+divided(is), hint)
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
