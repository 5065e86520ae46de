package sqlited

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
	"modernc.org/sqlite"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A catalog answers what clients ask of pg_catalog and information_schema.
//
// It makes SQLite tables with the catalogs' names and columns, of the schema as the session
// sees it, and lets SQLite answer the client's own question, put into its words. A question
// that is too much for that is refused: no answer is better than one that is not true.
type catalog struct {
	relations      []*relation
	database, user string
	pid            uint32
	settings       map[string]string // in lower case
}

// asksCatalog says whether a statement is a question about the catalog: one of the catalog's
// tables is in it where tables stand, or it calls a function of the catalog and has no table.
func (s shape) asksCatalog() bool {
	i := 0
	for s.is(i, "(") {
		i++
	}
	if !s.is(i, "select") && !s.is(i, "with") && !s.is(i, "values") {
		return false
	}
	known := catalogTables()
	calls, from := false, false
	for i, t := range s.tokens {
		name, ok := s.name(i)
		if !ok || t.Kind != lex.Word {
			continue
		}
		switch {
		case name == "from" && !s.is(i-1, "distinct"):
			from = from || !s.is(i+1, "(") || !s.is(i+2, "values") // as psql's \gdesc asks
		case name == "information_schema" && s.is(i+1, "."):
			if !s.is(i+3, "(") {
				return true
			}
			calls = true
		case s.is(i+1, "("):
			calls = calls || strings.HasPrefix(name, "pg_") || strings.HasPrefix(name, "has_") || strings.HasPrefix(name, "to_reg") || name == "current_setting" || name == "format_type" || strings.HasSuffix(name, "_description")
		case known[name] > 0 || strings.HasPrefix(name, "pg_") && s.is(i-2, "pg_catalog"):
			schema := s.is(i-1, ".")
			if schema && !s.is(i-2, "pg_catalog") {
				continue // public.pg_class
			}
			before := i - 1
			if schema {
				before = i - 3
			}
			if s.is(before, "from") || s.is(before, "join") || s.is(before, ",") || s.is(before, "(") {
				return true
			}
		case (name == "regclass" || name == "regtype" || name == "regnamespace" || name == "regrole" || name == "regproc") && (s.is(i-1, "::") || s.is(i-1, ".")):
			calls = true
		}
	}
	return calls && !from
}

// answer returns the answer to a question about the catalog.
func (h *handler) answer(ctx context.Context, s *pgserver.Session, text string, args []any) (*result, error) {
	c := &catalog{database: h.database, user: s.User(), pid: s.PID(), settings: map[string]string{"server_version_num": "150000"}}
	for name, value := range s.Params() {
		c.settings[strings.ToLower(name)] = value
	}
	var err error
	if c.relations, err = h.snapshot(ctx, s); err != nil {
		return nil, err
	}
	if text, err = translate(keyPositions(text), s.User(), zoneName(s.Location())); err != nil {
		return nil, err
	}
	d := &sqlite.Driver{}
	if err := errors.Join(registerFunctions(d, h.database), register(d, c.functions())); err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector{driver: d, dsn: "file::memory:"})
	db.SetMaxOpenConns(1) // each connection would have a database of its own
	defer func() { _ = db.Close() }()
	if err := c.fill(ctx, db); err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		if r, ok := none(ctx, db, text); ok {
			return r, nil
		}
		return nil, refuse(text, err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	r, err := c.readResult(rows, text)
	if err != nil {
		return nil, refuse(text, err)
	}
	return r, nil
}

// none answers a question that SQLite does not understand, if there can be no rows: each
// SELECT of it begins with a table that is empty, joins others to that one and counts nothing.
func none(ctx context.Context, db *sql.DB, text string) (*result, bool) {
	sh, ok := shapeOf(text)
	if !ok {
		return nil, false
	}
	selects := 0
	for i := 0; i < len(sh.tokens); i++ {
		if sh.pairs[i] > i {
			i = sh.pairs[i]
			continue
		}
		if sh.is(i, "right") || sh.is(i, "full") || sh.is(i, "with") || sh.is(i, "values") {
			return nil, false
		}
		if !sh.is(i, "select") {
			continue
		}
		selects++
		from := i + 1
		for ; from < len(sh.tokens) && !sh.ends(from); from++ {
			if sh.is(from, "count") || sh.is(from, "sum") || sh.is(from, "max") || sh.is(from, "min") || sh.is(from, "string_agg") || sh.is(from, "array_agg") || sh.is(from, "json_group_array") {
				return nil, false
			}
			if sh.pairs[from] > from {
				from = sh.pairs[from]
			}
		}
		table, ok := sh.name(from + 1)
		if !ok || !sh.is(from, "from") || catalogTables()[table] == 0 {
			return nil, false
		}
		var n int
		if err := db.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM %q", table)).Scan(&n); err != nil || n > 0 {
			return nil, false
		}
	}
	r := &result{}
	for _, it := range sh.selectList() {
		if it.star {
			return nil, false
		}
		name := it.name
		if name == "" {
			name = "?column?"
		}
		r.columns = append(r.columns, pgserver.Text(name))
	}
	return r, selects > 0 && len(r.columns) > 0
}

// refuse is the error for a question that SQLite cannot answer with our tables.
func refuse(sql string, err error) error {
	if strings.Contains(err.Error(), "SQLSTATE ") {
		return sqliteError(err) // of a function of ours
	}
	if e := wire.AsError(sqliteError(err)); e.Code == wire.CodeUndefinedTable || e.Code == wire.CodeUndefinedColumn || e.Code == wire.CodeUndefinedFunction || e.Code == wire.CodeSyntaxError {
		return wire.Errorf(wire.CodeFeatureNotSupported, "this is SQLite, whose catalog cannot answer this (%s): %.300s", e.Message, strings.Join(strings.Fields(sql), " "))
	}
	return sqliteError(err)
}

// keyPositions puts the one thing that drivers do with sets of records, which SQLite does not
// have, into other words: finding the place of a column in an index.
func keyPositions(sql string) string {
	if !strings.Contains(sql, "_pg_expandarray") {
		return sql
	}
	return strings.NewReplacer(
		"(information_schema._pg_expandarray(i.indkey)).n", "pg_key_position(i.indkey, a.attnum)",
		"information_schema._pg_expandarray(i.indkey) AS", "CASE WHEN pg_key_position(i.indkey, a.attnum) > 0 THEN a.attnum END AS",
		"(result.KEYS).x", "result.KEYS", "(result.keys).x", "result.keys", "(i.keys).x", "i.keys", "(i.KEYS).x", "i.KEYS",
	).Replace(sql)
}

// A result is the answer to a question about the catalog.
type result struct {
	columns []pgserver.Column
	rows    [][]any
}

// readResult reads all rows. The types of columns are those of our tables, those of casts and
// of what is true or false; others follow from the values.
func (c *catalog) readResult(rows *sql.Rows, text string) (*result, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	r := &result{}
	values, ptrs := make([]any, len(types)), make([]any, len(types))
	for i, t := range types {
		r.columns = append(r.columns, pgserver.Column{Name: t.Name(), Type: catalogOID(t.DatabaseTypeName())})
		ptrs[i] = &values[i]
	}
	var items []item
	if sh, ok := shapeOf(text); ok {
		items = unstar(sh.selectList(), len(types))
		sh.describeResult(items, r.columns)
	}
	for rows.Next() {
		if err := rows.Scan(ptrs...); err != nil {
			return nil, err
		}
		row := slices.Clone(values)
		for i, it := range items {
			if what, ok := strings.CutPrefix(it.function, "to_reg"); ok {
				if row[i], err = c.nameOf("reg"+what, row[i]); err != nil {
					return nil, err
				}
			}
		}
		r.rows = append(r.rows, row)
	}
	for i := range r.columns {
		if r.columns[i].Type != 0 {
			continue
		}
		r.columns[i].Type = pgtype.TextOID
		for _, row := range r.rows {
			if _, ok := row[i].(int64); ok {
				r.columns[i].Type = pgtype.Int8OID
			} else if _, ok := row[i].(float64); ok {
				r.columns[i].Type = pgtype.Float8OID
			} else if row[i] == nil {
				continue
			}
			break
		}
	}
	for _, row := range r.rows {
		for i, v := range row {
			row[i] = catalogValue(r.columns[i].Type, v)
		}
	}
	return r, rows.Err()
}

// catalogValue brings a value in line with its column's type.
func catalogValue(oid uint32, v any) any {
	switch x := v.(type) {
	case []byte:
		return string(x)
	case int64:
		switch oid {
		case pgtype.OIDOID:
			return uint32(x)
		case pgtype.BoolOID:
			return x != 0
		case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
			return x
		}
		return textOf(x)
	case float64:
		if oid != pgtype.Float4OID && oid != pgtype.Float8OID {
			return textOf(x)
		}
	}
	return v
}

// describeResult names columns as PostgreSQL does, and gives conditions the type boolean.
func (s shape) describeResult(items []item, columns []pgserver.Column) {
	for i, it := range items {
		if it.star {
			continue
		}
		if it.function != "" {
			name, oid := s.figure(it.from, it.to)
			if oid != 0 {
				columns[i].Type = oid
			}
			if !it.alias {
				columns[i].Name = name
			}
		} else if it.name != "" {
			columns[i].Name = it.name
		} else if s.is(it.from, "case") {
			columns[i].Name = "case"
		} else if columns[i].Type == 0 {
			columns[i].Name = "?column?"
		}
		if columns[i].Type == 0 && (s.condition(it.from, it.to) || isTruth(it.function)) {
			columns[i].Type = pgtype.BoolOID
		}
	}
}

// isTruth names the functions that return true or false.
func isTruth(function string) bool {
	return strings.HasPrefix(function, "has_") || strings.HasSuffix(function, "_is_visible") || function == "pg_is_in_recovery" || function == "pg_relation_is_publishable" || function == "exists"
}

// condition says that an expression is true or false.
func (s shape) condition(from, to int) bool {
	if s.is(from, "not") || s.is(from, "exists") || to-from == 1 && (s.is(from, "true") || s.is(from, "false")) {
		return true
	}
	if s.is(from, "(") && s.pairs[from] == to-1 {
		return !s.is(from+1, "select") && !s.is(from+1, "with") && s.condition(from+1, to-1)
	}
	for i := from; i < to; i++ {
		switch {
		case s.is(i, "case"):
			for depth := 0; i < to; i++ {
				if s.is(i, "case") {
					depth++
				} else if s.is(i, "end") {
					if depth--; depth == 0 {
						break
					}
				}
			}
		case s.pairs[i] > i:
			i = s.pairs[i]
		case s.comparison(i), s.is(i, "and"), s.is(i, "or"), s.is(i, "is"), s.is(i, "in"), s.is(i, "regexp"), s.is(i, "between"):
			return true
		}
	}
	return false
}

func (r *result) send(w pgserver.ResponseWriter) error {
	if err := w.Columns(r.columns...); err != nil {
		return err
	}
	for _, row := range r.rows {
		if err := w.Row(row...); err != nil {
			return err
		}
	}
	return nil
}
