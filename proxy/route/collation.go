package route

import (
	"strconv"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
)

func itoa(n int) string { return strconv.Itoa(n) }

// collation derives by which collation the values of an expression compare (assign_collations
// in parse_collate.c, as far as it is simple).
func (a *analysis) collation(b *block, n ast.Node) gather.Collation {
	def := gather.Collation{Known: true, Bytewise: a.snap != nil && a.snap.Bytewise}
	switch n := unparen(n).(type) {
	case *ast.CollateClause:
		parts, _ := a.st.names(n.Collname)
		c := gather.Collation{Known: true}
		last := parts[len(parts)-1]
		for i, p := range parts {
			parts[i] = quoteIdent(p)
		}
		c.Name = strings.Join(parts, ".")
		c.Bytewise = last == "C" || last == "POSIX" || last == "ucs_basic"
		if last == "default" {
			return def
		}
		return c
	case *ast.ColumnRef:
		col, ok := a.column(b, n)
		if !ok {
			break
		}
		if col.src.r != nil && col.src.r.table != nil {
			if i := col.src.r.table.Column(col.name); i >= 0 {
				return col.src.r.table.Columns[i].Collation
			}
		}
	}
	// Anything else: the default, if nothing in it has another.
	simple := true
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.CollateClause, *ast.SubLink:
			simple = false
		case *ast.ColumnRef:
			if x == nil {
				return true
			}
			col, ok := a.column(b, x)
			switch {
			case !ok, col.src.r == nil, col.src.r.table == nil:
				// Unknown columns: only a schema without other collations can tell.
				simple = simple && a.plainCollations()
			default:
				if i := col.src.r.table.Column(col.name); i < 0 || col.src.r.table.Columns[i].Collation.Name != "" {
					simple = false
				}
			}
		}
		return true
	}, nil)
	if simple {
		return def
	}
	return gather.Collation{}
}

// plainCollations reports whether every column of a user's table has the default collation.
func (a *analysis) plainCollations() bool {
	if a.snap.Empty() {
		return false
	}
	for t := range a.snap.All {
		if t.Schema == "pg_catalog" || t.Schema == "information_schema" {
			continue
		}
		for _, c := range t.Columns {
			if c.Collation.Name != "" {
				return false
			}
		}
	}
	return true
}

// targetCollation is the collation of an output column.
func (a *analysis) targetCollation(b *block, t target) gather.Collation {
	if t.node != nil {
		return a.collation(b, t.node)
	}
	if t.isC && t.col.src.r != nil && t.col.src.r.table != nil {
		if i := t.col.src.r.table.Column(t.col.name); i >= 0 {
			return t.col.src.r.table.Columns[i].Collation
		}
	}
	if a.plainCollations() {
		return gather.Collation{Known: true, Bytewise: a.snap.Bytewise}
	}
	return gather.Collation{}
}
