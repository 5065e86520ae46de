package route

import (
	"slices"
	"strconv"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// triggered refuses a write to a table whose triggers would not do on several shards what they do on
// one server; events are bits of schema.Trigger.When. What a shard does for a row that it has must be
// about that row, other rows with its sharding key, or, on an omnisharded table, the same on all.
func (pb *builder) triggered(t *schema.Table, events int) error {
	if t == nil || len(t.Fires) == 0 || slices.Contains(pb.inside, t) || pb.layout.Shards < 2 || len(pb.layout.Keys()) == 0 {
		return nil
	}
	r := pb.placed(t.Schema, t.Name, t)
	if r.place.Pinned && r.key == nil {
		return nil
	}
	for _, f := range t.Fires {
		if f.When&events == 0 || f.Language == "internal" || f.Language == "c" || listed(append([]string{"\x00"}, pb.layout.LocalFunctions...), f.Function) ||
			listed(append([]string{"\x00"}, pb.layout.LocalFunctions...), f.Schema+"."+f.Function) {
			continue
		}
		c := &code{pb: pb, what: "function " + f.Function + ", which a trigger of table " + t.Name + " calls,", target: r, hint: "list it under local_functions if that is what it should do, or name the shard by a comment such as /* pgdog_shard: 0 */"}
		var s lex.Scanner
		if f.Language != "plpgsql" || s.Scan(f.Body) != nil {
			return refuse(c.what+" may read tables, of which it would see one shard only", c.hint)
		}
		st := &statement{sql: f.Body, toks: s.Tokens}
		if r.key != nil && f.When&(schema.TriggerRow|schema.TriggerBefore) == schema.TriggerRow|schema.TriggerBefore && f.When&events&(schema.TriggerInsert|schema.TriggerUpdate) != 0 {
			if c.rekeys(st) {
				return refuse(c.what+" may change the sharding key "+strings.Join(r.key.Columns, ", ")+" of a row that is on its shard already", c.hint)
			}
		}
		c.read(f.Body, 0)
		if err := c.verdict(); err != nil {
			return err
		}
	}
	return nil
}

// triggered refuses a statement that writes tables whose triggers would not do what they do on one
// server.
func (a *analysis) triggered() error {
	pb := &builder{layout: a.layout, snap: a.snap, path: a.path, inside: a.inside}
	for _, r := range a.refs {
		t := r.table
		if r.view != nil && r.view.into != nil {
			t = r.view.into.base
		}
		if !r.target {
			continue
		}
		if err := pb.triggered(t, r.events); err != nil {
			return err
		}
	}
	return nil
}

// eventsOf is what triggers of the target of a write may be called for.
func eventsOf(n ast.Node) (events int) {
	switch n := n.(type) {
	case *ast.InsertStmt:
		events = schema.TriggerInsert
		if n.OnConflictClause != nil && len(items(n.OnConflictClause.TargetList)) > 0 {
			events |= schema.TriggerUpdate
		}
	case *ast.UpdateStmt:
		events = schema.TriggerUpdate
	case *ast.DeleteStmt:
		events = schema.TriggerDelete
	case *ast.MergeStmt:
		for _, w := range items(n.MergeWhenClauses) {
			if m, isWhen := w.(*ast.MergeWhenClause); isWhen {
				events |= map[ast.CmdType]int{ast.CMD_INSERT: schema.TriggerInsert, ast.CMD_UPDATE: schema.TriggerUpdate, ast.CMD_DELETE: schema.TriggerDelete}[m.CommandType]
			}
		}
	}
	return events
}

// begins reports whether a statement of PL/pgSQL starts at a token.
func (st *statement) begins(i int) bool {
	return i == 0 || slices.ContainsFunc([]string{";", "begin", "then", "else", "loop", ">>", "declare"}, func(w string) bool { return st.is(i-1, w) })
}

// rekeys reports whether the function of a trigger may return another row than NEW, or set its key.
func (c *code) rekeys(st *statement) bool {
	for i := range st.toks {
		if st.is(i, "return") && st.begins(i) &&
			(!st.is(i+1, "new") && !st.is(i+1, "old") && !st.is(i+1, "null") || !st.is(i+2, ";") && i+2 < len(st.toks)) {
			return true
		}
	}
	return c.assigns(st)
}

// assigns reports whether the function of a trigger may give NEW or OLD, or the sharding key in them,
// another value, or these names another meaning.
func (c *code) assigns(st *statement) bool {
	call := false
	for i := range st.toks {
		call = st.is(i, "call") && st.begins(i) || call && !st.is(i, ";")
		if name := st.ident(i); name != "new" && name != "old" || st.is(i+1, ".") && !slices.Contains(c.target.key.Columns, st.ident(i+2)) {
			continue
		}
		if call || st.begins(i) || c.intoList(st, i) || slices.ContainsFunc([]string{"into", "strict", "for", "foreach", "diagnostics"}, func(w string) bool { return st.is(i-1, w) }) {
			return true
		}
	}
	return false
}

// intoList reports whether a token is in a list of variables after INTO or GET DIAGNOSTICS.
func (c *code) intoList(st *statement, i int) bool {
	if !st.is(i-1, ",") {
		return false
	}
	for i--; i >= 0 && !st.is(i, ";") && !st.is(i, "("); i-- {
		switch {
		case st.is(i, "into"), st.is(i, "diagnostics"):
			return true
		case st.is(i, "from"), st.is(i, "select"), st.is(i, "where"), st.is(i, "set"), st.is(i, "values"):
			return false
		}
	}
	return false
}

// alongside finds the statements in the function of a trigger that are about rows with the sharding
// key of the trigger's own, which are on its shard: ranges of tokens.
func (c *code) alongside(st *statement) (out []lex.Range) {
	if c.target == nil || c.target.key == nil || c.assigns(st) {
		return nil
	}
	for i := range st.toks {
		if !st.begins(i) && !(st.is(i-1, "(") && st.is(i-2, "exists") && st.begins(i-4)) {
			continue
		}
		switch st.ident(i) {
		case "insert", "update", "delete", "select", "perform", "with":
		default:
			continue
		}
		end, depth := i, 0
		for ; end < len(st.toks) && depth >= 0 && !(depth == 0 && (st.is(end, ";") || st.is(end, "loop"))); end++ {
			switch {
			case st.is(end, "("):
				depth++
			case st.is(end, ")"):
				depth--
			}
		}
		if depth < 0 {
			end--
		}
		if c.byKey(st, i, end) {
			out = append(out, lex.Range{From: i, To: end})
		}
	}
	return out
}

// samples is how many keys a statement is routed with.
const samples = 48

// byKey reports whether a statement goes to the shard of the row that a trigger is called for, whatever
// its key: it is routed with many, the row's other columns having other values.
func (c *code) byKey(st *statement, from, to int) bool {
	var b strings.Builder
	var columns []string
	for i := from; i < to; i++ {
		switch {
		case (st.is(i, "new") || st.is(i, "old")) && st.is(i+1, "."):
			name := st.ident(i + 2)
			at := slices.Index(columns, name)
			if at < 0 {
				at = len(columns)
				columns = append(columns, name)
			}
			b.WriteString("$" + strconv.Itoa(at+1))
			i += 2
		case i == from && st.is(i, "perform"):
			b.WriteString("SELECT")
		case st.is(i, "into") && !st.is(i-1, "insert") && !st.is(i-1, "merge"): // variables
			for i++; i+1 < to && !st.is(i+1, "from") && !st.is(i+1, "where"); i++ {
			}
		default:
			b.WriteString(st.toks[i].Text(st.sql))
		}
		b.WriteByte(' ')
	}
	key := c.target.key
	if key.PerShard() || len(key.Columns) == 0 {
		return false
	}
	r := New(Config{Layout: c.pb.layout, Schema: c.pb.snap, Plans: 1, inside: append(slices.Clone(c.pb.inside), c.target.table)})
	seen := map[int]bool{}
	for n := range samples {
		var raw []sharding.Raw
		values := make([][]byte, len(columns))
		for i := range values {
			values[i] = []byte(strconv.Itoa(1_000_003 + 7919*n + 31*i)) // of none of the keys
		}
		for i, name := range key.Columns {
			v := sample(c.target.table, name, n*len(key.Columns)+i)
			if v == nil {
				return false
			}
			raw = append(raw, sharding.Raw{Bytes: v})
			for at, col := range columns {
				if col == name {
					values[at] = v
				}
			}
		}
		shard, err := key.Place(raw, nil)
		if err != nil {
			continue // no shard has such a key
		}
		var d Decision
		if err := r.Route(&d, b.String(), &Session{Hint: NoHint(), Path: c.pb.path}, &Binding{Values: values}); err != nil || d.Any || len(d.Steps) > 0 || d.Shards != sharding.One(shard) || d.Plan.real == 0 && d.Plan.insert == nil {
			return false
		}
		seen[shard] = true
	}
	return len(seen) > 1
}

// sample is a value for a column of a sharding key; nil if there is none for its type.
func sample(t *schema.Table, name string, n int) []byte {
	i := t.Column(name)
	if i < 0 {
		return nil
	}
	switch t.Columns[i].Type {
	case hash.Int2, hash.Int4, hash.Int8:
		return strconv.AppendInt(nil, int64(n+1), 10)
	case hash.Text, hash.Varchar:
		return strconv.AppendInt([]byte("k"), int64(n), 10)
	case hash.UUID:
		return []byte("00000000-0000-4000-8000-" + strings.Repeat("0", 12-len(strconv.Itoa(n))) + strconv.Itoa(n))
	}
	return nil
}
