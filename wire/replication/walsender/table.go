package walsender

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// A Table is a table of a [Publisher].
type Table struct {
	Schema, Name string
	// Columns are the table's columns; Key marks those that identify a row, at least one.
	Columns []pgoutput.Column
}

// A table is a Table with its rows, which are in text format and without Unchanged values.
// Rows are replaced, never changed.
type table struct {
	relation pgoutput.Relation
	rows     map[string]pgoutput.Tuple // by key
	order    []string                  // keys in the order of their insertion; some may be gone
}

func newTable(t Table, oid uint32) (*table, error) {
	keys := 0
	for _, c := range t.Columns {
		if c.Key {
			keys++
		}
	}
	if t.Schema == "" || t.Name == "" || keys == 0 {
		return nil, fmt.Errorf("publish table %s.%s: it needs a schema, a name and a key", t.Schema, t.Name)
	}
	return &table{
		relation: pgoutput.Relation{OID: oid, Schema: t.Schema, Name: t.Name, Identity: pgoutput.IdentityDefault, Columns: t.Columns},
		rows:     map[string]pgoutput.Tuple{},
	}, nil
}

// key returns what identifies row.
func (t *table) key(row pgoutput.Tuple) (string, error) {
	if len(row) != len(t.relation.Columns) {
		return "", fmt.Errorf("table %s has %d columns, the row %d", t.relation.Name, len(t.relation.Columns), len(row))
	}
	var b strings.Builder
	for i, c := range t.relation.Columns {
		if !c.Key {
			continue
		}
		if row[i].Kind != pgoutput.Text {
			return "", fmt.Errorf("key column %s of table %s is no text", c.Name, t.relation.Name)
		}
		fmt.Fprintf(&b, "%d:%s", len(row[i].Data), row[i].Data)
	}
	return b.String(), nil
}

// put sets the row with the given key, to nil for none, and returns what takes that back.
func (t *table) put(key string, row pgoutput.Tuple) (undo func()) {
	old, had := t.rows[key]
	if row == nil {
		delete(t.rows, key)
	} else {
		t.rows[key] = row
		if !had {
			t.order = append(t.order, key)
			t.compact()
		}
	}
	return func() {
		delete(t.rows, key)
		if had {
			t.rows[key] = old
			t.order = append(t.order, key) // if it is there still, all passes over it
		}
	}
}

// compact drops keys of rows that are gone, when there are many.
func (t *table) compact() {
	if len(t.order) < 2*len(t.rows)+64 {
		return
	}
	order := make([]string, 0, len(t.rows))
	for key := range t.all() {
		order = append(order, key)
	}
	t.order = order
}

func (t *table) insert(row pgoutput.Tuple) (undo func(), err error) {
	key, err := t.key(row)
	if err != nil {
		return nil, err
	}
	if _, ok := t.rows[key]; ok {
		return nil, wire.Errorf(wire.CodeUniqueViolation, "table %s has a row with this key already", t.relation.Name)
	}
	for i, v := range row {
		if v.Kind != pgoutput.Text && v.Kind != pgoutput.Null {
			return nil, fmt.Errorf("column %s of table %s: a value is text or null", t.relation.Columns[i].Name, t.relation.Name)
		}
	}
	return t.put(key, row), nil
}

// remove removes the row with where's key, and returns it.
func (t *table) remove(where pgoutput.Tuple) (old pgoutput.Tuple, undo func(), err error) {
	key, err := t.key(where)
	if err != nil {
		return nil, nil, err
	}
	old, ok := t.rows[key]
	if !ok {
		return nil, nil, wire.Errorf(wire.CodeNoDataFound, "table %s has no row with this key", t.relation.Name)
	}
	return old, t.put(key, nil), nil
}

func (t *table) truncate() (undo func()) {
	rows, order := t.rows, t.order
	t.rows, t.order = map[string]pgoutput.Tuple{}, nil
	return func() { t.rows, t.order = rows, order }
}

// clone returns the table as it is now.
func (t *table) clone() *table {
	return &table{relation: t.relation, rows: maps.Clone(t.rows), order: slices.Clone(t.order)}
}

// all yields the rows in the order of their insertion.
func (t *table) all() iter.Seq2[string, pgoutput.Tuple] {
	return func(yield func(string, pgoutput.Tuple) bool) {
		seen := make(map[string]bool, len(t.rows))
		for _, key := range t.order {
			row, ok := t.rows[key]
			if !ok || seen[key] {
				continue
			}
			seen[key] = true
			if !yield(key, row) {
				return
			}
		}
	}
}
