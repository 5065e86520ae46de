package route_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A fleet is one database with everything, and shards with their parts of it.
type fleet struct {
	whole  *pgx.Conn
	shards []*pgx.Conn
	router *route.Router
	temp   int
}

const ddl = `
CREATE TABLE users (id bigint PRIMARY KEY, email text, country int, code text COLLATE "C", score numeric(8,2));
CREATE TABLE payments (id bigint, user_id bigint, amount numeric, n int, note text, f float8);
CREATE TABLE countries (id int PRIMARY KEY, name text);
CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM users';`

type querier struct{ conn *pgx.Conn }

func (q querier) Query(ctx context.Context, sql string, row func([][]byte) error) error {
	rows, err := q.conn.Query(ctx, sql, pgx.QueryResultFormats{pgx.TextFormatCode})
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.RawValues()); err != nil {
			return err
		}
	}
	return rows.Err()
}

func newFleet(t *testing.T, n int) *fleet {
	ctx := t.Context()
	srv, err := native.New(native.DefaultConfig()).Start(ctx, engines.Spec{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	open := func(name string) *pgx.Conn {
		if name != "" {
			c, err := engines.Connect(ctx, srv, "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Exec(ctx, "CREATE DATABASE "+name); err != nil {
				t.Fatal(err)
			}
			_ = c.Close(ctx)
		}
		c, err := engines.Connect(ctx, srv, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		if _, err := c.Exec(ctx, ddl); err != nil {
			t.Fatal(err)
		}
		return c
	}
	layout, err := sharding.Compile(sharding.Config{Shards: n, Tables: []sharding.Table{
		{Name: "users", Columns: []string{"id"}}, {Name: "payments", Columns: []string{"user_id"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{whole: open("whole")}
	for i := range n {
		f.shards = append(f.shards, open("s"+strconv.Itoa(i)))
	}
	snap, err := schema.Load(ctx, querier{f.whole})
	if err != nil {
		t.Fatal(err)
	}
	f.router = route.New(route.Config{Layout: layout, Schema: snap})
	// Every row goes in through the router.
	rnd := rand.New(rand.NewPCG(7, 9))
	text := func(words ...string) string {
		if rnd.IntN(6) == 0 {
			return "NULL"
		}
		return "'" + words[rnd.IntN(len(words))] + "'"
	}
	number := func(most int) string {
		if rnd.IntN(7) == 0 {
			return "NULL"
		}
		return strconv.Itoa(rnd.IntN(most) - most/4)
	}
	var users, payments, countries []string
	for i := range 60 {
		users = append(users, fmt.Sprintf("(%d, %s, %s, %s, %s.%02d)", i*7-50, text("ann", "Bob", "émile", "bob", "Ann", "zoë", "_x"), number(8), text("a", "B", "b", "A"), strconv.Itoa(rnd.IntN(50)), rnd.IntN(100)))
	}
	for i := range 160 {
		payments = append(payments, fmt.Sprintf("(%d, %d, %s.%d, %s, %s, %d.5)", i, rnd.IntN(70)*7-50, strconv.Itoa(rnd.IntN(90)), rnd.IntN(1000), number(10), text("x", "y", "ann", "Bob", "zoë"), rnd.IntN(20)))
	}
	for i := range 6 {
		countries = append(countries, fmt.Sprintf("(%d, %s)", i, text("France", "Chad", "Åland", "chad")))
	}
	for table, rows := range map[string][]string{"users": users, "payments": payments, "countries": countries} {
		sql := "INSERT INTO " + table + " VALUES " + strings.Join(rows, ", ")
		if _, err := f.whole.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
		if err := f.write(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// write runs a statement that only writes.
func (f *fleet) write(ctx context.Context, sql string) error {
	var d route.Decision
	if err := f.router.Route(&d, sql, &route.Session{Hint: route.NoHint()}, nil); err != nil {
		return err
	}
	if len(d.Queries) > 0 {
		for _, q := range d.Queries {
			if _, err := f.shards[q.Shards.Lowest()].Exec(ctx, q.SQL); err != nil {
				return err
			}
		}
		return nil
	}
	for _, s := range d.Targets() {
		if _, err := f.shards[s].Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

type answer struct {
	names []string
	types []uint32
	mods  []int32
	rows  [][]*string
}

func read(ctx context.Context, conn *pgx.Conn, sql string) (a answer, err error) {
	rows, err := conn.Query(ctx, sql, pgx.QueryResultFormats{pgx.TextFormatCode}, pgx.QueryExecModeExec)
	if err != nil {
		return a, err
	}
	defer rows.Close()
	for rows.Next() {
		var row []*string
		for _, v := range rows.RawValues() {
			if v == nil {
				row = append(row, nil)
				continue
			}
			s := string(v)
			row = append(row, &s)
		}
		a.rows = append(a.rows, row)
	}
	for _, f := range rows.FieldDescriptions() {
		a.names, a.types, a.mods = append(a.names, f.Name), append(a.types, f.DataTypeOID), append(a.mods, f.TypeModifier)
	}
	return a, rows.Err()
}

// gather reads from several shards.
func (f *fleet) gather(ctx context.Context, shards []int, sql string) (all answer, err error) {
	for _, s := range shards {
		a, err := read(ctx, f.shards[s], sql)
		if err != nil {
			return all, err
		}
		rows := append(all.rows, a.rows...)
		all = a
		all.rows = rows
	}
	return all, nil
}

// stage puts rows into a temporary table.
func (f *fleet) stage(ctx context.Context, conn *pgx.Conn, a answer, columns []gather.RelationColumn) (name string, types []string, err error) {
	f.temp++
	name = "tmp" + strconv.Itoa(f.temp)
	var defs []string
	for i := range a.types {
		var typ string
		if err := conn.QueryRow(ctx, "SELECT format_type($1, $2)", a.types[i], a.mods[i]).Scan(&typ); err != nil {
			return "", nil, err
		}
		types = append(types, typ)
		def := pgx.Identifier{columns[i].Name}.Sanitize() + " " + typ
		if columns[i].Collation.Name != "" {
			def += " COLLATE " + columns[i].Collation.Name
		}
		defs = append(defs, def)
	}
	if _, err := conn.Exec(ctx, "CREATE TEMP TABLE "+name+" ("+strings.Join(defs, ", ")+")"); err != nil {
		return "", nil, err
	}
	var rows []string
	for _, row := range a.rows {
		var values []string
		for _, v := range row {
			if v == nil {
				values = append(values, "NULL")
				continue
			}
			values = append(values, "'"+strings.ReplaceAll(*v, "'", "''")+"'")
		}
		rows = append(rows, "("+strings.Join(values, ", ")+")")
	}
	if len(rows) > 0 {
		if _, err := conn.Exec(ctx, "INSERT INTO "+name+" VALUES "+strings.Join(rows, ", ")); err != nil {
			return "", nil, err
		}
	}
	return name, types, nil
}

// run carries out a decision in the plainest way: every merge by a server.
func (f *fleet) run(ctx context.Context, sql string) (a answer, d *route.Decision, err error) {
	d = &route.Decision{}
	if err := f.router.Route(d, sql, &route.Session{Hint: route.NoHint()}, nil); err != nil {
		return a, d, err
	}
	text := sql
	if d.SQL != "" {
		text = d.SQL
	}
	shards := d.Targets()
	if d.Any || len(shards) == 1 {
		a, err = read(ctx, f.shards[shards[len(shards)-1]], text)
		return a, d, err
	}
	conn := f.shards[d.FinishShard]
	if fin := d.Merge.Finish; fin != nil {
		var names []string
		var types [][]string
		for i, q := range d.Relations {
			rows, err := f.gather(ctx, q.Shards.AppendTo(nil), q.SQL)
			if err != nil {
				return a, d, err
			}
			if len(rows.types) == 0 {
				if rows, err = f.gather(ctx, []int{0}, q.SQL); err != nil {
					return a, d, err
				}
				rows.rows = nil
			}
			name, ts, err := f.stage(ctx, conn, rows, fin.Relations[i].Columns)
			if err != nil {
				return a, d, err
			}
			names, types = append(names, name), append(types, ts)
		}
		var b strings.Builder
		for _, p := range d.Finish {
			switch p.Kind {
			case gather.Source:
				b.WriteString(names[p.Relation])
			case gather.TypeOf:
				b.WriteString(types[p.Relation][p.Column])
			default:
				b.WriteString(p.Text)
			}
		}
		a, err = read(ctx, conn, b.String())
		return a, d, err
	}
	all, err := f.gather(ctx, shards, text)
	if err != nil {
		return a, d, err
	}
	columns := make([]gather.RelationColumn, len(all.types))
	for i := range columns {
		columns[i].Name = "c" + strconv.Itoa(i)
	}
	for _, k := range d.Merge.Order {
		columns[k.Column.Index(len(columns))].Collation = k.Collation
	}
	name, _, err := f.stage(ctx, conn, all, columns)
	if err != nil {
		return a, d, err
	}
	var visible []string
	for i := range len(all.types) - d.Merge.Hidden {
		visible = append(visible, "c"+strconv.Itoa(i))
	}
	list := strings.Join(visible, ", ")
	col := func(c gather.Column) string { return "c" + strconv.Itoa(c.Index(len(all.types))) }
	q := "SELECT " + list
	if d.Merge.Kind == gather.Unique && d.Merge.DistinctAll {
		q = "SELECT DISTINCT " + list
	} else if d.Merge.Kind == gather.Unique {
		var on []string
		for _, c := range d.Merge.Distinct {
			on = append(on, col(c))
		}
		q = "SELECT DISTINCT ON (" + strings.Join(on, ", ") + ") " + list
	}
	q += " FROM " + name
	for i, k := range d.Merge.Order {
		q += map[bool]string{true: " ORDER BY ", false: ", "}[i == 0] + col(k.Column)
		q += map[bool]string{true: " DESC", false: " ASC"}[k.Descending] + map[bool]string{true: " NULLS FIRST", false: " NULLS LAST"}[k.NullsFirst]
	}
	if d.Offset > 0 {
		q += fmt.Sprintf(" OFFSET %d", d.Offset)
	}
	switch {
	case d.Limit >= 0 && d.Merge.WithTies:
		q += fmt.Sprintf(" FETCH FIRST %d ROWS WITH TIES", d.Limit)
	case d.Limit >= 0:
		q += fmt.Sprintf(" LIMIT %d", d.Limit)
	}
	a, err = read(ctx, conn, q)
	a.names = all.names[:len(visible)]
	return a, d, err
}

func lines(a answer) []string {
	var out []string
	for _, row := range a.rows {
		var b strings.Builder
		for _, v := range row {
			if v == nil {
				b.WriteString("NULL|")
				continue
			}
			b.WriteString(*v + "|")
		}
		out = append(out, b.String())
	}
	return out
}

// compare runs a query on the whole and on the shards. ordered says that the order counts
// (it must be total). It returns the SQLSTATE with which it was refused, or "".
func (f *fleet) compare(t *testing.T, sql string, ordered bool) string {
	t.Helper()
	ctx := t.Context()
	want, wantErr := read(ctx, f.whole, sql)
	got, d, err := f.run(ctx, sql)
	var refused *wire.Error
	switch {
	case errors.As(err, &refused):
		return string(refused.Code) + " " + refused.Message
	case wantErr != nil && err != nil:
		return ""
	case wantErr != nil || err != nil:
		t.Errorf("%s\none server: %v\nshards: %v\n%s", sql, wantErr, err, d.Explain())
		return ""
	}
	a, b := lines(want), lines(got)
	if !ordered {
		slices.Sort(a)
		slices.Sort(b)
	}
	if !slices.Equal(a, b) || !slices.Equal(want.names, got.names) || !slices.Equal(want.types, got.types) {
		t.Errorf("%s\none server %v %v:\n%s\nshards %v %v:\n%s\n%s", sql, want.names, want.types, strings.Join(a, "\n"), got.names, got.types, strings.Join(b, "\n"), d.Explain())
	}
	return ""
}

// TestDifferential gives random queries to one server and to shards: the answers must be the
// same, or refused.
func TestDifferential(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			f := newFleet(t, n)
			refused := map[string]int{}
			queries := 300
			if n, err := strconv.Atoi(os.Getenv("ROUTE_QUERIES")); err == nil {
				queries = n
			}
			g := &generator{rand.New(rand.NewPCG(uint64(queries), uint64(n)))}
			for range queries {
				sql, ordered := g.query()
				if why := f.compare(t, sql, ordered); why != "" {
					refused[why]++
				}
				if t.Failed() {
					return
				}
			}
			total := 0
			for why, count := range refused {
				t.Logf("refused %d: %s", count, why)
				total += count
			}
			if total*20 > queries {
				t.Errorf("%d of %d queries were refused", total, queries)
			}
		})
	}
}

type generator struct{ *rand.Rand }

func (g *generator) one(list ...string) string { return list[g.IntN(len(list))] }

func (g *generator) where() string {
	return g.one("", "", " WHERE u.id = 6", " WHERE u.id IN (-50, 6, 13)", " WHERE u.country > 1", " WHERE u.email = 'Bob' OR u.id = 6",
		" WHERE u.email IS NULL", " WHERE u.id BETWEEN 0 AND 100", " WHERE u.id = ANY('{6,20}')", " WHERE u.id = 6 AND u.id = 13",
		" WHERE EXISTS (SELECT 1 FROM payments p WHERE p.user_id = u.id AND p.n > 2)", " WHERE u.id IN (SELECT user_id FROM payments WHERE n = 3)",
		" WHERE u.id NOT IN (SELECT user_id FROM payments WHERE n = 3)", " WHERE NOT EXISTS (SELECT 1 FROM payments p WHERE p.user_id = u.id)",
		" WHERE u.country IN (SELECT id FROM countries WHERE name > 'D')", " WHERE u.score > (SELECT avg(score) FROM users)",
		" WHERE (u.id = 6 AND u.country IS NOT NULL) OR (u.id = 13 AND u.email > 'a')",
		" WHERE u.country = (SELECT max(c.id) FROM countries c WHERE c.id = u.country)")
}

func (g *generator) query() (sql string, ordered bool) {
	dir := func() string {
		return g.one("", " DESC", " ASC", " DESC NULLS LAST", " NULLS FIRST")
	}
	limit := func() string {
		return g.one("", "", " LIMIT 5", " LIMIT 7 OFFSET 3", " OFFSET 4", " LIMIT 0", " FETCH FIRST 3 ROWS ONLY", " LIMIT ALL")
	}
	switch g.IntN(12) {
	case 0: // plain
		return "SELECT " + g.one("*", "u.*", "u.id, email", "u.email AS x, u.score + 1, lower(u.email)", "country, count(*) OVER (PARTITION BY u.id)") + " FROM users u" + g.where(), false
	case 1, 2: // ordered
		return "SELECT " + g.one("u.id, u.email", "*", "email, u.country c", "u.id, lower(email)") + " FROM users u" + g.where() +
			" ORDER BY " + g.one("email", "u.country", "u.score", "lower(u.email)", "code", "u.email COLLATE \"C\"", "2", "length(u.email)") + dir() + ", u.id" + dir() + limit(), true
	case 3: // distinct
		e := g.one("country", "email", "code", "country, code")
		return "SELECT DISTINCT " + e + " FROM users u" + g.where() + " ORDER BY " + e + limit(), true
	case 4: // distinct on
		return "SELECT DISTINCT ON (u.country) u.country, u.id, u.email FROM users u" + g.where() + " ORDER BY u.country" + dir() + ", u.id" + limit(), true
	case 5, 6: // groups
		k := g.one("country", "u.country", "code", "lower(email)", "country + 1", "u.id", "country, code", "CASE WHEN country > 2 THEN 'big' ELSE email END")
		agg := func() string {
			return g.one("count(*)", "count(email)", "sum(score)", "sum(country)", "avg(score)", "avg(country)", "min(email)", "max(code)", "min(u.id)",
				"stddev(score)", "var_pop(country)", "stddev_pop(country)", "variance(u.id)", "bool_and(country > 1)", "bit_or(country)", "count(DISTINCT country)", "sum(score) / count(*)",
				"count(*) FILTER (WHERE country > 2)", "string_agg(email, ',' ORDER BY u.id)", "array_agg(u.id ORDER BY u.id)", "sum(u.id * 2)", "round(avg(score), 2)",
				"coalesce(max(country), 0) + count(*)", "percentile_disc(0.5) WITHIN GROUP (ORDER BY score)", "json_agg(u.id ORDER BY u.id)", "max(DISTINCT country)")
		}
		return "SELECT " + k + ", " + agg() + ", " + agg() + " AS a2 FROM users u" + g.where() + " GROUP BY " + k +
			g.one("", " HAVING count(*) > 2", " HAVING max(score) > 20 OR count(*) = 1") + " ORDER BY " + k + g.one("", ", a2", ", count(*)") + limit(), true
	case 7: // one group
		return "SELECT " + g.one("count(*), sum(score)", "avg(score), min(email), max(email)", "stddev(score) > 3, variance(country)", "count(DISTINCT email)", "sum(country) * 2 AS d, count(*)", "max(lower(email) || 'x')") + " FROM users u" + g.where(), true
	case 8: // joins on the key
		return "SELECT u.id, p.id, p.amount FROM users u " + g.one("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN") + " payments p ON p.user_id = u.id " + g.one("", "AND p.n > 2 ") + g.where(), false
	case 9: // joins on something else
		return "SELECT u.id, c.name, p.n FROM users u " + g.one("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN") + " countries c ON c.id = u.country " +
			g.one("JOIN", "LEFT JOIN") + " payments p ON " + g.one("p.user_id = u.id", "p.note = u.email", "p.n = c.id AND p.user_id = u.id") + g.where(), false
	case 10: // set operations
		return "SELECT u.id" + g.one("", ", u.country") + " FROM users u" + g.where(), false
	default:
		op := g.one("UNION", "UNION ALL", "EXCEPT", "INTERSECT")
		return g.one(
			"SELECT id FROM users "+op+" SELECT user_id FROM payments ORDER BY 1"+limit(),
			"SELECT email FROM users "+op+" SELECT note FROM payments ORDER BY email"+limit(),
			"SELECT name FROM countries "+op+" SELECT email FROM users ORDER BY 1"+limit(),
			"WITH p AS (SELECT user_id, sum(amount) AS s, count(*) AS n FROM payments GROUP BY user_id) SELECT u.id, p.s FROM users u LEFT JOIN p ON p.user_id = u.id ORDER BY u.id"+limit(),
			"WITH p AS (SELECT n, sum(amount) AS s FROM payments GROUP BY n) SELECT u.id, p.s FROM users u JOIN p ON p.n = u.country ORDER BY 1, 2"+limit(),
			"SELECT x.id, x.r FROM (SELECT id, rank() OVER (ORDER BY score, id) AS r FROM users) x WHERE x.r < 9 ORDER BY r, id"+limit(),
			"SELECT u.id, (SELECT count(*) FROM payments p WHERE p.user_id = u.id) AS n FROM users u ORDER BY 2 DESC, 1"+limit(),
			"SELECT c.id, (SELECT count(*) FROM users u WHERE u.country = c.id) AS n FROM countries c ORDER BY 1"+limit(),
			"SELECT u.id, l.amount FROM users u, LATERAL (SELECT amount FROM payments p WHERE p.user_id = u.id ORDER BY amount, id LIMIT 2) l ORDER BY 1, 2"+limit(),
			"SELECT country, count(*) FROM users GROUP BY ROLLUP (country) ORDER BY country NULLS LAST, 2"+limit(),
			"WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 4) SELECT i, (SELECT count(*) FROM users WHERE country = i) FROM r ORDER BY 1",
			"SELECT user_id, sum(amount) AS s FROM payments GROUP BY user_id HAVING count(*) > 1 ORDER BY s DESC, user_id"+limit(),
			"SELECT id FROM users ORDER BY country, id FETCH FIRST 4 ROWS WITH TIES",
			"SELECT x.s FROM (SELECT user_id, sum(n) AS s FROM payments GROUP BY user_id) x WHERE x.user_id = 6",
			"SELECT u.country, sum(p.amount) FROM users u JOIN payments p ON p.user_id = u.id GROUP BY u.country HAVING sum(p.n) > 3 ORDER BY 1",
			"SELECT u.id, p.n FROM users u JOIN payments p USING (id) ORDER BY 1, 2"+limit(),
			"SELECT f.id FROM users f WHERE f.id = 6 UNION ALL SELECT user_id FROM payments WHERE user_id = 13 ORDER BY 1",
			"SELECT u FROM users u JOIN payments p ON p.id = u.country ORDER BY u.id, p.id"+limit(),
			"SELECT count(*), (SELECT max(n) FROM payments) FROM users",
			"SELECT peek()",
		), true
	}
}
