package reshard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// A relation is a table as the source's changes describe it.
type relation struct {
	of      *pgoutput.Relation
	t       *table
	at      []int // the position of each of its columns among the table's
	keyAt   []int // those of the sharding key among its own
	ident   []int // those of the replica identity
	primary []int // those of the primary key, if the changes have them
	sql     map[string]string
}

// relate matches what the source says of a table with what was found when the move began.
func relate(r *pgoutput.Relation, t *table) (*relation, error) {
	out := &relation{of: r, t: t, sql: map[string]string{}}
	for i, c := range r.Columns {
		at := slices.IndexFunc(t.columns, func(have column) bool { return have.name == c.Name })
		if at < 0 {
			return nil, finalError{fmt.Errorf("table %s has changed on the source: its column %q was not there when the move began; make it on the destination too and start again", t, c.Name)}
		}
		out.at = append(out.at, at)
		if r.Identity == pgoutput.IdentityFull || c.Key {
			out.ident = append(out.ident, i)
		}
	}
	find := func(name string) int {
		return slices.IndexFunc(r.Columns, func(c pgoutput.Column) bool { return c.Name == name })
	}
	if t.key != nil {
		for _, at := range t.keyAt {
			i := find(t.columns[at].name)
			if i < 0 {
				return nil, finalError{fmt.Errorf("table %s has changed on the source: it has no column %q", t, t.columns[at].name)}
			}
			out.keyAt = append(out.keyAt, i)
		}
	}
	for _, p := range t.primary {
		if i := find(p); i >= 0 {
			out.primary = append(out.primary, i)
		}
	}
	if len(out.primary) < len(t.primary) {
		out.primary = nil
	}
	return out, nil
}

// value is a value as a parameter: nil is NULL.
func value(v pgoutput.Value) []byte {
	if v.Kind == pgoutput.Null {
		return nil
	}
	if v.Data == nil {
		return []byte{}
	}
	return v.Data
}

// shard places a row; ok is false if the tuple lacks a value of the key.
func (r *relation) shard(row pgoutput.Tuple) (shard int, ok bool, err error) {
	values := make([]sharding.Raw, len(r.keyAt))
	for i, at := range r.keyAt {
		switch v := row[at]; v.Kind {
		case pgoutput.Unchanged:
			return 0, false, nil
		case pgoutput.Null:
			values[i] = sharding.Raw{Type: r.t.columns[r.t.keyAt[i]].oid, Null: true}
		default:
			values[i] = sharding.Raw{Type: r.t.columns[r.t.keyAt[i]].oid, Bytes: v.Data}
		}
	}
	if shard, err = r.t.shardOf(values); err != nil {
		return 0, false, finalError{err}
	}
	return shard, true, nil
}

// column is a column's name, quoted.
func (r *relation) column(i int) string { return ident(r.of.Columns[i].Name) }

// cached returns a statement's text.
func (r *relation) cached(key string, build func() string) string {
	sql, ok := r.sql[key]
	if !ok {
		sql = build()
		r.sql[key] = sql
	}
	return sql
}

// insert writes a whole row.
func (r *relation) insert(row pgoutput.Tuple) (sql string, params [][]byte) {
	sql = r.cached("insert", func() string {
		var cols, places []string
		for i := range r.of.Columns {
			cols, places = append(cols, r.column(i)), append(places, fmt.Sprintf("$%d", i+1))
		}
		return fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES (%s)", r.t, strings.Join(cols, ", "), strings.Join(places, ", "))
	})
	params = make([][]byte, len(row))
	for i, v := range row {
		params[i] = value(v)
	}
	return sql, params
}

// by is the columns that a row is found by in the destination: the primary key of a whole old row, since
// there is an index, else the replica identity.
func (r *relation) by() []int {
	if r.of.Identity == pgoutput.IdentityFull && r.primary != nil {
		return r.primary
	}
	return r.ident
}

// where finds one row by its identity; n parameters are before its own. Rows without a key are compared as
// texts, which tell apart what is equal and looks different; of those that look the same, one is as good
// as another.
func (r *relation) where(n int) string {
	var conds []string
	whole := r.of.Identity == pgoutput.IdentityFull && r.primary == nil
	for i, at := range r.by() {
		if whole {
			conds = append(conds, fmt.Sprintf(`%s::text COLLATE "C" IS NOT DISTINCT FROM $%d::text`, r.column(at), n+i+1))
		} else {
			conds = append(conds, fmt.Sprintf("%s = $%d", r.column(at), n+i+1))
		}
	}
	cond := strings.Join(conds, " AND ")
	if whole {
		// In a partitioned table a row is one of its place and its partition.
		return fmt.Sprintf("(tableoid, ctid) = (SELECT tableoid, ctid FROM %s WHERE %s LIMIT 1)", r.t.only(), cond)
	}
	return cond
}

// keys are the parameters of where.
func (r *relation) keys(old pgoutput.Tuple) [][]byte {
	var out [][]byte
	for _, at := range r.by() {
		out = append(out, value(old[at]))
	}
	return out
}

// update changes what the source has changed in the row of an identity. ok is false if there is nothing
// that can be set.
func (r *relation) update(old, row pgoutput.Tuple) (sql string, params [][]byte, ok bool) {
	var key strings.Builder
	key.WriteString("update")
	var set []int
	for i, v := range row {
		if v.Kind == pgoutput.Unchanged || r.t.columns[r.at[i]].always {
			key.WriteByte('-')
			continue
		}
		key.WriteByte('+')
		set = append(set, i)
		params = append(params, value(v))
	}
	if len(set) == 0 {
		return "", nil, false
	}
	sql = r.cached(key.String(), func() string {
		var cols []string
		for n, i := range set {
			cols = append(cols, fmt.Sprintf("%s = $%d", r.column(i), n+1))
		}
		return fmt.Sprintf("UPDATE %s SET %s WHERE %s", r.t.only(), strings.Join(cols, ", "), r.where(len(set)))
	})
	return sql, append(params, r.keys(old)...), true
}

// remove deletes the row of an identity.
func (r *relation) remove(old pgoutput.Tuple) (sql string, params [][]byte) {
	sql = r.cached("delete", func() string { return fmt.Sprintf("DELETE FROM %s WHERE %s", r.t.only(), r.where(0)) })
	return sql, r.keys(old)
}

// unchanged are the columns of which a change tells no value.
func unchanged(row pgoutput.Tuple) []int {
	var out []int
	for i, v := range row {
		if v.Kind == pgoutput.Unchanged {
			out = append(out, i)
		}
	}
	return out
}

// completed is a row with what its old version, if it is whole, has of the values that did not change.
func completed(row, old pgoutput.Tuple, whole bool) pgoutput.Tuple {
	if !whole || len(unchanged(row)) == 0 {
		return row
	}
	row = slices.Clone(row)
	for i := range row {
		if row[i].Kind == pgoutput.Unchanged {
			row[i] = old[i]
		}
	}
	return row
}

// renumbered reports whether a column that an UPDATE cannot set, since it is GENERATED ALWAYS AS IDENTITY,
// has another value.
func (r *relation) renumbered(old, row pgoutput.Tuple) bool {
	for i, v := range row {
		if r.t.columns[r.at[i]].always && old[i].Kind == pgoutput.Text && v.Kind == pgoutput.Text && string(old[i].Data) != string(v.Data) {
			return true
		}
	}
	return false
}

// describe names a row for people.
func (r *relation) describe(params [][]byte) string {
	var out []string
	for i, at := range r.by() {
		v := "NULL"
		if p := params[len(params)-len(r.by())+i]; p != nil {
			v = string(p)
			if len(v) > 100 {
				v = v[:100] + "…"
			}
		}
		out = append(out, r.of.Columns[at].Name+" = "+v)
	}
	return strings.Join(out, ", ")
}
