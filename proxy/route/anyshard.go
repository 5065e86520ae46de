package route

import (
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// An Anywhere says which of the shards should answer what each of them could.
type Anywhere uint8

// The kinds of statements that any shard can answer.
const (
	// AnyShard reads no table: one shard is as good as another.
	AnyShard Anywhere = iota
	// AnyCopy reads omnisharded tables, of which every shard has a copy.
	AnyCopy
	// Catalog depends on the numbers of types and tables, which may differ between shards.
	Catalog
)

// Anywhere says what the statement needs of the shard that answers it, where the decision is
// that any one can.
func (p *Plan) Anywhere() Anywhere {
	if p.Inner != nil {
		return p.Inner.Anywhere()
	}
	return p.anywhere
}

// numbered are the types whose values are numbers of things in the catalogs.
var numbered = []string{
	"regclass", "regtype", "regproc", "regprocedure", "regoper", "regoperator", "regnamespace", "regrole", "regcollation", "regconfig",
	"regdictionary", "oid",
}

// numberedCalls are functions whose results depend on such numbers, by the beginnings of
// their names.
var numberedCalls = []string{"pg_", "to_reg", "format_type", "has_", "obj_description", "col_description", "shobj_description"}

// anywhere finds out what a statement needs that no sharded table binds.
func (a *analysis) anywhere() Anywhere {
	if a.catalog {
		return Catalog
	}
	kind := AnyShard
	for _, r := range a.refs {
		if r.schema == "pg_catalog" || r.schema == "information_schema" {
			return Catalog
		}
		kind = AnyCopy
	}
	for _, c := range a.calls {
		if slices.ContainsFunc(numberedCalls, func(s string) bool { return strings.HasPrefix(c.name, s) }) && !strings.HasPrefix(c.name, "pg_sleep") {
			return Catalog
		}
	}
	for _, t := range a.st.toks {
		if t.Kind == lex.Word && len(t.Text(a.st.sql)) <= 16 && slices.Contains(numbered, lex.Fold(t.Text(a.st.sql))) {
			return Catalog
		}
	}
	return kind
}
