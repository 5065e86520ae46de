package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// stageInsert plans an INSERT … VALUES whose keys are computed, or whose values are read from
// other shards: those are found out first, and stand in the text as literals. every does so with
// keys that are literals, too, unless they have a cast.
func (a *analysis) stageInsert(c *change, n *ast.InsertStmt, every bool) (*steps, error) {
	if c.from == nil || n.WithClause != nil || c.target.table == nil {
		return nil, nil
	}
	values := items(c.from.sel.ValuesLists)
	columns, ok := a.insertColumns(n, c.target)
	if len(values) == 0 || !ok {
		return nil, nil
	}
	st := a.st
	at := -1
	for i := c.target.end; i < len(st.toks) && at < 0; i++ {
		if st.is(i, "values") && st.toks[i].Kind == lex.Word && st.is(i+1, "(") {
			at = i + 1
		}
	}
	if at < 0 || c.target.end <= 0 {
		return nil, nil
	}
	out := &steps{why: "the values that have to be computed or read are found out first"}
	var subs []substitution
	for _, v := range values {
		row, isList := v.(*ast.NodeList)
		closing := -1
		if st.is(at, "(") {
			closing = lex.Match(st.sql, st.toks, at)
		}
		if !isList || closing < 0 {
			return nil, nil
		}
		ranges := st.split(at+1, closing, ",")
		if len(ranges) != len(row.Items) || len(ranges) > len(columns) {
			return nil, nil
		}
		for i, value := range row.Items {
			if _, isDefault := value.(*ast.SetToDefault); isDefault {
				continue
			}
			o, isLiteral := a.operandOf(value)
			plain := isLiteral && (!every || o.typ != 0 || o.null || o.id)
			key := c.target.key != nil && slices.Contains(c.target.key.Columns, columns[i]) && !plain
			if !key && !a.readsSharded(c, ranges[i]) {
				continue
			}
			col := c.target.table.Column(columns[i])
			if col < 0 {
				return nil, nil
			}
			typ, _, _ := strings.Cut(c.target.table.Columns[col].TypeName, "(")
			if strings.Contains(typ, " ") && !strings.HasPrefix(typ, "character varying") {
				typ = c.target.table.Columns[col].TypeName
			}
			step := Step{Column: columns[i], Type: typ}
			cast := ""
			if o.typ == 0 && o.param == 0 && !o.null && !o.id && isLiteral && st.toks[o.tok].Kind == lex.String {
				cast = "::" + typ // a string takes the type of the column
			}
			step.sql = template{}.str("SELECT (v)::"+typ+", pg_catalog.pg_typeof(v)::oid, pg_catalog.pg_typeof(v)::text FROM (SELECT ").
				toks(ranges[i].From, ranges[i].To).str(cast + " AS v OFFSET 0) s")
			subs = append(subs, substitution{ranges[i].From, ranges[i].To, template{chunkOf(gather.Value, len(out.list))}.str(" ")})
			out.list = append(out.list, step)
			if len(out.list) > maxComputed {
				return nil, nil
			}
		}
		if at = closing + 1; st.is(at, ",") {
			at++
		}
	}
	if len(out.list) == 0 {
		return nil, nil
	}
	out.last = replaced(0, len(st.toks), sortSubs(subs))
	return out, nil
}

// maxComputed bounds the values of one INSERT that are found out one by one.
const maxComputed = 1000

// readsSharded reports whether anything among tokens is sharded.
func (a *analysis) readsSharded(c *change, r lex.Range) bool {
	return slices.ContainsFunc(a.refs, func(x *ref) bool { return x != c.target && x.sharded() && x.tok >= r.From && x.tok < r.To })
}
