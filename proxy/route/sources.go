package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

func (a *analysis) setOperation(b *block, sel *ast.SelectStmt) (dist, error) {
	left, dl, err := a.query(sel.Larg, b, b.depth+1)
	if err != nil {
		return dist{}, err
	}
	right, dr, err := a.query(sel.Rarg, b, b.depth+1)
	if err != nil {
		return dist{}, err
	}
	b.left, b.right = left, right
	keyed := dl.out != nil && slices.Equal(dl.out, dr.out) && dl.key.Colocated(dr.key)
	d := dist{kind: mixed, why: "a set operation compares rows of different shards"}
	switch {
	case dl.kind == mixed:
		d.why = dl.why
	case dr.kind == mixed:
		d.why = dr.why
	case dl.kind == anywhere && dr.kind == anywhere:
		d = dist{kind: anywhere}
	case dl.kind != dr.kind:
	case keyed: // equal rows are on one shard, whatever the operation
		d = dist{kind: parted, key: dl.key, out: dl.out}
	case sel.Op == ast.SETOP_UNION && sel.All:
		d = dist{kind: parted}
	case sel.Op == ast.SETOP_UNION:
		b.union = true // the merger can do it at the top
	}
	if d.kind == parted && (sel.LimitCount != nil || sel.LimitOffset != nil) {
		b.limited = true
		d.kind, d.why = mixed, "a LIMIT counts rows of all shards"
	}
	if b.union {
		d.why = "equal rows of a UNION may come from several shards"
	}
	for _, n := range []ast.Node{sel.SortClause, sel.LimitCount, sel.LimitOffset} {
		if err := a.expression(b, n, false); err != nil {
			return d, err
		}
	}
	return d, nil
}

// declare adds the names of a FROM item.
func (a *analysis) declare(b *block, n ast.Node) error {
	s := &source{}
	var alias *ast.Alias
	switch n := n.(type) {
	case *ast.JoinExpr:
		return a.declareJoin(b, n)
	case *ast.RangeVar:
		r, c := a.table(b, n)
		s.r, alias = r, n.Alias
		if r != nil {
			s.alias = r.name
			if r.table != nil {
				s.columns = r.table.Names()
			}
		} else {
			s.alias, _ = a.st.name(n.RelName)
			s.columns, s.d = c.columns, c.d
		}
	case *ast.RangeSubselect:
		sel, ok := n.Subquery.(*ast.SelectStmt)
		if !ok {
			return refuse("a sub-query of this kind cannot be routed", "rewrite it as a SELECT")
		}
		parent := b
		if !n.Lateral {
			// What stands beside it in FROM is not visible.
			parent = &block{parent: b.parent, ctes: b.ctes, depth: b.depth}
		}
		inner, d, err := a.query(sel, parent, b.depth+1)
		if err != nil {
			return err
		}
		s.sub, s.d, alias = inner, d, n.Alias
		s.columns = a.outputs(inner)
		if n.Lateral && d.kind == parted {
			s.d = dist{kind: mixed, why: "a LATERAL sub-query reads a sharded table"}
		}
		if d.kind == anywhere && a.unstable(sel) {
			s.d = dist{kind: mixed, why: "a sub-query may give other rows on each shard"}
		}
	case *ast.RangeFunction:
		if alias = n.Alias; alias == nil {
			s.alias = a.functionAlias(n)
		}
		if err := a.expression(b, n.Functions, false); err != nil {
			return err
		}
		if a.unstable(n.Functions) {
			s.d = dist{kind: mixed, why: "a function in FROM may give other rows on each shard"}
		}
	case *ast.RangeTableSample:
		return a.sample(b, n)
	default:
		// XMLTABLE and its like.
		s.d = dist{kind: mixed, why: "a FROM item of this kind cannot be divided"}
		if err := a.opaque(b, n); err != nil {
			return err
		}
	}
	a.alias(s, alias)
	if s.d.kind == parted && s.d.out != nil && s.columns != nil {
		names := make([]string, len(s.d.out))
		for i, at := range s.d.out {
			names[i] = s.columns[at]
		}
		s.virtual = &ref{id: -1, key: s.d.key.Rename(names)}
		if s.sub != nil && s.sub.left == nil {
			bind(s.sub.part.members, []*ref{s.virtual})
			bind([]*ref{s.virtual}, s.sub.part.members[:1])
		}
		a.virtual = append(a.virtual, s.virtual)
	}
	b.by[n] = s
	b.sources = append(b.sources, s)
	b.names = append(b.names, visible{alias: s.alias, sources: []*source{s}})
	return nil
}

// sample adds the names of a table with TABLESAMPLE. A sample of each shard's rows, all of which
// have the same chance, is a sample of all rows; REPEATABLE repeats it on each shard. But the
// copies of one table would give different samples, and so other rows to join on each shard.
func (a *analysis) sample(b *block, n *ast.RangeTableSample) error {
	for _, list := range []ast.Node{n.Args, n.Repeatable} {
		if err := a.expression(b, list, false); err != nil {
			return err
		}
	}
	if err := a.declare(b, n.Relation); err != nil {
		return err
	}
	s := b.by[n.Relation]
	if s == nil {
		return nil
	}
	if s.r != nil {
		s.r.sampled = true
	}
	b.by[n] = s
	return nil
}

// opaque notes the tables of a FROM item that is not looked into.
func (a *analysis) opaque(b *block, n ast.Node) error {
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		if v, ok := c.Node().(*ast.RangeVar); ok && v != nil {
			a.table(b, v)
		}
		return true
	}, nil)
	return nil
}

// alias gives a source its alias, and its columns theirs.
func (a *analysis) alias(s *source, alias *ast.Alias) {
	if alias == nil {
		return
	}
	s.alias, _ = a.st.name(alias.AliasName)
	cols := items(alias.ColNames)
	if len(cols) == 0 || s.columns == nil {
		if len(cols) > 0 && s.r != nil && s.r.key != nil {
			s.r.key = s.r.key.Rename(make([]string, len(s.r.key.Columns)))
		}
		return
	}
	old := s.columns
	s.columns = slices.Clone(old)
	for i, c := range cols {
		if str, ok := c.(*ast.String); ok && i < len(s.columns) {
			s.columns[i], _ = a.st.name(str.SVal)
		}
	}
	if s.r != nil && s.r.key != nil {
		names := slices.Clone(s.r.key.Columns)
		for i, name := range names {
			if at := slices.Index(old, name); at >= 0 {
				names[i] = s.columns[at]
			}
		}
		s.r.key = s.r.key.Rename(names)
	}
}
