// Package routetest makes schemas, rows and random queries, for tests that compare what
// shards answer with what one server does.
package routetest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Schema is the tables: users and payments are sharded by users.id and payments.user_id,
// countries is on every shard.
const Schema = `
CREATE TABLE users (id bigint PRIMARY KEY, email text, country int, code text COLLATE "C", score numeric(8,2));
CREATE TABLE payments (id bigint, user_id bigint, amount numeric, n int, note text, f float8);
CREATE TABLE countries (id int PRIMARY KEY, name text);
CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM users';` + Views

// Views are views of the tables, with the same columns: all that begin with a table's name can stand
// in its place.
const Views = `
CREATE VIEW users_all AS SELECT * FROM users;
CREATE VIEW users_some AS SELECT id, email, country, code, score FROM users_all WHERE country IS NOT NULL OR id > 100;
CREATE VIEW users_grouped AS SELECT u.id, max(u.email) AS email, min(u.country) AS country, max(u.code) AS code, sum(u.score) AS score FROM users u GROUP BY u.id;
CREATE VIEW users_joined AS SELECT u.id, u.email, c.id AS country, u.code, u.score FROM users u LEFT JOIN countries c ON c.id = u.country;
CREATE VIEW users_union AS SELECT * FROM users WHERE country < 2 UNION ALL SELECT * FROM users_some WHERE country >= 2;
CREATE VIEW users_paid AS SELECT DISTINCT u.id, u.email, u.country, u.code, u.score FROM users u JOIN payments p ON p.user_id = u.id;
CREATE VIEW users_sorted AS SELECT id, email, country, code, score FROM users ORDER BY country DESC NULLS LAST, email, id;
CREATE VIEW users_again AS SELECT id, email, country, code, score FROM users_sorted WHERE id > 0;
CREATE VIEW users_best AS SELECT user_id AS id, sum(n) AS n FROM payments GROUP BY user_id ORDER BY sum(n) DESC, user_id;
CREATE VIEW payments_all (id, user_id, amount, n, note, f) AS SELECT id, user_id, amount, n, note, f FROM payments;
CREATE VIEW payments_known AS SELECT p.id, u.id AS user_id, p.amount, p.n, p.note, p.f FROM payments p JOIN users_all u ON u.id = p.user_id;
CREATE VIEW payments_unkeyed AS SELECT id, user_id + 0 AS user_id, amount, n, note, f FROM payments;
CREATE VIEW countries_all AS SELECT id, name FROM countries;
CREATE VIEW countries_first AS SELECT id, name FROM countries ORDER BY id LIMIT 4;`

// named are the tables with their views.
func named(table string) []string {
	switch table {
	case "users":
		return []string{"users_all", "users_some", "users_grouped", "users_joined", "users_union", "users_paid", "users_sorted", "users_again"}
	case "payments":
		return []string{"payments_all", "payments_known", "payments_unkeyed"}
	case "countries":
		return []string{"countries_all", "countries_first"}
	}
	return nil
}

// viewed has views instead of some of the tables of a query.
func (g *Generator) viewed(sql string) string {
	if g.IntN(2) == 0 {
		return sql
	}
	words := strings.Split(sql, " ")
	for i, w := range words {
		table := strings.TrimRight(w, ",)")
		if list := named(table); list != nil && g.IntN(3) > 0 {
			words[i] = g.one(list...) + w[len(table):]
		}
	}
	return strings.Join(words, " ")
}

// Rows returns INSERT statements that fill the tables, always the same ones.
func Rows() []string {
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
	var out []string
	for _, t := range []struct {
		table string
		rows  []string
	}{{"users", users}, {"payments", payments}, {"countries", countries}} {
		out = append(out, "INSERT INTO "+t.table+" VALUES "+strings.Join(t.rows, ", "))
	}
	return out
}

// A Generator makes random queries over [Schema].
type Generator struct{ *rand.Rand }

// New returns a generator that makes the same queries for the same seeds.
func New(seed1, seed2 uint64) *Generator { return &Generator{rand.New(rand.NewPCG(seed1, seed2))} }

func (g *Generator) one(list ...string) string { return list[g.IntN(len(list))] }

func (g *Generator) where() string {
	return g.one("", "", " WHERE u.id = 6", " WHERE u.id IN (-50, 6, 13)", " WHERE u.country > 1", " WHERE u.email = 'Bob' OR u.id = 6",
		" WHERE u.email IS NULL", " WHERE u.id BETWEEN 0 AND 100", " WHERE u.id = ANY('{6,20}')", " WHERE u.id = 6 AND u.id = 13",
		" WHERE EXISTS (SELECT 1 FROM payments p WHERE p.user_id = u.id AND p.n > 2)", " WHERE u.id IN (SELECT user_id FROM payments WHERE n = 3)",
		" WHERE u.id NOT IN (SELECT user_id FROM payments WHERE n = 3)", " WHERE NOT EXISTS (SELECT 1 FROM payments p WHERE p.user_id = u.id)",
		" WHERE u.country IN (SELECT id FROM countries WHERE name > 'D')", " WHERE u.score > (SELECT avg(score) FROM users)",
		" WHERE (u.id = 6 AND u.country IS NOT NULL) OR (u.id = 13 AND u.email > 'a')",
		" WHERE u.country = (SELECT max(c.id) FROM countries c WHERE c.id = u.country)")
}

// Query returns a query, and whether the order of its rows counts: it is total then.
func (g *Generator) Query() (sql string, ordered bool) {
	sql, ordered = g.query()
	return g.viewed(sql), ordered
}

func (g *Generator) query() (sql string, ordered bool) {
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
