package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A when is a WHEN clause of a MERGE in the text.
type when struct {
	from, then, to int // its tokens, THEN being among them
	cond           lex.Range
	node           *ast.MergeWhenClause
	into, list     lex.Range // of an INSERT: from its column list up to VALUES, and what is in VALUES' parentheses
	moves          bool      // an UPDATE that may move rows to another shard
}

// whens finds the WHEN clauses of a MERGE in the tokens from at on, and the token after them.
func (a *analysis) whens(c *change, n *ast.MergeStmt, at int) (out []when, end int, ok bool) {
	st := a.st
	depth := 0
	end = len(st.toks)
	for i := at; i < end; i++ {
		switch {
		case st.is(i, "("), st.is(i, "["), st.is(i, "case"):
			depth++
		case st.is(i, ")"), st.is(i, "]"), st.is(i, "end"):
			depth--
		case depth == 0 && st.is(i, "returning") && len(items(n.ReturningList)) > 0:
			end = i
		case depth == 0 && st.is(i, "when"):
			if len(out) > 0 {
				out[len(out)-1].to = i
			}
			out = append(out, when{from: i})
		case depth == 0 && st.is(i, "then") && len(out) > 0:
			w := &out[len(out)-1]
			for j := w.from + 1; j < i && w.cond.To == 0; j++ {
				if st.is(j, "and") {
					w.cond = lex.Range{From: j + 1, To: i}
				}
			}
			if w.then = i; st.is(i+1, "insert") {
				w.into.From = i + 2
			}
		case depth == 0 && st.is(i, "values") && st.is(i+1, "(") && len(out) > 0:
			w := &out[len(out)-1]
			closing := lex.Match(st.sql, st.toks, i+1)
			if w.into.From == 0 || closing < 0 {
				return nil, 0, false
			}
			w.into.To, w.list = i, lex.Range{From: i + 2, To: closing}
		}
	}
	clauses := items(n.MergeWhenClauses)
	if len(out) != len(clauses) || len(out) == 0 || (end < len(st.toks)) != (len(items(n.ReturningList)) > 0) {
		return nil, 0, false
	}
	out[len(out)-1].to = end
	for i, clause := range clauses {
		m, isWhen := clause.(*ast.MergeWhenClause)
		if !isWhen || (m.Condition != nil) != (out[i].cond.To > 0) || out[i].then == 0 {
			return nil, 0, false
		}
		out[i].node, out[i].moves = m, a.mergeMoves(c, m) != nil
	}
	return out, end, true
}

// An apart is a MERGE whose source's rows cannot be placed by what it joins by, that concerns rows
// which none of them matches, or that moves rows: the source is read first, and then which of its
// rows match something; all shards get these for what is done to rows of theirs, but rows that move
// are deleted, and inserted, as what matches nothing is, on the shards of their keys.
//
// Other sessions may change the target between two of these. Rows that are matched are locked by
// the step that finds them, so that what is done to them is done; a row that comes to match later
// is left alone, as it is by a statement whose snapshot does not have it.
type apart struct {
	a      *analysis
	c      *change
	n      *ast.MergeStmt
	src    *source
	main   int
	whens  []when
	on     lex.Range // the condition
	end    int       // the token after the WHEN clauses
	target template  // with its alias
	name   string    // the target's alias
	alias  string    // the source's alias, quoted
	own    string    // a name of ours, for columns beside those of the source
	rows   []substitution
	out    *steps
}

// stageMergeApart plans such a MERGE.
func (a *analysis) stageMergeApart(c *change, n *ast.MergeStmt, list []body, main, using, on int, read Step) (*steps, error) {
	st, src := a.st, c.block.by[n.SourceRelation]
	whens, end, ok := a.whens(c, n, on+1)
	if !ok || c.target.tok < 0 || c.target.table == nil || c.target.table.Kind == 'v' || c.target.table.Triggers || a.unstable(n.JoinCondition) || src.alias == "" || st.is(main+2, "only") {
		return nil, nil
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
	read.Empty = ""
	x := &apart{
		a: a, c: c, n: n, src: src, main: main, whens: whens, on: lex.Range{From: on + 1, To: whens[0].from}, end: end,
		target: template{}.toks(c.target.tok, using), name: quoteIdent(c.target.name), alias: quoteIdent(src.alias), own: a.unused(c.target, "pgx_dev_row"),
		out: &steps{list: []Step{read}, tag: "MERGE", returns: end < len(st.toks), why: "the source's rows are read first, all shards get them, and those that match nothing are inserted"},
	}
	if c.target.alias {
		x.name = quoteIdent(st.toks[using-1].Ident(st.sql))
	}
	x.rows = a.wholeRows(src, n.SourceRelation, c.target, on)
	if err := x.moving(); err != nil {
		return nil, err
	}
	if x.any(ofKind(ast.MERGE_WHEN_NOT_MATCHED_BY_SOURCE)) && x.returnsRows() {
		return nil, refuse("whole rows of the source in RETURNING of a MERGE with NOT MATCHED BY SOURCE, which goes in steps: they would not be NULL where there is none", "return the source's columns")
	}
	return x.plan()
}

// any reports whether there is a clause of a kind.
func (x *apart) any(is func(w when) bool) bool { return slices.ContainsFunc(x.whens, is) }

// ofKind is a test for clauses of a kind.
func ofKind(k ast.MergeMatchKind) func(w when) bool {
	return func(w when) bool { return w.node.MatchKind == k }
}

func moves(w when) bool { return w.moves }

// toks are tokens, with whole rows of the source as they are in its table.
func (x *apart) toks(from, to int) template { return replaced(from, to, x.rows) }

func (x *apart) condition() template {
	return template{}.str("(").add(x.toks(x.on.From, x.on.To)).str(") ")
}

// beside is the source's rows, and columns of ours beside them.
func (x *apart) beside(kind gather.PieceKind, step int) template {
	return template{chunk{piece: &gather.Piece{Kind: kind, Column: step, Text: x.own}}}.str(" AS " + x.alias + " ")
}

func (x *apart) plan() (*steps, error) {
	inserts := x.any(func(w when) bool { return w.node.CommandType == ast.CMD_INSERT })
	bySource := x.any(ofKind(ast.MERGE_WHEN_NOT_MATCHED_BY_SOURCE))
	from, numbers := template{chunkOf(gather.Source, 0)}.str(" AS "+x.alias+" "), -1
	first := template{} // of the clauses
	if inserts || x.any(moves) {
		numbers = len(x.out.list)
		locks := x.any(acts) || x.any(moves)
		if locks && x.c.target.table.Secured {
			return nil, nil // a policy may hide matches from what locks
		}
		x.matches(locks)
		switch {
		case !locks:
		case bySource:
			// Rows that match one which is new are matched, though nothing is done to them.
			from = template{}.str("(").add(x.beside(gather.Marked, numbers)).str(") ")
			first = first.str("WHEN MATCHED AND NOT " + x.own + "_n THEN DO NOTHING ")
		default:
			from = template{}.str("(").add(x.beside(gather.Taken, numbers)).str(") ")
		}
	}
	deleted := x.deletes(numbers)
	kept, any := template{}.toks(x.main, x.c.target.tok).add(x.target).str("USING ").add(from).str("ON ").add(x.condition()).add(first), false
	for _, w := range x.whens {
		switch {
		case w.node.MatchKind == ast.MERGE_WHEN_NOT_MATCHED_BY_TARGET:
		case w.moves:
			kept = kept.add(x.toks(w.from, w.then+1)).str("DO NOTHING ")
		default:
			kept = kept.add(x.toks(w.from, w.to))
			any = any || w.node.CommandType != ast.CMD_NOTHING || w.node.Condition != nil
		}
	}
	if any {
		x.out.list = append(x.out.list, Step{Write: true, Silent: !x.out.returns, Returns: x.out.returns, sql: kept.add(x.returning(false))})
	}
	for _, i := range deleted {
		x.inserted(i)
	}
	before := template{} // that no clause before holds
	for _, w := range x.whens {
		if w.node.MatchKind != ast.MERGE_WHEN_NOT_MATCHED_BY_TARGET {
			continue
		}
		cond := template{}.str("true ")
		if w.cond.To > 0 {
			cond = template{}.str("(").add(x.toks(w.cond.From, w.cond.To)).str(") IS TRUE ")
		}
		if w.node.CommandType == ast.CMD_INSERT && !x.insert(w, numbers, template{}.add(cond).add(before)) {
			return nil, nil
		}
		before = before.str("AND NOT (").add(cond).str(") ")
	}
	return x.out, nil
}

// matches is the step that finds the numbers of the source's rows that match something, and locks
// what they match.
func (x *apart) matches(locks bool) {
	join, lock := "JOIN ", ""
	if locks {
		lock = "FOR " + lockFor(x.whens) + " OF " + x.name
	}
	if x.any(func(w when) bool { return w.moves && w.node.MatchKind == ast.MERGE_WHEN_NOT_MATCHED_BY_SOURCE }) {
		join = "LEFT JOIN " // what matches nothing is locked, too
	}
	sql := template{}.str("SELECT " + x.own + "_n FROM ").add(x.target).str(join + "(").add(x.beside(gather.Numbered, 0)).str(") ON ").add(x.condition()).str(lock)
	x.out.list = append(x.out.list, Step{Write: locks, Numbers: true, sql: sql})
}

// acts reports whether a WHEN clause changes rows that are matched.
func acts(w when) bool {
	return w.node.MatchKind == ast.MERGE_WHEN_MATCHED && w.node.CommandType != ast.CMD_NOTHING
}

// lockFor is the lock for rows that the WHEN clauses of a MERGE change.
func lockFor(whens []when) string {
	if slices.ContainsFunc(whens, func(w when) bool { return w.moves || acts(w) && w.node.CommandType == ast.CMD_DELETE }) {
		return "UPDATE"
	}
	return "NO KEY UPDATE" // foreign keys may refer to them meanwhile
}

// unused is a name, made from one, that no name in the statement nor in the table starts with.
func (a *analysis) unused(r *ref, name string) string {
	taken := func(other string) bool { return strings.HasPrefix(other, name) }
	for slices.ContainsFunc(r.table.Names(), taken) || slices.ContainsFunc(a.st.toks, func(t lex.Token) bool {
		return (t.Kind == lex.Word || t.Kind == lex.Quoted) && taken(t.Ident(a.st.sql))
	}) {
		name += "_"
	}
	return name
}
