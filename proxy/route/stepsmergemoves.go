package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A Placing says on which shards a step is to be run: on each with those rows of an earlier step that
// belong there.
type Placing struct {
	// Rows is the earlier step; its first column has the number of a row of the source's, or is NULL.
	Rows int
	Key  *sharding.Key
	// At are the positions of the key's columns among those of Rows; Fit is what they hold.
	At  []int
	Fit Fit
}

// mergeMoves is why an UPDATE of a MERGE may move rows to another shard, nil if it does not: a key
// that is set to what the condition says it is stays.
func (a *analysis) mergeMoves(c *change, w *ast.MergeWhenClause) error {
	if w.CommandType != ast.CMD_UPDATE || c.target.key == nil {
		return nil
	}
	var set []ast.Node
	for _, t := range w.TargetList {
		name, _ := a.st.name(t.Name)
		col, plain := a.column(c.block, unparen(t.Val))
		if plain && w.MatchKind == ast.MERGE_WHEN_MATCHED && len(items(t.Indirection)) == 0 && same(c.block.pairs, col, column{c.block.sources[0], name}) {
			continue
		}
		set = append(set, t)
	}
	return a.keyChange(c, set)
}

// moving checks that rows which a MERGE moves can be.
func (x *apart) moving() error {
	if !x.any(moves) {
		return nil
	}
	a := x.a
	key := strings.Join(x.c.target.key.Columns, ", ")
	hint := "delete the rows and insert them with the new key, in one transaction"
	if x.c.target.table.Secured {
		return refuse("MERGE sets the sharding key "+key+" of a table with row security: rows that move are deleted and inserted, to which other policies apply", hint)
	}
	for i, w := range x.whens {
		if w.moves && a.unstable(w.node.Condition) || i < len(x.whens)-1 && w.node.MatchKind != ast.MERGE_WHEN_NOT_MATCHED_BY_TARGET && a.unstable(w.node.Condition) {
			return refuse("MERGE sets the sharding key "+key+", with a condition that may have another answer each time it is asked", hint)
		}
		if _, ok := x.assigned(w); w.moves && !ok {
			return refuse("MERGE sets the sharding key "+key+" in a form that is not understood", "set columns to values one by one, without DEFAULT and sub-queries of several columns")
		}
	}
	st := a.st
	old, names := st.oldName(x.end), max(x.end, returningWith(st.sql, st.toks, x.end+1)-1)
	for i := names + 1; i < len(st.toks); i++ {
		if st.uses(i, i+1, old) && !st.is(i-1, "as") && !st.is(i-1, ".") && (st.is(i+1, ".") || x.c.target.table.Column(old) < 0 && !slices.Contains(x.src.columns, old)) {
			return refuse("old rows in RETURNING of a MERGE that sets the sharding key "+key+": rows that move are deleted and inserted", "read them first, in the same transaction")
		}
	}
	return nil
}

// assigned are the assignments of an UPDATE of a MERGE.
func (x *apart) assigned(w when) ([]assignment, bool) {
	if !x.a.st.is(w.then+1, "update") || !x.a.st.is(w.then+2, "set") {
		return nil, false
	}
	var targets []ast.Node
	for _, t := range w.node.TargetList {
		targets = append(targets, t)
	}
	return x.a.assignments(w.then+3, w.to, targets)
}

// chosen is the number of the clause of a kind that a row, or a pair of rows, falls to; clauses are
// numbered from 0.
func (x *apart) chosen(kind ast.MergeMatchKind) template {
	t := template{}.str("CASE ")
	for i, w := range x.whens {
		switch {
		case w.node.MatchKind != kind:
		case w.cond.To > 0:
			t = t.str("WHEN ").add(x.toks(w.cond.From, w.cond.To)).str("THEN " + itoa(i) + " ")
		default:
			t = t.str("WHEN true THEN " + itoa(i) + " ")
		}
	}
	return t.str("END ")
}

// deletes are the steps that delete the rows that move, and return them as they shall be, with the
// number of the row of the source that each matches, and how many of these would change it.
func (x *apart) deletes(numbers int) (out []int) {
	var active []string
	for i, w := range x.whens {
		if acts(w) {
			active = append(active, itoa(i))
		}
	}
	for i, w := range x.whens {
		if !w.moves {
			continue
		}
		set, _ := x.assigned(w)
		columns, values := x.a.newRow(x.c.target, set, x.name, x.rows, true)
		sql := template{}.str("DELETE FROM ").add(x.target)
		if w.node.MatchKind == ast.MERGE_WHEN_MATCHED {
			sql = sql.str("USING ").add(x.beside(gather.Taken, numbers)).str("WHERE ").add(x.condition()).str("AND ").add(x.chosen(ast.MERGE_WHEN_MATCHED)).str("= " + itoa(i))
			sql = sql.str(" RETURNING " + x.own + "_n, (SELECT pg_catalog.count(*) FROM ").add(x.beside(gather.Taken, numbers)).str("WHERE ").add(x.condition())
			sql = sql.str("AND ").add(x.chosen(ast.MERGE_WHEN_MATCHED)).str("IN (" + strings.Join(active, ", ") + "))")
		} else {
			sql = sql.str("WHERE NOT EXISTS (SELECT 1 FROM ").add(template{chunkOf(gather.Source, 0)}).str(" AS " + x.alias + " WHERE ").add(x.condition()).str(") AND ")
			sql = sql.add(x.chosen(ast.MERGE_WHEN_NOT_MATCHED_BY_SOURCE)).str("= " + itoa(i) + " RETURNING NULL::int4, 1::int8")
		}
		out = append(out, len(x.out.list))
		x.out.list = append(x.out.list, Step{Write: true, Once: true, Moves: true, sql: sql.str(", ").add(values), columns: columns})
	}
	return out
}

// inserted is the step that inserts what another one has deleted.
func (x *apart) inserted(deleted int) {
	columns := x.out.list[deleted].columns
	var names, values []string
	for i, c := range columns {
		names, values = append(names, quoteIdent(c)), append(values, x.own+"_r"+itoa(i+2))
	}
	key := x.c.target.key
	p := &Placing{Rows: deleted, Key: key, Fit: fitOf(x.c.target.table, key.Columns)}
	for _, k := range key.Columns {
		p.At = append(p.At, slices.Index(columns, k)+2)
	}
	x.placed(p, template{}.str("("+strings.Join(names, ", ")+") OVERRIDING SYSTEM VALUE "), template{}.str(strings.Join(values, ", ")), true)
}

// placed is a step that inserts rows of an earlier one on their shards.
func (x *apart) placed(p *Placing, into, values template, moved bool) {
	rows := template{chunk{piece: &gather.Piece{Kind: gather.Placed, Column: p.Rows, Text: x.own}}}.str(" AS " + x.alias)
	sql := template{}.toks(x.main, x.c.target.tok).add(x.target).str("USING (").add(rows).str(") ON false WHEN NOT MATCHED THEN INSERT ")
	sql = sql.add(into).str("VALUES (").add(values).str(") ").add(x.returning(moved))
	x.out.list = append(x.out.list, Step{Write: true, Silent: !x.out.returns, Returns: x.out.returns, Uncounted: moved, Place: p, sql: sql})
}

// insert are the steps of an INSERT of rows that match nothing: one computes their keys. ok is false
// if that is not possible.
func (x *apart) insert(w when, numbers int, cond template) (ok bool) {
	a, t := x.a, x.c.target
	var names []string
	for _, c := range w.node.TargetList {
		name, _ := a.st.name(c.Name)
		names = append(names, name)
	}
	if len(names) == 0 {
		names = t.table.Names()
	}
	values := a.st.split(w.list.From, w.list.To, ",")
	nodes := items(w.node.Values)
	if w.list.To == 0 || len(values) != len(nodes) {
		return false
	}
	keys := template{}
	p := &Placing{Rows: len(x.out.list), Key: t.key, Fit: fitOf(t.table, t.key.Columns)}
	var subs []substitution
	for i, k := range t.key.Columns {
		p.At = append(p.At, i+1)
		typ := keyType(t, k)
		at := slices.Index(names, k)
		isDefault := at < 0 || at >= len(nodes)
		if !isDefault {
			_, isDefault = nodes[at].(*ast.SetToDefault)
		}
		if isDefault {
			if !nullByDefault(t, k) {
				return false
			}
			keys = keys.str(", NULL::" + typ)
			continue
		}
		keys = keys.str(", (").add(x.toks(values[at].From, values[at].To)).str(")::" + typ)
		if a.unstable(nodes[at]) {
			subs = append(subs, substitution{values[at].From, values[at].To, template{}.str(x.own + "_r" + itoa(i+1) + " ")})
		}
	}
	sql := template{}.str("SELECT " + x.own + "_n").add(keys).str(" FROM ").add(x.beside(gather.Left, numbers)).str("WHERE ").add(cond)
	x.out.list = append(x.out.list, Step{sql: sql})
	list := replaced(w.list.From, w.list.To, sortSubs(append(subs, slices.DeleteFunc(slices.Clone(x.rows), func(r substitution) bool {
		return slices.ContainsFunc(subs, func(s substitution) bool { return r.from >= s.from && r.to <= s.to })
	})...)))
	x.placed(p, template{}.toks(w.into.From, w.into.To), list, false)
	return true
}

// keyType is the type of a column for a cast, which does to a value what storing it does.
func keyType(t *ref, column string) string {
	typ := t.table.Columns[t.table.Column(column)].TypeName
	if strings.HasPrefix(typ, "character") {
		typ, _, _ = strings.Cut(typ, "(") // a cast would cut off what does not fit
	}
	return typ
}

// newRow are the columns of a table that a row is made of, and their values after assignments; alias
// is what the table is called, and rows are what is replaced in the values. cast says that values of the
// key have the types of its columns, which the server has found that they may have.
func (a *analysis) newRow(t *ref, list []assignment, alias string, rows []substitution, cast bool) (columns []string, values template) {
	set := map[string]template{}
	for _, as := range list {
		set[as.name] = template{}.str("(").add(replaced(as.value.From, as.value.To, rows)).str(")")
		if cast && slices.Contains(t.key.Columns, as.name) {
			set[as.name] = set[as.name].str("::" + keyType(t, as.name))
			continue
		}
		if o, plain := a.operandOf(as.node); plain && o.typ == 0 && o.param == 0 && !o.id && (o.null || a.st.toks[o.tok].Kind == lex.String) {
			// A string, or NULL, has the type of its column here, which RETURNING would not know.
			if at := t.table.Column(as.name); at >= 0 {
				if typ := t.table.Columns[at].TypeName; typ != "text" && !strings.HasPrefix(typ, "character") && !strings.HasPrefix(typ, "bit") {
					set[as.name] = set[as.name].str("::" + typ)
				}
			}
		}
	}
	for _, col := range t.table.Columns {
		if col.Generated {
			continue
		}
		if len(columns) > 0 {
			values = values.str(", ")
		}
		if v, changed := set[col.Name]; changed {
			values = values.add(v)
		} else {
			values = values.str(alias + "." + quoteIdent(col.Name))
		}
		columns = append(columns, col.Name)
	}
	return columns, values
}
