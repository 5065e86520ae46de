package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// isNil tells nil lists in an interface from nodes.
func isNil(n ast.Node) bool {
	switch n := n.(type) {
	case nil:
		return true
	case *ast.NodeList:
		return n == nil
	case *ast.SelectStmt:
		return n == nil
	}
	return false
}

// expression analyses the sub-queries, functions and parameters in n. positive says that n
// is a condition that drops rows for which it is not true.
func (a *analysis) expression(b *block, n ast.Node, positive bool) error {
	if isNil(n) {
		return nil
	}
	if positive {
		switch x := unparen(n).(type) {
		case *ast.BoolExpr:
			if x.Boolop == ast.AND_EXPR {
				for _, arg := range items(x.Args) {
					if err := a.expression(b, arg, true); err != nil {
						return err
					}
				}
				return nil
			}
		case *ast.SubLink:
			return a.sublink(b, x, true)
		}
	}
	var err error
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		if err != nil {
			return false
		}
		switch x := c.Node().(type) {
		case *ast.SubLink:
			if x != nil {
				err = a.sublink(b, x, false)
			}
			return false
		case *ast.FuncCall:
			if x != nil {
				a.call(x)
			}
		case *ast.ParamRef:
			if x != nil {
				a.params = max(a.params, x.Number)
			}
		case *ast.ColumnRef:
			if x != nil {
				parts, _ := a.st.names(x.Fields)
				switch parts[len(parts)-1] {
				case "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid":
					a.system = true
				}
			}
		}
		return true
	}, nil)
	return err
}

// sublink analyses a sub-query in an expression of b, and notes in b.bad if a shard cannot
// compute it for its own rows.
func (a *analysis) sublink(b *block, s *ast.SubLink, positive bool) error {
	if err := a.expression(b, s.Testexpr, false); err != nil {
		return err
	}
	sel, ok := s.Subselect.(*ast.SelectStmt)
	if !ok {
		return refuse("a sub-query of this kind cannot be routed", "rewrite it as a SELECT")
	}
	before := len(a.refs)
	inner, d, err := a.query(sel, b, b.depth+1)
	if err != nil {
		return err
	}
	sharded := slices.ContainsFunc(a.refs[before:], func(r *ref) bool { return r.sharded() }) || d.kind != anywhere
	if !sharded {
		if a.unstable(sel) {
			b.bad = "a sub-query may give other rows on each shard"
		}
		return nil
	}
	if inner.bad == "" {
		for up := b; up != nil; up = up.parent {
			if joined(inner.pairs, inner.part, up.part) {
				return nil
			}
		}
	}
	if positive && s.SubLinkType == ast.ANY_SUBLINK && d.kind == parted && a.semijoin(b, s, inner, d) {
		return nil
	}
	if b.bad == "" {
		b.bad = "a sub-query reads rows of other shards"
	}
	return nil
}

// semijoin recognizes key IN (SELECT key …), whose rows that match are on one shard.
func (a *analysis) semijoin(b *block, s *ast.SubLink, inner *block, d dist) bool {
	if len(items(s.OperName)) > 0 {
		if op, ok := s.OperName.Items[0].(*ast.String); !ok || op.SVal != "=" {
			return false
		}
	}
	if d.out == nil || b.part.kind != parted || b.part.key == nil || !b.part.key.Colocated(d.key) || len(b.part.carry) != len(d.out) {
		return false
	}
	tests := []ast.Node{s.Testexpr}
	if row, ok := unparen(s.Testexpr).(*ast.RowExpr); ok {
		tests = items(row.Args)
	}
	for i, at := range d.out {
		if at >= len(tests) {
			return false
		}
		c, ok := a.column(b, unparen(tests[at]))
		if !ok || !slices.ContainsFunc(b.part.carry[i], func(x column) bool { return same(b.pairs, c, x) }) {
			return false
		}
	}
	bind(inner.part.members, b.part.members)
	bind(b.part.members, inner.part.members)
	return true
}

// A target is an output column of a block, with * expanded.
type target struct {
	name string
	node ast.Node // nil for a column of *
	item int      // the item in the SELECT list
	col  column   // what it is, if it is a plain column
	isC  bool
}

// targets lists a block's output columns; ok is false if a * cannot be expanded.
func (a *analysis) targets(b *block) (out []target, ok bool) {
	if b.left != nil {
		return a.targets(b.left)
	}
	if lists := items(b.sel.ValuesLists); len(lists) > 0 {
		row, isList := lists[0].(*ast.NodeList)
		if !isList {
			return nil, false
		}
		for i := range row.Items {
			out = append(out, target{name: "column" + itoa(i+1), item: i})
		}
		return out, true
	}
	for i, n := range items(b.sel.TargetList) {
		res, isRes := n.(*ast.ResTarget)
		if !isRes {
			return nil, false
		}
		ref, isCol := res.Val.(*ast.ColumnRef)
		if isCol {
			parts, _ := a.st.names(ref.Fields)
			if parts[len(parts)-1] == "*" {
				more, known := a.expand(b, parts, i)
				if !known {
					return nil, false
				}
				out = append(out, more...)
				continue
			}
		}
		t := target{node: res.Val, item: i}
		if res.Name != "" {
			t.name, _ = a.st.name(res.Name)
		} else {
			t.name = a.columnName(res.Val)
		}
		t.col, t.isC = a.column(b, unparen(res.Val))
		out = append(out, t)
	}
	return out, true
}

// outputs are the names of a block's output columns; nil if they are not known.
func (a *analysis) outputs(b *block) []string {
	ts, ok := a.targets(b)
	if !ok {
		return nil
	}
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = t.name
	}
	return names
}

// columnName is the name of an output column without AS (FigureColname in parse_target.c).
func (a *analysis) columnName(n ast.Node) string {
	if name, _ := a.figure(n); name != "" {
		return name
	}
	return "?column?"
}

func (a *analysis) figure(n ast.Node) (string, int) {
	switch n := n.(type) {
	case *ast.ParenExpr:
		return a.figure(n.Expr)
	case *ast.ColumnRef:
		parts, _ := a.st.names(n.Fields)
		return parts[len(parts)-1], 2
	case *ast.A_Indirection:
		for i := range slices.Backward(items(n.Indirection)) {
			if s, ok := n.Indirection.Items[i].(*ast.String); ok {
				name, _ := a.st.name(s.SVal)
				return name, 2
			}
		}
		return a.figure(n.Arg)
	case *ast.FuncCall:
		parts, _ := a.st.names(n.Funcname)
		return parts[len(parts)-1], 2
	case *ast.TypeCast:
		if name, strength := a.figure(n.Arg); strength > 1 {
			return name, strength
		}
		if n.TypeName != nil {
			parts, _ := a.st.names(n.TypeName.Names)
			if len(parts) > 0 {
				return parts[len(parts)-1], 1
			}
		}
	case *ast.CollateClause:
		return a.figure(n.Arg)
	case *ast.A_ArrayExpr, *ast.ArrayExpr:
		return "array", 2
	case *ast.CaseExpr:
		if name, strength := a.figure(n.Defresult); strength > 0 {
			return name, strength
		}
		return "case", 1
	case *ast.CoalesceExpr:
		return "coalesce", 2
	case *ast.MinMaxExpr:
		if n.Op == ast.IS_LEAST {
			return "least", 2
		}
		return "greatest", 2
	case *ast.RowExpr:
		return "row", 2
	case *ast.A_Expr:
		if n.Kind == ast.AEXPR_NULLIF {
			return "nullif", 2
		}
	case *ast.SubLink:
		switch n.SubLinkType {
		case ast.EXISTS_SUBLINK:
			return "exists", 2
		case ast.ARRAY_SUBLINK:
			if n.SubLinkId == jsonArray {
				return "json_array", 2
			}
			return "array", 2
		case ast.EXPR_SUBLINK:
			if sel, ok := n.Subselect.(*ast.SelectStmt); ok && sel.Op == ast.SETOP_NONE && len(items(sel.TargetList)) > 0 {
				if t, ok := sel.TargetList.Items[0].(*ast.ResTarget); ok {
					if t.Name != "" {
						name, _ := a.st.name(t.Name)
						return name, 2
					}
					return a.figure(t.Val)
				}
			}
		}
	}
	if name := formName(n); name != "" {
		return name, 2
	}
	return "", 0
}

// result is the division of what a SELECT gives.
func (a *analysis) result(b *block, sel *ast.SelectStmt) dist {
	b.grouped = len(items(sel.GroupClause)) > 0 || sel.HavingClause != nil || a.hasAggregate(sel)
	p := b.part
	switch {
	case p.kind != parted:
		return dist{kind: p.kind, why: p.why}
	case b.grouped:
		if b.local = a.covers(b, items(sel.GroupClause)); !b.local {
			return dist{kind: mixed, why: "groups have rows on several shards"}
		}
	}
	if !a.windowsLocal(b, sel) {
		b.windows = true
		return dist{kind: mixed, why: "a window has rows of several shards"}
	}
	d := dist{kind: parted, key: p.key}
	ts, known := a.targets(b)
	if known && p.key != nil && len(p.carry) > 0 {
		for _, carry := range p.carry {
			at := slices.IndexFunc(ts, func(t target) bool {
				return t.isC && slices.ContainsFunc(carry, func(c column) bool { return same(b.pairs, t.col, c) })
			})
			if at < 0 {
				d.out = nil
				break
			}
			d.out = append(d.out, at)
		}
	}
	if d.out == nil {
		d.key = nil
	}
	if on, distinct := a.distinct(b); distinct {
		if on == nil && d.out == nil || on != nil && !a.covers(b, on) {
			b.distinct = true
			return dist{kind: mixed, why: "equal rows may come from several shards"}
		}
	}
	if sel.LimitCount != nil || sel.LimitOffset != nil {
		b.limited = true
		return dist{kind: mixed, why: "a LIMIT counts rows of all shards"}
	}
	return d
}

// distinct tells SELECT DISTINCT (on is nil) and DISTINCT ON.
func (a *analysis) distinct(b *block) (on []ast.Node, distinct bool) {
	if b.sel.DistinctClause == nil {
		return nil, false
	}
	for _, n := range items(b.sel.DistinctClause) {
		if !isNil(n) {
			on = append(on, n)
		}
	}
	return on, true
}

// covers reports whether expressions hold all columns of the key by which b is divided.
func (a *analysis) covers(b *block, exprs []ast.Node) bool {
	if b.part.key == nil || len(b.part.carry) == 0 {
		return false
	}
	ts, known := a.targets(b)
	for _, carry := range b.part.carry {
		if !slices.ContainsFunc(exprs, func(n ast.Node) bool {
			if _, isSet := n.(*ast.GroupingSet); isSet {
				return false
			}
			if i, ok := a.position(n); ok {
				return known && i < len(ts) && ts[i].isC && slices.ContainsFunc(carry, func(x column) bool { return same(b.pairs, ts[i].col, x) })
			}
			c, ok := a.column(b, unparen(n))
			return ok && slices.ContainsFunc(carry, func(x column) bool { return same(b.pairs, c, x) })
		}) {
			return false
		}
	}
	return !slices.ContainsFunc(exprs, func(n ast.Node) bool { _, isSet := n.(*ast.GroupingSet); return isSet })
}

// position reads an integer literal that stands for an output column, counted from 0.
func (a *analysis) position(n ast.Node) (int, bool) {
	tok, ok := a.st.literal(n)
	if !ok {
		return 0, false
	}
	text := a.st.toks[tok].Text(a.st.sql)
	v := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' || v > 10_000 {
			return 0, false
		}
		v = v*10 + int(text[i]-'0')
	}
	a.pin(tok)
	return v - 1, v > 0
}

// pin notes that the plan depends on a literal's value.
func (a *analysis) pin(tok int) {
	if !slices.Contains(a.pins, tok) {
		a.pins = append(a.pins, tok)
	}
}

// windowsLocal reports whether each window function's partitions lie on one shard.
func (a *analysis) windowsLocal(b *block, sel *ast.SelectStmt) bool {
	local := true
	for _, n := range []ast.Node{sel.TargetList, sel.SortClause} {
		if isNil(n) {
			continue
		}
		ast.Rewrite(n, func(c *ast.Cursor) bool {
			switch x := c.Node().(type) {
			case *ast.SubLink:
				return false
			case *ast.FuncCall:
				if x != nil && x.Over != nil && (x.Over.Name != "" || x.Over.Refname != "" || !a.covers(b, items(x.Over.PartitionClause))) {
					local = false
				}
			}
			return true
		}, nil)
	}
	return local
}

// hasAggregate reports whether the SELECT aggregates at its own level.
func (a *analysis) hasAggregate(sel *ast.SelectStmt) bool {
	found := false
	for _, n := range []ast.Node{sel.TargetList, sel.HavingClause, sel.SortClause} {
		if isNil(n) {
			continue
		}
		ast.Rewrite(n, func(c *ast.Cursor) bool {
			switch x := c.Node().(type) {
			case *ast.SubLink:
				return false
			case *ast.FuncCall:
				if x != nil && x.Over == nil && a.isAggregate(x) {
					found = true
				}
			}
			return true
		}, nil)
	}
	return found
}
