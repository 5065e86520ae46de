package scatter_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy/route/routetest"
)

// answerOf runs a statement with parameters and tells what came of it.
func answerOf(t *testing.T, c *pgx.Conn, mode pgx.QueryExecMode, sql string, args []any) string {
	t.Helper()
	rows, err := c.Query(t.Context(), sql, append([]any{mode}, args...)...)
	var list []string
	if err == nil {
		for rows.Next() {
			v, err := rows.Values()
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprint(v...))
		}
		rows.Close()
		err = rows.Err()
	}
	if err != nil {
		pe, ok := errors.AsType[*pgconn.PgError](err)
		if !ok {
			t.Fatalf("%s: %v", sql, err)
		}
		if pe.Code == "0A000" {
			return "refused: " + pe.Message
		}
		return "error " + pe.Code
	}
	if !strings.Contains(sql, "ORDER BY") {
		slices.Sort(list)
	}
	return rows.CommandTag().String() + "\n" + strings.Join(list, "\n")
}

// TestParameters gives statements with parameters to one server and to shards, in each of the
// ways in which clients bind them: as text and as binary values, with types declared and not,
// prepared and not. Each runs in a transaction that is rolled back after a look at the tables.
func TestParameters(t *testing.T) {
	srv := startServer(t)
	p := newPair(t, srv, "pm", 3)
	p.both(t, routetest.Schema)
	p.both(t, routetest.Rows()...)
	w, err := engines.Connect(t.Context(), srv, "pmw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(t.Context()) })
	s := p.f.connect()
	statements := []struct {
		sql  string
		args []any
	}{
		{"SELECT * FROM users WHERE id = $1", []any{6}},
		{"SELECT * FROM users WHERE id = ANY ($1) AND country > $2", []any{[]int64{6, 13, 20, 27}, 0}},
		{"SELECT id, email FROM users WHERE id > $1 ORDER BY email COLLATE \"und-x-icu\", id LIMIT $2 OFFSET $3", []any{0, 7, 2}},
		{"SELECT id FROM users ORDER BY score DESC NULLS LAST, id LIMIT $1", []any{nil}},
		{"SELECT id FROM users ORDER BY id LIMIT $1", []any{-1}},
		{"SELECT id FROM users ORDER BY id LIMIT $1 + 1 OFFSET $2", []any{3, 1}},
		{"SELECT $1::text || email AS x, count(*) FROM users GROUP BY 1 HAVING count(*) > $2 ORDER BY 1", []any{"p", 1}},
		{"SELECT country + $1, sum(score), stddev(score) FROM users GROUP BY country ORDER BY country + $1", []any{2}},
		{"SELECT count(DISTINCT email), string_agg(email, $1 ORDER BY id) FROM users WHERE country = $2", []any{"; ", 2}},
		{"SELECT json_agg(u ORDER BY id) FROM users u WHERE country = $1", []any{2}},
		{"SELECT id FROM users WHERE email = $1 UNION SELECT user_id FROM payments WHERE n = $2 ORDER BY 1", []any{"Bob", 3}},
		{"SELECT email FROM users WHERE id < $1 EXCEPT SELECT note FROM payments WHERE n > $2", []any{100, 2}},
		{"SELECT u.id, p.id FROM users u JOIN payments p ON p.note = u.email AND p.n = $1 WHERE u.country = $2", []any{3, 2}},
		{"SELECT u.id, (SELECT sum(amount) FROM payments p WHERE p.user_id = u.id AND p.n > $1) FROM users u WHERE u.id < $2", []any{1, 50}},
		{"WITH p AS (SELECT n, sum(amount) AS s FROM payments WHERE n > $1 GROUP BY n) SELECT u.id, p.s FROM users u JOIN p ON p.n = u.country WHERE u.id > $2", []any{0, 10}},
		{"SELECT rank() OVER (ORDER BY score, id), id FROM users WHERE country = $1", []any{2}},
		{"SELECT DISTINCT ON (country) country, id FROM users WHERE id > $1 ORDER BY country, id DESC", []any{0}},
		{"SELECT country, code, count(*) FROM users WHERE id > $1 GROUP BY ROLLUP (country, code) ORDER BY 1, 2, 3", []any{0}},
		{"INSERT INTO users (id, email) VALUES ($1, $2), ($3, $4) RETURNING id, email", []any{9001, "a", 9002, nil}},
		{"INSERT INTO users (id, email) VALUES ($1 + 1, $2) RETURNING id", []any{9001, "a"}},
		{"INSERT INTO users (id, email) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET email = excluded.email || $3 RETURNING *", []any{6, "a", "!"}},
		{"INSERT INTO users (id, email) SELECT id + $1, note FROM payments WHERE n = $2 RETURNING id", []any{100000, 3}},
		{"INSERT INTO users (id, email) VALUES ($1, (SELECT max(note) FROM payments WHERE n = $2)) RETURNING email", []any{9003, 3}},
		{"INSERT INTO users (id) VALUES ($1)", []any{nil}},
		{"INSERT INTO countries SELECT n + $1, max(note) FROM payments WHERE n > $2 GROUP BY n", []any{1000, 2}},
		{"UPDATE users SET email = $1, score = score + $2 WHERE country = $3 RETURNING id, score", []any{"z", 1.5, 2}},
		{"UPDATE users SET id = id + $1 WHERE id = $2", []any{1000, 6}},
		{"UPDATE users SET id = id + $1 WHERE country = $2 RETURNING id, email", []any{1000, 2}},
		{"UPDATE users SET score = $1 WHERE score > (SELECT avg(score) + $2 FROM users) RETURNING id", []any{1, 2}},
		{"UPDATE users SET email = p.note FROM payments p WHERE p.n = users.country AND p.id = $1 RETURNING users.id", []any{9}},
		{"DELETE FROM payments WHERE user_id IN (SELECT id FROM users WHERE country = $1) RETURNING id", []any{2}},
		{"DELETE FROM payments WHERE amount > (SELECT $1 * avg(amount) FROM payments WHERE n > $2)", []any{1.5, 1}},
		{"DELETE FROM users WHERE id = $1 OR id = $2 RETURNING id", []any{6, 13}},
		{"WITH d AS (DELETE FROM payments WHERE n = $1 RETURNING id, amount) SELECT count(*), sum(amount) * $2 FROM d", []any{3, 2}},
		{"WITH i AS (INSERT INTO users (id, email) VALUES ($1, $2) RETURNING id) INSERT INTO payments (id, user_id, n) SELECT $3, id, $4 FROM i RETURNING user_id, n", []any{9005, "w", 1, 2}},
		{"WITH u AS (UPDATE users SET email = $2 WHERE country = $1 RETURNING id, email, code) SELECT code, count(*) FROM u GROUP BY code ORDER BY code", []any{2, "cte"}},
		{"MERGE INTO users u USING (VALUES ($1::bigint, $2), ($3, $4)) v(id, e) ON u.id = v.id WHEN MATCHED THEN UPDATE SET email = v.e WHEN NOT MATCHED THEN INSERT (id, email) VALUES (v.id, v.e)", []any{6, "m", 9006, "n"}},
		{"MERGE INTO users u USING (SELECT user_id, count(*) AS c FROM payments WHERE n > $1 GROUP BY user_id) p ON u.id = p.user_id WHEN MATCHED THEN UPDATE SET score = p.c + $2 WHEN NOT MATCHED THEN INSERT (id, score) VALUES (p.user_id, $3)", []any{1, 5, 7}},
		{"MERGE INTO users u USING countries c ON u.country = c.id WHEN MATCHED AND c.id > $1 THEN UPDATE SET email = c.name || $2", []any{1, "!"}},
		{"SELECT * FROM users WHERE id = $1", []any{"not a number"}},
		{"SELECT 1 / ($1 - id) FROM users", []any{6}},
	}
	modes := map[string]pgx.QueryExecMode{
		"exec": pgx.QueryExecModeExec, "describe": pgx.QueryExecModeDescribeExec, "prepared": pgx.QueryExecModeCacheStatement,
		"cached": pgx.QueryExecModeCacheDescribe, "simple": pgx.QueryExecModeSimpleProtocol,
	}
	refused := 0
	for name, mode := range modes {
		for _, x := range statements {
			if mode != pgx.QueryExecModeSimpleProtocol && slices.Contains(x.args, any("not a number")) {
				continue // pgx itself would refuse it
			}
			var answers [2][]string
			for i, c := range []*pgx.Conn{w, s} {
				mustExec(t, c, "BEGIN")
				answers[i] = append(answers[i], answerOf(t, c, mode, x.sql, x.args))
				if c.PgConn().TxStatus() == 'T' {
					for _, look := range []string{"SELECT * FROM users", "SELECT * FROM payments", "SELECT * FROM countries"} {
						answers[i] = append(answers[i], answerOf(t, c, pgx.QueryExecModeExec, look, nil))
					}
				}
				mustExec(t, c, "ROLLBACK")
			}
			if strings.HasPrefix(answers[1][0], "refused") && !strings.HasPrefix(answers[0][0], "refused") {
				refused++
				t.Errorf("%s (%s): %s", x.sql, name, answers[1][0])
				continue
			}
			for i := range answers[0] {
				if i >= len(answers[1]) || answers[0][i] != answers[1][i] {
					t.Errorf("%s %v (%s), answer %d:\n%.600s\nwant\n%.600s", x.sql, x.args, name, i, append(answers[1], "none")[min(i, len(answers[1]))], answers[0][i])
					break
				}
			}
		}
	}
	if refused > 0 {
		t.Errorf("%d were refused", refused)
	}
}
