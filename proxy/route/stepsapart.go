package route

import (
	"bytes"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
)

// An apartness is that two writes change different rows: by one of the pairs at least, no value of a
// column that the one is restricted to is one of the other's.
type apartness struct {
	pairs []apartPair
	why   error // what the statement is refused with otherwise
}

// An apartPair are the values of a column of two writes.
type apartPair struct {
	typ  hash.OID
	a, b []operand
}

// holds reports whether it is so, as far as the values are known.
func (x *apartness) holds(e *env) bool {
	for _, p := range x.pairs {
		apart := true
		for _, a := range p.a {
			for _, b := range p.b {
				apart = apart && e.differ(p.typ, a, b)
			}
		}
		if apart {
			return true
		}
	}
	return false
}

// differ reports whether two values, compared with a column, are certainly not equal. What is not
// known yet is: it will be looked at again.
func (e *env) differ(t hash.OID, a, b operand) bool {
	if e.bind == nil || e.bind.Values == nil {
		if a.param > 0 || b.param > 0 {
			return true
		}
	}
	v, ok := e.value(a)
	if !ok {
		return false
	}
	v.Bytes = bytes.Clone(v.Bytes) // which is the next value's buffer
	w, ok := e.value(b)
	switch {
	case !ok:
		return false
	case v.Null || w.Null:
		return true // no row has a column equal to NULL
	}
	read := func(typ hash.OID, text []byte, f hash.Format) (n int64, key []byte, ok bool) {
		var err error
		switch {
		case isInt(t) && (typ == 0 || typ == hash.Unknown):
			n, err = hash.Int(t, text, f)
		case isInt(t) && isInt(typ):
			n, err = hash.Int(typ, text, f)
		case (t == hash.Text || t == hash.Varchar) && (typ == 0 || typ == hash.Unknown || typ == hash.Text || typ == hash.Varchar):
			key = text
		case t == hash.UUID && (typ == 0 || typ == hash.Unknown || typ == hash.UUID):
			var u [16]byte
			u, err = hash.ParseUUID(text, f)
			key = u[:]
		default:
			return 0, nil, false
		}
		return n, key, err == nil
	}
	n, s, ok1 := read(v.Type, v.Bytes, v.Format)
	m, u, ok2 := read(w.Type, w.Bytes, w.Format)
	return ok1 && ok2 && (n != m || !bytes.Equal(s, u))
}

// A pinnedColumn is a column of a write's target that must have one of some values.
type pinnedColumn struct {
	column string
	values []operand
}

// pinned are the columns of the target of an UPDATE or DELETE that its condition restricts.
func (a *analysis) pinned(w *task) (out []pinnedColumn) {
	var where ast.Node
	switch n := w.node.(type) {
	case *ast.UpdateStmt:
		where = n.WhereClause
	case *ast.DeleteStmt:
		where = n.WhereClause
	}
	b := w.change.block
	if isNil(where) || len(b.sources) == 0 {
		return nil
	}
	nodes := []ast.Node{where}
	if x, ok := unparen(where).(*ast.BoolExpr); ok && x.Boolop == ast.AND_EXPR {
		nodes = flatten(x)
	}
	column := func(n ast.Node) string {
		if c, ok := a.column(b, unparen(n)); ok && c.src == b.sources[0] {
			return c.name
		}
		return ""
	}
	for _, n := range nodes {
		x, ok := unparen(n).(*ast.A_Expr)
		if !ok || opName(x) != "=" {
			continue
		}
		var name string
		var list []ast.Node
		switch x.Kind {
		case ast.AEXPR_OP:
			if name, list = column(x.Lexpr), []ast.Node{x.Rexpr}; name == "" {
				name, list = column(x.Rexpr), []ast.Node{x.Lexpr}
			}
		case ast.AEXPR_IN:
			if in, isList := x.Rexpr.(*ast.NodeList); isList {
				name, list = column(x.Lexpr), in.Items
			}
		}
		p := pinnedColumn{column: name}
		for _, v := range list {
			o, isOperand := a.operandOf(v)
			if !isOperand || o.id {
				p.column = ""
				break
			}
			p.values = append(p.values, o)
		}
		if p.column != "" && len(p.values) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// settled are the columns that an UPDATE sets.
func (a *analysis) settled(w *task) (out []string) {
	if n, ok := w.node.(*ast.UpdateStmt); ok {
		for _, t := range items(n.TargetList) {
			if res, isRes := t.(*ast.ResTarget); isRes {
				name, _ := a.st.name(res.Name)
				out = append(out, name)
			}
		}
	}
	return out
}
