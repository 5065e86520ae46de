package route

import (
	"slices"
	"strconv"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
)

func itoa(n int) string { return strconv.Itoa(n) }

// collation derives by which collation the values of an expression compare (assign_collations
// in parse_collate.c, as far as it is simple).
func (a *analysis) collation(b *block, n ast.Node) gather.Collation {
	def := gather.Collation{Known: true, Bytewise: a.snap != nil && a.snap.Bytewise}
	switch n := unparen(n).(type) {
	case *ast.CollateClause:
		parts, _ := a.st.names(n.Collname)
		c := gather.Collation{Known: true}
		last := parts[len(parts)-1]
		for i, p := range parts {
			parts[i] = quoteIdent(p)
		}
		c.Name = strings.Join(parts, ".")
		c.Nondeterministic = a.snap.Nondeterministic(last)
		c.Bytewise = last == "C" || last == "POSIX" || last == "ucs_basic"
		if last == "default" {
			return def
		}
		return c
	case *ast.ColumnRef:
		col, ok := a.column(b, n)
		if !ok {
			break
		}
		if col.src.r != nil && col.src.r.table != nil {
			if i := col.src.r.table.Column(col.name); i >= 0 {
				return col.src.r.table.Columns[i].Collation
			}
		}
	}
	// Anything else: the default, if nothing in it has another.
	simple := true
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.CollateClause, *ast.SubLink:
			simple = false
		case *ast.ColumnRef:
			if x == nil {
				return true
			}
			col, ok := a.column(b, x)
			switch {
			case !ok, col.src.r == nil, col.src.r.table == nil:
				// Unknown columns: only a schema without other collations can tell.
				simple = simple && a.plainCollations()
			default:
				if i := col.src.r.table.Column(col.name); i < 0 || col.src.r.table.Columns[i].Collation.Name != "" {
					simple = false
				}
			}
		}
		return true
	}, nil)
	if simple {
		return def
	}
	if c, ok := a.derived(b, n); ok && c.Name != "" {
		return c
	}
	return gather.Collation{}
}

// textual are functions that make text of text, so that the collations of their arguments are
// that of their result.
var textual = []string{
	"lower", "upper", "initcap", "btrim", "ltrim", "rtrim", "trim", "substr", "substring", "left", "right", "replace", "reverse",
	"repeat", "lpad", "rpad", "translate",
}

// derived is the collation of an expression that joins text of one collation: one that is not
// the default goes before it, two different ones are a conflict (merge_collation_state).
func (a *analysis) derived(b *block, n ast.Node) (c gather.Collation, ok bool) {
	merge := func(list ...ast.Node) (gather.Collation, bool) {
		out := gather.Collation{Known: true}
		for _, x := range list {
			if isNil(x) {
				continue
			}
			y, ok := a.derived(b, x)
			if !ok || out.Name != "" && y.Name != "" && out.Name != y.Name {
				return out, false
			}
			if y.Name != "" {
				out = y
			}
		}
		return out, true
	}
	switch n := unparen(n).(type) {
	case *ast.A_Const, *ast.ParamRef:
		return gather.Collation{Known: true}, true
	case *ast.ColumnRef:
		col, found := a.column(b, n)
		if !found || col.src.r == nil || col.src.r.table == nil {
			return c, false
		}
		i := col.src.r.table.Column(col.name)
		if i < 0 {
			return c, false
		}
		c = col.src.r.table.Columns[i].Collation
		return c, c.Known
	case *ast.A_Expr:
		if n.Kind == ast.AEXPR_NULLIF || n.Kind == ast.AEXPR_OP && opName(n) == "||" && n.Lexpr != nil {
			return merge(n.Lexpr, n.Rexpr)
		}
	case *ast.CoalesceExpr:
		return merge(items(n.Args)...)
	case *ast.MinMaxExpr:
		return merge(items(n.Args)...)
	case *ast.FuncCall:
		parts, _ := a.st.names(n.Funcname)
		name := parts[len(parts)-1]
		for _, f := range a.snap.Functions("", name) {
			if f.Schema != "pg_catalog" {
				return c, false
			}
		}
		if (len(parts) == 1 || parts[0] == "pg_catalog") && slices.Contains(textual, name) {
			return merge(items(n.Args)...)
		}
	}
	return c, false
}

// equalBytes reports whether rows of b are equal only if their bytes are: no output column may
// have a collation by which different strings are equal.
func (a *analysis) equalBytes(b *block) bool {
	if !a.snap.Nondeterministic("") {
		return true
	}
	if b.left != nil {
		return a.equalBytes(b.left) && a.equalBytes(b.right)
	}
	ts, ok := a.targets(b)
	return ok && !slices.ContainsFunc(ts, func(t target) bool {
		c := a.targetCollation(b, t)
		return !c.Known || c.Nondeterministic
	})
}

// plainCollations reports whether every column of a user's table has the default collation.
func (a *analysis) plainCollations() bool {
	if a.snap.Empty() {
		return false
	}
	for t := range a.snap.All {
		if t.Schema == "pg_catalog" || t.Schema == "information_schema" {
			continue
		}
		for _, c := range t.Columns {
			if c.Collation.Name != "" {
				return false
			}
		}
	}
	return true
}

// targetCollation is the collation of an output column.
func (a *analysis) targetCollation(b *block, t target) gather.Collation {
	if t.node != nil {
		return a.collation(b, t.node)
	}
	if t.isC && t.col.src.r != nil && t.col.src.r.table != nil {
		if i := t.col.src.r.table.Column(t.col.name); i >= 0 {
			return t.col.src.r.table.Columns[i].Collation
		}
	}
	if a.plainCollations() {
		return gather.Collation{Known: true, Bytewise: a.snap.Bytewise}
	}
	return gather.Collation{}
}
