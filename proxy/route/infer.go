package route

import (
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// typeOf is the type of an expression, as far as it is plain; 0 is unknown.
func (a *analysis) typeOf(b *block, n ast.Node) hash.OID {
	switch n := unparen(n).(type) {
	case *ast.ColumnRef:
		if c, ok := a.column(b, n); ok && c.src.r != nil && c.src.r.table != nil {
			if i := c.src.r.table.Column(c.name); i >= 0 {
				return c.src.r.table.Columns[i].Type
			}
		}
	case *ast.A_Const:
		if tok, ok := a.st.literal(n); ok && a.st.toks[tok].Kind == lex.Number {
			if strings.ContainsAny(a.st.toks[tok].Text(a.st.sql), ".eE") {
				return hash.Numeric
			}
			return hash.Int4
		}
	case *ast.TypeCast:
		if n.TypeName != nil && len(items(n.TypeName.ArrayBounds)) == 0 {
			parts, _ := a.st.names(n.TypeName.Names)
			switch parts[len(parts)-1] {
			case "int2":
				return hash.Int2
			case "int4":
				return hash.Int4
			case "int8":
				return hash.Int8
			case "numeric":
				return hash.Numeric
			case "float8":
				return hash.Float8
			case "float4":
				return hash.Float4
			}
		}
	case *ast.A_Expr:
		if n.Kind != ast.AEXPR_OP || n.Lexpr == nil || !strings.Contains("+-*/%", orSay(opName(n), "?")) {
			return 0
		}
		l, r := a.typeOf(b, n.Lexpr), a.typeOf(b, n.Rexpr)
		number := func(t hash.OID) bool { return isInt(t) || t == hash.Numeric }
		switch {
		case isInt(l) && isInt(r):
			return hash.Int8 // an integer: which, does not matter
		case number(l) && number(r):
			return hash.Numeric
		case (l == hash.Float8 || r == hash.Float8) && (number(l) || number(r) || l == r):
			return hash.Float8
		}
	}
	return 0
}

// exact reports whether n is an integer or numeric.
func (a *analysis) exact(b *block, n ast.Node) bool {
	t := a.typeOf(b, n)
	return isInt(t) || t == hash.Numeric
}

// notText reports whether n is of a type without collation.
func (a *analysis) notText(b *block, n ast.Node) bool {
	if call, ok := unparen(n).(*ast.FuncCall); ok {
		parts, _ := a.st.names(call.Funcname)
		switch parts[len(parts)-1] {
		case "count", "sum", "avg", "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor":
			return true
		case "min", "max":
			return len(items(call.Args)) == 1 && a.notText(b, call.Args.Items[0])
		}
	}
	switch t := a.typeOf(b, n); t {
	case 0, hash.Text, hash.Varchar, hash.Bpchar, hash.Name:
		return false
	default:
		return hash.Known(t) && hash.Element(t) == 0
	}
}

// maybeFloat4 reports whether n may be a real.
func (a *analysis) maybeFloat4(b *block, n ast.Node) bool {
	if t := a.typeOf(b, n); t != 0 {
		return t == hash.Float4
	}
	return true
}
