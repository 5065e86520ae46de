package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A subquery is one in parentheses, by its tokens.
type subquery struct {
	from, to            int
	sharded, correlated bool
	collations          []gather.Collation
}

// subqueries finds the sub-queries of the statement in its text, outer ones first.
func (a *analysis) subqueries() []subquery {
	var out []subquery
	add := func(n ast.Node) {
		sel, ok := n.(*ast.SelectStmt)
		if !ok || sel == nil {
			return
		}
		s, ok := a.locate(sel)
		if !ok {
			return
		}
		s.sharded = slices.ContainsFunc(a.refs, func(r *ref) bool { return r.sharded() && r.tok >= s.from && r.tok < s.to })
		s.correlated = a.correlated(sel)
		if b := a.blocks[sel]; b != nil {
			if ts, known := a.targets(b); known {
				s.collations = []gather.Collation{}
				for _, t := range ts {
					s.collations = append(s.collations, a.targetCollation(b, t))
				}
			}
		}
		out = append(out, s)
	}
	ast.Rewrite(a.st.tree, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.SubLink:
			if x != nil {
				add(x.Subselect)
			}
		case *ast.RangeSubselect:
			if x != nil && !x.Lateral {
				add(x.Subquery)
			}
		}
		return true
	}, nil)
	slices.SortStableFunc(out, func(x, y subquery) int { return (y.to - y.from) - (x.to - x.from) })
	return out
}

// locate finds the parentheses around a sub-query by the tokens that its tree refers to.
func (a *analysis) locate(sel *ast.SelectStmt) (s subquery, ok bool) {
	least, most := len(a.st.toks), -1
	a.tokens(sel, func(tok int) { least, most = min(least, tok), max(most, tok) })
	if most < 0 {
		return s, false
	}
	for open := least; open >= 0; open-- {
		if !a.st.is(open, "(") || !(a.st.is(open+1, "select") || a.st.is(open+1, "with") || a.st.is(open+1, "values")) {
			continue
		}
		if closing := lex.Match(a.st.sql, a.st.toks, open); closing > most {
			return subquery{from: open + 1, to: closing}, true
		}
	}
	return s, false
}

// tokens calls do for every token that a tree refers to.
func (a *analysis) tokens(n ast.Node, do func(tok int)) {
	name := func(s string) {
		if _, tok := a.st.name(s); tok >= 0 {
			do(tok)
		}
	}
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.RangeVar:
			if x != nil {
				name(x.RelName)
			}
		case *ast.String:
			if x != nil {
				name(x.SVal)
			}
		case *ast.ResTarget:
			if x != nil && x.Name != "" {
				name(x.Name)
			}
		case *ast.A_Const:
			if x != nil {
				if tok, ok := a.st.literal(x); ok {
					do(tok)
				}
			}
		}
		return true
	}, nil)
}

// correlated reports whether a sub-query may refer to what is around it: to a name that is
// nowhere in it, or a column that none of its tables has.
func (a *analysis) correlated(sel *ast.SelectStmt) bool {
	names := map[string]bool{}
	columns := map[string]bool{}
	alias := func(x *ast.Alias) {
		if x == nil {
			return
		}
		n, _ := a.st.name(x.AliasName)
		names[n] = true
		for _, c := range items(x.ColNames) {
			if s, ok := c.(*ast.String); ok {
				col, _ := a.st.name(s.SVal)
				columns[col] = true
			}
		}
	}
	ast.Rewrite(sel, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.RangeVar:
			if x == nil {
				return true
			}
			n, tok := a.st.name(x.RelName)
			names[n] = true
			alias(x.Alias)
			i := slices.IndexFunc(a.refs, func(r *ref) bool { return r.end == tok+1 && r.name == n })
			if i < 0 || a.refs[i].table == nil {
				return true // a WITH query: its columns are outputs in this text, or else unknown
			}
			for _, col := range a.refs[i].table.Columns {
				columns[col.Name] = true
			}
		case *ast.RangeSubselect:
			if x != nil {
				alias(x.Alias)
			}
		case *ast.RangeFunction:
			if x != nil {
				alias(x.Alias)
				if x.Alias != nil {
					n, _ := a.st.name(x.Alias.AliasName)
					columns[n] = true
				}
			}
		case *ast.JoinExpr:
			if x != nil {
				alias(x.Alias)
			}
		case *ast.CommonTableExpr:
			if x != nil {
				n, _ := a.st.name(x.Ctename)
				names[n] = true
			}
		case *ast.ResTarget:
			if x != nil && x.Name != "" {
				n, _ := a.st.name(x.Name)
				columns[n] = true
			}
		}
		return true
	}, nil)
	found := false
	ast.Rewrite(sel, func(c *ast.Cursor) bool {
		x, ok := c.Node().(*ast.ColumnRef)
		if !ok || x == nil {
			return true
		}
		parts, _ := a.st.names(x.Fields)
		switch {
		case parts[0] == "*":
		case len(parts) == 1:
			found = found || !columns[parts[0]] && !names[parts[0]]
		default:
			found = found || !names[parts[0]] && !names[parts[len(parts)-2]]
		}
		return true
	}, nil)
	return found
}
