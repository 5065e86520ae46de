package route

import (
	"slices"
	"strings"

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
	// Column and Type are what a single value is for, whose type, as a number and by name, are the
	// columns behind it.
	Column, Type string
	// Collations are those of its columns, as far as they are not the default; nil if they
	// are not known.
	Collations []gather.Collation

	sql template
}

// steps are how a statement is carried out that no merge can do: one query after the other,
// in one transaction, each routed by itself, with the rows of those before it in its text.
// Pieces of the templates refer to steps as relations.
type steps struct {
	list []Step
	last template
	why  string
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
	if err != nil || s == nil {
		return reason
	}
	d.Why = s.why
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
	if err := a.stageable(); err != nil {
		return nil, err
	}
	if len(a.writers) > 0 {
		return a.stageWith()
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

func (a *analysis) stageable() error {
	switch {
	case a.into, a.system, a.locks:
		return refuse("the statement cannot be done in steps", "")
	}
	return a.opaqueCalls()
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
// those that wrote stand for their rows.
func (a *analysis) prefix(list []body, from, to int) template {
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
			t = t.toks(b.start, b.end)
			continue
		}
		t = t.toks(b.start, b.from).str("SELECT * FROM ")
		t = append(t, chunkOf(gather.Source, b.step)).str(" AS s)")
	}
	return t
}

// stageWith plans WITH queries that write: each is a step of its own.
func (a *analysis) stageWith() (*steps, error) {
	var w *ast.WithClause
	switch n := a.st.tree.(type) {
	case *ast.SelectStmt:
		w = n.WithClause
		if n.Op != ast.SETOP_NONE && w == nil {
			return nil, nil
		}
	case *ast.InsertStmt:
		w = n.WithClause
	case *ast.UpdateStmt:
		w = n.WithClause
	case *ast.DeleteStmt:
		w = n.WithClause
	case *ast.MergeStmt:
		w = n.WithClause
	}
	list, main, ok := a.bodies(w)
	if !ok {
		return nil, nil
	}
	out := &steps{why: "the WITH queries that write go first, one after the other"}
	found := 0
	for i := range list {
		b := &list[i]
		if b.writer == nil {
			continue
		}
		found++
		if err := a.seenLater(b.writer); err != nil {
			return nil, err
		}
		step := Step{Write: true, Silent: len(returning(b.writer.node.Ctequery)) == 0, Collations: a.returned(b.writer)}
		step.sql = a.prefix(list[:i], b.from, b.to).toks(b.from, b.to)
		out.list = append(out.list, step)
		b.step = len(out.list) - 1
	}
	if found != len(a.writers) {
		return nil, nil
	}
	out.last = a.prefix(list, main, len(a.st.toks)).toks(main, len(a.st.toks))
	return out, nil
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

// seenLater refuses a write in WITH that what comes after it would see: all of a statement
// has the same snapshot, but its steps have not.
func (a *analysis) seenLater(w *writer) error {
	t := w.change.target
	no := refuse("a WITH query writes table "+t.name+", which the statement reads or writes elsewhere", "send the write as a statement of its own")
	if t.table == nil || t.table.Triggers {
		return no
	}
	for i, r := range a.refs {
		// Those before it in the text have been read; those of a WITH query that is none of
		// the writers' are read when it is used, which may be later.
		if i >= w.from && i < w.to || r.name != t.name || r.schema != t.schema {
			continue
		}
		before := slices.ContainsFunc(a.writers, func(o writer) bool { return i >= o.from && i < o.to && o.to <= w.from })
		if !before && !(r.target && r.inserted) {
			return no
		}
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
		if r.tok < 0 || r.table == nil || r.tok < main || a.st.is(r.tok-1, "only") || a.st.is(r.end, "*") || a.st.is(r.end, "tablesample") {
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

// A subquery is one in parentheses, by its tokens.
type subquery struct {
	from, to            int
	sharded, correlated bool
	collations          []gather.Collation
}

// subqueries finds the sub-queries of the statement in its text, outer ones first.
func (a *analysis) subqueries() []subquery {
	var out []subquery
	add := func(n ast.Node) {
		sel, ok := n.(*ast.SelectStmt)
		if !ok || sel == nil {
			return
		}
		s, ok := a.locate(sel)
		if !ok {
			return
		}
		s.sharded = slices.ContainsFunc(a.refs, func(r *ref) bool { return r.sharded() && r.tok >= s.from && r.tok < s.to })
		s.correlated = a.correlated(sel)
		if b := a.blocks[sel]; b != nil {
			if ts, known := a.targets(b); known {
				s.collations = []gather.Collation{}
				for _, t := range ts {
					s.collations = append(s.collations, a.targetCollation(b, t))
				}
			}
		}
		out = append(out, s)
	}
	ast.Rewrite(a.st.tree, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.SubLink:
			if x != nil {
				add(x.Subselect)
			}
		case *ast.RangeSubselect:
			if x != nil && !x.Lateral {
				add(x.Subquery)
			}
		}
		return true
	}, nil)
	slices.SortStableFunc(out, func(x, y subquery) int { return (y.to - y.from) - (x.to - x.from) })
	return out
}

// locate finds the parentheses around a sub-query by the tokens that its tree refers to.
func (a *analysis) locate(sel *ast.SelectStmt) (s subquery, ok bool) {
	least, most := len(a.st.toks), -1
	a.tokens(sel, func(tok int) { least, most = min(least, tok), max(most, tok) })
	if most < 0 {
		return s, false
	}
	for open := least; open >= 0; open-- {
		if !a.st.is(open, "(") || !(a.st.is(open+1, "select") || a.st.is(open+1, "with") || a.st.is(open+1, "values")) {
			continue
		}
		if closing := lex.Match(a.st.sql, a.st.toks, open); closing > most {
			return subquery{from: open + 1, to: closing}, true
		}
	}
	return s, false
}

// tokens calls do for every token that a tree refers to.
func (a *analysis) tokens(n ast.Node, do func(tok int)) {
	name := func(s string) {
		if _, tok := a.st.name(s); tok >= 0 {
			do(tok)
		}
	}
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.RangeVar:
			if x != nil {
				name(x.RelName)
			}
		case *ast.String:
			if x != nil {
				name(x.SVal)
			}
		case *ast.ResTarget:
			if x != nil && x.Name != "" {
				name(x.Name)
			}
		case *ast.A_Const:
			if x != nil {
				if tok, ok := a.st.literal(x); ok {
					do(tok)
				}
			}
		}
		return true
	}, nil)
}

// correlated reports whether a sub-query may refer to what is around it: to a name that is
// nowhere in it, or a column that none of its tables has.
func (a *analysis) correlated(sel *ast.SelectStmt) bool {
	names := map[string]bool{}
	columns := map[string]bool{}
	alias := func(x *ast.Alias) {
		if x == nil {
			return
		}
		n, _ := a.st.name(x.AliasName)
		names[n] = true
		for _, c := range items(x.ColNames) {
			if s, ok := c.(*ast.String); ok {
				col, _ := a.st.name(s.SVal)
				columns[col] = true
			}
		}
	}
	ast.Rewrite(sel, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.RangeVar:
			if x == nil {
				return true
			}
			n, tok := a.st.name(x.RelName)
			names[n] = true
			alias(x.Alias)
			i := slices.IndexFunc(a.refs, func(r *ref) bool { return r.end == tok+1 && r.name == n })
			if i < 0 || a.refs[i].table == nil {
				return true // a WITH query: its columns are outputs in this text, or else unknown
			}
			for _, col := range a.refs[i].table.Columns {
				columns[col.Name] = true
			}
		case *ast.RangeSubselect:
			if x != nil {
				alias(x.Alias)
			}
		case *ast.RangeFunction:
			if x != nil {
				alias(x.Alias)
				if x.Alias != nil {
					n, _ := a.st.name(x.Alias.AliasName)
					columns[n] = true
				}
			}
		case *ast.JoinExpr:
			if x != nil {
				alias(x.Alias)
			}
		case *ast.CommonTableExpr:
			if x != nil {
				n, _ := a.st.name(x.Ctename)
				names[n] = true
			}
		case *ast.ResTarget:
			if x != nil && x.Name != "" {
				n, _ := a.st.name(x.Name)
				columns[n] = true
			}
		}
		return true
	}, nil)
	found := false
	ast.Rewrite(sel, func(c *ast.Cursor) bool {
		x, ok := c.Node().(*ast.ColumnRef)
		if !ok || x == nil {
			return true
		}
		parts, _ := a.st.names(x.Fields)
		switch {
		case parts[0] == "*":
		case len(parts) == 1:
			found = found || !columns[parts[0]] && !names[parts[0]]
		default:
			found = found || !names[parts[0]] && !names[parts[len(parts)-2]]
		}
		return true
	}, nil)
	return found
}

// stageMerge plans a MERGE whose source's rows have to be placed, or read first: they become
// a list of VALUES.
func (a *analysis) stageMerge(c *change, n *ast.MergeStmt) (*steps, error) {
	st := a.st
	list, main, ok := a.bodies(n.WithClause)
	if !ok {
		return nil, nil
	}
	switch x := n.SourceRelation.(type) {
	case *ast.RangeVar:
	case *ast.RangeSubselect:
		if x.Alias == nil || a.settledValues(x) {
			return nil, nil
		}
	default:
		return nil, nil
	}
	src := c.block.by[n.SourceRelation]
	for _, w := range items(n.MergeWhenClauses) {
		if m, isWhen := w.(*ast.MergeWhenClause); !isWhen || m.MatchKind == ast.MERGE_WHEN_NOT_MATCHED_BY_SOURCE {
			return nil, nil
		}
	}
	if slices.ContainsFunc(a.refs, func(r *ref) bool { return r.sharded() && r != c.target && r.block == nil }) {
		return nil, nil
	}
	using, on, depth := -1, -1, 0
	for i := main; i < len(st.toks); i++ {
		switch {
		case st.is(i, "("):
			depth++
		case st.is(i, ")"):
			depth--
		case depth == 0 && using < 0 && st.is(i, "using"):
			using = i
		case depth == 0 && using >= 0 && on < 0 && st.is(i, "on"):
			on = i
		}
	}
	if using < 0 || on < 0 || src == nil {
		return nil, nil
	}
	if slices.ContainsFunc(a.refs, func(r *ref) bool {
		return r.sharded() && r != c.target && (r.tok > on || r.tok < main) && !a.inBodies(list, r.tok)
	}) {
		return nil, nil // conditions and actions that read more
	}
	step := Step{Empty: "MERGE 0", sql: a.prefix(list, using+1, on).str(" SELECT * FROM ").toks(using+1, on)}
	if len(items(n.ReturningList)) > 0 {
		step.Empty = ""
	}
	switch {
	case src.r != nil && src.r.table != nil:
		for _, col := range src.r.table.Columns {
			step.Collations = append(step.Collations, col.Collation)
		}
	case src.sub != nil:
		if ts, known := a.targets(src.sub); known {
			step.Collations = []gather.Collation{}
			for _, t := range ts {
				step.Collations = append(step.Collations, a.targetCollation(src.sub, t))
			}
		}
	}
	last := template{}.toks(main, using+1)
	last = append(last, chunkOf(gather.Values, 0)).str(" AS " + quoteIdent(src.alias))
	last = append(last, chunkOf(gather.Names, 0)).str(" ").toks(on, len(st.toks))
	return &steps{list: []Step{step}, last: last, why: "the source's rows are read first, and placed by their keys"}, nil
}

// settledValues reports whether a sub-query is a list of VALUES all of whose values have a cast,
// which is what a step makes of others.
func (a *analysis) settledValues(x *ast.RangeSubselect) bool {
	if !isValues(x) {
		return false
	}
	for _, row := range items(x.Subquery.(*ast.SelectStmt).ValuesLists) {
		list, ok := row.(*ast.NodeList)
		if !ok {
			return false
		}
		for _, v := range list.Items {
			if _, cast := v.(*ast.TypeCast); !cast {
				return false
			}
		}
	}
	return true
}

// alike reports whether each row of VALUES has the same types by itself as among the others:
// a string without a type takes that of the values above and below it.
func (a *analysis) alike(rows []ast.Node) bool {
	kind := func(n ast.Node) string {
		switch n := unparen(n).(type) {
		case *ast.ParamRef:
			return ""
		case *ast.TypeCast:
			if n.TypeName != nil {
				parts, _ := a.st.names(n.TypeName.Names)
				return strings.Join(append(parts, itoa(len(items(n.TypeName.ArrayBounds))), itoa(len(items(n.TypeName.Typmods)))), " ")
			}
		}
		o, ok := a.operandOf(n)
		switch {
		case !ok || o.typ != 0 || o.id:
			return "?"
		case o.null || a.st.toks[o.tok].Kind == lex.String:
			return "unknown"
		}
		return itoa(int(numberType(a.st.toks[o.tok].Text(a.st.sql))))
	}
	var first []string
	for i, r := range rows {
		list, ok := r.(*ast.NodeList)
		if !ok || i > 0 && len(list.Items) != len(first) {
			return false
		}
		for j, v := range list.Items {
			k := kind(v)
			switch {
			case i == 0:
				first = append(first, k)
			case first[j] == "":
				first[j] = k
			case k == "" || k == first[j] && k != "?":
			default:
				return false
			}
		}
	}
	if len(rows) == 1 {
		return true
	}
	for _, r := range rows { // what the plan depends on
		for _, v := range r.(*ast.NodeList).Items {
			if tok, ok := a.st.literal(unparen(v)); ok && a.st.toks[tok].Kind == lex.Number {
				a.pin(tok)
			}
		}
	}
	return true
}

// mergeValues splits a MERGE whose source is a list of VALUES with the key that it joins by:
// each shard gets the rows that its own can match. It returns nil if there is no need, or no
// way.
func (a *analysis) mergeValues(n *ast.MergeStmt, c *change) *insertPlan {
	x, ok := n.SourceRelation.(*ast.RangeSubselect)
	if !ok || !isValues(x) || n.WithClause != nil || a.otherSharded(c) || c.target.key == nil || len(c.block.sources) != 2 {
		return nil
	}
	target, src := c.block.sources[0], c.block.sources[1]
	var at []int
	for _, k := range c.target.key.Columns {
		i := slices.IndexFunc(src.columns, func(col string) bool {
			return same(c.block.pairs, column{src, col}, column{target, k})
		})
		if i < 0 {
			return nil
		}
		at = append(at, i)
	}
	for _, w := range items(n.MergeWhenClauses) {
		if m, isWhen := w.(*ast.MergeWhenClause); !isWhen || m.MatchKind == ast.MERGE_WHEN_NOT_MATCHED_BY_SOURCE {
			return nil
		}
	}
	sel := x.Subquery.(*ast.SelectStmt)
	if !a.alike(items(sel.ValuesLists)) {
		return nil
	}
	if sel.SortClause != nil || sel.LimitCount != nil || sel.LimitOffset != nil || sel.WithClause != nil {
		return nil
	}
	for i := c.target.end; i > 0 && i < len(a.st.toks); i++ {
		if a.st.is(i, "using") && a.st.is(i+1, "(") && a.st.is(i+2, "values") {
			ip, err := a.valueRows(i+2, items(sel.ValuesLists), c.target.key, at)
			if err != nil {
				return nil
			}
			return ip
		}
	}
	return nil
}

func (a *analysis) inBodies(list []body, tok int) bool {
	return slices.ContainsFunc(list, func(b body) bool { return tok >= b.from && tok < b.to })
}

// isValues reports whether a sub-query is a list of VALUES already.
func isValues(x *ast.RangeSubselect) bool {
	sel, ok := x.Subquery.(*ast.SelectStmt)
	return ok && sel != nil && len(items(sel.ValuesLists)) > 0
}

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
			o, plain := a.operandOf(value)
			plain = plain && (!every || o.typ != 0 || o.null || o.id)
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
			step.sql = template{}.str("SELECT (v)::"+typ+", pg_catalog.pg_typeof(v)::oid, pg_catalog.pg_typeof(v)::text FROM (SELECT ").
				toks(ranges[i].From, ranges[i].To).str(" AS v OFFSET 0) s")
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
