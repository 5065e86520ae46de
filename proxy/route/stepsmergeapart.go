package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A when is a WHEN clause of a MERGE in the text.
type when struct {
	from, to   int // its tokens
	cond       lex.Range
	node       *ast.MergeWhenClause
	into, list lex.Range // of an INSERT: from its column list up to VALUES, and what is in VALUES' parentheses
}

// whens finds the WHEN clauses of a MERGE in the tokens from at on.
func (a *analysis) whens(n *ast.MergeStmt, at int) (out []when, ok bool) {
	st := a.st
	depth := 0
	for i := at; i < len(st.toks); i++ {
		switch {
		case st.is(i, "("), st.is(i, "["), st.is(i, "case"):
			depth++
		case st.is(i, ")"), st.is(i, "]"), st.is(i, "end"):
			depth--
		case depth == 0 && st.is(i, "when"):
			if len(out) > 0 {
				out[len(out)-1].to = i
			}
			out = append(out, when{from: i, to: len(st.toks)})
		case depth == 0 && st.is(i, "then") && len(out) > 0:
			w := &out[len(out)-1]
			for j := w.from + 1; j < i && w.cond.To == 0; j++ {
				if st.is(j, "and") {
					w.cond = lex.Range{From: j + 1, To: i}
				}
			}
			if st.is(i+1, "insert") {
				w.into.From = i + 2
			}
		case depth == 0 && st.is(i, "values") && st.is(i+1, "(") && len(out) > 0:
			w := &out[len(out)-1]
			end := lex.Match(st.sql, st.toks, i+1)
			if w.into.From == 0 || end < 0 {
				return nil, false
			}
			w.into.To, w.list = i, lex.Range{From: i + 2, To: end}
		}
	}
	clauses := items(n.MergeWhenClauses)
	if len(out) != len(clauses) {
		return nil, false
	}
	for i, c := range clauses {
		m, isWhen := c.(*ast.MergeWhenClause)
		if !isWhen || (m.Condition != nil) != (out[i].cond.To > 0) {
			return nil, false
		}
		out[i].node = m
	}
	return out, true
}

// stageMergeApart plans a MERGE whose source's rows cannot be placed by what it joins by, or that
// concerns rows which none of them matches: the source is read first, and then which of its rows
// match nothing; all shards get the others for what is done to rows of theirs, and the rows that
// match nothing are inserted at last.
//
// Other sessions may change the target between two of these. Rows that are matched are locked by
// the step that finds them, so that what is done to them is done; a row that comes to match later
// is left alone, as it is by a statement whose snapshot does not have it.
func (a *analysis) stageMergeApart(c *change, n *ast.MergeStmt, list []body, main, using, on int, read Step) (*steps, error) {
	st, src := a.st, c.block.by[n.SourceRelation]
	whens, ok := a.whens(n, on+1)
	if !ok || len(whens) == 0 || c.target.tok < 0 || c.target.table == nil || c.target.table.Triggers || a.unstable(n.JoinCondition) ||
		len(items(n.ReturningList)) > 0 || src.alias == "" {
		return nil, nil
	}
	if slices.ContainsFunc(whens, func(w when) bool { return w.node.CommandType == ast.CMD_UPDATE && a.setsKey(c, w.node) }) {
		return nil, nil // the step would be refused, or planned like this again
	}
	for i, w := range whens {
		if w.node.MatchKind == ast.MERGE_WHEN_NOT_MATCHED_BY_TARGET && i < len(whens)-1 && a.unstable(w.node.Condition) {
			return nil, nil // the clauses after it would see another answer
		}
	}
	for _, b := range list {
		for i := on; i < len(st.toks); i++ { // the source's own name may be that of a WITH query
			if st.uses(i, i+1, b.name) && (b.name != src.alias || !st.is(i+1, ".")) {
				return nil, nil
			}
		}
	}
	target := template{}.toks(c.target.tok, using) // with its alias
	if st.is(main+2, "only") {
		return nil, nil
	}
	read.Empty = ""
	out := &steps{list: []Step{read}, tag: "MERGE", why: "the source's rows are read first, all shards get them, and those that match nothing are inserted"}
	alias := " AS " + quoteIdent(src.alias) + " "
	source := func(step int) template {
		return template{chunkOf(gather.Source, step)}.str(alias)
	}
	from, rest, first := source(0), template{}, template{} // of what is kept; of what is inserted
	on1 := template{}.toks(on+1, whens[0].from)
	switch {
	case !slices.ContainsFunc(whens, func(w when) bool { return w.node.CommandType == ast.CMD_INSERT }):
		// One step does it all.
	case slices.ContainsFunc(whens, acts):
		bySource := slices.ContainsFunc(whens, func(w when) bool { return w.node.MatchKind == ast.MERGE_WHEN_NOT_MATCHED_BY_SOURCE })
		end := whens[0].from
		if bySource {
			end = len(st.toks)
		}
		if c.target.table.Secured || st.wholeRows(on, end, src.alias) {
			return nil, nil // a policy may hide matches from what locks; a row would have a column more
		}
		column := a.unused(c.target, "pgx_dev_row")
		name, locked := c.target.name, len(out.list)
		if c.target.alias {
			name = st.toks[using-1].Ident(st.sql)
		}
		sql := template{}.str("SELECT " + quoteIdent(src.alias) + "." + quoteIdent(column) + " FROM ").add(target).str("JOIN ")
		sql = append(sql, chunk{piece: &gather.Piece{Kind: gather.Numbered, Text: column}})
		sql = sql.str(alias + "ON ").add(on1).str(" FOR " + lockFor(whens) + " OF " + quoteIdent(name))
		out.list = append(out.list, Step{Write: true, Numbers: true, sql: sql})
		piece := func(k gather.PieceKind) template {
			return template{chunk{piece: &gather.Piece{Kind: k, Column: locked, Text: column}}}.str(alias)
		}
		from, rest = piece(gather.Taken), piece(gather.Left)
		if bySource {
			from = piece(gather.Marked) // rows that match one which is new are matched, though nothing is done to them
			first = first.str("WHEN MATCHED AND NOT " + quoteIdent(src.alias) + "." + quoteIdent(column) + " THEN DO NOTHING ")
		}
	default:
		rest = source(len(out.list))
		sql := template{}.str("SELECT * FROM ").add(source(0)).str("WHERE NOT EXISTS (SELECT 1 FROM ").add(target).str("WHERE ").add(on1).str(")")
		out.list = append(out.list, Step{sql: sql, Collations: read.Collations})
	}
	kept := template{}.toks(main, using+1).add(from).toks(on, whens[0].from).add(first)
	any := false
	before := template{} // that no clause before holds
	var into []template
	for _, w := range whens {
		if w.node.MatchKind != ast.MERGE_WHEN_NOT_MATCHED_BY_TARGET {
			kept = kept.toks(w.from, w.to)
			any = any || w.node.CommandType != ast.CMD_NOTHING || w.node.Condition != nil
			continue
		}
		cond := template{}.str("true ")
		if w.cond.To > 0 {
			cond = template{}.str("(").toks(w.cond.From, w.cond.To).str(") IS TRUE ")
		}
		if w.node.CommandType == ast.CMD_INSERT {
			if w.list.To == 0 || slices.ContainsFunc(items(w.node.Values), func(v ast.Node) bool { _, isDefault := v.(*ast.SetToDefault); return isDefault }) {
				return nil, nil
			}
			t := template{}.str("INSERT INTO ").toks(c.target.tok, c.target.end).toks(w.into.From, w.into.To).str("SELECT ").toks(w.list.From, w.list.To)
			into = append(into, t.str("FROM ").add(rest).str("WHERE ").add(cond).add(before))
		}
		before = before.str("AND NOT (").add(cond).str(") ")
	}
	if len(into) == 0 {
		out.last = kept
		return out, nil
	}
	if any {
		out.list = append(out.list, Step{Write: true, Silent: true, sql: kept})
	}
	for _, t := range into[:len(into)-1] {
		out.list = append(out.list, Step{Write: true, Silent: true, sql: t})
	}
	out.last = into[len(into)-1]
	return out, nil
}

// acts reports whether a WHEN clause changes rows that are matched.
func acts(w when) bool {
	return w.node.MatchKind == ast.MERGE_WHEN_MATCHED && w.node.CommandType != ast.CMD_NOTHING
}

// lockFor is the lock for rows that the WHEN clauses of a MERGE change.
func lockFor(whens []when) string {
	if slices.ContainsFunc(whens, func(w when) bool { return acts(w) && w.node.CommandType == ast.CMD_DELETE }) {
		return "UPDATE"
	}
	return "NO KEY UPDATE" // foreign keys may refer to them meanwhile
}

// wholeRows reports whether tokens may have whole rows of what is called by a name.
func (st *statement) wholeRows(from, to int, name string) bool {
	for i := from; i < to; i++ {
		if st.uses(i, i+1, name) && (!st.is(i+1, ".") || st.is(i+2, "*")) {
			return true
		}
	}
	return false
}

// unused is a name that neither the statement nor the table has, made from one.
func (a *analysis) unused(r *ref, name string) string {
	for a.st.uses(0, len(a.st.toks), name) || r.table.Column(name) >= 0 {
		name += "_"
	}
	return name
}

// setsKey reports whether an UPDATE of a MERGE may move rows to another shard.
func (a *analysis) setsKey(c *change, w *ast.MergeWhenClause) bool {
	var set []ast.Node
	for _, t := range w.TargetList {
		set = append(set, t)
	}
	return a.keyChange(c, set) != nil
}
