package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A change is an INSERT, UPDATE, DELETE or MERGE.
type change struct {
	block  *block
	target *ref
	insert *ast.InsertStmt
	source dist // of INSERT … SELECT
	from   *block
}

// target analyses a write.
func (a *analysis) target(parent *block, n ast.Node) (*change, error) {
	c, err := a.targetOf(parent, n)
	if err != nil || a.behindView != nil {
		return c, err
	}
	a.behindView = a.behind(c, n)
	return c, nil
}

func (a *analysis) targetOf(parent *block, n ast.Node) (*change, error) {
	b := &block{parent: parent, by: map[ast.Node]*source{}, merged: map[string]*source{}, sel: ast.NewSelectStmt()}
	if parent != nil {
		b.depth = parent.depth + 1
	}
	c := &change{block: b}
	with := func(w *ast.WithClause) error { return a.with(b, w) }
	relation := func(v *ast.RangeVar, list []ast.Node, where ast.Node, rest ...ast.Node) error {
		if err := a.from(b, append([]ast.Node{v}, list...), where); err != nil {
			return err
		}
		if c.target = b.by[v].r; c.target == nil {
			return refuse("a write to a WITH query", "write to a table")
		}
		c.target.target, c.target.events = true, eventsOf(n)
		for _, n := range rest {
			if err := a.expression(b, n, false); err != nil {
				return err
			}
		}
		return nil
	}
	switch n := n.(type) {
	case *ast.UpdateStmt:
		if err := with(n.WithClause); err != nil {
			return nil, err
		}
		return c, relation(n.Relation, items(n.FromClause), n.WhereClause, n.TargetList, n.ReturningList)
	case *ast.DeleteStmt:
		if err := with(n.WithClause); err != nil {
			return nil, err
		}
		return c, relation(n.Relation, items(n.UsingClause), n.WhereClause, n.ReturningList)
	case *ast.MergeStmt:
		if err := with(n.WithClause); err != nil {
			return nil, err
		}
		// The condition is an outer join's: it bounds the target's rows only.
		if err := a.declare(b, n.Relation); err != nil {
			return nil, err
		}
		if err := a.declare(b, n.SourceRelation); err != nil {
			return nil, err
		}
		c.target = b.by[n.Relation].r
		if c.target == nil {
			return nil, refuse("a MERGE into a WITH query", "write to a table")
		}
		c.target.target, c.target.events = true, eventsOf(n)
		pairs := a.equalities(b, n.JoinCondition, nil)
		src, err := a.join(b, n.SourceRelation, nil)
		if err != nil {
			return nil, err
		}
		bySource := slices.ContainsFunc(items(n.MergeWhenClauses), func(w ast.Node) bool {
			m, ok := w.(*ast.MergeWhenClause)
			return !ok || m.MatchKind == ast.MERGE_WHEN_NOT_MATCHED_BY_SOURCE
		})
		if !bySource {
			a.edges(b, pairs, b.sources[:1])
			a.restrict(b, n.JoinCondition, b.sources[:1])
		}
		inserts := slices.ContainsFunc(items(n.MergeWhenClauses), func(w ast.Node) bool {
			m, ok := w.(*ast.MergeWhenClause)
			return !ok || m.CommandType == ast.CMD_INSERT
		})
		switch {
		case inserts || bySource:
			b.part = combineOuter(pairs, src, b.sources[0].part(), false)
			if bySource && !inserts {
				// All of the target's rows are looked at, and the source's only beside them.
				b.part = combineOuter(pairs, b.sources[0].part(), src, false)
			}
		default:
			// Of rows that match nothing nothing becomes.
			b.part = combineInner(pairs, src, b.sources[0].part())
		}
		b.pairs = pairs
		for _, w := range items(n.MergeWhenClauses) {
			if err := a.expression(b, w, false); err != nil {
				return nil, err
			}
		}
		return c, a.expression(b, n.JoinCondition, false)
	case *ast.InsertStmt:
		if err := with(n.WithClause); err != nil {
			return nil, err
		}
		if err := a.declare(b, n.Relation); err != nil {
			return nil, err
		}
		c.insert, c.target = n, b.by[n.Relation].r
		if c.target == nil {
			return nil, refuse("an INSERT into a WITH query", "write to a table")
		}
		c.target.target, c.target.inserted, c.target.events = true, true, eventsOf(n)
		if sel, ok := n.SelectStmt.(*ast.SelectStmt); ok && sel != nil {
			outer := &block{parent: parent, ctes: b.ctes, depth: b.depth}
			inner, d, err := a.query(sel, outer, b.depth+1)
			if err != nil {
				return nil, err
			}
			c.from, c.source = inner, d
		}
		if n.OnConflictClause != nil {
			for _, x := range []ast.Node{n.OnConflictClause.TargetList, n.OnConflictClause.WhereClause} {
				if err := a.expression(b, x, false); err != nil {
					return nil, err
				}
			}
		}
		return c, a.expression(b, n.ReturningList, false)
	}
	return nil, refuse("a write of this kind cannot be routed", "name the shard by a comment such as /* pgdog_shard: 0 */")
}

// planChange plans how several shards carry out an UPDATE, DELETE or MERGE.
func (a *analysis) planChange(c *change) (*multi, error) {
	if err := a.refusals(); err != nil {
		return nil, err
	}
	b := c.block
	why := b.part.why
	if b.bad != "" {
		why = b.bad
	}
	switch {
	case b.part.kind != parted || b.bad != "":
		return nil, refuse("a write to rows of several shards: "+orSay(why, "they cannot be told apart"),
			"restrict it to one sharding key, or join on the sharding key")
	case !slices.Contains(b.part.members, c.target):
		return nil, refuse("a write to an omnisharded table by rows of a sharded one would leave its copies different",
			"read the rows first, and write them by their own values")
	}
	return &multi{spec: &gather.Spec{}, why: "each shard writes its own rows"}, nil
}

// keyChange refuses an UPDATE that may move rows to another shard.
func (a *analysis) keyChange(c *change, list []ast.Node) error {
	if c.target.key == nil {
		return nil
	}
	for _, n := range list {
		res, ok := n.(*ast.ResTarget)
		if !ok {
			continue
		}
		name, _ := a.st.name(res.Name)
		if slices.Contains(c.target.key.Columns, name) {
			return refuse("UPDATE of the sharding key "+name+" may move the row to another shard",
				"delete the row and insert it with the new key, in one transaction")
		}
	}
	return nil
}

// An insertPlan routes the rows of an INSERT … VALUES.
type insertPlan struct {
	key    *sharding.Key
	fit    Fit
	rows   []insertRow
	before lex.Range // tokens up to VALUES, included
	after  lex.Range // tokens after the last row
	// returning says that there are rows to return, keyless that one has no value for the key.
	returning, keyless bool
}

type insertRow struct {
	toks lex.Range
	key  []operand
}

// planInsert plans an INSERT into a sharded table.
func (a *analysis) planInsert(p *Plan, c *change) error {
	n, t := c.insert, c.target
	if err := a.conflict(c); err != nil {
		return err
	}
	if a.ownSequence(c) {
		p.fresh, p.anywhere = true, AnyCopy
		return nil
	}
	columns, ok := a.insertColumns(n, t)
	at := make([]int, len(t.key.Columns))
	for i, name := range t.key.Columns {
		if !ok {
			return refuse("the columns of table "+t.name+" are not known, so that the sharding key cannot be found",
				"name the columns in the INSERT")
		}
		if at[i] = slices.Index(columns, name); (at[i] < 0 || c.from == nil) && !nullByDefault(t, name) {
			if c.from == nil {
				return refuse("INSERT … DEFAULT VALUES has no sharding key", "give a value for "+name)
			}
			return refuse("an INSERT without the sharding key "+name+" has no shard", "give a value for "+name)
		}
		p.keyless = p.keyless || at[i] < 0 || c.from == nil
	}
	if c.from == nil {
		p.insert = &insertPlan{key: t.key, rows: []insertRow{{key: nulls(len(at))}}}
		return nil
	}
	values := items(c.from.sel.ValuesLists)
	if len(values) == 0 {
		w := a.width(c)
		p.keyless = p.keyless || w >= 0 && slices.Max(at) >= w
		return a.insertSelect(p, c, at)
	}
	if c.from.sel.SortClause != nil || c.from.sel.LimitCount != nil || c.from.sel.LimitOffset != nil || c.from.sel.WithClause != nil {
		return refuse("VALUES with ORDER BY, LIMIT or WITH cannot be split", "insert the rows as they are")
	}
	start := a.valuesToken()
	if start < 0 {
		return refuse("VALUES could not be found in the text", "write INSERT INTO … VALUES (…)")
	}
	ip, err := a.valueRows(start, values, t, at)
	if err != nil {
		return err
	}
	ip.returning = len(items(n.ReturningList)) > 0
	p.keyless = p.keyless || ip.keyless
	if a.otherSharded(c) {
		return refuse("an INSERT whose values read sharded tables", "read them first")
	}
	p.insert = ip
	return nil
}

// valueRows reads the rows of VALUES, which stands at the token start. at are the positions of
// the columns of t's key; -1 for one that has no value.
func (a *analysis) valueRows(start int, values []ast.Node, t *ref, at []int) (*insertPlan, error) {
	st := a.st
	ip := &insertPlan{key: t.key, fit: fitOf(t.table, t.key.Columns), before: lex.Range{From: 0, To: start + 1}}
	i := start + 1
	for r, v := range values {
		list, isList := v.(*ast.NodeList)
		end := -1
		if st.is(i, "(") {
			end = lex.Match(st.sql, st.toks, i)
		}
		if !isList || end < 0 {
			return nil, refuse("the rows of VALUES could not be told apart", "insert them one by one")
		}
		row := insertRow{toks: lex.Range{From: i, To: end + 1}}
		for k, pos := range at {
			var isDefault bool
			if pos >= 0 && pos < len(list.Items) {
				_, isDefault = list.Items[pos].(*ast.SetToDefault)
			}
			if pos < 0 || pos >= len(list.Items) || isDefault {
				if !nullByDefault(t, t.key.Columns[k]) {
					return nil, refuse("a row of VALUES has no value for the sharding key", "give a value for it")
				}
				row.key, ip.keyless = append(row.key, operand{null: true}), true
				continue
			}
			o, isOperand := a.operandOf(list.Items[pos])
			if !isOperand {
				return nil, refuse("the sharding key of a new row must be a literal or a parameter", "compute the value first, or use pgdog.unique_id()")
			}
			if o.id {
				if o.tok = a.idToken(row.toks, list.Items[pos]); o.tok < 0 {
					return nil, refuse("pgdog.unique_id() could not be found in the text", "write it without quotes")
				}
			}
			row.key = append(row.key, o)
		}
		ip.rows = append(ip.rows, row)
		i = end + 1
		if r < len(values)-1 {
			if !st.is(i, ",") {
				return nil, refuse("the rows of VALUES could not be told apart", "insert them one by one")
			}
			i++
		}
	}
	ip.after = lex.Range{From: i, To: len(st.toks)}
	return ip, nil
}

// nullByDefault reports whether a row without a value for a column has NULL there.
func nullByDefault(t *ref, name string) bool {
	if t.table == nil || t.table.Triggers {
		return false
	}
	i := t.table.Column(name)
	return i >= 0 && !t.table.Columns[i].Default && !t.table.Columns[i].Generated
}

func nulls(n int) []operand {
	out := make([]operand, n)
	for i := range out {
		out[i].null = true
	}
	return out
}

// idToken is the first token of the call of pgdog.unique_id() in a row.
func (a *analysis) idToken(r lex.Range, n ast.Node) int {
	if call, ok := unparen(n).(*ast.FuncCall); ok {
		if _, tok := a.st.names(call.Funcname); tok >= r.From && tok < r.To {
			return tok
		}
	}
	return -1
}

// insertColumns are the columns that an INSERT gives values for, in order.
func (a *analysis) insertColumns(n *ast.InsertStmt, t *ref) ([]string, bool) {
	if list := items(n.Cols); len(list) > 0 {
		var out []string
		for _, c := range list {
			res, ok := c.(*ast.ResTarget)
			if !ok {
				return nil, false
			}
			name, _ := a.st.name(res.Name)
			out = append(out, name)
		}
		return out, true
	}
	if t.table == nil {
		return nil, false
	}
	return t.table.Names(), true
}

// otherSharded reports whether anything but the target is sharded.
func (a *analysis) otherSharded(c *change) bool {
	return slices.ContainsFunc(a.refs, func(r *ref) bool { return r != c.target && r.sharded() })
}

// conflict refuses ON CONFLICT on columns that may be equal on different shards.
func (a *analysis) conflict(c *change) error {
	oc := c.insert.OnConflictClause
	if oc == nil {
		return nil
	}
	key := c.target.key
	lacks := func(columns []string) bool {
		return slices.ContainsFunc(key.Columns, func(k string) bool { return !slices.Contains(columns, k) })
	}
	hint := "make the sharding key part of the unique index"
	if oc.Infer != nil && len(items(oc.Infer.IndexElems)) > 0 {
		var columns []string
		for _, n := range items(oc.Infer.IndexElems) {
			if e, ok := n.(*ast.IndexElem); ok {
				name, _ := a.st.name(e.Name)
				columns = append(columns, name)
			}
		}
		if lacks(columns) {
			return refuse("ON CONFLICT ("+strings.Join(columns, ", ")+") cannot see rows of other shards, since the sharding key is not among the columns", hint)
		}
	} else if c.target.table != nil {
		if slices.ContainsFunc(c.target.table.Unique, lacks) {
			return refuse("ON CONFLICT cannot see rows of other shards, since a unique index does not have the sharding key", hint)
		}
	}
	return a.keyChange(c, items(oc.TargetList))
}

// insertSelect plans INSERT … SELECT: each shard inserts what it reads, if the key goes along.
func (a *analysis) insertSelect(p *Plan, c *change, at []int) error {
	d := c.source
	if d.kind == parted && d.out != nil && d.key.Colocated(c.target.key) && slices.Equal(d.out, at) {
		bind([]*ref{c.target}, c.from.part.members)
		p.multi = func() (*multi, error) {
			if err := a.refusals(); err != nil {
				return nil, err
			}
			return &multi{spec: &gather.Spec{}, why: "each shard inserts what it reads, the sharding key being the same"}, nil
		}
		return nil
	}
	return a.feed(p, c)
}

// omniWrite plans a write to an omnisharded table.
func (a *analysis) omniWrite(p *Plan, c *change) error {
	if a.otherSharded(c) {
		if c.insert != nil && c.from != nil && len(items(c.from.sel.ValuesLists)) == 0 {
			return a.feed(p, c)
		}
		return refuse("a write to an omnisharded table by rows of a sharded one would leave its copies different",
			"read the rows first, and write them by their own values")
	}
	volatile := false
	for _, f := range a.calls {
		t := a.traits(f)
		volatile = volatile || t.volatile || slices.Contains([]string{"now", "transaction_timestamp", "statement_timestamp"}, f.name)
		if t.opaque {
			return a.opaqueCalls()
		}
	}
	volatile = volatile || a.hasClock() || a.clocks || a.fickle
	if c.insert == nil {
		if volatile {
			return refuse("a write to an omnisharded table with a function like now() or random() would leave its copies different",
				"compute the value first and give it as a parameter")
		}
		return nil
	}
	if c.target.table != nil {
		given, _ := a.insertColumns(c.insert, c.target)
		switch {
		case c.from == nil:
			given = nil // DEFAULT VALUES
		case len(items(c.insert.Cols)) == 0:
			given = given[:max(0, min(a.width(c), len(given)))] // the others have their defaults
		}
		for _, col := range c.target.table.Columns {
			if col.Volatile && !col.Generated && !slices.Contains(given, col.Name) {
				volatile = true
			}
		}
	} else {
		volatile = volatile || !a.snap.Empty()
	}
	if hasDefault := slices.ContainsFunc(a.st.toks, func(t lex.Token) bool { return t.Kind == lex.Word && t.Is(a.st.sql, "default") }); hasDefault {
		volatile = true
	}
	if !volatile {
		return nil
	}
	if c.insert.OnConflictClause != nil {
		return refuse("an INSERT into an omnisharded table with computed values and ON CONFLICT would leave its copies different",
			"give all values as literals or parameters")
	}
	if v := c.target.view; v != nil && v.into != nil && !v.into.whole {
		return refuse("an INSERT of computed values through view "+c.target.name+", which does not show all of table "+v.into.base.Name,
			"insert into the table itself, or give all values as literals or parameters")
	}
	p.replay, p.returns = true, len(items(c.insert.ReturningList)) > 0
	return nil
}

// hasClock reports CURRENT_TIMESTAMP and its like.
func (a *analysis) hasClock() bool {
	found := false
	ast.Rewrite(a.st.tree, func(c *ast.Cursor) bool {
		if x, ok := c.Node().(*ast.SQLValueFunction); ok && x != nil && x.Op <= ast.SVFOP_LOCALTIMESTAMP_N {
			found = true
		}
		return true
	}, nil)
	return found
}
