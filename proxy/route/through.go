package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A through is a view through which rows of one table are written (rewriteTargetView in
// rewriteHandler.c).
type through struct {
	base *schema.Table
	// shape is the view as a table: its columns with the defaults and other properties that theirs
	// of the base have.
	shape *schema.Table
	// columns are the base's columns, by the view's; "" is one that is computed.
	columns []string
	// whole says that it shows every column of the base, each once, and nothing else.
	whole bool
	// hidden is a column that it does not show and that gets another value on each shard.
	hidden string
	// replaced says that rules or INSTEAD OF triggers of a view do something else.
	replaced bool
}

// through finds what a view writes to; nil if it is not one that can be written like a table. Where
// it is and the server does not think so, the server says that.
func (a *analysis) through(t *schema.Table, b *block, sel *ast.SelectStmt) *through {
	if b.left != nil || b.grouped || len(b.sources) != 1 || sel.DistinctClause != nil || sel.LimitCount != nil || sel.LimitOffset != nil || sel.WithClause != nil {
		return nil
	}
	r := b.sources[0].r
	ts, ok := a.targets(b)
	if r == nil || r.table == nil || !ok || len(ts) != len(t.Columns) {
		return nil
	}
	w := &through{base: r.table, replaced: t.Triggers}
	from, named := r.table, func(name string) string { return name }
	switch {
	case r.table.Kind == 'v':
		inner := a.view(r.table).into
		if inner == nil {
			return nil
		}
		w.base, from, w.hidden, w.replaced = inner.base, inner.shape, inner.hidden, w.replaced || inner.replaced
		named = func(name string) string {
			if i := inner.shape.Column(name); i >= 0 {
				return inner.columns[i]
			}
			return ""
		}
	case r.table.Kind != 'r' && r.table.Kind != 'p':
		return nil
	}
	shape := *from
	shape.Schema, shape.Name, shape.Kind, shape.Parent, shape.Differs, shape.Definition = t.Schema, t.Name, 'v', nil, t.Differs, t.Definition
	shape.Columns = slices.Clone(t.Columns)
	shown := map[string]string{} // the view's names, by those of what it reads
	for i, x := range ts {
		name := ""
		if x.isC && x.col.src == b.sources[0] {
			name = x.col.name
		}
		at := from.Column(name)
		if at < 0 {
			w.columns = append(w.columns, "")
			continue
		}
		w.columns = append(w.columns, named(name))
		if _, twice := shown[name]; !twice {
			shown[name] = t.Columns[i].Name
		}
		own := shape.Columns[i]
		c := from.Columns[at]
		if own.Default { // ALTER VIEW … SET DEFAULT goes before the table's
			c.Default, c.Volatile, c.Sequence, c.ShardSequence = true, own.Volatile, own.Sequence, own.ShardSequence
		}
		c.Name = own.Name
		shape.Columns[i] = c
	}
	for _, c := range from.Columns {
		if _, visible := shown[c.Name]; !visible && c.Volatile && !c.Generated && w.hidden == "" {
			w.hidden = c.Name
		}
	}
	rename := func(list []string) []string {
		out := make([]string, len(list))
		for i, name := range list {
			out[i] = shown[name]
		}
		return out
	}
	shape.Primary = rename(from.Primary)
	if slices.Contains(shape.Primary, "") {
		shape.Primary = nil
	}
	shape.Unique = nil
	for _, u := range from.Unique {
		shape.Unique = append(shape.Unique, rename(u))
	}
	w.shape = &shape
	w.whole = len(w.columns) == len(w.base.Columns) && !slices.Contains(w.columns, "") && len(slices.Compact(slices.Sorted(slices.Values(w.columns)))) == len(w.columns)
	return w
}

// behind refuses what cannot be written through a view as its table would be written; it makes
// the target what it is then.
func (a *analysis) behind(c *change, n ast.Node) error {
	r := c.target
	if r.view == nil {
		return nil
	}
	if r.table.Kind == 'm' {
		return wire.Errorf("42809", "cannot change materialized view \"%s\"", r.name)
	}
	table := "write to its tables instead"
	w := r.view.into
	if r.table.Triggers || w != nil && w.replaced {
		return refuse("a write to view "+r.name+", whose INSTEAD OF triggers or rules could do anything, on rows of any shard", table)
	}
	if w == nil {
		return refuse("a write to view "+r.name+", which does not show rows of one table as they are", table)
	}
	table = "write to table " + w.base.Name + " instead"
	for _, k := range a.layout.Keys() {
		if strings.Contains(k.Query(), w.base.Name) {
			return refuse("a write to table "+w.base.Name+", of which lookups are kept, through view "+r.name, table)
		}
	}
	if _, isMerge := n.(*ast.MergeStmt); isMerge {
		return refuse("a MERGE into view "+r.name, table)
	}
	r.table = w.shape
	place := a.layout.Find(w.base.Schema, w.base.Name, w.base.Names())
	if r.blind || place.Pinned != r.place.Pinned || (place.Key != nil) != (r.key != nil) {
		return refuse("a write to view "+r.name+", whose rows are not placed as those of table "+w.base.Name, table)
	}
	switch {
	case place.Pinned:
		return nil
	case r.key == nil && c.insert != nil && w.hidden != "":
		return refuse("an INSERT through a view that does not show column "+w.hidden+", whose default may be another on each shard", table)
	case r.key == nil:
		return nil
	}
	var assigned []ast.Node
	switch n := n.(type) {
	case *ast.DeleteStmt:
		return nil
	case *ast.UpdateStmt:
		assigned = items(n.TargetList)
	case *ast.InsertStmt:
		if slices.Contains(r.key.Columns, "") {
			return refuse("an INSERT into view "+r.name+", which does not show the sharding key of table "+w.base.Name, table)
		}
		if n.OnConflictClause != nil {
			assigned = items(n.OnConflictClause.TargetList)
		}
	}
	_, isInsert := n.(*ast.InsertStmt)
	key := place.Key.Columns
	for i, k := range r.key.Columns {
		if at := w.shape.Column(k); k != "" && (at < 0 || i >= len(key) || w.columns[at] != key[i]) {
			return refuse("a write to view "+r.name+", whose column "+k+" is not the sharding key of table "+w.base.Name+", but equal to it", table)
		}
	}
	for i, name := range w.columns {
		column := w.shape.Columns[i].Name
		if !slices.Contains(key, name) || slices.Contains(r.key.Columns, column) {
			continue
		}
		// It is the key by another name.
		if isInsert || slices.ContainsFunc(assigned, func(t ast.Node) bool {
			res, ok := t.(*ast.ResTarget)
			given := ""
			if ok {
				given, _ = a.st.name(res.Name)
			}
			return given == column
		}) {
			return refuse("view "+r.name+" shows the sharding key "+name+" more than once", table)
		}
	}
	if !isInsert && !w.whole && a.keyChange(c, assigned) != nil {
		return refuse("UPDATE of the sharding key through view "+r.name+", which does not show all of its table: the row may have to move to another shard", table)
	}
	return nil
}
