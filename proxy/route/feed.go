package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// feed plans an INSERT … SELECT whose rows are placed one by one.
func (a *analysis) feed(p *Plan, c *change) error {
	if err := a.refusals(); err != nil {
		return err
	}
	st, n := a.st, c.insert
	list, main, ok := a.bodies(n.WithClause)
	if !ok {
		return refuse("INSERT … SELECT with WITH before INSERT, of rows that are not divided by the same key",
			"put WITH into the query")
	}
	columns, _ := a.insertColumns(n, c.target)
	quoted := make([]string, len(columns))
	for i, name := range columns {
		quoted[i] = quoteIdent(name)
	}
	start, end, depth := -1, len(st.toks), 0
	names := c.target.end
	for i := names; i < len(st.toks) && names > 0; i++ {
		opens := st.is(i, "(")
		if start < 0 && depth == 0 && opens && (st.is(i+1, "select") || st.is(i+1, "with") || st.is(i+1, "table") || st.is(i+1, "(")) {
			start = i
		}
		switch {
		case st.toks[i].Kind != lex.Punct:
		case opens:
			depth++
		case st.is(i, ")"):
			depth--
		}
		if start < 0 && depth == 0 && (st.is(i, "select") || st.is(i, "with") || st.is(i, "table")) {
			start = i
		}
		if start >= 0 && depth == 0 && (st.is(i, "returning") || st.is(i, "on") && st.is(i+1, "conflict")) {
			end = i
			break
		}
	}
	if start < 0 {
		return refuse("the query of INSERT … SELECT could not be found in the text", "write it without parentheses")
	}
	for i := end; i < len(st.toks); i++ {
		if st.toks[i].Kind == lex.Param {
			return refuse("parameters after the query of INSERT … SELECT", "write the values as literals")
		}
	}
	if c.source.kind == anywhere && a.unstable(n.SelectStmt) {
		// It is run once, on one shard: that is what makes it right.
		p.Write = true
	}
	head := names
	if len(items(n.Cols)) > 0 || st.is(head, "as") || st.is(head, "overriding") {
		if st.is(head, "as") {
			head += 2
		}
	}
	before := template{}.toks(main, head).str(" ")
	if len(items(n.Cols)) > 0 { // else the query may have fewer columns than the table
		before = before.str("(" + strings.Join(quoted, ", ") + ") ")
	}
	for i := head; i < start; i++ {
		if st.is(i, "overriding") {
			before = before.toks(i, i+3)
		}
	}
	query := a.prefix(list, start, end)
	switch {
	case query == nil:
	case st.is(start, "with"):
		return refuse("INSERT … SELECT with two WITH clauses, of rows that are not divided by the same key", "put one into the other")
	}
	var untyped []int
	if sel, isSelect := n.SelectStmt.(*ast.SelectStmt); isSelect && sel.Op == ast.SETOP_NONE && len(items(sel.ValuesLists)) == 0 {
		for i, t := range items(sel.TargetList) {
			if a.star(t) {
				break
			}
			res, isRes := t.(*ast.ResTarget)
			if o, plain := a.operandOf(res.Val); isRes && plain && !o.id && o.typ == 0 && o.param == 0 && (o.null || st.toks[o.tok].Kind == lex.String) {
				untyped = append(untyped, i)
			}
		}
	}
	p.Feed = &Feed{Untyped: untyped, query: query.toks(start, end), before: before.str("VALUES "), after: template{}.toks(end, len(st.toks))}
	return nil
}

// An assignment is one of a SET clause: what a column is to have.
type assignment struct {
	name  string
	value lex.Range
	node  ast.Node
}

// assignments are those of a SET clause in tokens, (a, b) = (1, 2) being two; ok is false for what
// is none of a plain column.
func (a *analysis) assignments(from, to int, targets []ast.Node) (out []assignment, ok bool) {
	st := a.st
	for _, r := range st.split(from, to, ",") {
		at, values := r.From+1, []lex.Range{{From: r.From + 2, To: r.To}}
		if st.is(r.From, "(") {
			closing := lex.Match(st.sql, st.toks, r.From)
			if closing < 0 {
				return nil, false
			}
			at = closing + 1
			open := at + 1
			if st.is(open, "row") {
				open++
			}
			if !st.is(open, "(") || st.is(open+1, "select") || st.is(open+1, "with") || st.is(open+1, "values") || lex.Match(st.sql, st.toks, open) != r.To-1 {
				return nil, false
			}
			values = st.split(open+1, r.To-1, ",")
			if len(values) != len(st.split(r.From+1, closing, ",")) {
				return nil, false
			}
		}
		if at+1 >= r.To || !st.is(at, "=") || len(out)+len(values) > len(targets) {
			return nil, false
		}
		for i, v := range values {
			res, isRes := targets[len(out)].(*ast.ResTarget)
			if !isRes || len(items(res.Indirection)) > 0 || v.Len() < 1 {
				return nil, false
			}
			node := res.Val
			if m, isMulti := node.(*ast.MultiAssignRef); isMulti {
				row, isRow := unparen(m.Source).(*ast.RowExpr)
				if !isRow || len(items(row.Args)) != len(values) {
					return nil, false
				}
				node = items(row.Args)[i]
			}
			if _, isDefault := node.(*ast.SetToDefault); isDefault {
				return nil, false
			}
			name, _ := st.name(res.Name)
			if slices.ContainsFunc(out, func(o assignment) bool { return o.name == name }) {
				return nil, false
			}
			out = append(out, assignment{name, v, node})
		}
	}
	return out, len(out) == len(targets)
}

// move plans an UPDATE of the sharding key; why is what it is refused with otherwise.
func (a *analysis) move(p *Plan, c *change, n *ast.UpdateStmt, why error) error {
	st, t := a.st, c.target
	switch {
	case t.table != nil && t.table.Secured:
		return refuse("UPDATE of the sharding key of table "+t.name+", which has row security: rows that move are deleted and inserted, to which other policies apply",
			"delete the rows and insert them with the new key, in one transaction")
	case t.table == nil, t.tok < 0, t.table.Triggers, a.otherSharded(c), len(items(n.FromClause)) > 0 && len(items(n.ReturningList)) > 0:
		return why
	}
	with, main, ok := a.bodies(n.WithClause)
	if !ok {
		return why
	}
	if err := a.refusals(); err != nil {
		return err
	}
	set, from, end, stop, depth := -1, -1, len(st.toks), len(st.toks), 0
	for i := t.end; i < len(st.toks); i++ {
		switch {
		case st.is(i, "(") || st.is(i, "["):
			depth++
		case st.is(i, ")") || st.is(i, "]"):
			depth--
		}
		if depth == 0 && set < 0 && st.is(i, "set") {
			set = i
		}
		if depth == 0 && set >= 0 && from < 0 && st.is(i, "from") && !st.is(i-1, "distinct") && len(items(n.FromClause)) > 0 {
			from = i
		}
		if depth == 0 && set >= 0 && end == len(st.toks) && st.is(i, "where") {
			end = i
		}
		if depth == 0 && set >= 0 && st.is(i, "returning") && len(items(n.ReturningList)) > 0 {
			stop = i
			break
		}
	}
	end = min(end, stop)
	if set < 0 || (stop < len(st.toks)) != (len(items(n.ReturningList)) > 0) {
		return why
	}
	if (from >= 0) != (len(items(n.FromClause)) > 0) || from > end {
		return why
	}
	old, names := st.oldName(stop), max(stop, returningWith(st.sql, st.toks, stop+1)-1)
	for i := stop; i < len(st.toks); i++ {
		if st.toks[i].Kind == lex.Param || slices.ContainsFunc(with, func(b body) bool { return st.uses(i, i+1, b.name) }) {
			return why
		}
		if i > names && st.uses(i, i+1, old) && !st.is(i-1, "as") && (st.is(i+1, ".") || t.table.Column(old) < 0) {
			return refuse("old rows in RETURNING of an UPDATE of the sharding key "+strings.Join(t.key.Columns, ", ")+": rows that move are deleted and inserted",
				"read them first, in the same transaction")
		}
	}
	others := template{} // that the rows are chosen by, too
	last := end
	if from >= 0 {
		others, last = template{}.str("USING ").toks(from+1, end), from
	}
	list, ok := a.assignments(set+1, last, items(n.TargetList))
	if !ok {
		return why
	}
	alias := quoteIdent(t.name)
	if t.alias {
		alias = st.text(set-1, set)
	}
	m := &Move{Schema: t.table.Schema, Table: t.name, Key: t.key}
	sql := template{}.toks(0, main).str("DELETE FROM ").toks(main+1, set).add(others).toks(end, stop).str(" RETURNING ")
	columns, values := a.newRow(t, list, alias, nil, false)
	m.Columns = columns
	sql = sql.add(values)
	m.Fit = fitOf(t.table, t.key.Columns)
	for _, k := range t.key.Columns {
		m.KeyAt = append(m.KeyAt, slices.Index(m.Columns, k))
	}
	m.sql = sql
	if stop < len(st.toks) {
		m.after = template{}.toks(stop, len(st.toks))
		if t.alias {
			m.Alias = st.text(set-1, set)
		}
	}
	p.Move = m
	return nil
}
