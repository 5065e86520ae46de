package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// callsOf are the functions of a FROM item; nil if one of them is no plain call.
func callsOf(n *ast.RangeFunction) (out []*ast.FuncCall) {
	for _, f := range items(n.Functions) {
		list, isList := f.(*ast.NodeList)
		if !isList || len(list.Items) == 0 {
			return nil
		}
		call, isCall := list.Items[0].(*ast.FuncCall)
		if !isCall {
			return nil
		}
		out = append(out, call)
	}
	return out
}

// functionAlias is what a FROM item of functions is called that has no alias: as the first of them.
func (a *analysis) functionAlias(n *ast.RangeFunction) string {
	calls := callsOf(n)
	if len(calls) == 0 {
		return ""
	}
	parts, _ := a.st.names(calls[0].Funcname)
	return parts[len(parts)-1]
}

// plainFunctions reports whether what functions in FROM return has the default collations of its types:
// those of pg_catalog take the collation of their arguments, or have columns of their own.
func (a *analysis) plainFunctions(b *block, n *ast.RangeFunction) bool {
	defs := items(n.ColDefList)
	for _, f := range items(n.Functions) {
		if list, isList := f.(*ast.NodeList); isList && len(list.Items) > 1 {
			if more, isDefs := list.Items[1].(*ast.NodeList); isDefs {
				defs = append(slices.Clone(defs), items(more)...)
			}
		}
	}
	for _, d := range defs {
		def, isDef := d.(*ast.ColumnDef)
		if !isDef || def.Collclause != nil || def.TypeName == nil {
			return false
		}
		if parts, _ := a.st.names(def.TypeName.Names); a.snap.Type(parts[len(parts)-1]) == 0 {
			return false // a domain may have a collation
		}
	}
	calls := callsOf(n)
	for _, call := range calls {
		parts, _ := a.st.names(call.Funcname)
		name := parts[len(parts)-1]
		fs := a.snap.Functions("", name)
		for _, f := range fs {
			if f.Schema != "pg_catalog" {
				return false
			}
		}
		if len(fs) == 0 || strings.Contains(name, "populate") { // whose columns are those of a type
			return false
		}
		for _, arg := range items(call.Args) {
			if c := a.collation(b, arg); !c.Known || c.Name != "" {
				return false
			}
		}
	}
	return len(calls) > 0
}

// rowsOf reports whether whole rows of a source, or all of its columns, may be used in the tokens from
// a place on.
func (a *analysis) rowsOf(src *source, from int) bool {
	st, returning := a.st, false
	for i := from; i < len(st.toks); i++ {
		returning = returning || st.is(i, "returning")
		switch {
		case st.uses(i, i+1, src.alias) && !st.is(i-1, ".") && (!st.is(i+1, ".") || st.is(i+2, "*")):
			return true
		case returning && st.is(i, "*") && (st.is(i-1, "returning") || st.is(i-1, ",") || st.is(i-1, ")")):
			return true
		}
	}
	return false
}
