package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A Step is a query whose rows a later one reads.
type Step struct {
	// Write says that it is a WITH query that writes.
	Write bool
	// Silent says that its rows are read by nobody.
	Silent bool
	// Empty is the tag of the whole statement if the step has no rows; else it goes on.
	Empty string
	// Numbers says that its only column has numbers of rows of an earlier step.
	Numbers bool
	// Returns says that its rows are rows of the statement's answer.
	Returns bool
	// Moves says that it deletes rows that another step inserts again, with another sharding key;
	// Once, that its second column must not be more than 1 (21000); Uncounted, that the rows which it
	// writes are counted elsewhere.
	Moves, Once, Uncounted bool
	// Place, if it is not nil, says that it is run on the shards of rows of an earlier step.
	Place *Placing
	// Column and Type are what a single value is for, whose type, as a number and by name, are the
	// columns behind it.
	Column, Type string
	// Collations are those of its columns, as far as they are not the default; nil if they
	// are not known. Plain says that all are the default.
	Collations []gather.Collation
	Plain      bool

	sql     template
	columns []string
}

// steps are how a statement is carried out that no merge can do: one query after the other,
// in one transaction, each routed by itself, with the rows of those before it in its text.
// Pieces of the templates refer to steps as relations.
type steps struct {
	list []Step
	last template
	why  string
	tag  string
	// returns says that the statement has a RETURNING, of steps that return something.
	returns bool
	// apart is what must hold for the steps to be right.
	apart []apartness
}

// A Staged is a text of Decision.Steps or Last, and the parameters of the client's that it
// uses. Its pieces of the kinds Source and Values stand for the rows of a step.
type Staged struct {
	Step   *Step
	Pieces []gather.Piece
	Params []int
}

// steps fills d with the steps of p, instead of refusing it for the reason given.
func (r *Router) steps(d *Decision, p *Plan, reason error) error {
	return r.stepsOf(d, p, p.staged, reason)
}

func (r *Router) stepsOf(d *Decision, p *Plan, staged func() (*steps, error), reason error) error {
	if staged == nil || r.cfg.CrossShardDisabled || p.hasIDs {
		return reason
	}
	s, err := staged()
	if err != nil {
		return err
	}
	if s == nil {
		return reason
	}
	for i := range s.apart {
		if !s.apart[i].holds(&d.env) {
			return s.apart[i].why
		}
	}
	d.Why, d.StepsTag, d.StepsReturn = s.why, s.tag, s.returns
	for i := range s.list {
		pieces, params := s.list[i].sql.pieces(d.env.sql, d.env.toks, nil)
		d.Steps = append(d.Steps, Staged{&s.list[i], pieces, params})
	}
	d.Last.Pieces, d.Last.Params = s.last.pieces(d.env.sql, d.env.toks, nil)
	return nil
}

// A writer is a WITH query that writes.
type writer struct {
	name     string
	change   *change
	from, to int // among the analysis's refs: its own
	node     *ast.CommonTableExpr
}

// stage plans the steps of a statement. It returns nil if there is no way.
func (a *analysis) stage(c *change) (*steps, error) {
	if !a.stageable() {
		return nil, nil
	}
	if len(a.writers) > 0 {
		return a.stageWith(c)
	}
	if c == nil {
		return nil, nil
	}
	switch n := a.st.tree.(type) {
	case *ast.MergeStmt:
		return a.stageMerge(c, n)
	case *ast.InsertStmt:
		return a.stageInsert(c, n, false)
	case *ast.UpdateStmt:
		return a.stageReads(c, n.WithClause)
	case *ast.DeleteStmt:
		return a.stageReads(c, n.WithClause)
	}
	return nil, nil
}

// stageable reports whether a statement may be done in steps at all.
func (a *analysis) stageable() bool {
	return !a.into && !a.system && !a.locks && a.opaqueCalls() == nil
}

// chunkOf is a piece of a template that stands for the rows of a step.
func chunkOf(kind gather.PieceKind, step int) chunk {
	return chunk{piece: &gather.Piece{Kind: kind, Relation: step}}
}

// A body is a WITH query in the text.
type body struct {
	name       string
	start, end int // the tokens from the name to the closing parenthesis, included
	from, to   int // of the query itself
	writer     *writer
	step       int
}

// bodies finds the WITH queries of the statement in its text, and the token after them.
func (a *analysis) bodies(w *ast.WithClause) (list []body, main int, ok bool) {
	st := a.st
	if w == nil {
		return nil, 0, true
	}
	if w.Recursive || !st.is(0, "with") {
		return nil, 0, false
	}
	at := 1
	for i, item := range items(w.Ctes) {
		e, isCTE := item.(*ast.CommonTableExpr)
		if !isCTE || at >= len(st.toks) {
			return nil, 0, false
		}
		b := body{start: at, step: -1}
		if b.name, _ = st.name(e.Ctename); b.name != st.toks[at].Ident(st.sql) {
			return nil, 0, false
		}
		at++
		if st.is(at, "(") {
			if at = lex.Match(st.sql, st.toks, at) + 1; at == 0 {
				return nil, 0, false
			}
		}
		if !st.is(at, "as") {
			return nil, 0, false
		}
		at++
		if st.is(at, "not") {
			at++
		}
		if st.is(at, "materialized") {
			at++
		}
		closing := -1
		if st.is(at, "(") {
			closing = lex.Match(st.sql, st.toks, at)
		}
		if closing < 0 {
			return nil, 0, false
		}
		b.from, b.to, b.end = at+1, closing, closing+1
		for j := range a.writers {
			if a.writers[j].node == e {
				b.writer = &a.writers[j]
			}
		}
		list = append(list, b)
		at = closing + 1
		if i < len(w.Ctes.Items)-1 {
			if !st.is(at, ",") {
				return nil, 0, false
			}
			at++
		}
	}
	return list, at, at < len(st.toks)
}

// uses reports whether a name stands among tokens.
func (st *statement) uses(from, to int, name string) bool {
	for i := from; i < to; i++ {
		if k := st.toks[i].Kind; (k == lex.Word || k == lex.Quoted) && st.toks[i].Ident(st.sql) == name {
			return true
		}
	}
	return false
}

// prefix is the WITH clause that the tokens from up to to need of the WITH queries in list;
// those that wrote stand for their rows, and subs for what is replaced in the others.
func (a *analysis) prefix(list []body, from, to int, subs ...substitution) template {
	needed := make([]bool, len(list))
	for i := range slices.Backward(list) {
		needed[i] = a.st.uses(from, to, list[i].name)
		for j := i + 1; j < len(list) && !needed[i]; j++ {
			needed[i] = needed[j] && list[j].step < 0 && a.st.uses(list[j].from, list[j].to, list[i].name)
		}
	}
	var t template
	for i, b := range list {
		if !needed[i] {
			continue
		}
		if t == nil {
			t = t.str("WITH ")
		} else {
			t = t.str(", ")
		}
		if b.step < 0 {
			t = t.add(replaced(b.start, b.end, subs))
			continue
		}
		t = t.toks(b.start, b.from).str("SELECT * FROM ")
		t = append(t, chunkOf(gather.Source, b.step)).str(" AS s)")
	}
	return t
}

// wholeTable is a step that reads a table, but for rows that the statement leaves out anyway.
func (a *analysis) wholeTable(r *ref) Step {
	step := Step{sql: template{}.str("SELECT * FROM ").toks(r.tok, r.end).str("AS t")}
	if r.block != nil && r.block.sel != nil && ast.Node(r.block.sel) == a.st.tree {
		step.sql = step.sql.add(a.pushed(r.block, r))
	}
	for _, col := range r.table.Columns {
		step.Collations = append(step.Collations, col.Collation)
	}
	return step
}

func returning(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.InsertStmt:
		return items(n.ReturningList)
	case *ast.UpdateStmt:
		return items(n.ReturningList)
	case *ast.DeleteStmt:
		return items(n.ReturningList)
	case *ast.MergeStmt:
		return items(n.ReturningList)
	}
	return nil
}

// returned are the collations of RETURNING, nil if they are not known.
func (a *analysis) returned(w *writer) []gather.Collation {
	var out []gather.Collation
	for _, n := range returning(w.node.Ctequery) {
		res, ok := n.(*ast.ResTarget)
		if !ok {
			return nil
		}
		if a.star(n) {
			ref, isRef := res.Val.(*ast.ColumnRef)
			if !isRef || len(items(ref.Fields)) > 1 || len(w.change.block.sources) != 1 || w.change.target.table == nil {
				return nil
			}
			for _, c := range w.change.target.table.Columns {
				out = append(out, c.Collation)
			}
			continue
		}
		out = append(out, a.collation(w.change.block, res.Val))
	}
	return out
}

// stageReads plans an UPDATE or DELETE whose sub-queries and FROM items read rows of other
// shards: they are read first.
func (a *analysis) stageReads(c *change, w *ast.WithClause) (*steps, error) {
	list, main, ok := a.bodies(w)
	if !ok {
		return nil, nil
	}
	out := &steps{why: "what it reads of other shards is read first"}
	var subs []substitution
	covered := func(r *ref) bool {
		return slices.ContainsFunc(subs, func(s substitution) bool { return r.tok >= s.from && r.tok < s.to })
	}
	// Whole sub-queries, where they stand for themselves.
	for _, sub := range a.subqueries() {
		if !sub.sharded || sub.correlated || covered(&ref{tok: sub.from}) {
			continue
		}
		step := Step{Collations: sub.collations, sql: a.prefix(list, sub.from, sub.to).toks(sub.from, sub.to)}
		by := template{}.str("SELECT * FROM ")
		by = append(by, chunkOf(gather.Source, len(out.list))).str(" AS s")
		subs = append(subs, substitution{sub.from, sub.to, by})
		out.list = append(out.list, step)
	}
	// What is left of tables is read as a whole.
	for _, r := range a.refs {
		if r == c.target || !r.sharded() || covered(r) {
			continue
		}
		if c.target.key == nil && r.block == c.block {
			return nil, nil // the copies of an omnisharded table could choose different rows
		}
		if r.tok < 0 || r.table == nil || r.tok < main || a.st.is(r.tok-1, "only") || a.st.is(r.end, "*") || r.sampled {
			return nil, nil
		}
		if a.wholeRow(r.name) {
			return nil, nil
		}
		var collations []gather.Collation
		for _, col := range r.table.Columns {
			collations = append(collations, col.Collation)
		}
		by := template{chunkOf(gather.Source, len(out.list))}
		if !r.alias {
			by = by.str(" AS " + quoteIdent(r.name))
		}
		subs = append(subs, substitution{r.tok, r.end, by.str(" ")})
		out.list = append(out.list, Step{Collations: collations, sql: template{}.str("SELECT * FROM ").toks(r.tok, r.end)})
	}
	if len(out.list) == 0 {
		return nil, nil
	}
	out.last = a.prefix(list, main, len(a.st.toks)).add(replaced(main, len(a.st.toks), sortSubs(subs)))
	return out, nil
}
