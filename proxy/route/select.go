package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// several plans how several shards answer a query.
func (a *analysis) several(b *block, d dist) (*multi, error) {
	if err := a.refusals(); err != nil {
		return nil, err
	}
	reason := d.why
	direct := b.bad == "" && !b.windows && (b.part.kind == parted || b.left != nil && (d.kind == parted || b.union || b.limited))
	if direct {
		m, ok := a.scatter(b, d)
		if ok {
			return m, nil
		}
	}
	if a.locks {
		return nil, refuse("FOR UPDATE and FOR SHARE cannot lock rows of several shards here: "+orSay(reason, "the query is not answered row by row"),
			"select rows of one table with a primary key, by a LIMIT that is a number, without sub-queries of other shards, or lock rows of one key at a time")
	}
	return a.pull(b, reason)
}

func orSay(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// refusals are what no plan for several shards can have.
func (a *analysis) refusals() error {
	switch {
	case a.writes:
		return refuse("a WITH query writes, and not all of the statement is on one shard", "send the write as a statement of its own")
	case a.into:
		return refuse("SELECT INTO of rows of several shards", "create the table first and use INSERT … SELECT")
	case a.system:
		return refuse("system columns such as ctid and tableoid have no meaning across shards", "identify rows by their key")
	}
	return a.opaqueCalls()
}

// opaqueCalls refuses functions that would see the rows of one shard only.
func (a *analysis) opaqueCalls() error {
	for _, c := range a.calls {
		if a.traits(c).opaque {
			return refuse("function "+c.name+" may read tables, of which it would see one shard only",
				"declare it IMMUTABLE if it reads none, list it under local_functions if one shard is what it should see, or name the shard by a comment")
		}
	}
	return nil
}

// scatter plans a query whose parts the shards compute for themselves.
func (a *analysis) scatter(b *block, d dist) (*multi, bool) {
	c, ok := a.st.clauses()
	if !ok {
		return nil, false
	}
	if b.left == nil && b.grouped && !b.local {
		return a.aggregate(b, c)
	}
	on, distinct := a.distinct(b)
	m := &multi{spec: &gather.Spec{}, why: "each shard answers for its own rows"}
	unique := b.union
	for _, n := range items(b.sel.TargetList) {
		// Rows of no named type cannot be handed to a server that compares them.
		if hasRow(n) && (distinct || b.union || len(items(b.sel.SortClause)) > 0) {
			return nil, false
		}
	}
	if distinct && b.distinct {
		unique = true
	}
	if unique && !a.equalBytes(b) {
		return nil, false
	}
	sel := b.sel
	var hidden []template
	keyed := true
	for i, n := range items(sel.SortClause) {
		s, isSort := n.(*ast.SortBy)
		if !isSort || s.UseOp != nil && len(s.UseOp.Items) > 0 {
			return nil, false
		}
		ranges, ok := a.st.sortItems(c, len(items(sel.SortClause)))
		if !ok {
			return nil, false
		}
		k, extra, ok := a.sortKey(b, s, ranges[i], len(hidden))
		if !ok || hasRow(s.Node) || extra != nil && (b.left != nil || distinct && on == nil) {
			return nil, false
		}
		if extra != nil {
			hidden = append(hidden, extra)
		}
		m.spec.Order = append(m.spec.Order, k)
	}
	var order template
	if len(m.spec.Order) == 0 && !distinct && !unique && b.left == nil {
		hidden, order = a.inView(b, m.spec)
	}
	if distinct && on != nil && unique {
		// The rows that are equal in ON come together, since ORDER BY starts with it.
		if len(m.spec.Order) < len(on) {
			return nil, false
		}
		for i := range on {
			if m.spec.Order[i].Collation.Nondeterministic {
				return nil, false
			}
			m.spec.Distinct = append(m.spec.Distinct, m.spec.Order[i].Column)
		}
		keyed = a.onMatches(b, on, sel)
	} else if unique {
		m.spec.DistinctAll = true
	}
	if !keyed {
		return nil, false
	}
	switch {
	case unique:
		m.spec.Kind = gather.Unique
	case len(m.spec.Order) > 0:
		m.spec.Kind = gather.Ordered
	}
	m.spec.Hidden = len(hidden)
	fixHidden(m.spec, len(hidden))
	limited, ok := a.limit(b, c, m)
	if !ok {
		return nil, false
	}
	if a.locks && (limited != nil || m.limit != nil || m.offset != nil) {
		return nil, false
	}
	if len(hidden) > 0 || limited != nil || order != nil {
		var t template
		t = t.toks(0, c.listEnd)
		for _, h := range hidden {
			t = t.str(", ").add(h)
		}
		rest := c.after(c.limit, c.lock)
		t = t.toks(c.listEnd, rest).add(order)
		if limited != nil {
			t = t.add(limited).toks(c.after(c.lock), c.end)
		} else {
			t = t.toks(rest, c.end)
		}
		m.sql = t
	}
	return m, true
}

// hasRow reports whether there is a row constructor in an expression.
func hasRow(n ast.Node) bool {
	found := false
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		if x, ok := c.Node().(*ast.RowExpr); ok && x != nil {
			found = true
		}
		return true
	}, nil)
	return found
}

// hiddenBase marks columns that are counted among the hidden ones until there is their number.
const hiddenBase = -1 << 20

// fixHidden gives hidden columns, and those counted from the end, their place.
func fixHidden(s *gather.Spec, n int) {
	fix := func(c *gather.Column) {
		switch {
		case *c <= hiddenBase:
			*c = gather.Column(int(hiddenBase-*c) - n)
		case *c < 0:
			*c -= gather.Column(n)
		}
	}
	for i := range s.Order {
		fix(&s.Order[i].Column)
	}
	for i := range s.Distinct {
		fix(&s.Distinct[i])
	}
}

// sortKey finds the column by which an item of ORDER BY sorts; extra is an expression to be
// added to the list if none has it.
func (a *analysis) sortKey(b *block, s *ast.SortBy, r lex.Range, hidden int) (k gather.Key, extra template, ok bool) {
	k.Descending = s.SortbyDir == ast.SORTBY_DESC
	k.NullsFirst = k.Descending
	switch s.SortbyNulls {
	case ast.SORTBY_NULLS_FIRST:
		k.NullsFirst = true
	case ast.SORTBY_NULLS_LAST:
		k.NullsFirst = false
	}
	lead := b
	for lead.left != nil {
		lead = lead.left
	}
	list := items(lead.sel.TargetList)
	stars := func(from, to int) bool {
		return slices.ContainsFunc(list[from:to], func(n ast.Node) bool { return a.star(n) })
	}
	ts, known := a.targets(b)
	item, expr := -1, ast.Node(nil)
	if i, isPos := a.position(s.Node); isPos {
		if !known || i >= len(ts) {
			if i >= len(list) || stars(0, i+1) {
				return k, nil, false
			}
			item, expr = i, list[i].(*ast.ResTarget).Val
		} else {
			k.Column = gather.Column(i)
			k.Collation = a.targetCollation(lead, ts[i])
			return k, nil, k.Collation.Known && (b.left == nil || a.setCollation(b, i))
		}
	} else if ref, isCol := unparen(s.Node).(*ast.ColumnRef); isCol && s.Node == ast.Node(ref) {
		if parts, _ := a.st.names(ref.Fields); len(parts) == 1 {
			at := -1
			for i, n := range list {
				res, isRes := n.(*ast.ResTarget)
				if !isRes || a.star(n) {
					continue
				}
				name := a.columnName(res.Val)
				if res.Name != "" {
					name, _ = a.st.name(res.Name)
				}
				if name == parts[0] {
					if at >= 0 {
						return k, nil, false // the server will say that it is ambiguous, or not
					}
					at = i
				}
			}
			if at >= 0 {
				item, expr = at, list[at].(*ast.ResTarget).Val
			} else if known {
				for i, t := range ts {
					if t.name == parts[0] {
						k.Column = gather.Column(i)
						k.Collation = a.targetCollation(lead, t)
						return k, nil, k.Collation.Known && (b.left == nil || a.setCollation(b, i))
					}
				}
			}
		}
	}
	if item >= 0 {
		k.Collation = a.collation(lead, expr)
		if !k.Collation.Known || b.left != nil && !a.setCollation(b, item) {
			return k, nil, false
		}
		switch {
		case !stars(0, item):
			k.Column = gather.Column(item)
		case !stars(item+1, len(list)):
			k.Column = gather.Column(item - len(list))
		default:
			return k, nil, false
		}
		return k, nil, true
	}
	if b.left != nil {
		return k, nil, false
	}
	k.Collation = a.collation(b, s.Node)
	k.Column = gather.Column(hiddenBase - hidden)
	return k, template{}.toks(r.From, r.To), k.Collation.Known
}

// setCollation reports whether the i-th column of a set operation has the default collation
// in both arms, or none.
func (a *analysis) setCollation(b *block, i int) bool {
	if b.left != nil {
		return a.setCollation(b.left, i) && a.setCollation(b.right, i)
	}
	ts, ok := a.targets(b)
	if !ok || i >= len(ts) {
		return false
	}
	c := a.targetCollation(b, ts[i])
	return c.Known && c.Name == ""
}

func (a *analysis) star(n ast.Node) bool {
	res, ok := n.(*ast.ResTarget)
	if !ok {
		return true
	}
	ref, ok := res.Val.(*ast.ColumnRef)
	if !ok {
		_, indirect := res.Val.(*ast.A_Indirection)
		return indirect && res.Name == "" && a.columnName(res.Val) == "?column?"
	}
	parts, _ := a.st.names(ref.Fields)
	return parts[len(parts)-1] == "*"
}

// onMatches reports whether ORDER BY starts with the expressions of DISTINCT ON, in order.
func (a *analysis) onMatches(b *block, on []ast.Node, sel *ast.SelectStmt) bool {
	for i, n := range on {
		s, ok := sel.SortClause.Items[i].(*ast.SortBy)
		if !ok {
			return false
		}
		x, ok1 := a.column(b, unparen(n))
		y, ok2 := a.column(b, unparen(s.Node))
		if !ok1 || !ok2 || x != y {
			p, isPos := a.position(n)
			q, isPos2 := a.position(s.Node)
			if !isPos || !isPos2 || p != q {
				return false
			}
		}
	}
	return true
}

// limit reads LIMIT and OFFSET into m, and gives what stands for them in the shards' text if
// that is not what the client wrote.
func (a *analysis) limit(b *block, c clauses, m *multi) (template, bool) {
	sel := b.sel
	if sel.LimitCount == nil && sel.LimitOffset == nil {
		return nil, true
	}
	if c.limit < 0 {
		return nil, false
	}
	read := func(n ast.Node) (*operand, bool) {
		if isNil(n) {
			return nil, true
		}
		o, ok := a.operandOf(n)
		return &o, ok
	}
	var ok1, ok2 bool
	m.limit, ok1 = read(sel.LimitCount)
	m.offset, ok2 = read(sel.LimitOffset)
	if !ok1 || !ok2 {
		return nil, false
	}
	ties := sel.LimitOption == ast.LIMIT_OPTION_WITH_TIES
	m.spec.WithTies = ties
	if m.offset == nil {
		return nil, true
	}
	text := func(o *operand) (template, bool) {
		if o.null || o.neg || o.typ != 0 {
			return nil, false
		}
		if o.param > 0 {
			for i, t := range a.st.toks[c.limit:] {
				if t.Kind == lex.Param && t.Text(a.st.sql) == "$"+itoa(o.param) {
					return template{}.str("(").toks(c.limit+i, c.limit+i+1).str("::int8)::numeric"), true
				}
			}
			return nil, false
		}
		return template{}.str("(").toks(o.tok, o.tok+1).str(")::numeric"), true
	}
	if m.limit == nil || m.limit.null {
		return template{}.str(" "), true // all rows are needed
	}
	l, ok1 := text(m.limit)
	o, ok2 := text(m.offset)
	if !ok1 || !ok2 {
		return nil, false
	}
	sum := template{}.str("least(").add(l).str(" + coalesce(").add(o).str(", 0), 9223372036854775807)::int8")
	if ties {
		return template{}.str(" FETCH FIRST (").add(sum).str(") ROWS WITH TIES "), true
	}
	return template{}.str(" LIMIT ").add(sum).str(" "), true
}
