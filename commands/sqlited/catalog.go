package sqlited

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A catalog answers what clients ask of pg_catalog.
//
// psql's questions differ from version to version, so they are not compared with known
// texts: a question is its first table, a few conditions that all versions write alike, and
// a select list whose items are recognised one by one.
type catalog struct {
	db       *sql.DB
	database string
}

// firstOID is where the OIDs of users' objects begin (FirstNormalObjectId).
const firstOID = 16384

// An object is a table, view or index.
type object struct {
	oid               int
	kind              string // as pg_class.relkind
	name, table, text string
}

// objects lists what the database has; the row in sqlite_schema makes the OID.
func (c catalog) objects(ctx context.Context) ([]object, error) {
	rows, err := c.db.QueryContext(ctx, "SELECT rowid, type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE type IN ('table', 'view', 'index') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' OR type = 'index' ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	var out []object
	for rows.Next() {
		var o object
		var kind string
		if err := rows.Scan(&o.oid, &kind, &o.name, &o.table, &o.text); err != nil {
			return nil, err
		}
		o.oid += firstOID
		o.kind = map[string]string{"table": "r", "view": "v", "index": "i"}[kind]
		out = append(out, o)
	}
	return out, rows.Err()
}

// answer returns nil for a query that is not about the catalog.
func (c catalog) answer(ctx context.Context, s *pgserver.Session, text string) (*result, error) {
	switch strings.Join(strings.Fields(strings.TrimRight(strings.ToLower(text), "; \n")), " ") {
	case "select current_user", "select session_user", "select user":
		return &result{columns: []pgserver.Column{pgserver.Text("current_user")}, rows: [][]any{{s.User()}}}, nil
	case "select pg_backend_pid()", "select pg_catalog.pg_backend_pid()":
		return &result{columns: []pgserver.Column{pgserver.Int4("pg_backend_pid")}, rows: [][]any{{int32(s.PID())}}}, nil
	case "select version()", "select pg_catalog.version()":
		return &result{columns: []pgserver.Column{pgserver.Text("version")}, rows: [][]any{{"PostgreSQL " + ServerVersion}}}, nil
	}
	q, ok := parseQuery(text)
	if !ok {
		if strings.Contains(strings.ToLower(text), "from pg_catalog.") || strings.Contains(strings.ToLower(text), "from information_schema.") {
			return nil, notAnswered(text)
		}
		return nil, nil
	}
	if strings.Contains(q.rest, "pg_inherits") || strings.Contains(q.rest, "pg_partitioned_table") {
		return q.make(nil, nil), nil // SQLite has neither
	}
	switch q.from {
	case "pg_class":
		if strings.Contains(q.rest, "pg_index i") && q.oid() != "" && !strings.Contains(q.items[0].text, "relchecks") {
			return c.indexes(ctx, q)
		}
		return c.classes(ctx, q, s)
	case "pg_attribute":
		return c.columns(ctx, q)
	case "pg_constraint":
		return c.foreignKeys(ctx, q)
	case "pg_database", "pg_namespace", "pg_roles", "pg_user":
		return c.single(q, s)
	case "pg_policy", "pg_inherits", "pg_publication", "pg_statistic_ext", "pg_trigger", "pg_rewrite", "pg_type",
		"pg_range", "pg_proc", "pg_tablespace", "pg_event_trigger", "pg_foreign_server", "pg_extension", "pg_enum", "pg_matviews", "pg_foreign_table", "pg_description":
		return q.make(nil, nil), nil // there are none
	}
	return nil, notAnswered(text)
}

// make builds a result: value tells an item of a row.
func (q query) make(rows []map[string]any, value func(row map[string]any, it item) any) *result {
	r := &result{}
	for _, it := range q.items {
		col := pgserver.Text(it.name)
		switch it.name {
		case "oid":
			col.Type = pgtype.OIDOID
		case "attnotnull", "relhasindex", "relhasrules", "relhastriggers", "indisprimary", "indisunique", "sametable":
			col.Type = pgtype.BoolOID
		}
		r.columns = append(r.columns, col)
	}
	for _, row := range rows {
		var values []any
		for i, it := range q.items {
			v := value(row, it)
			if b, ok := v.(bool); ok && r.columns[i].Type != pgtype.BoolOID {
				v = map[bool]string{true: "t", false: "f"}[b]
			}
			if n, ok := v.(int); ok {
				v = strconv.Itoa(n)
				if r.columns[i].Type == pgtype.OIDOID {
					v = uint32(n)
				}
			}
			values = append(values, v)
		}
		r.rows = append(r.rows, values)
	}
	return r
}

// pickItem returns the value of the first key that the item's text contains; keys are tried
// in order, so that the special ones stand before those that they contain.
func pickItem(it item, pairs ...any) any {
	for i := 0; i+1 < len(pairs); i += 2 {
		if strings.Contains(it.text, pairs[i].(string)) {
			return pairs[i+1]
		}
	}
	return nil
}

// classes answers \dt, \dv, \di, \d, and the first two questions of \d NAME.
func (c catalog) classes(ctx context.Context, q query, s *pgserver.Session) (*result, error) {
	objects, err := c.objects(ctx)
	if err != nil {
		return nil, err
	}
	kinds := map[string]string{"r": "table", "v": "view", "i": "index"}
	var rows []map[string]any
	for _, o := range objects {
		name, err := q.matches("relname", o.name)
		if err != nil {
			return nil, err
		}
		schema, err := q.matches("nspname", "public")
		if err != nil {
			return nil, err
		}
		if oid := q.oid(); !name || !schema || !q.wantsKind(o.kind) || oid != "" && oid != strconv.Itoa(o.oid) {
			continue
		}
		rows = append(rows, map[string]any{"object": o})
	}
	return q.make(rows, func(row map[string]any, it item) any {
		o := row["object"].(object)
		hasIndex, hasForeign := false, false
		if o.kind == "r" {
			hasIndex = slices.ContainsFunc(objects, func(i object) bool { return i.kind == "i" && i.table == o.name }) || c.rowidKey(ctx, o.name) != ""
			hasForeign = true // whether there are any, \d asks then
		}
		return pickItem(it,
			"nspname", "public", "c2.relname", o.table, "relname", o.name, "pg_get_userbyid", s.User(),
			"relchecks", 0, "case c.relkind", kinds[o.kind], "relkind", o.kind, "relhasindex", hasIndex, "relhasrules", false,
			"relhastriggers", hasForeign, "relrowsecurity", false, "relforcerowsecurity", false, "relispartition", false,
			"reltablespace", "0", "reloftype", "", "case c.relpersistence", "permanent", "relpersistence", "p", "relreplident", "d", "amname", "",
			"false", false, "pg_size", "", "description", "", "c.oid", o.oid, "pg_get_viewdef", o.text, "''", "", "reltoastrelid", "0",
		)
	}), nil
}

// byOID returns the table or view that a question names.
func (c catalog) byOID(ctx context.Context, q query) (object, bool, error) {
	objects, err := c.objects(ctx)
	if err != nil {
		return object{}, false, err
	}
	i := slices.IndexFunc(objects, func(o object) bool { return strconv.Itoa(o.oid) == q.oid() })
	if i < 0 {
		return object{}, false, nil
	}
	return objects[i], true, nil
}

// columns answers \d NAME's question for columns.
func (c catalog) columns(ctx context.Context, q query) (*result, error) {
	o, ok, err := c.byOID(ctx, q)
	if err != nil || !ok {
		return q.make(nil, nil), err
	}
	table, err := c.db.QueryContext(ctx, "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid", o.name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = table.Close() }() // Err tells
	var rows []map[string]any
	for table.Next() {
		var name, typ string
		var notnull bool
		var value sql.NullString
		var pk, hidden int
		if err := table.Scan(&name, &typ, &notnull, &value, &pk, &hidden); err != nil {
			return nil, err
		}
		row := map[string]any{"name": name, "type": strings.ToLower(typ), "notnull": notnull, "default": nil, "generated": ""}
		if value.Valid {
			row["default"] = value.String
		}
		if hidden >= 2 {
			row["generated"] = "s"
		}
		if typ == "" {
			row["type"] = "any"
		}
		rows = append(rows, row)
	}
	return q.make(rows, func(row map[string]any, it item) any {
		return pickItem(it,
			"pg_get_expr", row["default"], "format_type", row["type"], "attcollation", nil, "attnotnull", row["notnull"],
			"attidentity", "", "attgenerated", row["generated"], "attname", row["name"], "col_description", nil,
			"attstorage", "", "attcompression", "", "attstattarget", nil, "attfdwoptions", "", "pg_get_indexdef", row["name"], "indkey", "",
		)
	}), table.Err()
}

// rowidKey returns the column that is SQLite's rowid (INTEGER PRIMARY KEY), which has no
// index in the schema.
func (c catalog) rowidKey(ctx context.Context, table string) string {
	var name string
	if err := c.db.QueryRowContext(ctx, "SELECT max(name) FROM pragma_table_info(?) WHERE pk > 0 HAVING count(*) = 1 AND max(upper(type)) = 'INTEGER'", table).Scan(&name); err != nil {
		return "" // no such key
	}
	return name
}

// indexes answers \d NAME's question for indexes.
func (c catalog) indexes(ctx context.Context, q query) (*result, error) {
	o, ok, err := c.byOID(ctx, q)
	if err != nil || !ok {
		return q.make(nil, nil), err
	}
	list, err := c.db.QueryContext(ctx, `SELECT l.name, l."unique", l.origin, l.partial, (SELECT group_concat(coalesce('"' || replace(x.name, '"', '""') || '"', '(expression)'), ', ') FROM pragma_index_info(l.name) x) FROM pragma_index_list(?) l ORDER BY l.origin = 'pk' DESC, l.name`, o.name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = list.Close() }() // Err tells
	var rows []map[string]any
	add := func(name, columns, origin string, unique bool) {
		words := "CREATE INDEX"
		if unique {
			words = "CREATE UNIQUE INDEX"
		}
		row := map[string]any{
			"name": name, "primary": origin == "pk", "unique": unique, "constraint": nil, "contype": nil,
			"def": fmt.Sprintf("%s %s ON %s USING btree (%s)", words, name, o.name, columns),
		}
		switch origin {
		case "pk":
			row["constraint"], row["contype"] = "PRIMARY KEY ("+columns+")", "p"
		case "u":
			row["constraint"], row["contype"] = "UNIQUE ("+columns+")", "u"
		}
		rows = append(rows, row)
	}
	if key := c.rowidKey(ctx, o.name); key != "" {
		add(o.name+"_pkey", simpleName(key), "pk", true)
	}
	for list.Next() {
		var name, origin string
		var unique, partial bool
		var columns sql.NullString
		if err := list.Scan(&name, &unique, &origin, &partial, &columns); err != nil {
			return nil, err
		}
		var names []string
		for n := range strings.SplitSeq(columns.String, ", ") {
			names = append(names, simpleName(strings.Trim(n, `"`)))
		}
		add(name, strings.Join(names, ", "), origin, unique)
	}
	return q.make(rows, func(row map[string]any, it item) any {
		return pickItem(it,
			"pg_get_indexdef", row["def"], "pg_get_constraintdef", row["constraint"], "indisprimary", row["primary"], "indisunique", row["unique"],
			"indisclustered", false, "indisvalid", true, "contype", row["contype"], "condeferrable", false, "condeferred", false,
			"indisreplident", false, "reltablespace", "0", "conperiod", false, "relname", row["name"],
		)
	}), list.Err()
}

// simpleName quotes a name only where it has to be.
func simpleName(name string) string {
	if lastName.FindString(name) == name && name != "" {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// foreignKeys answers \d NAME's questions for the keys of a table, and those to it.
func (c catalog) foreignKeys(ctx context.Context, q query) (*result, error) {
	o, ok, err := c.byOID(ctx, q)
	if err != nil || !ok || strings.Contains(q.rest, "contype = 'c'") {
		return q.make(nil, nil), err
	}
	where, incoming := "t.name = ?", false
	if strings.Contains(q.rest, "confrelid") && !strings.Contains(q.rest, " conrelid =") && !strings.Contains(q.rest, "r.conrelid =") {
		where, incoming = "lower(f.\"table\") = lower(?)", true
	}
	list, err := c.db.QueryContext(ctx, `SELECT t.name, f.id, f."table", group_concat(f."from", ', '), group_concat(f."to", ', '), max(f.on_update), max(f.on_delete) FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table' AND `+where+` GROUP BY t.name, f.id, f."table" ORDER BY 1, 2`, o.name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = list.Close() }() // Err tells
	var rows []map[string]any
	for list.Next() {
		var table, other, from, onUpdate, onDelete string
		var to sql.NullString
		var id int
		if err := list.Scan(&table, &id, &other, &from, &to, &onUpdate, &onDelete); err != nil {
			return nil, err
		}
		def := fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s", from, other)
		if to.Valid {
			def += "(" + to.String + ")"
		}
		if onUpdate != "NO ACTION" {
			def += " ON UPDATE " + onUpdate
		}
		if onDelete != "NO ACTION" {
			def += " ON DELETE " + onDelete
		}
		rows = append(rows, map[string]any{"name": fmt.Sprintf("%s_fkey%d", table, id), "def": def, "table": table})
	}
	return q.make(rows, func(row map[string]any, it item) any {
		return pickItem(it, "sametable", !incoming, "pg_get_constraintdef", row["def"], "regclass", row["table"], "conname", row["name"], "conrelid", row["table"], "true", !incoming, "false", incoming)
	}), list.Err()
}

// single answers \l, \dn and \du: one database, one schema, one role.
func (c catalog) single(q query, s *pgserver.Session) (*result, error) {
	owner := s.User()
	name := map[string]string{"pg_database": c.database, "pg_namespace": "public", "pg_roles": owner, "pg_user": owner}[q.from]
	column := map[string]string{"pg_database": "datname", "pg_namespace": "nspname", "pg_roles": "rolname", "pg_user": "rolname"}[q.from]
	ok, err := q.matches(column, name)
	if err != nil || !ok {
		return q.make(nil, nil), err
	}
	return q.make([]map[string]any{{}}, func(_ map[string]any, it item) any {
		return pickItem(it,
			"pg_get_userbyid", owner, "pg_encoding_to_char", "UTF8", "datcollate", "C", "datctype", "C", "daticulocale", nil, "datlocale", nil,
			"daticurules", nil, "datlocprovider", "libc", "datacl", "", "nspacl", "", "array(", "{}", "datname", c.database, "nspname", "public", "rolsuper", true, "rolinherit", true,
			"rolcreaterole", true, "rolcreatedb", true, "rolcanlogin", true, "rolconnlimit", "-1", "rolvaliduntil", nil,
			"rolreplication", false, "rolbypassrls", true, "rolname", owner, "description", nil,
		)
	}), nil
}
