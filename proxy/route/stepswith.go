package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
)

// A task is a WITH query that writes, or the statement itself, which may only read.
type task struct {
	change   *change // nil for a statement that only reads
	node     ast.Node
	body     int // among the WITH queries; -1 for the statement itself
	from, to int // among the analysis's refs; of the statement itself all that are nobody else's
}

// inserts reports whether it only adds rows.
func (w *task) inserts() bool { return w.change != nil && w.change.insert != nil }

// An order is in which parts of a statement with WITH queries that write are carried out. All of
// them have the same snapshot in one PostgreSQL, but a step sees what those before it have written.
type order struct {
	a      *analysis
	list   []body
	main   int // the token at which the statement itself starts
	parts  []task
	before [][]bool // by parts: one that must go before another
	turn   []int    // of each part
	apart  []apartness
}

// stageWith plans WITH queries that write: each is a step of its own.
func (a *analysis) stageWith(c *change) (*steps, error) {
	var w *ast.WithClause
	switch n := a.st.tree.(type) {
	case *ast.SelectStmt:
		w = n.WithClause
		if n.Op != ast.SETOP_NONE && w == nil {
			return nil, nil
		}
	case *ast.InsertStmt:
		w = n.WithClause
	case *ast.UpdateStmt:
		w = n.WithClause
	case *ast.DeleteStmt:
		w = n.WithClause
	case *ast.MergeStmt:
		w = n.WithClause
	}
	list, main, ok := a.bodies(w)
	if !ok {
		return nil, nil
	}
	o := &order{a: a, list: list, main: main}
	for i := range list {
		if w := list[i].writer; w != nil {
			o.parts = append(o.parts, task{w.change, w.node.Ctequery, i, w.from, w.to})
		}
	}
	if len(o.parts) != len(a.writers) {
		return nil, nil
	}
	o.parts = append(o.parts, task{c, a.st.tree, -1, 0, len(a.refs)})
	if err := o.arrange(); err != nil {
		return nil, err
	}
	out := &steps{why: "the WITH queries that write go first, one after the other", apart: o.apart}
	reads, err := o.readBefore()
	if err != nil {
		return nil, err
	}
	var subs []substitution
	for _, r := range reads {
		by := template{chunkOf(gather.Source, len(out.list))}
		if !r.alias {
			by = by.str(" AS " + quoteIdent(r.name))
		}
		subs = append(subs, substitution{r.tok, r.end, by.str(" ")})
		out.list = append(out.list, a.wholeTable(r))
		out.why = "what is read beside a WITH query that writes it goes first, then the WITH queries that write, one after the other"
	}
	subs = sortSubs(subs)
	last := len(o.parts) - 1
	early := o.turn[last] < last // the statement itself goes before what it must not see
	for turn := range o.parts {
		p := &o.parts[slices.Index(o.turn, turn)]
		if p.body < 0 {
			text := a.prefix(list, main, len(a.st.toks), subs...).add(replaced(main, len(a.st.toks), subs))
			if !early {
				out.last = text
				continue
			}
			out.returns = len(returning(p.node)) > 0
			out.tag = map[bool]string{true: "UPDATE", false: "DELETE"}[isUpdate(p.node)]
			if _, isMerge := p.node.(*ast.MergeStmt); isMerge {
				out.tag = "MERGE"
			}
			out.why = "each part goes before those whose rows it must not see"
			out.list = append(out.list, Step{Write: true, Silent: !out.returns, Returns: out.returns, sql: text})
			continue
		}
		b := &list[p.body]
		step := Step{Write: true, Uncounted: true, Silent: len(returning(p.node)) == 0, Collations: a.returned(b.writer)}
		step.sql = a.prefix(list[:p.body], b.from, b.to, subs...).add(replaced(b.from, b.to, subs))
		out.list = append(out.list, step)
		b.step = len(out.list) - 1
	}
	return out, nil
}

func isUpdate(n ast.Node) bool {
	_, is := n.(*ast.UpdateStmt)
	return is
}

// seen is why a table that a WITH query writes cannot be read or written elsewhere.
func seen(t *ref) error {
	return refuse("a WITH query writes table "+t.name+", which the statement reads or writes elsewhere: each part must see its rows as they were before, which several shards cannot show it",
		"send the write as a statement of its own, in the same transaction")
}

// arrange finds an order in which no part sees rows that another one has written and it must not see.
func (o *order) arrange() error {
	n := len(o.parts)
	for range n {
		o.before = append(o.before, make([]bool, n))
	}
	for i := range o.parts {
		for j := range o.parts {
			if i != j && o.parts[i].body >= 0 && o.uses(o.parts[j].body, o.parts[i].body) {
				o.before[i][j] = true
			}
		}
	}
	for i := range o.parts {
		for j := range i {
			if err := o.both(i, j); err != nil {
				return err
			}
		}
	}
	// Each time the first in the text of those that may go; the statement itself if there is no other.
	o.turn = slices.Repeat([]int{-1}, n)
	for turn := range n {
		next := -1
		for i := range slices.Backward(o.parts) {
			free := o.turn[i] < 0 && (next < 0 || i < n-1)
			for j := range o.parts {
				free = free && (o.turn[j] >= 0 || !o.before[j][i])
			}
			if free {
				next = i
			}
		}
		if next < 0 {
			return refuse("a WITH query must be carried out before and after another one, whose rows it reads and must not see", "send them as statements of their own, in the same transaction")
		}
		o.turn[next] = turn
	}
	return nil
}

// uses reports whether a part, -1 being the statement itself, reads rows of a WITH query, be it
// through others that write nothing.
func (o *order) uses(part, of int) bool {
	from, to := o.main, len(o.a.st.toks)
	limit := len(o.list)
	if part >= 0 {
		from, to, limit = o.list[part].from, o.list[part].to, part
	}
	if of >= limit {
		return false
	}
	if o.a.st.uses(from, to, o.list[of].name) {
		return true
	}
	for i := of + 1; i < limit; i++ {
		if o.list[i].writer == nil && o.a.st.uses(from, to, o.list[i].name) && o.uses(i, of) {
			return true
		}
	}
	return false
}

// both looks at two parts that may write the same table.
func (o *order) both(i, j int) error {
	x, y := &o.parts[i], &o.parts[j]
	if x.change == nil || y.change == nil {
		return nil
	}
	t, u := x.change.target, y.change.target
	if !o.a.overlap(t, u) {
		return nil
	}
	if t.table == nil || u.table == nil || t.table.Triggers || u.table.Triggers || t.table.Kind == 'v' || u.table.Kind == 'v' {
		return seen(t)
	}
	for _, p := range []*task{x, y} {
		if p.inserts() && p.change.insert.OnConflictClause != nil {
			return seen(t)
		}
	}
	_, xMerge := x.node.(*ast.MergeStmt)
	_, yMerge := y.node.(*ast.MergeStmt)
	switch {
	case x.inserts() && y.inserts():
		return nil
	case x.inserts(): // rows that are new are not there for the other
		o.before[j][i] = true
		return nil
	case y.inserts():
		o.before[i][j] = true
		return nil
	case xMerge || yMerge || t.name != u.name || t.schema != u.schema:
		return seen(t)
	}
	why := refuse("two parts of the statement write table "+t.name+", and may both change the same row, of which it would not be known which one has",
		"restrict them to different values of a column that neither of them sets, or send them as statements of their own, in the same transaction")
	sets := append(o.a.settled(x), o.a.settled(y)...)
	var list []apartness
	for _, a := range o.a.pinned(x) {
		for _, b := range o.a.pinned(y) {
			if a.column != b.column || slices.Contains(sets, a.column) {
				continue
			}
			if c := t.table.Column(a.column); c >= 0 && !t.table.Columns[c].Generated && !t.table.Columns[c].Collation.Nondeterministic {
				list = append(list, apartness{pairs: []apartPair{{t.table.Columns[c].Type, a.values, b.values}}, why: why})
			}
		}
	}
	if len(list) == 0 {
		return why
	}
	for _, a := range list[1:] { // one of them is enough
		list[0].pairs = append(list[0].pairs, a.pairs...)
	}
	o.apart = append(o.apart, list[0])
	return nil
}

// overlap reports whether rows of one table may be those of another: they are the same, parts of the
// same, or one is a view that may read the other.
func (a *analysis) overlap(r, s *ref) bool {
	if r.name == s.name && r.schema == s.schema {
		return true
	}
	top := func(r *ref) *schema.Table {
		if r.table != nil && r.table.Parent != nil {
			return r.table.Parent
		}
		return r.table
	}
	if t := top(r); t != nil && t == top(s) {
		return true
	}
	return a.mayRead(r, s, 0) || a.mayRead(s, r, 0)
}

// mayRead reports whether a view may read rows of what r is.
func (a *analysis) mayRead(v, r *ref, depth int) bool {
	if v.table == nil || v.table.Kind != 'v' || v.table.Schema == "pg_catalog" || v.table.Schema == "information_schema" {
		return false
	}
	var s lex.Scanner
	if depth > 16 || v.table.Definition == "" || s.Scan(v.table.Definition) != nil {
		return true
	}
	names := []string{r.name}
	if r.table != nil && r.table.Parent != nil {
		names = append(names, r.table.Parent.Name)
	}
	for t := range a.snap.All {
		if r.table != nil && t.Parent != nil && (t.Parent.Name == r.name || r.table.Parent != nil && t.Parent == r.table.Parent) {
			names = append(names, t.Name)
		}
	}
	st := &statement{sql: v.table.Definition, toks: s.Tokens}
	for i := range st.toks {
		name := st.ident(i)
		if name == "" {
			continue
		}
		if slices.Contains(names, name) {
			return true
		}
		for t := range a.snap.All {
			if t.Name == name && t.Kind == 'v' && t.Name != v.name && a.mayRead(&ref{name: name, table: t}, r, depth+1) {
				return true
			}
		}
	}
	return false
}

// readBefore lists the tables that parts write and others read: those are read first.
func (o *order) readBefore() (out []*ref, err error) {
	a, last := o.a, len(o.parts)-1
	for wi := range o.parts {
		w := &o.parts[wi]
		if w.change == nil || wi == last && o.turn[last] == last {
			continue // what nothing comes after
		}
		t := w.change.target
		if t.table == nil || t.table.Triggers {
			return nil, seen(t) // what else it writes is not known
		}
		for i, r := range a.refs {
			if r == t || !a.overlap(r, t) {
				continue
			}
			owner := slices.IndexFunc(o.parts[:last], func(p task) bool { return i >= p.from && i < p.to })
			if owner < 0 && r.tok >= o.main {
				owner = last
			}
			// Parts before it have read it already; a WITH query that does not write is read when it
			// is used, which may be later.
			if owner == wi || owner >= 0 && o.turn[owner] < o.turn[wi] {
				continue
			}
			if owner >= 0 && o.parts[owner].change != nil && o.parts[owner].change.target == r {
				continue // both has looked at them
			}
			if t.table.Kind == 'v' || r.target || r.tok < 0 || r.table == nil ||
				a.st.is(r.tok-1, "only") || a.st.is(r.end, "*") || r.sampled || a.wholeRow(r.name) {
				return nil, seen(t)
			}
			if !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out, nil
}
