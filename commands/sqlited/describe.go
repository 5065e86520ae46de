package sqlited

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// describe gives columns the names that PostgreSQL would, and types where SQLite has none
// before it has run: those of expressions and of RETURNING lists.
func (h *handler) describe(ctx context.Context, s *pgserver.Session, sql string, columns []pgserver.Column) error {
	sh, ok := shapeOf(sql)
	if !ok {
		return nil
	}
	items := sh.selectList()
	if items = unstar(items, len(columns)); items == nil {
		return nil
	}
	var known []tableColumn
	var err error
	for i, it := range items {
		plain := it.star || sh.dotted(it.from, it.to)
		if plain && sh.returning() == 0 {
			continue // SQLite has told its type
		}
		if known == nil {
			if known, err = h.columnsOf(ctx, s, sh.names()); err != nil {
				return err
			}
		}
		if oid := sh.expressionType(it.from, it.to, known); oid != 0 {
			columns[i].Type = oid
		}
		switch {
		case it.alias || plain:
		case it.function != "":
			columns[i].Name, _ = sh.figure(it.from, it.to)
		case sh.is(it.from, "case"):
			columns[i].Name = "case"
		case sh.is(it.from, "exists"):
			columns[i].Name = "exists"
		default:
			columns[i].Name = "?column?"
		}
	}
	return nil
}

// unstar puts as many items in place of a star as it stands for; nil if that is not clear.
func unstar(items []item, columns int) []item {
	at, stars := 0, 0
	for i, it := range items {
		if it.star {
			at, stars = i, stars+1
		}
	}
	width := columns - len(items) + 1
	switch {
	case len(items) == columns: // then each star is one column
		return items
	case stars != 1 || width < 1:
		return nil
	}
	return slices.Concat(items[:at], slices.Repeat(items[at:at+1], width), items[at+1:])
}

// expressionType infers the type of the expression that tokens from to to are; 0 is unknown.
// Whole numbers are bigint, since that is what SQLite computes with.
func (s shape) expressionType(from, to int, columns []tableColumn) uint32 {
	for s.is(from, "(") && s.pairs[from] == to-1 {
		if s.is(from+1, "select") || s.is(from+1, "with") {
			return 0
		}
		from, to = from+1, to-1
	}
	switch {
	case from >= to || s.is(from, "case"):
		return 0
	case s.condition(from, to):
		return pgtype.BoolOID
	}
	if s.dotted(from, to) {
		name, _ := s.name(to - 1)
		return typeByName(columns, name)
	}
	if open := s.callAt(from, to); open > 0 {
		return s.callType(open, columns)
	}
	if to-from == 1 {
		switch t := s.tokens[from]; {
		case t.Kind == lex.String:
			return pgtype.TextOID
		case t.Kind == lex.Number && strings.ContainsAny(t.Text(s.sql), ".eE"):
			return pgtype.Float8OID
		case t.Kind == lex.Number:
			return pgtype.Int8OID
		}
		return 0
	}
	return s.arithmeticType(from, to, columns)
}

// arithmeticType infers the type of operands with operators between them.
func (s shape) arithmeticType(from, to int, columns []tableColumn) uint32 {
	var parts []uint32
	start, found := from, false
	for i := from; i <= to; i++ {
		switch {
		case i == to:
		case s.pairs[i] > i:
			i = s.pairs[i]
			continue
		case s.tokens[i].Kind != lex.Op:
			continue
		case s.is(i, "||"):
			return pgtype.TextOID
		case !s.is(i, "+") && !s.is(i, "-") && !s.is(i, "*") && !s.is(i, "/") && !s.is(i, "%"):
			return 0
		}
		if start < i {
			parts = append(parts, s.expressionType(start, i, columns))
		}
		start, found = i+1, found || i < to
	}
	if !found {
		return 0
	}
	oid := uint32(pgtype.Int8OID)
	for _, p := range parts {
		switch p {
		case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		case pgtype.Float4OID, pgtype.Float8OID:
			oid = pgtype.Float8OID
		default:
			return 0
		}
	}
	return oid
}

// callType infers the type of a call whose arguments begin with the bracket at open.
func (s shape) callType(open int, columns []tableColumn) uint32 {
	function, _ := s.name(open - 1)
	if oid, _, ok := castType(function); ok {
		return oid
	}
	end := open + 1
	for ; end < s.pairs[open] && !s.is(end, ","); end++ {
		if s.pairs[end] > end {
			end = s.pairs[end]
		}
	}
	switch function {
	case "count", "length", "row_number", "rank", "dense_rank", "instr", "unicode", "changes", "last_insert_rowid", "total_changes":
		return pgtype.Int8OID
	case "avg", "total":
		return pgtype.Float8OID
	case "lower", "upper", "trim", "ltrim", "rtrim", "substr", "substring", "replace", "printf", "format", "hex", "quote", "typeof", "group_concat", "string_agg", "version", "current_database", "current_schema":
		return pgtype.TextOID
	case "max", "min", "coalesce", "ifnull", "nullif":
		return s.expressionType(open+1, end, columns)
	case "sum", "abs":
		switch oid := s.expressionType(open+1, end, columns); oid {
		case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
			return pgtype.Int8OID
		case pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID:
			return oid
		}
	}
	return 0
}

// figure returns the name that PostgreSQL gives an expression, which is a call, and its type
// if the call is a cast of ours (FigureColname).
func (s shape) figure(from, to int) (name string, oid uint32) {
	open := s.callAt(from, to)
	function, _ := s.name(open - 1)
	oid, typ, ok := castType(function)
	if to, found := strings.CutPrefix(function, "pg_to_reg"); found {
		typ, ok = "reg"+to, true
	} else if to, found := strings.CutPrefix(function, "pg_reg"); found {
		typ, ok = "reg"+to, true
	}
	if !ok {
		return function, 0
	}
	// A cast has its operand's name, if that has one.
	end := open + 1
	for ; end < to-1 && !s.is(end, ","); end++ {
		if s.pairs[end] > end {
			end = s.pairs[end]
		}
	}
	if s.callAt(open+1, end) > 0 {
		inner, _ := s.figure(open+1, end)
		return inner, oid
	}
	if column, ok := s.name(end - 1); ok && s.dotted(open+1, end) {
		return column, oid
	}
	return typ, oid
}
