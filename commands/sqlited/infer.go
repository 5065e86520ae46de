package sqlited

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// SQLite has no types for parameters, and none for the columns of RETURNING before it runs;
// PostgreSQL's clients want to know both. They are inferred here from the tables' columns,
// where that is certain; a parameter that nothing is known of is text.

// A tableColumn is a column of a table.
type tableColumn struct {
	table, name string
	oid         uint32
}

// columnsOf lists the columns of those tables and views whose names are in the set.
func (h *handler) columnsOf(ctx context.Context, s *pgserver.Session, tables map[string]bool) ([]tableColumn, error) {
	rows, err := h.sql.QueryContext(ctx, s, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') UNION SELECT name FROM sqlite_temp_schema WHERE type IN ('table', 'view')")
	if err != nil {
		return nil, err
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			_ = rows.Close()
			return nil, err
		}
		if tables[strings.ToLower(name)] {
			names = append(names, name)
		}
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	var out []tableColumn
	for _, table := range names {
		columns, err := h.sql.QueryContext(ctx, s, "SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid", table)
		if err != nil {
			continue // a view that is broken has no columns
		}
		for columns.Next() {
			c := tableColumn{table: strings.ToLower(table)}
			var typ string
			if err := columns.Scan(&c.name, &typ); err == nil {
				c.oid = h.sql.TypeOf(typ)
				out = append(out, c)
			}
		}
		_ = columns.Close() // what is missing is not inferred
	}
	return out, nil
}

// typeByName finds the type of a column by its name, if all of that name have the same one.
func typeByName(columns []tableColumn, name string) uint32 {
	oid, found := uint32(0), false
	for _, c := range columns {
		if !strings.EqualFold(c.name, name) {
			continue
		}
		if found && oid != c.oid {
			return 0
		}
		oid, found = c.oid, true
	}
	return oid
}

// parameterTypes infers the types that the client has left open.
func (s shape) parameterTypes(given []uint32, columns []tableColumn) []uint32 {
	types := append([]uint32(nil), given...)
	for i, t := range s.tokens {
		if t.Kind != lex.Param {
			continue
		}
		n, err := strconv.Atoi(t.Text(s.sql)[1:])
		if err != nil || n < 1 || n > 65535 {
			continue
		}
		for len(types) < n {
			types = append(types, 0)
		}
		if types[n-1] == 0 || types[n-1] == pgtype.UnknownOID {
			types[n-1] = s.parameterType(i, columns)
		}
	}
	return types
}

// parameterType infers the type of the parameter at token i.
func (s shape) parameterType(i int, columns []tableColumn) uint32 {
	switch {
	case s.is(i+1, "::"):
		return s.castOID(i + 2)
	case s.is(i-1, "(") && s.is(i-2, "cast") && s.is(i+1, "as"):
		return s.castOID(i + 2)
	case s.is(i-1, "limit"), s.is(i-1, "offset"):
		return pgtype.Int8OID
	case s.is(i-1, "(") && (s.is(i-2, "any") || s.is(i-2, "all")) && s.is(i+1, ")"):
		if name, ok := s.name(i - 4); ok {
			return arrayOf(typeByName(columns, name))
		}
	case s.comparison(i - 1):
		if name, ok := s.name(i - 2); ok {
			return typeByName(columns, name)
		}
	case s.comparison(i + 1):
		if name, ok := s.name(i + 2); ok {
			for s.is(i+3, ".") { // a table's name comes first
				i += 2
				name, _ = s.name(i + 2)
			}
			return typeByName(columns, name)
		}
	case s.is(i-1, "between"), s.is(i-1, "and") && s.is(i-3, "between"):
		at := i - 2
		if s.is(i-1, "and") {
			at = i - 4
		}
		if name, ok := s.name(at); ok {
			return typeByName(columns, name)
		}
	case s.listed(i):
		return s.listType(i, columns)
	}
	return 0
}

func (s shape) comparison(i int) bool {
	for _, op := range []string{"=", "<>", "!=", "<", ">", "<=", ">=", "==", "like"} {
		if s.is(i, op) {
			return true
		}
	}
	return false
}

// listed says that token i is a whole element of a list in brackets.
func (s shape) listed(i int) bool {
	return (s.is(i-1, "(") || s.is(i-1, ",")) && (s.is(i+1, ")") || s.is(i+1, ","))
}

// listType infers the type of an element of x IN (…) or of INSERT's VALUES.
func (s shape) listType(i int, columns []tableColumn) uint32 {
	position, open := 0, i-1
	for ; open >= 0 && !s.is(open, "("); open-- {
		if s.is(open, ",") {
			position++
		} else if s.pairs[open] >= 0 && s.pairs[open] < open {
			open = s.pairs[open]
		}
	}
	if open < 0 {
		return 0
	}
	if s.is(open-1, "in") {
		at := open - 2
		if s.is(at, "not") {
			at--
		}
		if name, ok := s.name(at); ok {
			return typeByName(columns, name)
		}
		return 0
	}
	// VALUES (…), (…): back to the word.
	for s.is(open-1, ",") && s.is(open-2, ")") && s.pairs[open-2] >= 0 {
		open = s.pairs[open-2]
	}
	if !s.is(open-1, "values") {
		return 0
	}
	table, ok := s.target()
	if !ok {
		return 0
	}
	var list []string
	if end := open - 2; s.is(end, ")") && s.pairs[end] >= 0 {
		for j := s.pairs[end] + 1; j < end; j++ {
			if name, ok := s.name(j); ok {
				list = append(list, name)
			}
		}
	} else {
		for _, c := range columns {
			if strings.EqualFold(c.table, table) {
				list = append(list, c.name)
			}
		}
	}
	if position >= len(list) {
		return 0
	}
	for _, c := range columns {
		if strings.EqualFold(c.table, table) && strings.EqualFold(c.name, list[position]) {
			return c.oid
		}
	}
	return 0
}

// castOID returns the type that is named at token i.
func (s shape) castOID(i int) uint32 {
	if s.is(i, "pg_catalog") && s.is(i+1, ".") {
		i += 2
	}
	name, ok := s.name(i)
	if !ok {
		return 0
	}
	if s.is(i+1, "precision") || s.is(i+1, "varying") {
		next, _ := s.name(i + 1)
		name, i = name+" "+next, i+1
	}
	if s.is(i+1, "with") && s.is(i+2, "time") {
		name += "tz"
	}
	oid, _, _ := castType(castFunctions()[name])
	if s.is(i+1, "[") && s.is(i+2, "]") {
		return arrayOf(oid)
	}
	return oid
}

// arrayOf returns the type of arrays of a type.
func arrayOf(oid uint32) uint32 {
	switch oid {
	case pgtype.Int2OID:
		return pgtype.Int2ArrayOID
	case pgtype.Int4OID:
		return pgtype.Int4ArrayOID
	case pgtype.Int8OID:
		return pgtype.Int8ArrayOID
	case pgtype.Float8OID:
		return pgtype.Float8ArrayOID
	case pgtype.VarcharOID:
		return pgtype.VarcharArrayOID
	case pgtype.UUIDOID:
		return pgtype.UUIDArrayOID
	}
	return pgtype.TextArrayOID
}
