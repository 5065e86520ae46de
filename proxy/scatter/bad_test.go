package scatter_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// demoFleet is three shards with some users and payments.
func demoFleet(t *testing.T) (*fleet, *pgx.Conn) {
	t.Helper()
	f := newFleet(t, startServer(t), "b", 3, nil)
	c := f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text); CREATE TABLE payments (id bigint, user_id bigint, amount numeric)")
	mustExec(t, c, "INSERT INTO users SELECT g, 'e' || g FROM generate_series(1, 60) g")
	mustExec(t, c, "INSERT INTO payments SELECT g, g % 60, g FROM generate_series(1, 200) g")
	return f, c
}

// TestBadKeys gives keys that are none: the error is the server's, and nothing is written.
func TestBadKeys(t *testing.T) {
	f, c := demoFleet(t)
	for _, x := range []struct{ sql, code string }{
		{"SELECT * FROM users WHERE id = 'abc'", "22P02"},
		{"SELECT * FROM users WHERE id = ANY ('{1,x}')", "22P02"},
		{"SELECT * FROM users WHERE id = true", "42883"},
		{"INSERT INTO users VALUES ('1' || '2', 'x')", "42804"},
		{"SELECT * FROM users WHERE id IN (1, 'x', 3)", "22P02"},
		{"INSERT INTO users VALUES ('abc', 'x')", "22P02"},
		{"INSERT INTO users VALUES (1001, 'x'), ('abc', 'x'), (1003, 'x')", "22P02"},
		{"INSERT INTO users VALUES (99999999999999999999, 'x')", "22003"},
		{"INSERT INTO users VALUES (1004, 'x'), (99999999999999999999, 'x')", "22003"},
		{"INSERT INTO users VALUES ('2020-01-01'::date, 'x')", "0A000"},
		{"INSERT INTO users VALUES (NULL, 'x')", "23502"},
		{"INSERT INTO users VALUES (1005, 'x'), (NULL, 'x')", "23502"},
		{"INSERT INTO users (email) VALUES ('x')", "23502"},
		{"UPDATE users SET id = NULL WHERE id = 5", "23502"},

		{"DELETE FROM users WHERE id = 'abc'", "22P02"},
		{"COPY users FROM STDIN", ""},
	} {
		if x.code == "" {
			for _, data := range []string{"abc\tx\n", "2001\tx\nabc\tx\n", "\\N\tx\n", "2002\tx\n\\N\tx\n", "99999999999999999999\tx\n"} {
				if _, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader(data), x.sql); codeOf(err) == "" || codeOf(err) == "?" || codeOf(err) == "XX000" {
					t.Errorf("COPY of %q: %v", data, err)
				}
			}
			continue
		}
		for _, m := range []mode{simpleMode, textMode} {
			if o := ask(t.Context(), c.PgConn(), m, x.sql); o.code != x.code {
				t.Errorf("%s (%v): error %v, want %s", x.sql, m, o.err, x.code)
			}
		}
	}
	for _, arg := range []string{"abc", "99999999999999999999", ""} {
		for _, sql := range []string{"SELECT * FROM users WHERE id = $1", "INSERT INTO users VALUES ($1, 'x')", "DELETE FROM users WHERE id = $1"} {
			r := c.PgConn().ExecParams(t.Context(), sql, [][]byte{[]byte(arg)}, nil, nil, nil)
			if _, err := r.Close(); codeOf(err) != "22P02" && codeOf(err) != "22003" {
				t.Errorf("%s with %q: %v", sql, arg, err)
			}
		}
	}
	if n := one[int](t, c, "SELECT count(*) FROM users"); n != 60 {
		t.Errorf("%d users, want 60", n)
	}
	// NULL is a key like another where the column allows it, and is found again.
	mustExec(t, c, "INSERT INTO payments VALUES (901, NULL, 1), (902, 5, 2), (903, NULL, 3)")
	if n := one[int](t, c, "SELECT sum(amount) FROM payments WHERE user_id IS NULL"); n != 4 {
		t.Errorf("sum of NULL keys is %d", n)
	}
	mustExec(t, c, "DELETE FROM payments WHERE user_id IS NULL")
	if n := one[int](t, c, "SELECT count(*) FROM payments WHERE id > 900"); n != 1 {
		t.Errorf("%d payments, want 1", n)
	}
	if n := f.pool.lent(); n != 0 {
		t.Errorf("%d connections are lent at rest", n)
	}
}

// TestTableOnSomeShards has a table that one shard does not have: the error says which, and
// nothing is written anywhere.
func TestTableOnSomeShards(t *testing.T) {
	f, c := demoFleet(t)
	mustExec(t, f.direct(1), "DROP TABLE payments")
	for _, sql := range []string{
		"SELECT count(*) FROM payments", "SELECT * FROM payments ORDER BY id", "SELECT * FROM payments",
		"SELECT amount, count(*) FROM payments GROUP BY amount HAVING count(*) > 1", "UPDATE payments SET amount = 0", "DELETE FROM payments",
		"INSERT INTO payments SELECT g, g, 1 FROM generate_series(1000, 1050) g",
		"INSERT INTO payments VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4), (5, 5, 5), (6, 6, 6)",
		"WITH d AS (DELETE FROM payments RETURNING amount) SELECT sum(amount) FROM d",
	} {
		for _, m := range []mode{simpleMode, textMode} {
			o := ask(t.Context(), c.PgConn(), m, sql)
			pe, ok := errors.AsType[*pgconn.PgError](o.err)
			if !ok || pe.Code != "42P01" || !strings.Contains(pe.Detail, "shard 1") {
				t.Errorf("%s (%v): %v", sql, m, o.err)
			}
		}
	}
	if _, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader("1\t1\t1\n2\t2\t2\n3\t3\t3\n4\t4\t4\n5\t5\t5\n6\t6\t6\n"), "COPY payments FROM STDIN"); codeOf(err) != "42P01" {
		t.Errorf("COPY: %v", err)
	}
	if err := copyOut(t, c, "COPY payments TO STDOUT"); codeOf(err) != "42P01" {
		t.Errorf("COPY TO: %v", err)
	}
	sum := 0
	for _, shard := range []int{0, 2} {
		sum += one[int](t, f.direct(shard), "SELECT count(*) FROM payments WHERE amount > 0")
	}
	if left := one[int](t, c, "SELECT count(*) FROM users"); left != 60 || sum < 100 || sum > 199 {
		t.Errorf("%d users, %d payments on the other shards", left, sum)
	}
}

func copyOut(t *testing.T, c *pgx.Conn, sql string) error {
	t.Helper()
	_, err := c.PgConn().CopyTo(t.Context(), io.Discard, sql)
	return err
}

// TestShardDiesWorking ends a shard's connection in the middle of queries and COPYs of every
// kind: an error, at once, and nothing of a write is left.
func TestShardDiesWorking(t *testing.T) {
	f, c := demoFleet(t)
	mustExec(t, c, "CREATE COLLATION other (provider = icu, locale = 'de')")
	mustExec(t, c, "INSERT INTO users SELECT g, repeat('x', 900) || g FROM generate_series(1000, 5999) g")
	d := f.direct(0)
	kill := func() {
		mustExec(t, d, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'b2' AND backend_type = 'client backend'")
	}
	limited, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, sql := range []string{
		"SELECT * FROM users", "SELECT * FROM users ORDER BY id", `SELECT * FROM users ORDER BY email COLLATE "other", id`, "SELECT DISTINCT email FROM users",
	} {
		rows, err := c.Query(limited, sql)
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatalf("%s: %v", sql, rows.Err())
		}
		kill()
		for rows.Next() {
		}
		if code := codeOf(rows.Err()); code == "" || code == "?" {
			t.Errorf("%s after the kill: %v", sql, rows.Err())
		}
		if n := f.pool.lent(); n != 0 {
			t.Fatalf("%d connections are lent after %s", n, sql)
		}
		if n := one[int](t, c, "SELECT count(*) FROM users"); n != 5060 {
			t.Errorf("%d users after %s", n, sql)
		}
	}
	// COPY in: the shard dies when some of the data have gone.
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := c.PgConn().CopyFrom(limited, pr, "COPY users FROM STDIN")
		_ = pr.CloseWithError(io.ErrClosedPipe)
		done <- err
	}()
	line := "\t" + strings.Repeat("y", 1000) + "\n"
	for i := range 300 {
		if i == 200 {
			kill()
		}
		if _, err := io.WriteString(pw, strings.Repeat("1", 3)+string(rune('0'+i/100))+string(rune('0'+i/10%10))+string(rune('0'+i%10))+line); err != nil {
			break
		}
	}
	_ = pw.Close()
	if err := <-done; codeOf(err) == "" || codeOf(err) == "?" {
		t.Errorf("COPY with a shard that died: %v", err)
	}
	if n := one[int](t, c, "SELECT count(*) FROM users"); n != 5060 {
		t.Errorf("%d users after the COPY", n)
	}
	// COPY out.
	pr, pw = io.Pipe()
	go func() {
		_, err := c.PgConn().CopyTo(limited, pw, "COPY users TO STDOUT")
		_ = pw.Close()
		done <- err
	}()
	if _, err := io.ReadFull(pr, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	kill()
	_, _ = io.Copy(io.Discard, pr)
	if err := <-done; codeOf(err) == "" || codeOf(err) == "?" {
		t.Logf("COPY out had gone before the shard died: %v", err)
	}
	if n := one[int](t, c, "SELECT count(*) FROM users"); n != 5060 {
		t.Errorf("%d users at the end", n)
	}
}

// TestCascades does not move a row by deleting it where that would delete others, nor lets a
// later part of a statement see what an earlier one has done to other tables.
func TestCascades(t *testing.T) {
	_, c := demoFleet(t)
	mustExec(t, c, "ALTER TABLE payments ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE NOT VALID")
	for _, sql := range []string{
		"UPDATE users SET id = id + 1000 WHERE id = 5",
		"WITH d AS (DELETE FROM users WHERE email > 'e5' RETURNING id) SELECT count(*) FROM payments",
	} {
		if o := ask(t.Context(), c.PgConn(), simpleMode, sql); o.code != "0A000" && o.code != "23503" {
			t.Errorf("%s: %v, %v", sql, o.err, o.rows)
		}
	}
	if n := one[int](t, c, "SELECT count(*) FROM payments"); n != 200 {
		t.Errorf("%d payments, want 200", n)
	}
}

// TestMoveByLiteral moves a row by a string that is a key of the column's type.
func TestMoveByLiteral(t *testing.T) {
	_, c := demoFleet(t)
	mustExec(t, c, "UPDATE users SET id = '1005', email = 'moved' WHERE id = 5")
	if got := one[string](t, c, "SELECT email FROM users WHERE id = 1005"); got != "moved" {
		t.Errorf("%q", got)
	}
}
