package routetest

import (
	"fmt"
	"strings"
)

// A thing is a column of a random table: its type, and expressions for values of it.
type thing struct {
	name, typ string
	values    []string
	number    bool // it can be added up
}

func things() []thing {
	return []thing{
		{"t", "text", []string{"''", "'a'", "'A'", "'b'", "'ä'", "'Ä'", "'a b'", "'a-b'", "'ab'", "'_'", "'zoë'", `'x''y'`, `'x\y'`, "'€'"}, false},
		{"c", `text COLLATE "C"`, []string{"''", "'a'", "'A'", "'b'", "'ä'", "'aa'", "'~'"}, false},
		{"i", `text COLLATE "und-x-icu"`, []string{"''", "'a'", "'A'", "'b'", "'ä'", "'aa'", "'~'", "'-a'"}, false},
		{"v", "varchar(5)", []string{"''", "'x'", "'x '", "'X'", "'abcde'"}, false},
		{"p", "char(4)", []string{"''", "'a'", "'a '", "'ab'"}, false},
		{"n", "numeric", []string{"0", "1.5", "1.50", "-1.5", "1e30", "123456789012345678901234567890.123456789", "0.0000000000000000000001", "'NaN'"}, true},
		{"m", "numeric(10,3)", []string{"0", "1.5", "-7.125", "9999999.999", "10"}, true},
		{"s", "smallint", []string{"0", "1", "-1", "32767", "-32768"}, true},
		{"k", "integer", []string{"0", "1", "-1", "7", "2147483647"}, true},
		{"l", "bigint", []string{"0", "1", "-1", "9223372036854775807", "-9223372036854775808"}, true},
		{"f", "float8", []string{"0", "1.5", "-2.25", "1e11", "0.125"}, true},
		{"r", "real", []string{"0", "1.5", "-2.25", "1024"}, true},
		{"b", "boolean", []string{"true", "false"}, false},
		{"d", "date", []string{"'2024-02-29'", "'0044-03-15 BC'", "'infinity'", "'1999-12-31'"}, false},
		{"z", "timestamptz", []string{"'2024-02-29 12:00+00'", "'2024-11-03 01:30-04'", "'-infinity'", "'1999-12-31 23:59:59.999999+00'"}, false},
		{"w", "timestamp", []string{"'2024-02-29 12:00'", "'2024-02-29 12:00:00.5'", "'12000-01-01'"}, false},
		{"o", "interval", []string{"'1 mon'", "'30 days'", "'-1 day 02:03:04'", "'720:00'"}, true},
		{"u", "uuid", []string{"'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'7f000000-0000-0000-0000-000000000001'"}, false},
		{"y", "bytea", []string{`'\x'`, `'\x00'`, `'\xff00'`, `'\x5c27'`}, false},
		{"a", "int[]", []string{"'{}'", "'{1,2}'", "'{NULL}'", "'{3}'"}, false},
		{"j", "jsonb", []string{`'{}'`, `'{"a": [1, null]}'`, `'"x"'`, "'1.0'"}, false},
		{"e", "inet", []string{"'10.0.0.1'", "'10.0.0.0/8'", "'::1'"}, false},
		{"g", "int4range", []string{"'empty'", "'[1,5)'", "'(,3]'"}, false},
	}
}

// A Table is a random table, things, sharded by id, and one that is on all shards, kinds.
type Table struct {
	g       *Generator
	columns []thing
}

// Things makes a random table of some columns.
func (g *Generator) Things() *Table {
	all := things()
	g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return &Table{g, all[:7]}
}

// Schema returns the statements that make and fill it.
func (t *Table) Schema(rows int) []string {
	var defs []string
	for _, c := range t.columns {
		defs = append(defs, c.name+" "+c.typ)
	}
	out := []string{
		"CREATE TABLE things (id bigint PRIMARY KEY, kind int, " + strings.Join(defs, ", ") + ")",
		"CREATE TABLE kinds (kind int PRIMARY KEY, word text)",
		"INSERT INTO kinds VALUES (0, 'none'), (1, 'One'), (2, 'zwei'), (3, NULL), (4, 'vier')",
	}
	var values []string
	for i := range rows {
		row := []string{fmt.Sprint(i*3 - 20), t.g.one("0", "1", "2", "3", "NULL", "9")}
		for _, c := range t.columns {
			v := c.values[t.g.IntN(len(c.values))]
			if t.g.IntN(6) == 0 {
				v = "NULL"
			}
			row = append(row, v)
		}
		values = append(values, "("+strings.Join(row, ", ")+")")
	}
	return append(out, "INSERT INTO things VALUES "+strings.Join(values, ", "))
}

func (t *Table) column() thing { return t.columns[t.g.IntN(len(t.columns))] }

// number is a column that can be added up, or id.
func (t *Table) number() string {
	for range 8 {
		if c := t.column(); c.number {
			return c.name
		}
	}
	return "id"
}

// unequivocal is a column whose equal values look the same: 1.5 and 1.50 are equal, as are a
// month and 30 days, and either may stand for both.
func (t *Table) unequivocal() string {
	for {
		if c := t.column(); c.typ != "numeric" && c.typ != "interval" {
			return c.name
		}
	}
}

// Query returns a query, and whether the order of its rows counts.
func (t *Table) Query() (sql string, ordered bool) {
	g := t.g
	col := func() string { return t.column().name }
	dir := func() string { return g.one("", " DESC", " ASC NULLS FIRST", " DESC NULLS LAST", " NULLS FIRST") }
	limit := func() string {
		return g.one("", "", " LIMIT 4", " LIMIT 6 OFFSET 2", " OFFSET 5", " FETCH FIRST 3 ROWS ONLY", " LIMIT NULL OFFSET 1")
	}
	cond := func() string {
		c := t.column()
		v := c.values[g.IntN(len(c.values))]
		return g.one(
			"", "", "x.id = 10", "x.id IN (10, 13, 16, -5)", "x.id BETWEEN -10 AND 40", "x.kind = 1", "x."+c.name+" IS NULL", "x."+c.name+" = "+v,
			"x."+c.name+" <> "+v, "x."+c.name+" IS DISTINCT FROM "+v, "x.id = ANY (ARRAY[7, 10]::bigint[])", "NOT (x.kind = 2 OR x.id < 0)",
			"EXISTS (SELECT FROM things y WHERE y.id = x.id AND y.kind = 1)", "x.kind IN (SELECT kind FROM kinds WHERE word > 'a')")
	}
	where := func() string {
		a, b := cond(), cond()
		switch {
		case a == "" && b == "":
			return ""
		case a == "" || b == "":
			return " WHERE " + a + b
		}
		return " WHERE (" + a + ")" + g.one(" AND ", " OR ") + "(" + b + ")"
	}
	agg := func() string {
		n := t.number()
		c := col()
		return g.one("count(*)", "count("+c+")", "sum("+n+")", "count(DISTINCT "+c+")", "sum(id) - count(*)", "max(id)", "min(id) FILTER (WHERE kind > 0)",
			"array_agg(id ORDER BY id)", "string_agg(id::text, '/' ORDER BY id DESC)", "avg(id)", "stddev_samp(id)", "bool_or(kind = 2)",
			"coalesce(sum(kind), 0)", "json_agg(kind ORDER BY id)", "every(id > 0)", "bit_and(kind)", "var_samp(kind)", "max(kind) - min(kind)")
	}
	switch g.IntN(10) {
	case 0:
		return "SELECT * FROM things x" + where(), false
	case 1, 2, 3:
		return "SELECT " + g.one("*", "x.id, "+col(), col()+", "+col()+", id", "x.*, id + 1 AS next") + " FROM things x" + where() +
			" ORDER BY " + col() + dir() + ", " + col() + dir() + ", x.id" + dir() + limit(), true
	case 4:
		c := t.unequivocal()
		return "SELECT DISTINCT " + c + " FROM things x" + where() + g.one("", " ORDER BY 1"), false
	case 5:
		c := col()
		return "SELECT DISTINCT ON (" + c + ") id FROM things x" + where() + " ORDER BY " + c + dir() + ", id" + limit(), true
	case 6:
		return "SELECT kind, " + agg() + ", " + agg() + " AS z FROM things x" + where() + " GROUP BY kind" +
			g.one("", " HAVING count(*) > 3", " HAVING max(id) > 30 AND bool_or(kind IS NOT NULL)") + " ORDER BY kind" + dir() + limit(), true
	case 7:
		return "SELECT " + agg() + ", " + agg() + " AS z FROM things x" + where(), true
	case 8:
		return "SELECT x.id, k.word FROM things x " + g.one("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN") + " kinds k " + g.one("ON k.kind = x.kind", "USING (kind)") + where(), false
	}
	return "SELECT " + g.one("id", "kind") + " FROM things x" + where() + " " + g.one("UNION", "UNION ALL", "EXCEPT", "INTERSECT") + " SELECT " +
		g.one("kind", "id::int") + " FROM things x" + where() + " ORDER BY 1" + limit(), true
}
