package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// An analysis finds out how a statement's tables are divided.
type analysis struct {
	st      *statement
	layout  *sharding.Layout
	snap    *schema.Snapshot
	path    []string
	primary PrimaryKey
	inside  []*schema.Table
	refs    []*ref
	// virtual are the refs that stand for sub-queries.
	virtual []*ref
	calls   []*call
	writers []writer
	blocks  map[*ast.SelectStmt]*block
	writes  bool  // a WITH clause writes
	locks   bool  // FOR UPDATE or SHARE
	into    bool  // SELECT INTO
	system  bool  // refers to system columns such as ctid
	params  int   // the greatest parameter
	pins    []int // literals whose values the plan depends on
	differs error // a table is not the same on all shards
	views   views
	// of the views that it reads: they depend on the clock, read catalogs, have other rows each time
	clocks, catalog, fickle bool
	behindView              error // why a view cannot be written
}

// differs refuses a table that is not the same on all shards: the same statement would mean
// different things there.
func differs(t *schema.Table) error {
	e := wire.Errorf("55000", "table %s.%s is not the same on all shards: %s", t.Schema, t.Name, t.Differs)
	e.Hint = "Make it the same by ALTER TABLE on the shard, which a comment such as /* pgdog_shard: 1 */ names."
	return e
}

// maxDepth bounds the nesting of queries.
const maxDepth = 64

// table makes the ref of a table, or finds the CTE that the name means.
func (a *analysis) table(b *block, v *ast.RangeVar) (*ref, *cte) {
	name, tok := a.st.name(v.RelName)
	schemaName, start := "", tok
	if v.SchemaName != "" {
		schemaName, start = a.st.name(v.SchemaName)
	} else {
		for up := b; up != nil; up = up.parent {
			if c, ok := up.ctes[name]; ok {
				return nil, c
			}
		}
	}
	if tok < 0 {
		tok = a.only(name)
		if schemaName == "" {
			start = tok
		}
	}
	r := &ref{id: len(a.refs), schema: schemaName, name: name, tok: start, end: tok + 1, block: b, alias: v.Alias != nil}
	if v.SchemaName != "" && (start < 0 || tok < 0) {
		r.tok, r.end = -1, -1
	}
	r.table = a.snap.Table(schemaName, name, a.path)
	var columns []string
	if r.table != nil {
		r.schema, columns = r.table.Schema, r.table.Names()
	} else if r.schema == "" && len(a.path) > 0 {
		r.schema = a.path[0]
	}
	if r.table != nil && r.table.Differs != "" && a.differs == nil {
		a.differs = differs(r.table)
	}
	r.place = a.layout.Find(r.schema, name, columns)
	a.place(r)
	a.refs = append(a.refs, r)
	return r, nil
}

// place finds how the rows of a table are divided that the layout has found a place for.
func (a *analysis) place(r *ref) {
	if r.table != nil && r.table.Parent != nil && r.place.Omni() {
		// A partition is where its table is.
		r.place = a.layout.Find(r.table.Parent.Schema, r.table.Parent.Name, r.table.Parent.Names())
	}
	system := r.table != nil && (r.table.Schema == "pg_catalog" || r.table.Schema == "information_schema")
	switch {
	case system:
		r.place = a.layout.System(r.name)
		r.key = r.place.Key
	case r.table.View():
		a.lookInto(r)
	default:
		if r.key = typed(r.place.Key, r.table); r.place.Key != nil && r.key == nil {
			r.blind, r.why = true, "the key of table "+r.name+" is configured with another type than its column has"
		}
	}
}

// only is the token of a word that stands only once in the statement, or -1.
func (a *analysis) only(word string) int {
	found := -1
	for i, t := range a.st.toks {
		if t.Is(a.st.sql, word) {
			if found >= 0 {
				return -1
			}
			found = i
		}
	}
	return found
}

// typed is key with the column types of the table, which the schema knows better; nil if
// they do not go together, or equality is not that of the bytes.
func typed(key *sharding.Key, t *schema.Table) *sharding.Key {
	if key == nil || t == nil || key.PerShard() {
		return key
	}
	types := make([]hash.OID, len(key.Columns))
	for i, name := range key.Columns {
		c := t.Column(name)
		if c < 0 || t.Columns[c].Collation.Nondeterministic {
			return nil
		}
		types[i] = t.Columns[c].Type
	}
	k, err := key.WithTypes(types)
	if err != nil {
		return nil
	}
	return k
}

// query analyses a SELECT, VALUES or set operation.
func (a *analysis) query(sel *ast.SelectStmt, parent *block, depth int) (*block, dist, error) {
	b := &block{parent: parent, sel: sel, depth: depth, by: map[ast.Node]*source{}, merged: map[string]*source{}}
	if a.blocks == nil {
		a.blocks = map[*ast.SelectStmt]*block{}
	}
	a.blocks[sel] = b
	if depth > maxDepth {
		return nil, dist{}, refuse("queries are nested too deeply", "simplify the statement")
	}
	if err := a.with(b, sel.WithClause); err != nil {
		return nil, dist{}, err
	}
	a.locks = a.locks || len(items(sel.LockingClause)) > 0
	a.into = a.into || sel.IntoClause != nil
	a.pinPositions(sel)
	if sel.Op != ast.SETOP_NONE {
		d, err := a.setOperation(b, sel)
		return b, d, err
	}
	if err := a.from(b, items(sel.FromClause), sel.WhereClause); err != nil {
		return nil, dist{}, err
	}
	d := a.result(b, sel)
	rest := []ast.Node{
		sel.TargetList, sel.GroupClause, sel.HavingClause, sel.WindowClause, sel.SortClause,
		sel.LimitCount, sel.LimitOffset, sel.DistinctClause, sel.ValuesLists,
	}
	for _, n := range rest {
		if err := a.expression(b, n, false); err != nil {
			return nil, dist{}, err
		}
	}
	if b.bad != "" {
		d = dist{kind: mixed, why: b.bad}
	}
	return b, d, nil
}

// from analyses FROM items and the WHERE that goes with them.
func (a *analysis) from(b *block, list []ast.Node, where ast.Node) error {
	for _, item := range list {
		if err := a.declare(b, item); err != nil {
			return err
		}
	}
	inner := a.equalities(b, where, nil)
	a.restrict(b, where, b.sources)
	a.innerPairs(b, list, &inner)
	var p part
	for i, item := range list {
		q, err := a.join(b, item, inner)
		if err != nil {
			return err
		}
		if i == 0 {
			p = q
		} else {
			p = combineInner(inner, p, q)
		}
	}
	b.part = p
	a.edges(b, inner, b.sources)
	b.pairs = inner
	return a.expression(b, where, true)
}

// innerPairs adds the equalities of inner joins at the top of FROM, which hold for all rows.
func (a *analysis) innerPairs(b *block, list []ast.Node, pairs *[][2]column) {
	for _, n := range list {
		j, ok := n.(*ast.JoinExpr)
		if !ok || j.Jointype != ast.JOIN_INNER {
			continue
		}
		*pairs = append(*pairs, a.joinPairs(b, j)...)
		a.innerPairs(b, []ast.Node{j.Larg, j.Rarg}, pairs)
	}
}

// joinPairs are the equalities of ON or USING.
func (a *analysis) joinPairs(b *block, j *ast.JoinExpr) [][2]column {
	var pairs [][2]column
	if j.Quals != nil {
		defer b.on(j)()
		pairs = a.equalities(b, j.Quals, pairs)
	}
	for _, u := range items(j.UsingClause) {
		str, ok := u.(*ast.String)
		if !ok {
			continue
		}
		name, _ := a.st.name(str.SVal)
		l, r := a.side(b, j.Larg, name), a.side(b, j.Rarg, name)
		if !slices.Contains(b.using, name) { // what merges it last goes before what merged it below
			b.using = append(b.using, name)
			switch j.Jointype {
			case ast.JOIN_INNER, ast.JOIN_LEFT:
				b.merged[name] = l
			case ast.JOIN_RIGHT:
				b.merged[name] = r
			default:
				b.merged[name] = nil
			}
		}
		if l != nil && r != nil {
			pairs = append(pairs, [2]column{{l, name}, {r, name}})
		}
	}
	return pairs
}

// within lists the sources in a FROM item.
func (a *analysis) within(b *block, n ast.Node, out []*source) []*source {
	if j, ok := n.(*ast.JoinExpr); ok {
		return a.within(b, j.Rarg, a.within(b, j.Larg, out))
	}
	if s := b.by[n]; s != nil {
		out = append(out, s)
	}
	return out
}

// join finds the division of a FROM item.
func (a *analysis) join(b *block, n ast.Node, inner [][2]column) (part, error) {
	j, ok := n.(*ast.JoinExpr)
	if !ok {
		return b.by[n].part(), nil
	}
	pairs := a.joinPairs(b, j)
	left, right := a.within(b, j.Larg, nil), a.within(b, j.Rarg, nil)
	below := pairs
	if j.Jointype == ast.JOIN_INNER {
		below = append(slices.Clone(inner), pairs...)
	}
	lp, err := a.join(b, j.Larg, below)
	if err != nil {
		return part{}, err
	}
	rp, err := a.join(b, j.Rarg, below)
	if err != nil {
		return part{}, err
	}
	defer b.on(j)()
	if j.Quals != nil {
		if err := a.expression(b, j.Quals, j.Jointype == ast.JOIN_INNER); err != nil {
			return part{}, err
		}
	}
	switch j.Jointype {
	case ast.JOIN_INNER:
		a.restrict(b, j.Quals, append(slices.Clone(left), right...))
		a.edges(b, pairs, append(slices.Clone(left), right...))
		return combineInner(below, lp, rp), nil
	case ast.JOIN_LEFT:
		a.restrict(b, j.Quals, right)
		a.edges(b, pairs, right)
		return combineOuter(pairs, lp, rp, false), nil
	case ast.JOIN_RIGHT:
		a.restrict(b, j.Quals, left)
		a.edges(b, pairs, left)
		return combineOuter(pairs, rp, lp, false), nil
	}
	return combineOuter(pairs, lp, rp, true), nil
}

// restrict notes what a condition that drops rows of sources says of their keys.
func (a *analysis) restrict(b *block, n ast.Node, sources []*source) {
	if n == nil {
		return
	}
	for _, s := range sources {
		if r := s.ref(); r != nil && r.key != nil {
			if c := a.cond(b, n, r); c.op != condAll {
				r.conds = append(r.conds, c)
			}
		}
	}
}

// edges notes that rows of sources match only rows with the same key of other tables: where
// those are bounds where these are.
func (a *analysis) edges(b *block, pairs [][2]column, sources []*source) {
	for _, s := range sources {
		r := s.ref()
		if r == nil || r.key == nil {
			continue
		}
		for _, p := range pairs {
			for _, c := range p {
				o := c.ref()
				if o == nil || o == r || o.key == nil || !o.key.Colocated(r.key) || slices.Contains(r.from, o) {
					continue
				}
				whole := true
				for i := range r.key.Columns {
					whole = whole && same(pairs, column{s, r.key.Columns[i]}, column{c.src, o.key.Columns[i]})
				}
				if whole {
					r.from = append(r.from, o)
				}
			}
		}
	}
}

// with analyses a WITH clause.
func (a *analysis) with(b *block, w *ast.WithClause) error {
	if w == nil {
		return nil
	}
	b.ctes = map[string]*cte{}
	for _, item := range items(w.Ctes) {
		e, ok := item.(*ast.CommonTableExpr)
		if !ok {
			continue
		}
		name, _ := a.st.name(e.Ctename)
		c := &cte{}
		if w.Recursive {
			c.d = dist{kind: anywhere}
			b.ctes[name] = c
		}
		before := len(a.refs)
		if sel, isSelect := e.Ctequery.(*ast.SelectStmt); isSelect {
			inner, d, err := a.query(sel, b, b.depth+1)
			if err != nil {
				return err
			}
			c.d, c.columns = d, a.outputs(inner)
			if d.kind == anywhere && a.unstable(sel) {
				c.d = dist{kind: mixed, why: "a WITH query may give other rows on each shard"}
			}
			if w.Recursive {
				c.d = dist{kind: anywhere}
				for _, r := range a.refs[before:] {
					if r.sharded() {
						c.d = dist{kind: mixed, why: "a recursive query reads sharded tables"}
					}
				}
			}
		} else {
			a.writes = true
			c.d = dist{kind: mixed, why: "a WITH query writes"}
			change, err := a.target(b, e.Ctequery)
			if err != nil {
				return err
			}
			a.writers = append(a.writers, writer{name, change, before, len(a.refs), e})
		}
		if cols := items(e.Aliascolnames); cols != nil {
			c.columns = slices.Clone(c.columns)
			for i, s := range cols {
				if s, ok := s.(*ast.String); ok && i < len(c.columns) {
					c.columns[i], _ = a.st.name(s.SVal)
				}
			}
		}
		b.ctes[name] = c
	}
	return nil
}

// pinPositions notes the literals that stand for output columns, and all literals where
// expressions are compared with those of GROUP BY: a plan is good for the same ones only.
func (a *analysis) pinPositions(sel *ast.SelectStmt) {
	for _, n := range items(sel.SortClause) {
		if s, ok := n.(*ast.SortBy); ok {
			a.position(s.Node)
		}
	}
	for _, n := range items(sel.DistinctClause) {
		if !isNil(n) {
			a.position(n)
		}
	}
	for _, n := range items(sel.GroupClause) {
		if _, isPos := a.position(n); isPos {
			continue
		}
		if _, isCol := unparen(n).(*ast.ColumnRef); isCol {
			continue
		}
		for i, t := range a.st.toks {
			if t.Literal() {
				a.pin(i)
			}
		}
		return
	}
}
