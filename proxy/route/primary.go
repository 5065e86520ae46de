package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
)

// A PrimaryKey says what becomes of an INSERT that gives no value for a primary key of type
// bigint.
type PrimaryKey uint8

// The ways. The zero value leaves it as it is: the column's default is each shard's own.
const (
	PrimaryIgnore PrimaryKey = iota
	// PrimaryRefuse refuses it.
	PrimaryRefuse
	// PrimaryUnique puts pgdog.unique_id() in, PrimaryOmni into omnisharded tables only.
	PrimaryUnique
	PrimaryOmni
)

// An insertion is text of ours before one of the client's tokens.
type insertion struct {
	tok  int
	text string
}

// splice is the client's text with insertions, which are in order.
func splice(sql string, toks []lex.Token, list []insertion) string {
	var b strings.Builder
	at := 0
	for _, x := range list {
		to := int(toks[x.tok].Start)
		b.WriteString(sql[at:to])
		b.WriteString(x.text)
		at = to
	}
	b.WriteString(sql[at:])
	return b.String()
}

// primaryKey looks for an INSERT without the primary key, and notes what has to be put in.
// done says that the statement is planned anew with that.
func (a *analysis) primaryKey(p *Plan, c *change) (done bool, err error) {
	t := c.target.table
	if a.primary == PrimaryIgnore || t == nil || len(t.Primary) != 1 || a.primary == PrimaryOmni && c.target.sharded() {
		return false, nil
	}
	col := t.Column(t.Primary[0])
	if col < 0 || t.Columns[col].Type != hash.Int8 {
		return false, nil
	}
	if t.Columns[col].ShardSequence && c.target.sharded() {
		return false, nil // its default is unique already
	}
	n := c.insert
	if len(items(n.Cols)) == 0 {
		// The values are those of the first columns: it lacks if there are fewer.
		if c.from != nil && (col < a.width(c) || a.width(c) < 0) {
			return false, nil
		}
	} else if given, ok := a.insertColumns(n, c.target); !ok || slices.Contains(given, t.Primary[0]) {
		return false, nil
	}
	name := quoteIdent(t.Primary[0])
	if a.primary == PrimaryRefuse {
		return false, refuse("an INSERT into "+c.target.name+" without its primary key "+name+" (rewrite.primary_key)",
			"give a value, such as pgdog.unique_id(), or set rewrite.primary_key to \"rewrite\"")
	}
	if c.from == nil {
		return false, refuse("INSERT … DEFAULT VALUES into a table whose primary key is made by the proxy", "name a column and its value")
	}
	if len(items(c.from.sel.ValuesLists)) == 0 {
		return a.primarySelect(p, c)
	}
	return true, a.inject(p, c, t, name)
}

// width is how many values an INSERT gives for each row; -1 if that cannot be told.
func (a *analysis) width(c *change) int {
	if rows := items(c.from.sel.ValuesLists); len(rows) > 0 {
		if list, ok := rows[0].(*ast.NodeList); ok {
			return len(list.Items)
		}
		return -1
	}
	if out := a.outputs(c.from); out != nil {
		return len(out)
	}
	return -1
}

// primarySelect lets the rows of an INSERT … SELECT be placed one by one, by INSERTs of
// values that are given a key each.
func (a *analysis) primarySelect(p *Plan, c *change) (bool, error) {
	if len(items(c.insert.Cols)) == 0 {
		return false, refuse("INSERT … SELECT without the primary key, and without the names of its columns", "name the columns of the INSERT")
	}
	return true, a.feed(p, c)
}

// inject notes the column and its values.
func (a *analysis) inject(p *Plan, c *change, t *schema.Table, name string) error {
	st := a.st
	start := a.valuesToken()
	if start < 0 || c.target.end <= 0 {
		return refuse("VALUES could not be found in the text", "write INSERT INTO … (…) VALUES (…)")
	}
	head := c.target.end
	if st.is(head, "as") {
		head += 2
	}
	overriding := ""
	if !slices.ContainsFunc(st.toks[head:start], func(t lex.Token) bool { return t.Is(st.sql, "overriding") }) {
		if col := t.Column(t.Primary[0]); t.Columns[col].Sequence {
			overriding = " OVERRIDING SYSTEM VALUE "
		}
	}
	if st.is(head, "(") {
		p.inject = append(p.inject, insertion{head + 1, name + ", "})
	} else {
		quoted := []string{name}
		for _, col := range t.Names()[:a.width(c)] {
			quoted = append(quoted, quoteIdent(col))
		}
		p.inject = append(p.inject, insertion{head, "(" + strings.Join(quoted, ", ") + ") "})
	}
	if overriding != "" {
		p.inject = append(p.inject, insertion{start, overriding})
	}
	i := start + 1
	for range items(c.from.sel.ValuesLists) {
		if !st.is(i, "(") {
			return refuse("the rows of VALUES could not be told apart", "insert them one by one")
		}
		p.inject = append(p.inject, insertion{i + 1, "pgdog.unique_id(), "})
		if i = lex.Match(st.sql, st.toks, i); i < 0 {
			return refuse("the rows of VALUES could not be told apart", "insert them one by one")
		}
		i += 2 // the comma
	}
	return nil
}

// valuesToken is the token of VALUES at the top of an INSERT, or -1.
func (a *analysis) valuesToken() int {
	st, depth := a.st, 0
	for i, tok := range st.toks {
		if tok.Kind == lex.Punct {
			switch st.sql[tok.Start] {
			case '(':
				depth++
			case ')':
				depth--
			}
		}
		if depth == 0 && st.is(i, "values") && tok.Kind == lex.Word && st.is(i+1, "(") {
			return i
		}
	}
	return -1
}

// oncePerRow refuses pgdog.unique_id() where a server would have to call it for each row that
// it reads: it is a number by the time the statement gets there.
func (a *analysis) oncePerRow(sel *ast.SelectStmt) error {
	if sel == nil || len(items(sel.FromClause)) == 0 {
		return nil
	}
	return refuse("pgdog.unique_id() in a query that reads rows would be the same number for all of them",
		"call it in VALUES, or in a SELECT without FROM")
}

// ownSequence reports whether an INSERT leaves the sharding key to a sequence whose numbers hash to
// the shard that makes them, so that any shard will do.
func (a *analysis) ownSequence(c *change) bool {
	t, key := c.target.table, c.target.key
	if t == nil || len(key.Columns) != 1 || c.from == nil {
		return false
	}
	col := t.Column(key.Columns[0])
	if col < 0 || !t.Columns[col].ShardSequence {
		return false
	}
	rows := items(c.from.sel.ValuesLists)
	if len(rows) == 0 {
		return false
	}
	columns, ok := a.insertColumns(c.insert, c.target)
	at := slices.Index(columns, key.Columns[0])
	if !ok {
		return false
	}
	if at < 0 || len(items(c.insert.Cols)) == 0 && at >= a.width(c) {
		return true
	}
	for _, r := range rows {
		list, isList := r.(*ast.NodeList)
		if !isList || at >= len(list.Items) {
			return false
		}
		if _, isDefault := list.Items[at].(*ast.SetToDefault); !isDefault {
			return false
		}
	}
	return true
}
