package sqlited

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// firstOID is where the OIDs of users' objects begin (FirstNormalObjectId).
const firstOID = 16384

// A relation is a table, view or index, as pg_class has it.
type relation struct {
	oid     int64
	kind    string // relkind
	name    string
	table   string // an index's
	text    string // a view's query
	columns []attribute
	indexes []index
	keys    []foreignKey

	primaries int    // how many columns the primary key has
	rowid     string // one of them that is an INTEGER
}

// An attribute is a column.
type attribute struct {
	name      string
	oid       uint32 // of its type
	mod       int64  // atttypmod
	notNull   bool
	value     sql.NullString // its default
	generated bool
}

// An index has the numbers of its columns; 0 is an expression.
type index struct {
	oid             int64
	name            string
	primary, unique bool
	constraint      bool // PRIMARY KEY or UNIQUE in the table's definition
	partial         bool
	keys            []int64
	columns         string // as SQL
}

// A foreignKey leads to another table.
type foreignKey struct {
	oid                int64
	name               string
	other              string
	from, to           []string
	onUpdate, onDelete string
}

// snapshot reads SQLite's schema as a session sees it. The row in sqlite_schema makes an
// object's OID.
func (h *handler) snapshot(ctx context.Context, s *pgserver.Session) ([]*relation, error) {
	rows, err := h.sql.QueryContext(ctx, s, "SELECT rowid, type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' OR type = 'index' ORDER BY name")
	if err != nil {
		return nil, err
	}
	var all []*relation
	indexes := map[string]int64{}
	for rows.Next() {
		r := &relation{}
		if err := rows.Scan(&r.oid, &r.kind, &r.name, &r.table, &r.text); err != nil {
			_ = rows.Close()
			return nil, err
		}
		r.oid += firstOID
		r.kind = map[string]string{"table": "r", "view": "v", "index": "i"}[r.kind]
		if all = append(all, r); r.kind == "i" {
			indexes[r.name] = r.oid
		}
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	next := int64(1 << 30) // of what is no object in SQLite
	for _, r := range slices.Clone(all) {
		if r.kind == "i" {
			continue
		}
		if err := h.readColumns(ctx, s, r); err != nil {
			if r.kind == "v" {
				continue // a view of what is not there any more
			}
			return nil, err
		}
		if r.kind != "r" {
			continue
		}
		if err := h.readIndexes(ctx, s, r, indexes); err != nil {
			return nil, err
		}
		if key := r.rowidKey(); key != nil {
			next++
			key.oid = next
			r.columns[key.keys[0]-1].notNull = true
			r.indexes = append([]index{*key}, r.indexes...)
			all = append(all, &relation{oid: next, kind: "i", name: key.name, table: r.name})
		}
		if err := h.readKeys(ctx, s, r, &next); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// each runs a query and calls scan for each row.
func (h *handler) each(ctx context.Context, s *pgserver.Session, query, arg string, scan func(*sql.Rows) error) error {
	rows, err := h.sql.QueryContext(ctx, s, query, arg)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err tells
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

var lengths = regexp.MustCompile(`\(\s*([0-9]{1,9})\s*(?:,\s*([0-9]{1,9})\s*)?\)`)

func (h *handler) readColumns(ctx context.Context, s *pgserver.Session, r *relation) error {
	return h.each(ctx, s, "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid", r.name, func(rows *sql.Rows) error {
		var a attribute
		var typ string
		var pk, hidden int
		if err := rows.Scan(&a.name, &typ, &a.notNull, &a.value, &pk, &hidden); err != nil {
			return err
		}
		if a.oid = h.sql.TypeOf(typ); a.oid == 0 {
			a.oid = pgtype.TextOID
		}
		a.mod, a.generated = -1, hidden >= 2
		if m := lengths.FindStringSubmatch(typ); m != nil {
			n, _ := strconv.ParseInt(m[1], 10, 64) // digits
			scale, _ := strconv.ParseInt(m[2], 10, 64)
			switch a.oid {
			case pgtype.VarcharOID, pgtype.BPCharOID:
				a.mod = n + 4
			case pgtype.NumericOID:
				a.mod = (n<<16 | scale) + 4
			}
		}
		if pk > 0 {
			if r.primaries++; strings.EqualFold(typ, "integer") {
				r.rowid = a.name
			}
		}
		r.columns = append(r.columns, a)
		return nil
	})
}

func (r *relation) number(column string) int64 {
	return int64(slices.IndexFunc(r.columns, func(a attribute) bool { return strings.EqualFold(a.name, column) }) + 1)
}

func (h *handler) readIndexes(ctx context.Context, s *pgserver.Session, r *relation, oids map[string]int64) error {
	err := h.each(ctx, s, `SELECT name, "unique", origin, partial FROM pragma_index_list(?) ORDER BY origin = 'pk' DESC, name`, r.name, func(rows *sql.Rows) error {
		x := index{}
		var origin string
		if err := rows.Scan(&x.name, &x.unique, &origin, &x.partial); err != nil {
			return err
		}
		x.oid, x.primary, x.constraint = oids[x.name], origin == "pk", origin != "c"
		r.indexes = append(r.indexes, x)
		return nil
	})
	if err != nil {
		return err
	}
	for i := range r.indexes {
		x := &r.indexes[i]
		var names []string
		err := h.each(ctx, s, "SELECT coalesce(name, '') FROM pragma_index_info(?) ORDER BY seqno", x.name, func(rows *sql.Rows) error {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			x.keys = append(x.keys, r.number(name))
			if name == "" {
				names = append(names, "(expression)")
			} else {
				names = append(names, simpleName(name))
			}
			return nil
		})
		if err != nil {
			return err
		}
		x.columns = strings.Join(names, ", ")
	}
	return nil
}

// rowidKey returns the index of a table whose key is SQLite's rowid (INTEGER PRIMARY KEY),
// which has none in the schema.
func (r *relation) rowidKey() *index {
	if r.primaries != 1 || r.rowid == "" || slices.ContainsFunc(r.indexes, func(x index) bool { return x.primary }) {
		return nil
	}
	return &index{
		name: r.name + "_pkey", primary: true, unique: true, constraint: true,
		keys: []int64{r.number(r.rowid)}, columns: simpleName(r.rowid),
	}
}

func (h *handler) readKeys(ctx context.Context, s *pgserver.Session, r *relation, next *int64) error {
	last := int64(-1)
	return h.each(ctx, s, `SELECT id, "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list(?) ORDER BY id, seq`, r.name, func(rows *sql.Rows) error {
		var id int64
		var k foreignKey
		var from string
		var to sql.NullString
		if err := rows.Scan(&id, &k.other, &from, &to, &k.onUpdate, &k.onDelete); err != nil {
			return err
		}
		if id != last {
			*next++
			k.oid, k.name, last = *next, fmt.Sprintf("%s_fkey%d", r.name, id), id
			r.keys = append(r.keys, k)
		}
		key := &r.keys[len(r.keys)-1]
		key.from = append(key.from, from)
		if to.Valid {
			key.to = append(key.to, to.String)
		}
		return nil
	})
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// simpleName quotes a name only where it has to be.
func simpleName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// definition returns an index as SQL.
func (x index) definition(table string) string {
	words := "CREATE INDEX"
	if x.unique {
		words = "CREATE UNIQUE INDEX"
	}
	return fmt.Sprintf("%s %s ON %s USING btree (%s)", words, simpleName(x.name), simpleName(table), x.columns)
}

// definition returns a foreign key as SQL.
func (k foreignKey) definition() string {
	names := func(list []string) string {
		var out []string
		for _, n := range list {
			out = append(out, simpleName(n))
		}
		return strings.Join(out, ", ")
	}
	def := fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s", names(k.from), simpleName(k.other))
	if len(k.to) > 0 {
		def += "(" + names(k.to) + ")"
	}
	if k.onUpdate != "NO ACTION" {
		def += " ON UPDATE " + k.onUpdate
	}
	if k.onDelete != "NO ACTION" {
		def += " ON DELETE " + k.onDelete
	}
	return def
}
