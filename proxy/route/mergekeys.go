package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A mergeKey is an expression of the source's that is the sharding key in a MERGE, at one of
// its places in the text; it becomes a column of the source's.
type mergeKey struct {
	from, to int
	column   string
}

// mergeKeys finds the expressions that the condition of a MERGE equates with the target's
// sharding key, if they are more than columns and what it inserts has the same in its VALUES.
// They are ordered by column, the one of the condition first; nil if there is none, or the text
// is not as plain as that.
func (a *analysis) mergeKeys(c *change, n *ast.MergeStmt, on int) (out []mergeKey) {
	st := a.st
	if c.target.key == nil || len(c.block.sources) != 2 || a.unstable(n.JoinCondition) {
		return nil
	}
	target, src := c.block.sources[0], c.block.sources[1]
	end := on + 1
	for depth := 0; end < len(st.toks) && (depth > 0 || !st.is(end, "when")); end++ {
		switch {
		case st.is(end, "(") || st.is(end, "case"):
			depth++
		case st.is(end, ")") || st.is(end, "end"):
			depth--
		}
	}
	nodes := []ast.Node{n.JoinCondition}
	if x, ok := n.JoinCondition.(*ast.BoolExpr); ok {
		if x.Boolop != ast.AND_EXPR {
			return nil
		}
		nodes = flatten(x)
	}
	ranges := st.split(on+1, end, "and")
	if len(ranges) != len(nodes) {
		return nil
	}
	for i, node := range nodes {
		x, ok := unparen(node).(*ast.A_Expr)
		if !ok || x.Kind != ast.AEXPR_OP {
			continue
		}
		for left, side := range []ast.Node{x.Rexpr, x.Lexpr} {
			other := []ast.Node{x.Lexpr, x.Rexpr}[left]
			key, found := a.column(c.block, unparen(other))
			if !found || key.src != target || !slices.Contains(c.target.key.Columns, key.name) || !a.ofSource(c.block, side, src) {
				continue
			}
			from, to, ok := a.sideOf(ranges[i], left == 1)
			if !ok {
				return nil
			}
			name := "pgx_key_" + key.name
			if slices.Contains(src.columns, name) {
				return nil
			}
			out = append(out, mergeKey{from, to, name})
			out = append(out, a.inserted(end, from, to, name)...)
		}
	}
	return out
}

// ofSource reports whether an expression is more than a column, and of columns of a source only.
func (a *analysis) ofSource(b *block, n ast.Node, src *source) bool {
	if _, plain := unparen(n).(*ast.ColumnRef); plain {
		return false
	}
	own, any := true, false
	ast.Rewrite(n, func(cur *ast.Cursor) bool {
		switch x := cur.Node().(type) {
		case *ast.SubLink:
			own = own && x == nil
		case *ast.ColumnRef:
			if x != nil {
				col, ok := a.column(b, x)
				own, any = own && ok && col.src == src, true
			}
		}
		return true
	}, nil)
	return own && any
}

// sideOf is the left or right side of the only = in a condition.
func (a *analysis) sideOf(r lex.Range, left bool) (from, to int, ok bool) {
	st := a.st
	at, depth := -1, 0
	for i := r.From; i < r.To; i++ {
		switch {
		case st.is(i, "("):
			depth++
		case st.is(i, ")"):
			depth--
		case depth > 0:
		case st.is(i, "="):
			if at >= 0 {
				return 0, 0, false
			}
			at = i
		case st.is(i, "or"), st.is(i, "not"), st.is(i, "is"), st.is(i, "in"), st.is(i, "like"), st.is(i, "ilike"), st.is(i, "between"), st.is(i, "similar"), st.is(i, "<"), st.is(i, ">"):
			return 0, 0, false
		}
	}
	if at < 0 {
		return 0, 0, false
	}
	if left {
		return r.From, at, true
	}
	return at + 1, r.To, true
}

// inserted finds the same words among the values that a MERGE inserts.
func (a *analysis) inserted(at, from, to int, column string) (out []mergeKey) {
	st := a.st
	for ; at+1 < len(st.toks); at++ {
		if !st.is(at, "values") || !st.is(at+1, "(") {
			continue
		}
		closing := lex.Match(st.sql, st.toks, at+1)
		if closing < 0 {
			return nil
		}
		for _, v := range st.split(at+2, closing, ",") {
			same := v.To-v.From == to-from
			for i := 0; same && i < to-from; i++ {
				same = st.toks[v.From+i].Text(st.sql) == st.toks[from+i].Text(st.sql)
			}
			if same {
				out = append(out, mergeKey{v.From, v.To, column})
			}
		}
	}
	return out
}
