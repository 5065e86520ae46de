package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A grouping rewrites a query whose groups have rows on several shards: the shards give
// partial aggregates for each group, and a server (or the merger) combines them. Names of
// the columns between them are k1, k2, … for group keys and p1, p2, … for partials.
type grouping struct {
	a       *analysis
	b       *block
	c       clauses
	keys    []groupKey
	partial []template
	columns []gather.RelationColumn
	subs    []substitution
	local   *gather.Local // nil once something needs a server
	aggs    map[int]aggregateUse
	// collations are those by which partial minima and maxima compare, by their numbers.
	collations map[int]gather.Collation
}

type groupKey struct {
	node ast.Node
	toks lex.Range
	col  column
	isC  bool
}

// An aggregateUse is an aggregate in the query, by its first token.
type aggregateUse struct {
	to      int
	combine gather.Combine
	column  int // of its first partial, among the partials
	simple  bool
}

// aggregate plans such a query; ok is false if only the raw rows will do.
func (a *analysis) aggregate(b *block, c clauses) (*multi, bool) {
	sel := b.sel
	if _, distinctOn := a.distinct(b); distinctOn && len(items(sel.DistinctClause)) > 0 && !isNil(sel.DistinctClause.Items[0]) || c.window >= 0 || a.locks || b.windows {
		return nil, false
	}
	g := &grouping{a: a, b: b, c: c, local: &gather.Local{}, aggs: map[int]aggregateUse{}}
	if !g.groupKeys() {
		return nil, false
	}
	for _, n := range []ast.Node{sel.TargetList, sel.HavingClause, sel.SortClause} {
		if !isNil(n) && !g.collect(n) {
			return nil, false
		}
	}
	list, ok := a.st.listItems(c, items(sel.TargetList))
	if !ok {
		return nil, false
	}
	var out template
	out = out.toks(c.sel, c.list)
	for i, r := range list {
		res := sel.TargetList.Items[i].(*ast.ResTarget)
		t, ok := g.rewrite(res.Val, r)
		if !ok {
			return nil, false
		}
		name := a.columnName(res.Val)
		if res.Name != "" {
			name, _ = a.st.name(res.Name)
		}
		if i > 0 {
			out = out.str(", ")
		}
		out = out.add(t).str(" AS " + quoteIdent(name))
		g.output(res.Val, r, name)
	}
	out = out.str(" FROM ")
	out = append(out, chunk{piece: &gather.Piece{Kind: gather.Source}})
	out = out.str(" AS g")
	for i := range g.keys {
		sep := ", "
		if i == 0 {
			sep = " GROUP BY "
		}
		out = out.str(sep + "g.k" + itoa(i+1))
	}
	if sel.HavingClause != nil {
		g.local = nil
		t, ok := g.rewrite(sel.HavingClause, lex.Range{From: c.having + 1, To: c.after(c.order, c.limit, c.lock)})
		if !ok {
			return nil, false
		}
		out = out.str(" HAVING ").add(t)
	}
	m := &multi{spec: &gather.Spec{Kind: gather.Aggregate, Hidden: 0}, why: "groups have rows on several shards, which aggregate their own"}
	t, ok := g.order(m.spec)
	if !ok {
		return nil, false
	}
	out = out.add(t)
	if c.limit >= 0 {
		out = out.toks(c.limit, c.after(c.lock))
		var ignored multi
		ignored.spec = &gather.Spec{}
		if _, ok := a.limit(b, c, &ignored); !ok {
			g.local = nil
		} else {
			m.limit, m.offset, m.spec.WithTies = ignored.limit, ignored.offset, ignored.spec.WithTies
		}
	}
	if _, distinct := a.distinct(b); distinct {
		g.local = nil
	}
	if g.local == nil {
		m.limit, m.offset, m.spec.WithTies, m.spec.Order = nil, nil, false, nil
	} else {
		for i := range g.keys {
			g.local.Keys = append(g.local.Keys, gather.Column(i))
		}
		for i := range g.local.Outputs {
			o := &g.local.Outputs[i]
			if o.Combine != gather.Same {
				o.Column += gather.Column(len(g.keys))
				o.Count += gather.Column(len(g.keys))
			}
		}
	}
	m.spec.Local = g.local
	m.sql = g.shardQuery() // which completes the columns
	m.spec.Finish = &gather.Finish{Relations: []gather.Relation{{Columns: g.columns, Own: true}}}
	m.finish = out
	m.relations = []relation{{}}
	return m, true
}

// groupKeys reads GROUP BY.
func (g *grouping) groupKeys() bool {
	a, sel := g.a, g.b.sel
	list := items(sel.GroupClause)
	if len(list) == 0 {
		return true
	}
	from := g.c.group + 2
	if g.a.st.is(from, "all") || g.a.st.is(from, "distinct") {
		return false
	}
	ranges := a.st.split(from, g.c.after(g.c.having, g.c.window, g.c.order, g.c.limit, g.c.lock), ",")
	if len(ranges) != len(list) {
		return false
	}
	targets, ok := a.st.listItems(g.c, items(sel.TargetList))
	if !ok {
		return false
	}
	for i, n := range list {
		if _, isSet := n.(*ast.GroupingSet); isSet {
			return false
		}
		k := groupKey{node: n, toks: ranges[i]}
		at := -1
		if p, isPos := a.position(n); isPos {
			at = p
		} else if ref, isCol := n.(*ast.ColumnRef); isCol {
			// A name is an input column's, or else an output column's.
			if parts, _ := a.st.names(ref.Fields); len(parts) == 1 {
				if _, found := a.column(g.b, ref); !found {
					for j, t := range items(sel.TargetList) {
						if res, isRes := t.(*ast.ResTarget); isRes && res.Name != "" {
							if name, _ := a.st.name(res.Name); name == parts[0] {
								at = j
							}
						}
					}
					if at < 0 || slices.ContainsFunc(g.b.sources, func(s *source) bool { return s.columns == nil }) {
						return false
					}
				}
			}
		}
		if at >= 0 {
			if at >= len(targets) {
				return false
			}
			k.node, k.toks = sel.TargetList.Items[at].(*ast.ResTarget).Val, targets[at]
		}
		k.col, k.isC = a.column(g.b, unparen(k.node))
		if a.contains(k.node) {
			return false
		}
		col := a.collation(g.b, k.node)
		if !col.Known {
			return false
		}
		g.keys = append(g.keys, k)
		g.columns = append(g.columns, gather.RelationColumn{Name: "k" + itoa(len(g.keys)), Collation: col})
		if col.Nondeterministic {
			g.local = nil
		}
	}
	return true
}

// contains reports aggregates, sub-queries and volatile functions.
func (a *analysis) contains(n ast.Node) bool {
	bad := a.unstable(n)
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.SubLink:
			bad = true
		case *ast.FuncCall:
			bad = bad || x != nil && (x.Over != nil || a.isAggregate(x))
		}
		return true
	}, nil)
	return bad
}

// collect plans every aggregate in n.
func (g *grouping) collect(n ast.Node) bool {
	ok := true
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		if !ok {
			return false
		}
		switch x := c.Node().(type) {
		case *ast.SubLink:
			ok = false
		case *ast.GroupingFunc:
			ok = false
		case *ast.FuncCall:
			if x == nil {
				return true
			}
			if x.Over != nil {
				ok = false
				return false
			}
			if g.a.isAggregate(x) {
				ok = g.use(x)
				return false
			}
			parts, _ := g.a.st.names(x.Funcname)
			if g.a.traits(&call{name: parts[len(parts)-1]}).volatile {
				ok = false
			}
		}
		return true
	}, nil)
	return ok
}

// partialCollation is the collation of a partial aggregate.
func (g *grouping) partialCollation(i int) gather.Collation {
	if c, ok := g.collations[i]; ok {
		return c
	}
	return gather.Collation{Known: true}
}

func (g *grouping) partialName(i int) string { return "g.p" + itoa(i+1) }

// rewrite replaces aggregates and group keys in an expression; ok is false if something of
// the shards' rows is left.
func (g *grouping) rewrite(n ast.Node, r lex.Range) (template, bool) {
	st := g.a.st
	for i, k := range g.keys {
		if st.equalTokens(r, k.toks) {
			return template{}.str("g.k" + itoa(i+1)), true
		}
	}
	var subs []substitution
	inside := func(from, to int) bool {
		return slices.ContainsFunc(subs, func(s substitution) bool { return from >= s.from && to <= s.to })
	}
	for _, s := range g.subs {
		if s.from >= r.From && s.to <= r.To {
			subs = append(subs, s)
		}
	}
	// Whole operands that are equal to a key's expression.
	for i, k := range g.keys {
		if k.isC {
			continue
		}
		for at := r.From; at+k.toks.Len() <= r.To; at++ {
			to := at + k.toks.Len()
			begins := at == r.From || st.is(at-1, "(") || st.is(at-1, ",")
			ends := to == r.To || st.is(to, ")") || st.is(to, ",")
			if begins && ends && !inside(at, to) && st.equalTokens(lex.Range{From: at, To: to}, k.toks) {
				subs = append(subs, substitution{at, to, template{}.str("g.k" + itoa(i+1))})
			}
		}
	}
	ok := true
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		if x, isCall := c.Node().(*ast.FuncCall); isCall && x != nil && g.a.isAggregate(x) {
			return false
		}
		x, isCol := c.Node().(*ast.ColumnRef)
		if !isCol || x == nil || !ok {
			return ok
		}
		parts, tok := st.names(x.Fields)
		if tok < 0 {
			ok = false
			return false
		}
		to := tok + 2*len(parts) - 1
		if inside(tok, to) {
			return true
		}
		col, found := g.a.column(g.b, x)
		for i, k := range g.keys {
			if found && k.isC && (k.col == col || g.b.equalColumns(k.col, col)) && to <= r.To {
				subs = append(subs, substitution{tok, to, template{}.str("g.k" + itoa(i+1))})
				return true
			}
		}
		ok = false
		return false
	}, nil)
	if !ok {
		return nil, false
	}
	return replaced(r.From, r.To, sortSubs(subs)), true
}

// equalColumns reports columns that stand for each other: those that USING merges.
func (b *block) equalColumns(x, y column) bool {
	return x.name == y.name && b.merged[x.name] != nil && (b.merged[x.name] == x.src || b.merged[x.name] == y.src) && same(b.pairs, x, y)
}

// output notes how the merger can make an output column by itself.
func (g *grouping) output(n ast.Node, r lex.Range, name string) {
	if g.local == nil {
		return
	}
	for i, k := range g.keys {
		if g.a.st.equalTokens(r, k.toks) {
			g.local.Outputs = append(g.local.Outputs, gather.Output{Combine: gather.Same, Column: gather.Column(i), Name: name})
			return
		}
	}
	if call, ok := n.(*ast.FuncCall); ok && g.a.isAggregate(call) {
		_, tok := g.a.st.names(call.Funcname)
		if u, known := g.aggs[tok]; known && u.simple && tok == r.From && u.to == r.To {
			g.local.Outputs = append(g.local.Outputs, gather.Output{
				Combine: u.combine, Column: gather.Column(u.column), Count: gather.Column(u.column + 1), Name: name,
			})
			return
		}
	}
	g.local = nil
}

// order rewrites ORDER BY, and gives the merger its keys if they are output columns.
func (g *grouping) order(spec *gather.Spec) (template, bool) {
	a, sel := g.a, g.b.sel
	list := items(sel.SortClause)
	if len(list) == 0 {
		return nil, true
	}
	ranges, ok := a.st.sortItems(g.c, len(list))
	if !ok {
		return nil, false
	}
	whole := a.st.split(g.c.order+2, g.c.after(g.c.limit, g.c.lock), ",")
	out := template{}.str(" ORDER BY ")
	for i, n := range list {
		s, isSort := n.(*ast.SortBy)
		if !isSort || s.UseOp != nil && len(s.UseOp.Items) > 0 {
			return nil, false
		}
		if i > 0 {
			out = out.str(", ")
		}
		k, extra, plain := a.sortKey(g.b, s, ranges[i], 0)
		if plain && extra == nil && k.Column >= 0 {
			// An output column, by name or number: the name may be of an aggregate now.
			out = out.str(itoa(int(k.Column)+1)).toks(ranges[i].To, whole[i].To)
			if !k.Collation.Bytewise && !a.notText(g.b, sel.TargetList.Items[k.Column].(*ast.ResTarget).Val) {
				g.local = nil
			}
			spec.Order = append(spec.Order, k)
			continue
		}
		t, ok := g.rewrite(s.Node, ranges[i])
		if !ok {
			return nil, false
		}
		g.local = nil
		out = out.add(t).toks(ranges[i].To, whole[i].To)
	}
	return out, true
}

// shardQuery is what every shard is asked.
func (g *grouping) shardQuery() template {
	t := template{}.toks(0, g.c.sel).str("SELECT ")
	for i, k := range g.keys {
		t = t.toks(k.toks.From, k.toks.To).str(" AS k" + itoa(i+1) + ", ")
	}
	for i, p := range g.partial {
		t = t.add(p).str(" AS p" + itoa(i+1) + ", ")
		g.columns = append(g.columns, gather.RelationColumn{Name: "p" + itoa(i+1), Collation: g.partialCollation(i)})
	}
	t[len(t)-1].text = strings.TrimSuffix(t[len(t)-1].text, ", ") + " "
	rest := g.c.after(g.c.group, g.c.having, g.c.order, g.c.limit, g.c.lock)
	if start := g.c.after(g.c.from, g.c.where); start < rest {
		t = t.toks(start, rest)
	}
	for i := range g.keys {
		sep := ", "
		if i == 0 {
			sep = "GROUP BY "
		}
		t = t.str(sep + itoa(i+1))
	}
	return t
}
