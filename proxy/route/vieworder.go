package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A viewOrder is by what columns a view's ORDER BY sorts. Where nothing else sorts, rows come from a
// view in that order, since its query is run as it is (is_simple_subquery in prepjointree.c): clients
// rely on it, and on which rows are the first then.
type viewOrder struct {
	column string
	key    gather.Key // but for the column
}

// sorted finds the order of what a block gives, by its output columns; nil if it has none, or not by
// these alone.
func (a *analysis) sorted(b *block) []viewOrder {
	if b.left != nil {
		return nil
	}
	ts, known := a.targets(b)
	if !known {
		return nil
	}
	var out []viewOrder
	list := items(b.sel.SortClause)
	if len(list) == 0 {
		for _, o := range a.inherited(b) {
			at := -1
			for i, t := range ts {
				if t.isC && t.col == (column{b.sources[0], o.column}) {
					at = i
					break
				}
			}
			if at < 0 {
				return nil
			}
			out = append(out, viewOrder{ts[at].name, o.key})
		}
		return out
	}
	c, ok := a.st.clauses()
	if !ok {
		return nil
	}
	ranges, ok := a.st.sortItems(c, len(list))
	if !ok {
		return nil
	}
	for i, n := range list {
		s, isSort := n.(*ast.SortBy)
		if !isSort || s.UseOp != nil && len(s.UseOp.Items) > 0 {
			return nil
		}
		k, extra, plain := a.sortKey(b, s, ranges[i], 0)
		at := int(k.Column)
		if extra != nil {
			at = a.shown(b, ts, c, s.Node, ranges[i])
		}
		if !plain || at < 0 || at >= len(ts) {
			return nil
		}
		out = append(out, viewOrder{ts[at].name, k})
	}
	return out
}

// direction is what ORDER BY says of it.
func (o viewOrder) direction() string {
	out := ""
	if o.key.Descending {
		out = " DESC"
	}
	if o.key.NullsFirst {
		return out + " NULLS FIRST"
	}
	return out + " NULLS LAST"
}

// viewed is the order of a view whose rows are fetched: where they are aggregated, for instance, they
// are taken in it. Whole rows are of the view's own type only as long as nothing sorts them.
func (r *ref) viewed(whole bool) []viewOrder {
	if r.view == nil || whole && (r.block == nil || !r.block.grouped) {
		return nil
	}
	return r.view.order
}

// shown is the output column that an expression is, or -1.
func (a *analysis) shown(b *block, ts []target, c clauses, n ast.Node, r lex.Range) int {
	st := a.st
	if col, ok := a.column(b, unparen(n)); ok {
		return slices.IndexFunc(ts, func(t target) bool { return t.isC && t.col == col })
	}
	for st.is(r.From, "(") && lex.Match(st.sql, st.toks, r.From) == r.To-1 {
		r.From, r.To = r.From+1, r.To-1
	}
	list, ok := st.listItems(c, items(b.sel.TargetList))
	if !ok || len(list) != len(ts) {
		return -1
	}
	return slices.IndexFunc(list, func(x lex.Range) bool { return st.equalTokens(x, r) })
}

// inherited is the order of the view that is all that a block reads.
func (a *analysis) inherited(b *block) []viewOrder {
	if b.left != nil || b.grouped || b.windows || b.sel.DistinctClause != nil || len(b.sources) != 1 || len(items(b.sel.SortClause)) > 0 || b.sources[0].r == nil || b.sources[0].r.view == nil {
		return nil
	}
	s := b.sources[0]
	names := s.r.table.Names()
	var out []viewOrder
	for _, o := range s.r.view.order {
		// The alias may have other names for the columns.
		for i, name := range names {
			if name == o.column && i < len(s.columns) {
				out = append(out, viewOrder{s.columns[i], o.key})
				break
			}
		}
	}
	if len(out) != len(s.r.view.order) {
		return nil
	}
	return out
}

// inView sorts by the order of a view, where the query does not sort, and gives what its shards' text
// has to say for that: expressions beside the list, and ORDER BY.
func (a *analysis) inView(b *block, spec *gather.Spec) (hidden []template, order template) {
	list := a.inherited(b)
	ts, known := a.targets(b)
	for i, o := range list {
		text := quoteIdent(b.sources[0].alias) + "." + quoteIdent(o.column)
		k := o.key
		k.Column = -1
		for at, t := range ts {
			if known && t.isC && t.col == (column{b.sources[0], o.column}) {
				k.Column = gather.Column(at)
				break
			}
		}
		if k.Column < 0 {
			k.Column = gather.Column(hiddenBase - len(hidden))
			hidden = append(hidden, template{}.str(text))
		}
		spec.Order = append(spec.Order, k)
		sep := ", "
		if i == 0 {
			sep = " ORDER BY "
		}
		order = order.str(sep + text + o.direction())
	}
	return hidden, order
}
