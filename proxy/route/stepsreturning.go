package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
)

// wholeRows is what is put for whole rows of a source of a MERGE, in the tokens from a place on: those
// of a table have its type, and those of a function that returns no row are its values.
func (a *analysis) wholeRows(src *source, item ast.Node, target *ref, from int) (out []substitution) {
	st := a.st
	if slices.Contains(src.columns, src.alias) || target.table.Column(src.alias) >= 0 {
		return nil
	}
	var by template
	f, isFunction := item.(*ast.RangeFunction)
	switch {
	case isFunction && !f.Ordinality && len(items(f.ColDefList)) == 0 && len(items(f.Functions)) == 1:
		by = template{chunk{piece: &gather.Piece{Kind: gather.Whole, Text: src.alias}}}.str(" ")
	case src.r != nil && src.r.table != nil:
		by = by.str("(" + quoteIdent(src.alias) + "::" + rowType(src.r) + ") ")
	default:
		return nil
	}
	for i := from; i < len(st.toks); i++ {
		if st.uses(i, i+1, src.alias) && !st.is(i+1, ".") && !st.is(i+1, "(") && !st.is(i-1, ".") && !st.is(i-1, "as") {
			out = append(out, substitution{i, i + 1, by})
		}
	}
	return out
}

func rowType(r *ref) string { return quoteIdent(r.table.Schema) + "." + quoteIdent(r.table.Name) }

// returnsRows reports whether RETURNING may have whole rows of the source.
func (x *apart) returnsRows() bool {
	if f, isFunction := x.n.SourceRelation.(*ast.RangeFunction); isFunction {
		if name := x.a.functionAlias(f); !f.Ordinality && (name == "generate_series" || name == "unnest") {
			return false
		}
	}
	st := x.a.st
	for i := x.end; i < len(st.toks) && !slices.Contains(x.src.columns, x.src.alias); i++ {
		if st.uses(i, i+1, x.src.alias) && !st.is(i+1, ".") && !st.is(i-1, ".") && !st.is(i-1, "as") {
			return true
		}
	}
	return false
}

// returning is the RETURNING clause of a MERGE for one of its steps; moved says that it is one that
// inserts rows which another step has deleted, to move them.
func (x *apart) returning(moved bool) template {
	st := x.a.st
	if x.end == len(st.toks) {
		return nil
	}
	start := max(x.end+1, returningWith(st.sql, st.toks, x.end+1))
	subs := slices.Clone(x.rows)
	for i := start; moved && i < len(st.toks); i++ {
		if st.is(i, "merge_action") && st.is(i+1, "(") && st.is(i+2, ")") {
			subs = append(subs, substitution{i, i + 3, template{}.str("'UPDATE'::pg_catalog.text ")})
		}
	}
	sortSubs(subs)
	t := template{}.toks(x.end, start)
	for i, r := range st.split(start, len(st.toks), ",") {
		if i > 0 {
			t = t.str(", ")
		}
		switch item := replaced(r.From, r.To, subs); {
		case r.Len() == 1 && st.is(r.From, "*"):
			t = t.str(x.alias + ".*, " + x.name + ".*") // the order of expandRTE's in a MERGE
		case r.Len() == 1 && item[0].from == item[0].to:
			t = t.add(item).str(" AS " + x.alias) // a whole row, whose cast would give it another name
		case r.Len() == 3 && item[0].from == item[0].to && st.is(r.From, "merge_action"):
			t = t.add(item).str(" AS merge_action")
		default:
			t = t.add(item)
		}
	}
	return t
}
