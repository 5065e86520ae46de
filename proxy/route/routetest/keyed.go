package routetest

import (
	"fmt"
	"strings"
)

// A Keyed is random tables of a schema with keys of other types than bigint: docs and items,
// which belong to them by the key and a number, and labels, which are on all shards.
type Keyed struct {
	g *Generator
	// Keys are the columns of the sharding key, Types the names of their types.
	Keys, Types []string

	values  [][]string // of the key's columns
	columns []thing    // of docs
	next    int
}

// keyTypes are the types of a key's column with values of it.
func keyTypes() map[string][]string {
	return map[string][]string{
		"text":                       {"'acme'", "'Acme'", "''", "'zoë'", "'a b'", `'x\y'`, "'o''neil'", "'ümlaut'", "'1'", "'-'"},
		"varchar(12)":                {"'acme'", "'Acme'", "'acme '", "'zoë'", "'a b'", "'q'", "'o''neil'", "'1'"},
		`text COLLATE "C"`:           {"'acme'", "'Acme'", "'b'", "'zoë'", "'B'", "'_'"},
		"text COLLATE \"ucs_basic\"": {"'acme'", "'Acme'", "'b'", "'zoë'", "'B'", "'_'"},
		"uuid": {
			"'00000000-0000-0000-0000-000000000000'", "'7f000000-0000-0000-0000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
			"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'", "'12345678-1234-1234-1234-123456789012'",
		},
		"int":         {"0", "1", "-1", "42", "2147483647", "7", "8", "9"},
		"smallint":    {"0", "1", "-1", "42", "32767", "7", "8", "9"},
		"bigint":      {"0", "1", "-1", "42", "9223372036854775807", "7", "8", "9"},
		"date":        {"'2024-02-29'", "'1999-12-31'", "'0044-03-15 BC'", "'infinity'", "'2024-03-01'"},
		"timestamptz": {"'2024-02-29 12:00+00'", "'1999-12-31 23:59:59.5+00'", "'-infinity'", "'2024-03-01 00:00+02'"},
	}
}

// moreThings are columns that things has not.
func moreThings() []thing {
	return []thing{
		{"huge", "numeric", []string{"0", "1e-300", "12345678901234567890123456789012345678901234567890.5", "-1e60", "'NaN'", "'Infinity'", "'-Infinity'", "0.1"}, true},
		{"fl", "float8", []string{"0", "'NaN'", "'Infinity'", "'-Infinity'", "1.5", "-2"}, false},
		{"words", "text[]", []string{"'{}'", "'{a,b}'", "'{A}'", "'{NULL,a}'", "'{ä}'"}, false},
		{"nums", "numeric[]", []string{"'{}'", "'{1.5,2}'", "'{NULL}'", "'{-3}'"}, false},
		{"ivl", "interval", []string{"'1 day'", "'-2 days'", "'03:04:05.678'", "'1 year 2 mons'"}, true},
		{"stamp", "timestamp", []string{"'2024-02-29 12:00'", "'infinity'", "'4713-01-01 00:00 BC'", "'2024-02-29 12:00:00.000001'"}, false},
		{"tod", "timetz", []string{"'12:00+00'", "'13:00+01'", "'00:00-05'", "'24:00+00'"}, false},
		{"doc", "jsonb", []string{`'{}'`, `'{"b": [1, null], "a": "x"}'`, `'[1, "a"]'`, "'null'", "'true'"}, false},
		{"raw", "json", []string{`'{"z":1,  "a":2}'`, "'[]'", "'1.0'"}, false},
		{"mood", "mood", []string{"'sad'", "'ok'", "'happy'"}, false},
		{"short", "short", []string{"'a'", "'B'", "'zz'", "'ä'"}, false},
		{"bits", "bit varying(8)", []string{"'0'", "'101'", "'11111111'", "''"}, false},
		{"icu", `text COLLATE "und-x-icu"`, []string{"''", "'a'", "'A'", "'b'", "'ä'", "'-a'", "'z'"}, false},
		{"cstr", `text COLLATE "C"`, []string{"''", "'a'", "'A'", "'b'", "'ä'", "'~'"}, false},
		{"str", "text", []string{"''", "'a'", "'A'", "'b'", "'ä'", "'a-b'", "'ab'", "'_'"}, false},
		{"pad", "char(4)", []string{"'a'", "'a '", "'ab'", "'B'"}, false},
		{"k", "int", []string{"0", "1", "2", "3", "-1"}, true},
		{"big", "bigint", []string{"0", "1", "-1", "4611686018427387904"}, true},
		{"flag", "boolean", []string{"true", "false"}, false},
		{"pt", "point", []string{"'(1,2)'", "'(0,0)'"}, false},
	}
}

// Keyed makes random tables with a random key.
func (g *Generator) Keyed() *Keyed {
	types := keyTypes()
	names := []string{"text", "varchar(12)", `text COLLATE "C"`, "uuid", "int", "smallint", "bigint", "date", "timestamptz", `text COLLATE "ucs_basic"`}
	k := &Keyed{g: g, next: 1000}
	for i := range 1 + g.IntN(3) {
		typ := names[g.IntN(len(names))]
		k.Keys, k.Types = append(k.Keys, []string{"tenant", "region", "shelf"}[i]), append(k.Types, typ)
		values := types[typ]
		k.values = append(k.values, values[:min(len(values), 8-2*i)])
	}
	all := moreThings()
	g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	k.columns = all[:8]
	return k
}

// Names are the names of the key's types without anything that is not a part of them.
func (k *Keyed) Names() []string {
	out := make([]string, len(k.Types))
	for i, t := range k.Types {
		t, _, _ = strings.Cut(t, " ")
		out[i], _, _ = strings.Cut(t, "(")
	}
	return out
}

func (k *Keyed) key() []string {
	out := make([]string, len(k.Keys))
	for i, v := range k.values {
		out[i] = v[k.g.IntN(len(v))]
	}
	return out
}

func (k *Keyed) value(c thing) string {
	if k.g.IntN(6) == 0 {
		return "NULL"
	}
	return c.values[k.g.IntN(len(c.values))]
}

func (k *Keyed) list() string { return strings.Join(k.Keys, ", ") }

// Schema returns the statements that make and fill the tables.
func (k *Keyed) Schema(docs, items int) []string {
	var keys, defs []string
	for i, name := range k.Keys {
		keys = append(keys, name+" "+k.Types[i]+" NOT NULL")
	}
	for _, c := range k.columns {
		defs = append(defs, c.name+" "+c.typ)
	}
	out := []string{
		"CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
		"CREATE DOMAIN short AS varchar(4)",
		"CREATE TABLE docs (" + strings.Join(keys, ", ") + ", id int NOT NULL, label int, " + strings.Join(defs, ", ") + ", PRIMARY KEY (" + k.list() + ", id))",
		"CREATE TABLE items (" + strings.Join(keys, ", ") + ", doc int, no int, qty numeric(12,3), note text)",
		"CREATE TABLE labels (id int PRIMARY KEY, name text, weight numeric)",
		"INSERT INTO labels VALUES (0, 'zero', 0), (1, 'One', 1.50), (2, 'zwei', 2), (3, NULL, NULL), (4, 'vier', 4.25)",
	}
	var rows []string
	for i := range docs {
		rows = append(rows, "("+strings.Join(k.row(i), ", ")+")")
	}
	out = append(out, "INSERT INTO docs VALUES "+strings.Join(rows, ", "))
	rows = nil
	for i := range items {
		rows = append(rows, fmt.Sprintf("(%s, %d, %d, %s, %s)", strings.Join(k.key(), ", "), k.g.IntN(docs), i, k.g.one("NULL", "1.5", "2.125", "-7", "1000000.001"), k.g.one("NULL", "'x'", "'Y'", "'ä'")))
	}
	return append(out, "INSERT INTO items VALUES "+strings.Join(rows, ", "))
}

// row is a row of docs.
func (k *Keyed) row(id int) []string {
	row := append(k.key(), fmt.Sprint(id), k.g.one("0", "1", "2", "3", "NULL", "9"))
	for _, c := range k.columns {
		row = append(row, k.value(c))
	}
	return row
}

// comparable is a column that has an order.
func (k *Keyed) comparable() thing {
	for {
		c := k.columns[k.g.IntN(len(k.columns))]
		if c.typ != "json" && c.typ != "point" {
			return c
		}
	}
}

// plain is a column whose equal values look the same.
func (k *Keyed) plain() thing {
	for range 20 {
		c := k.comparable()
		switch c.name {
		case "huge", "nums", "ivl", "tod", "pad", "fl":
			continue
		}
		return c
	}
	return thing{name: "label", typ: "int", values: []string{"0", "1"}}
}

func (k *Keyed) number() string {
	for range 8 {
		if c := k.comparable(); c.number {
			return c.name
		}
	}
	return "id"
}

// same is the key's equality between two aliases.
func (k *Keyed) same(a, b string) string {
	var out []string
	for _, name := range k.Keys {
		out = append(out, a+"."+name+" = "+b+"."+name)
	}
	if k.g.IntN(5) == 0 { // as rows
		return "(" + a + "." + strings.Join(k.Keys, ", "+a+".") + ") = (" + b + "." + strings.Join(k.Keys, ", "+b+".") + ")"
	}
	return strings.Join(out, " AND ")
}

// condition is a condition on docs as x.
func (k *Keyed) condition() string {
	g, c := k.g, k.comparable()
	pin := func(alias string) string {
		var out []string
		for i, v := range k.key() {
			out = append(out, alias+k.Keys[i]+" = "+v)
		}
		return strings.Join(out, " AND ")
	}
	first := k.values[0]
	one := k.Keys[0]
	v := c.values[g.IntN(len(c.values))]
	return g.one(
		"true", "x.label = 1", pin("x."), pin("x."), "("+pin("x.")+" OR "+pin("x.")+")",
		"x."+one+" IN ("+first[0]+", "+first[1]+", "+first[len(first)-1]+")",
		"(x."+strings.Join(k.Keys, ", x.")+") IN (("+strings.Join(k.key(), ", ")+"), ("+strings.Join(k.key(), ", ")+"))",
		"x."+one+" > "+first[0], "x."+one+" BETWEEN "+first[0]+" AND "+first[1], "NOT ("+pin("x.")+")",
		"x."+c.name+" = "+v, "x."+c.name+" <> "+v, "x."+c.name+" IS NULL", "x."+c.name+" >= "+v,
		"EXISTS (SELECT FROM items y WHERE "+k.same("y", "x")+" AND y.no > 20)",
		"NOT EXISTS (SELECT FROM items y WHERE "+k.same("y", "x")+" AND y.doc = x.id)",
		"x.label IN (SELECT id FROM labels WHERE name > 'a')",
		"("+prefixed("x.", k.Keys)+") IN (SELECT "+k.list()+" FROM items WHERE no < 9)",
		"x.id IN (SELECT doc FROM items WHERE qty > 1)",
		"x.label > (SELECT avg(label) FROM docs)",
		"x.id % 3 = 1",
	)
}

func prefixed(p string, names []string) string { return p + strings.Join(names, ", "+p) }

// Query returns a query, and whether the order of its rows counts.
func (k *Keyed) Query() (sql string, ordered bool) {
	g := k.g
	dir := func() string { return g.one("", " DESC", " ASC NULLS FIRST", " DESC NULLS LAST") }
	limit := func() string {
		return g.one("", "", " LIMIT 4", " LIMIT 6 OFFSET 2", " OFFSET 5", " FETCH FIRST 3 ROWS ONLY", " LIMIT 1 + 2")
	}
	where := func() string {
		return " WHERE " + k.condition() + g.one("", "", " AND "+k.condition(), " OR "+k.condition())
	}
	col := func() string { return k.comparable().name }
	all := "x." + strings.Join(k.Keys, ", x.") + ", x.id"
	total := k.list() + ", id"
	agg := func() string {
		n, c, p := k.number(), k.comparable().name, k.plain()
		list := []string{
			"count(*)", "count(" + c + ")", "sum(" + n + ")", "count(DISTINCT " + c + ")", "avg(label)", "max(id) - min(id)", "sum(label) * 2 + count(*)",
			"array_agg(id ORDER BY id, " + k.list() + ")", "string_agg(id::text, '/' ORDER BY id DESC, " + k.list() + ")", "stddev(label)", "var_pop(id)",
			"json_agg(label ORDER BY id, " + k.list() + ")", "bool_or(label = 2)", "count(*) FILTER (WHERE id > 20)", "coalesce(max(label), -1)",
			"jsonb_agg(DISTINCT label)", "min(id) FILTER (WHERE label = 3)", "round(avg(id), 3)", "max(" + k.Keys[0] + "::text COLLATE \"C\")",
			"percentile_disc(0.5) WITHIN GROUP (ORDER BY id)", "array_agg(DISTINCT label ORDER BY label DESC)", "stddev_pop(id) > 5",
		}
		if p.typ != "boolean" && p.typ != "jsonb" && p.typ != "bit varying(8)" && p.typ != "text[]" {
			list = append(list, "min("+p.name+")", "max("+p.name+")", "max("+p.name+")")
		}
		return list[g.IntN(len(list))]
	}
	switch g.IntN(16) {
	case 0:
		return "SELECT * FROM docs x" + where(), false
	case 1, 2, 3:
		return "SELECT " + g.one("*", all, col()+", "+all, "x.*", all+", "+col()+" IS NULL AS n") + " FROM docs x" + where() + " ORDER BY x." + col() + dir() + ", x." + col() + dir() + ", " + prefixed("x.", k.Keys) + ", x.id" + limit(), true
	case 4:
		c := k.plain().name
		return "SELECT DISTINCT " + c + ", label FROM docs x" + where() + g.one("", " ORDER BY "+c+dir()+", label"), false
	case 5:
		c := k.comparable().name
		return "SELECT DISTINCT ON (" + c + ") " + total + " FROM docs x" + where() + " ORDER BY " + c + dir() + ", " + total + limit(), true
	case 6, 7:
		c := k.plain().name
		key := g.one("label", c, "label, "+c, k.Keys[0], k.list(), "label + 1", "id % 4")
		return "SELECT " + key + ", " + agg() + " AS a, " + agg() + " AS b FROM docs x" + where() + " GROUP BY " + key +
			g.one("", " HAVING count(*) > 2", " HAVING max(id) > 30 OR bool_and(label IS NULL)") + " ORDER BY " + key + limit(), true
	case 8:
		return "SELECT " + agg() + " AS a, " + agg() + " AS b FROM docs x" + where(), true
	case 9:
		return "SELECT label, id % 2 AS odd, count(*), grouping(label) AS g FROM docs x" + where() + " GROUP BY " +
			g.one("ROLLUP (label, id % 2)", "CUBE (label, id % 2)", "GROUPING SETS ((label), (id % 2), ())") + " ORDER BY 1, 2, 4, 3", true
	case 10:
		return "SELECT x.id, i.no, i.qty FROM docs x " + g.one("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN") + " items i ON " + k.same("i", "x") +
			g.one("", " AND i.doc = x.id", " AND i.qty > 1") + g.one("", where()), false
	case 11:
		return "SELECT x.id, l.name, i.no FROM docs x " + g.one("JOIN", "LEFT JOIN", "FULL JOIN", "RIGHT JOIN") + " labels l ON l.id = x.label " + g.one("JOIN", "LEFT JOIN") + " items i ON " +
			g.one(k.same("i", "x"), "i.doc = x.id", "i.no = l.id AND "+k.same("i", "x")) + g.one("", where()), false
	case 12:
		op := g.one("UNION", "UNION ALL", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL")
		return "SELECT " + g.one("label", "id") + " AS v FROM docs x" + where() + " " + op + " SELECT " + g.one("no", "doc") + " FROM items ORDER BY v" + dir() + limit(), true
	case 13:
		return g.one(
			"WITH s AS (SELECT "+k.list()+", sum(qty) AS q, count(*) AS n FROM items GROUP BY "+k.list()+") SELECT "+all+", s.q, s.n FROM docs x LEFT JOIN s ON "+k.same("s", "x")+where(),
			"WITH s AS (SELECT doc, sum(qty) AS q FROM items GROUP BY doc) SELECT x.id, s.q FROM docs x JOIN s ON s.doc = x.id"+where(),
			"WITH s AS MATERIALIZED (SELECT id, weight FROM labels WHERE id > 0) SELECT x.id, s.weight FROM docs x JOIN s ON s.id = x.label"+where(),
			"SELECT x.id, (SELECT max(no) FROM items y WHERE "+k.same("y", "x")+") AS m, (SELECT name FROM labels WHERE id = x.label) FROM docs x"+where(),
			"SELECT x.id, l.no FROM docs x, LATERAL (SELECT no FROM items y WHERE "+k.same("y", "x")+" ORDER BY no LIMIT 2) l"+where(),
		), false
	case 14:
		return g.one(
			"SELECT x.id, row_number() OVER (PARTITION BY "+prefixed("x.", k.Keys)+" ORDER BY x.id) FROM docs x"+where(),
			"SELECT x.id, rank() OVER (ORDER BY x.label, x.id), sum(x.label) OVER (PARTITION BY x.id % 2 ORDER BY x.id, "+prefixed("x.", k.Keys)+") FROM docs x"+where(),
			"SELECT label, count(*), dense_rank() OVER (ORDER BY count(*) DESC) FROM docs x"+where()+" GROUP BY label",
			"SELECT to_jsonb(x) FROM (SELECT "+total+", label FROM docs) x"+where2(k),
			"SELECT x::text FROM docs x"+where(),
			"SELECT count(x), count(DISTINCT x.label) FROM docs x"+where(),
		), false
	}
	return "TABLE " + g.one("docs", "items", "labels"), false
}

func where2(k *Keyed) string { return " WHERE x.id > " + k.g.one("3", "10", "30") }

// Write returns a statement that writes.
func (k *Keyed) Write() string {
	g := k.g
	k.next++
	c := k.columns[g.IntN(len(k.columns))]
	ret := func(columns ...string) string { return g.one("", " RETURNING "+g.one(columns...)) }
	id := fmt.Sprint(k.next)
	k.next += 3
	return g.one(
		"INSERT INTO docs VALUES ("+strings.Join(k.row(k.next), ", ")+"), ("+strings.Join(k.row(k.next+1), ", ")+"), ("+strings.Join(k.row(k.next+2), ", ")+")"+ret("*", "id, label"),
		"INSERT INTO docs VALUES ("+strings.Join(k.row(g.IntN(40)), ", ")+") ON CONFLICT ("+k.list()+", id) DO UPDATE SET label = excluded.label + 1"+ret("id, label"),
		"INSERT INTO docs VALUES ("+strings.Join(k.row(g.IntN(40)), ", ")+"), ("+strings.Join(k.row(g.IntN(40)+50), ", ")+") ON CONFLICT DO NOTHING"+ret("id"),
		"INSERT INTO items ("+k.list()+", doc, no) SELECT "+k.list()+", id, label + 500 FROM docs x WHERE "+k.condition()+ret("no"),
		"INSERT INTO docs ("+k.list()+", id, label) SELECT DISTINCT "+k.list()+", "+id+", 7 FROM items WHERE no < 12 ON CONFLICT DO NOTHING",
		"UPDATE docs x SET label = coalesce(label, 0) + 1, "+c.name+" = "+k.value(c)+" WHERE "+k.condition()+ret("x.id, x.label", "x."+c.name),
		"UPDATE docs x SET label = i.no FROM items i WHERE "+k.same("i", "x")+" AND i.no = "+fmt.Sprint(g.IntN(30))+ret("x.id, i.no"),
		"UPDATE docs x SET label = (SELECT count(*) FROM items y WHERE "+k.same("y", "x")+") WHERE "+k.condition(),
		"UPDATE docs x SET "+k.Keys[0]+" = "+k.key()[0]+", id = id + 10000 WHERE x.id = "+fmt.Sprint(g.IntN(40))+ret("id"),
		"DELETE FROM docs x WHERE x.id % 11 = "+fmt.Sprint(g.IntN(11))+" AND "+k.condition()+ret("x.id"),
		"DELETE FROM items i USING docs x WHERE "+k.same("i", "x")+" AND i.doc = x.id AND x.label = 2"+ret("i.no"),
		"MERGE INTO docs x USING (SELECT "+k.list()+", max(no) AS m FROM items GROUP BY "+k.list()+") s ON "+k.same("x", "s")+" AND x.id = s.m WHEN MATCHED THEN UPDATE SET label = s.m WHEN NOT MATCHED THEN INSERT ("+k.list()+", id) VALUES (s."+strings.Join(k.Keys, ", s.")+", s.m)",
		"MERGE INTO docs x USING labels l ON x.label = l.id AND l.weight > 1 WHEN MATCHED THEN UPDATE SET label = l.id + 1",
		"WITH d AS (DELETE FROM items WHERE no % 7 = "+fmt.Sprint(g.IntN(7))+" RETURNING doc, qty) SELECT count(*), sum(qty) FROM d",
		"WITH i AS (INSERT INTO items ("+k.list()+", no) VALUES ("+strings.Join(k.key(), ", ")+", "+id+") RETURNING "+k.list()+", no) INSERT INTO docs ("+k.list()+", id) SELECT "+k.list()+", no FROM i"+ret("id"),
		"UPDATE labels SET weight = weight + 1 WHERE id = "+fmt.Sprint(g.IntN(5))+ret("id, weight"),
		"UPDATE labels SET weight = (SELECT count(*) FROM docs) WHERE id = 0",
	)
}
