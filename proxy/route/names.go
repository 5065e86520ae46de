package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// A visible is what a name of FROM stands for where it can be used: a source, or a join with an alias
// of its own, which hides the names of what it joins (ParseNamespaceItem in parse_node.h).
type visible struct {
	alias   string
	join    bool
	sources []*source // what its columns are of; of a join USING … AS none
	renamed bool      // the columns have other names, which are not looked into
}

// declareJoin adds the names of a join.
func (a *analysis) declareJoin(b *block, n *ast.JoinExpr) error {
	before, sources := len(b.names), len(b.sources)
	for _, side := range []ast.Node{n.Larg, n.Rarg} {
		if err := a.declare(b, side); err != nil {
			return err
		}
	}
	b.natural = b.natural || n.IsNatural
	if b.scopes == nil {
		b.scopes = map[*ast.JoinExpr][]visible{}
	}
	inside := slices.Clone(b.names[before:])
	b.scopes[n] = inside
	if n.JoinUsingAlias != nil {
		name, _ := a.st.name(n.JoinUsingAlias.AliasName)
		b.names = append(b.names, visible{alias: name, join: true})
	}
	if n.Alias != nil {
		v := visible{join: true, sources: slices.Clone(b.sources[sources:])}
		v.alias, _ = a.st.name(n.Alias.AliasName)
		v.renamed = len(items(n.Alias.ColNames)) > 0 || slices.ContainsFunc(inside, func(x visible) bool { return x.renamed })
		b.names = append(b.names[:before], v)
	}
	return nil
}

// on leaves only those names that the ON of a join may use: not what stands beside the join in FROM,
// whose names may mean something around the query there. The function that it returns ends that.
func (b *block) on(j *ast.JoinExpr) func() {
	all := b.names
	b.names = b.scopes[j]
	return func() { b.names = all }
}

// column resolves a column reference in b or around it. What it does not find may be anything.
func (a *analysis) column(b *block, n ast.Node) (column, bool) {
	c, ok := n.(*ast.ColumnRef)
	if !ok {
		return column{}, false
	}
	parts, _ := a.st.names(c.Fields)
	name := parts[len(parts)-1]
	if name == "*" || name == "" {
		return column{}, false
	}
	if len(parts) > 1 {
		for ; b != nil; b = b.parent {
			v, found := b.named(parts[:len(parts)-1])
			if found != 1 {
				if found > 1 {
					return column{}, false
				}
				continue
			}
			if !v.join {
				return column{v.sources[0], name}, true
			}
			s, _ := v.only(name)
			return column{s, name}, s != nil
		}
		return column{}, false
	}
	for ; b != nil; b = b.parent {
		if s, merged := b.merged[name]; merged {
			good := s != nil && slices.ContainsFunc(b.names, func(v visible) bool { return slices.Contains(v.sources, s) }) &&
				!slices.ContainsFunc(b.names, func(v visible) bool { return v.renamed })
			return column{s, name}, good
		}
		var found *source
		unknown := false
		for _, v := range b.names {
			if v.join && len(v.sources) == 0 {
				continue // its columns have no other names without it
			}
			s, known := v.only(name)
			switch {
			case !known && len(b.names) == 1 && !v.join && b.parent == nil:
				return column{v.sources[0], name}, true
			case !known:
				unknown = true
			case s != nil && found != nil:
				return column{}, false // merged by NATURAL, or ambiguous
			case s != nil:
				found = s
			}
		}
		if unknown {
			return column{}, false
		}
		if found != nil {
			return column{found, name}, true
		}
	}
	return column{}, false
}

// named finds what a name with or without a schema stands for in b alone, and how often; two or
// more cannot be told apart.
func (b *block) named(parts []string) (v visible, count int) {
	alias := parts[len(parts)-1]
	for _, x := range b.names {
		if x.alias != alias {
			continue
		}
		v = x
		count++
		if len(parts) > 1 && (x.join || x.sources[0].r == nil || x.sources[0].r.alias || x.sources[0].r.schema != parts[len(parts)-2]) {
			count++ // it may be another one's, around
		}
	}
	return v, count
}

// only is the source that has a column; known is false if that cannot be told.
func (v visible) only(name string) (found *source, known bool) {
	if v.renamed {
		return nil, false
	}
	for _, s := range v.sources {
		switch {
		case s.columns == nil:
			return nil, false
		case !slices.Contains(s.columns, name):
		case found != nil:
			return nil, false
		default:
			found = s
		}
	}
	return found, true
}

// side is the source of a join's one side whose column USING compares, nil if it cannot be told.
func (a *analysis) side(b *block, n ast.Node, name string) *source {
	if s := b.by[n]; s != nil && s.columns == nil {
		return s
	}
	s, _ := a.find(b, n, name)
	return s
}

// find is the source in a FROM item that has a column; known is false if that cannot be told.
func (a *analysis) find(b *block, n ast.Node, name string) (s *source, known bool) {
	j, ok := n.(*ast.JoinExpr)
	if !ok {
		if s = b.by[n]; s == nil {
			return nil, false
		}
		return visible{sources: []*source{s}}.only(name)
	}
	if j.Alias != nil && len(items(j.Alias.ColNames)) > 0 {
		return nil, false
	}
	l, known := a.find(b, j.Larg, name)
	if !known {
		return nil, false
	}
	r, known := a.find(b, j.Rarg, name)
	switch {
	case !known:
		return nil, false
	case l == nil:
		return r, true
	case r == nil:
		return l, true
	}
	// It is merged, or else ambiguous.
	switch j.Jointype {
	case ast.JOIN_INNER, ast.JOIN_LEFT:
		return l, true
	case ast.JOIN_RIGHT:
		return r, true
	}
	return nil, false
}

// expand lists the columns of * and t.* in the SELECT list; known is false if that is not possible.
func (a *analysis) expand(b *block, parts []string, item int) (out []target, known bool) {
	seen := map[string]bool{}
	add := func(s *source) {
		for _, c := range s.columns {
			if !seen[c] {
				out = append(out, target{name: c, item: item, col: column{s, c}, isC: true})
			}
		}
	}
	if len(parts) > 1 {
		v, count := b.named(parts[:len(parts)-1])
		if count != 1 || v.join || v.sources[0].columns == nil {
			return nil, false
		}
		add(v.sources[0])
		return out, true
	}
	if b.natural || len(b.merged) > 0 && len(b.sources) > 2 || slices.ContainsFunc(b.names, func(v visible) bool { return v.renamed }) ||
		slices.ContainsFunc(b.sources, func(s *source) bool { return s.columns == nil }) {
		return nil, false
	}
	// Columns that USING merges come first, once, as USING has them.
	for _, c := range b.using {
		m := b.merged[c]
		if m == nil {
			return nil, false
		}
		out = append(out, target{name: c, item: item, col: column{m, c}, isC: true})
	}
	for _, c := range b.using {
		seen[c] = true
	}
	for _, s := range b.sources {
		add(s)
	}
	return out, true
}
