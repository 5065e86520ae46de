package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// pull plans a query that no shard can answer a part of: what it needs of the sharded tables
// is fetched, and one server runs the client's text over it.
func (a *analysis) pull(b *block, why string) (*multi, error) {
	no := func(reason string) error {
		return refuse(orSay(why, "the query needs rows of several shards")+", and they cannot be fetched: "+reason,
			"restrict the query to one sharding key, join on the sharding key, or name the shard by a comment")
	}
	if a.locks {
		return nil, no("they would not be locked")
	}
	if a.longNames() {
		return nil, no("columns are named with the schema of their table (give the table an alias)")
	}
	words := map[string]bool{}
	everything := a.renamedJoin()
	for i, t := range a.st.toks {
		switch {
		case t.Kind == lex.Word || t.Kind == lex.Quoted:
			words[t.Ident(a.st.sql)] = true
			everything = everything || t.Is(a.st.sql, "natural")
		case t.Kind == lex.QuotedUnicode:
			everything = true
		case t.Is(a.st.sql, "*") && (a.st.is(i-1, ".") || a.st.is(i-1, ",") || a.st.is(i-1, "select") || a.st.is(i-1, "all") || a.st.is(i-1, "distinct") || a.st.is(i-1, ")")):
			everything = true
		}
	}
	if c, ok := a.st.clauses(); ok && a.st.is(c.list, "*") {
		everything = true
	}
	m := &multi{spec: &gather.Spec{Kind: gather.Pull, Finish: &gather.Finish{}}, why: orSay(why, "no shard can answer a part") + ": the rows are fetched"}
	var subs []substitution
	for _, r := range a.refs {
		if !r.sharded() {
			continue
		}
		switch {
		case r.tok < 0:
			return nil, no("table " + r.name + " could not be found in the text (quote its name)")
		case r.view != nil && r.blind:
			return nil, no("view " + r.name + ": " + r.why)
		case r.table == nil:
			return nil, no("the columns of table " + r.name + " are not known")
		case a.st.is(r.tok-1, "only") || a.st.is(r.end, "*"):
			return nil, no("inheritance of table " + r.name)
		}
		from, to, ok := a.sampleClause(r)
		if !ok {
			return nil, no("TABLESAMPLE could not be found in the text")
		}
		rel := gather.Relation{}
		alias := r.name
		if r.alias {
			at := r.end
			if a.st.is(at, "as") {
				at++
			}
			if at >= len(a.st.toks) {
				return nil, no("the alias of table " + r.name)
			}
			alias = a.st.toks[at].Ident(a.st.sql)
		}
		whole := a.wholeRow(alias) && r.table.Column(alias) < 0
		all := whole || everything || a.columnAliases(r)
		order := r.viewed(whole)
		var names []string
		for _, c := range r.table.Columns {
			if all || words[c.Name] || slices.ContainsFunc(order, func(o viewOrder) bool { return o.column == c.Name }) {
				rel.Columns = append(rel.Columns, gather.RelationColumn{Name: c.Name, Collation: c.Collation})
				names = append(names, "t."+quoteIdent(c.Name))
			}
		}
		if len(names) == 0 {
			c := r.table.Columns[0]
			rel.Columns = append(rel.Columns, gather.RelationColumn{Name: c.Name, Collation: c.Collation})
			names = append(names, "t."+quoteIdent(c.Name))
		}
		list := strings.Join(names, ", ")
		if whole {
			// A function that returns a table's type has whole rows of that type, as the table has.
			rel.Row = quoteIdent(r.table.Schema) + "." + quoteIdent(r.table.Name)
			rel.Columns = []gather.RelationColumn{{Name: alias}}
			list = "ROW(" + list + ")::pg_catalog.text"
		}
		sql := template{}.str("SELECT "+list+" FROM ").toks(r.tok, r.end).str("AS t")
		if r.sampled {
			sql = sql.str(" ").toks(from, to)
		}
		sql = sql.add(a.pushed(b, r))
		at := len(m.relations)
		m.relations = append(m.relations, relation{ref: r, sql: sql})
		m.spec.Finish.Relations = append(m.spec.Finish.Relations, rel)
		by := template{{piece: &gather.Piece{Kind: gather.Source, Relation: at}}}
		for i, o := range order {
			if i == 0 {
				by = template{}.str("(SELECT * FROM ").add(by).str(" AS t ORDER BY ")
			} else {
				by = by.str(", ")
			}
			by = by.str("t." + quoteIdent(o.column) + o.direction())
			if i == len(order)-1 {
				by = by.str(")")
			}
		}
		if !r.alias {
			by = by.str(" AS " + quoteIdent(r.name))
		}
		subs = append(subs, substitution{r.tok, r.end, by.str(" ")})
		if r.sampled {
			subs = append(subs, substitution{from, to, template{}.str(" ")})
		}
	}
	if len(m.relations) == 0 {
		return nil, no("there is nothing to fetch")
	}
	m.finish = replaced(0, len(a.st.toks), sortSubs(subs))
	return m, nil
}

// sampleClause finds TABLESAMPLE behind a table and its alias; it is empty if there is none.
func (a *analysis) sampleClause(r *ref) (from, to int, ok bool) {
	if !r.sampled {
		return 0, 0, true
	}
	st := a.st
	at := r.end
	if r.alias {
		if st.is(at, "as") {
			at++
		}
		if at++; st.is(at, "(") {
			at = lex.Match(st.sql, st.toks, at) + 1
		}
	}
	if r.tok < 0 || at <= 0 || !st.is(at, "tablesample") {
		return 0, 0, false
	}
	from = at
	arguments := func() bool {
		for at < len(st.toks) && !st.is(at, "(") {
			at++
		}
		at = lex.Match(st.sql, st.toks, at) + 1
		return at > 0
	}
	if !arguments() {
		return 0, 0, false
	}
	if st.is(at, "repeatable") && !arguments() {
		return 0, 0, false
	}
	return from, at, true
}

// wholeRow reports whether a name is used as a column reference of its own.
func (a *analysis) wholeRow(alias string) bool {
	found := false
	ast.Rewrite(a.st.tree, func(c *ast.Cursor) bool {
		if x, ok := c.Node().(*ast.ColumnRef); ok && x != nil {
			parts, _ := a.st.names(x.Fields)
			found = found || len(parts) == 1 && parts[0] == alias
		}
		return true
	}, nil)
	return found
}

// columnAliases reports whether r has an alias with a list of column names, which count.
func (a *analysis) columnAliases(r *ref) bool {
	if !r.alias {
		return false
	}
	at := r.end
	if a.st.is(at, "as") {
		at++
	}
	return a.st.is(at+1, "(")
}

// renamedJoin reports whether a join gives names to all columns of what it joins, by their order.
func (a *analysis) renamedJoin() bool {
	found := false
	ast.Rewrite(a.st.tree, func(c *ast.Cursor) bool {
		if j, ok := c.Node().(*ast.JoinExpr); ok && j != nil && j.Alias != nil {
			found = found || len(items(j.Alias.ColNames)) > 0
		}
		return true
	}, nil)
	return found
}

// longNames reports columns named with table and schema, as no fetched row can be.
func (a *analysis) longNames() bool {
	found := false
	ast.Rewrite(a.st.tree, func(c *ast.Cursor) bool {
		if x, ok := c.Node().(*ast.ColumnRef); ok && x != nil {
			parts, _ := a.st.names(x.Fields)
			found = found || len(parts) > 2
		}
		return true
	}, nil)
	return found
}

// pushed are the conditions of the outermost WHERE that concern r alone: they can be left to
// the shards, so that fewer rows are fetched. They stay in the text, too.
func (a *analysis) pushed(b *block, r *ref) template {
	c, ok := a.st.clauses()
	if !ok || c.where < 0 || b.left != nil || r.block != b || !a.innerRef(b, r) {
		return nil
	}
	end := c.after(c.group, c.having, c.window, c.order, c.limit, c.lock)
	var nodes []ast.Node
	switch x := b.sel.WhereClause.(type) {
	case *ast.BoolExpr:
		nodes = []ast.Node{x}
		if x.Boolop == ast.AND_EXPR {
			nodes = flatten(x)
		}
	default:
		nodes = []ast.Node{x}
	}
	ranges := a.st.split(c.where+1, end, "and")
	if len(ranges) != len(nodes) {
		return nil // BETWEEN … AND, for instance
	}
	var out template
	for i, n := range nodes {
		var subs []substitution
		mine, any := true, false
		ast.Rewrite(n, func(cur *ast.Cursor) bool {
			switch x := cur.Node().(type) {
			case *ast.SubLink:
				mine = false
			case *ast.FuncCall:
				if x != nil {
					parts, _ := a.st.names(x.Funcname)
					t := a.traits(&call{name: parts[len(parts)-1]})
					mine = mine && !t.volatile && !t.opaque
				}
			case *ast.ColumnRef:
				if x == nil {
					return true
				}
				col, ok := a.column(b, x)
				parts, tok := a.st.names(x.Fields)
				if !ok || col.src.r != r || tok < 0 || r.table.Column(col.name) < 0 {
					mine = false
					return true
				}
				any = true
				subs = append(subs, substitution{tok, tok + 2*len(parts) - 1, template{}.str("t." + quoteIdent(col.name))})
			}
			return true
		}, nil)
		if !mine || !any {
			continue
		}
		sep := " AND ("
		if out == nil {
			sep = " WHERE ("
		}
		out = out.str(sep).add(replaced(ranges[i].From, ranges[i].To, sortSubs(subs))).str(")")
	}
	return out
}

func flatten(x *ast.BoolExpr) []ast.Node {
	var out []ast.Node
	for _, n := range items(x.Args) {
		if y, ok := n.(*ast.BoolExpr); ok && y.Boolop == ast.AND_EXPR {
			out = append(out, flatten(y)...)
			continue
		}
		out = append(out, n)
	}
	return out
}

// innerRef reports whether r stands in b's FROM with only inner joins above it.
func (a *analysis) innerRef(b *block, r *ref) bool {
	var inner func(n ast.Node) bool
	inner = func(n ast.Node) bool {
		if j, ok := n.(*ast.JoinExpr); ok {
			return j.Jointype == ast.JOIN_INNER && (inner(j.Larg) || inner(j.Rarg))
		}
		s := b.by[n]
		return s != nil && s.r == r
	}
	return slices.ContainsFunc(items(b.sel.FromClause), inner)
}
