package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// stageMerge plans a MERGE whose source's rows have to be placed, or read first: they become
// a list of VALUES.
func (a *analysis) stageMerge(c *change, n *ast.MergeStmt) (*steps, error) {
	st := a.st
	list, main, ok := a.bodies(n.WithClause)
	if !ok {
		return nil, nil
	}
	switch x := n.SourceRelation.(type) {
	case *ast.RangeVar:
	case *ast.RangeSubselect:
		if x.Alias == nil {
			return nil, nil
		}
	case *ast.RangeFunction:
		if x.Lateral {
			return nil, nil
		}
	default:
		return nil, nil
	}
	src := c.block.by[n.SourceRelation]
	bySource := slices.ContainsFunc(items(n.MergeWhenClauses), func(w ast.Node) bool {
		m, isWhen := w.(*ast.MergeWhenClause)
		return !isWhen || m.MatchKind == ast.MERGE_WHEN_NOT_MATCHED_BY_SOURCE
	})
	if slices.ContainsFunc(a.refs, func(r *ref) bool { return r.sharded() && r != c.target && r.block == nil }) {
		return nil, nil
	}
	using, on, depth := -1, -1, 0
	for i := main; i < len(st.toks); i++ {
		switch {
		case st.is(i, "("):
			depth++
		case st.is(i, ")"):
			depth--
		case depth == 0 && using < 0 && st.is(i, "using"):
			using = i
		case depth == 0 && using >= 0 && on < 0 && st.is(i, "on"):
			on = i
		}
	}
	if using < 0 || on < 0 || src == nil {
		return nil, nil
	}
	if slices.ContainsFunc(a.refs, func(r *ref) bool {
		return r.sharded() && r != c.target && (r.tok > on || r.tok < main) && !a.inBodies(list, r.tok)
	}) {
		return nil, nil // conditions and actions that read more
	}
	step := Step{Empty: "MERGE 0", sql: a.prefix(list, using+1, on).str(" SELECT * FROM ").toks(using+1, on)}
	sub, isSub := n.SourceRelation.(*ast.RangeSubselect)
	function, isFunction := n.SourceRelation.(*ast.RangeFunction)
	switch {
	case isFunction:
		step.Plain = a.plainFunctions(c.block, function)
	case src.r != nil && src.r.table != nil:
		for _, col := range src.r.table.Columns {
			step.Collations = append(step.Collations, col.Collation)
		}
	case src.sub != nil && isSub && isValues(sub):
		step.Collations = a.valuesCollations(sub)
	case src.sub != nil:
		if ts, known := a.targets(src.sub); known {
			step.Collations = []gather.Collation{}
			for _, t := range ts {
				step.Collations = append(step.Collations, a.targetCollation(src.sub, t))
			}
		}
	}
	subs := a.mergeKeys(c, n, on)
	moves := slices.ContainsFunc(items(n.MergeWhenClauses), func(w ast.Node) bool {
		m, isWhen := w.(*ast.MergeWhenClause)
		return isWhen && a.mergeMoves(c, m) != nil
	})
	rows := a.rowsOf(src, on)
	if rows {
		subs = nil // which would make more columns
	}
	if c.target.key != nil && (bySource || moves || isFunction || rows && src.r != nil || len(subs) == 0 && (a.mergeInserts(n, c) != nil || !a.joinsByKey(c))) {
		return a.stageMergeApart(c, n, list, main, using, on, step)
	}
	if rows && src.r != nil && len(items(n.ReturningList)) > 0 {
		return nil, nil // rows of a type that those of a step do not have
	}
	if isSub && a.settledValues(sub) {
		return nil, nil
	}
	if len(subs) > 0 {
		step.sql = a.prefix(list, using+1, on).str(" SELECT *")
		for i, k := range subs {
			if i == 0 || k.column != subs[i-1].column {
				step.sql = step.sql.str(", (").toks(k.from, k.to).str(") AS " + quoteIdent(k.column))
			}
		}
		step.sql = step.sql.str(" FROM ").toks(using+1, on)
		step.Collations = nil
	}
	var by []substitution
	for _, k := range subs {
		by = append(by, substitution{k.from, k.to, template{}.str(quoteIdent(src.alias) + "." + quoteIdent(k.column) + " ")})
	}
	last := template{}.toks(main, using+1)
	last = append(last, chunkOf(gather.Values, 0)).str(" AS " + quoteIdent(src.alias))
	last = append(last, chunkOf(gather.Names, 0)).str(" ").add(replaced(on, len(st.toks), sortSubs(by)))
	return &steps{list: []Step{step}, last: last, why: "the source's rows are read first, and placed by their keys"}, nil
}

// joinsByKey reports whether the condition of a MERGE compares the target's key with columns of the
// source, so that each of the source's rows can match on one shard only.
func (a *analysis) joinsByKey(c *change) bool {
	if len(c.block.sources) != 2 {
		return false
	}
	target, src := c.block.sources[0], c.block.sources[1]
	return !slices.ContainsFunc(c.target.key.Columns, func(k string) bool {
		return !slices.ContainsFunc(src.columns, func(col string) bool {
			return same(c.block.pairs, column{src, col}, column{target, k})
		})
	})
}

// settledValues reports whether a sub-query is a list of VALUES all of whose values have a cast,
// which is what a step makes of others.
func (a *analysis) settledValues(x *ast.RangeSubselect) bool {
	if !isValues(x) {
		return false
	}
	for _, row := range items(x.Subquery.(*ast.SelectStmt).ValuesLists) {
		list, ok := row.(*ast.NodeList)
		if !ok {
			return false
		}
		for _, v := range list.Items {
			if _, cast := v.(*ast.TypeCast); !cast {
				return false
			}
		}
	}
	return true
}

// alike reports whether each row of VALUES has the same types by itself as among the others:
// a string without a type takes that of the values above and below it.
func (a *analysis) alike(rows []ast.Node) bool {
	kind := func(n ast.Node) string {
		switch n := unparen(n).(type) {
		case *ast.ParamRef:
			return ""
		case *ast.TypeCast:
			if n.TypeName != nil {
				parts, _ := a.st.names(n.TypeName.Names)
				return strings.Join(append(parts, itoa(len(items(n.TypeName.ArrayBounds))), itoa(len(items(n.TypeName.Typmods)))), " ")
			}
		}
		o, ok := a.operandOf(n)
		switch {
		case !ok || o.typ != 0 || o.id:
			return "?"
		case o.null || a.st.toks[o.tok].Kind == lex.String:
			return "unknown"
		}
		return itoa(int(numberType(a.st.toks[o.tok].Text(a.st.sql))))
	}
	var first []string
	for i, r := range rows {
		list, ok := r.(*ast.NodeList)
		if !ok || i > 0 && len(list.Items) != len(first) {
			return false
		}
		for j, v := range list.Items {
			k := kind(v)
			switch {
			case i == 0:
				first = append(first, k)
			case first[j] == "":
				first[j] = k
			case k == "" || k == first[j] && k != "?":
			default:
				return false
			}
		}
	}
	if len(rows) == 1 {
		return true
	}
	for _, r := range rows { // what the plan depends on
		for _, v := range r.(*ast.NodeList).Items {
			if tok, ok := a.st.literal(unparen(v)); ok && a.st.toks[tok].Kind == lex.Number {
				a.pin(tok)
			}
		}
	}
	return true
}

// mergeValues splits a MERGE whose source is a list of VALUES with the key that it joins by:
// each shard gets the rows that its own can match. It returns nil if there is no need, or no
// way.
func (a *analysis) mergeValues(n *ast.MergeStmt, c *change) *insertPlan {
	x, ok := n.SourceRelation.(*ast.RangeSubselect)
	if !ok || !isValues(x) || n.WithClause != nil || a.otherSharded(c) || c.target.key == nil || len(c.block.sources) != 2 {
		return nil
	}
	target, src := c.block.sources[0], c.block.sources[1]
	var at []int
	for _, k := range c.target.key.Columns {
		i := slices.IndexFunc(src.columns, func(col string) bool {
			return same(c.block.pairs, column{src, col}, column{target, k})
		})
		if i < 0 {
			return nil
		}
		at = append(at, i)
	}
	for _, w := range items(n.MergeWhenClauses) {
		if m, isWhen := w.(*ast.MergeWhenClause); !isWhen || m.MatchKind == ast.MERGE_WHEN_NOT_MATCHED_BY_SOURCE {
			return nil
		}
	}
	sel := x.Subquery.(*ast.SelectStmt)
	if !a.alike(items(sel.ValuesLists)) {
		return nil
	}
	if sel.SortClause != nil || sel.LimitCount != nil || sel.LimitOffset != nil || sel.WithClause != nil {
		return nil
	}
	for i := c.target.end; i > 0 && i < len(a.st.toks); i++ {
		if a.st.is(i, "using") && a.st.is(i+1, "(") && a.st.is(i+2, "values") {
			ip, err := a.valueRows(i+2, items(sel.ValuesLists), c.target, at)
			if err != nil {
				return nil
			}
			return ip
		}
	}
	return nil
}

// valuesCollations are those of the columns of VALUES, nil if they are not known: literals and
// parameters have the default one.
func (a *analysis) valuesCollations(x *ast.RangeSubselect) []gather.Collation {
	var out []gather.Collation
	for _, row := range items(x.Subquery.(*ast.SelectStmt).ValuesLists) {
		list, ok := row.(*ast.NodeList)
		if !ok {
			return nil
		}
		out = out[:0]
		for _, v := range list.Items {
			o, plain := a.operandOf(v)
			if !plain || o.typ != 0 && o.typ != hash.Text && o.typ != hash.Varchar && !isInt(o.typ) {
				return nil
			}
			out = append(out, gather.Collation{Known: true, Bytewise: a.snap != nil && a.snap.Bytewise})
		}
	}
	return out
}

func (a *analysis) inBodies(list []body, tok int) bool {
	return slices.ContainsFunc(list, func(b body) bool { return tok >= b.from && tok < b.to })
}

// isValues reports whether a sub-query is a list of VALUES already.
func isValues(x *ast.RangeSubselect) bool {
	sel, ok := x.Subquery.(*ast.SelectStmt)
	return ok && sel != nil && len(items(sel.ValuesLists)) > 0
}
