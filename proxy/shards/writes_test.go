package shards_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/shards"
)

// A form is a way to send statements that belong together.
type form struct {
	name string
	run  func(t *testing.T, c *pgx.Conn, list []string) error
}

func forms() []form {
	each := func(mode pgx.QueryExecMode) func(t *testing.T, c *pgx.Conn, list []string) error {
		return func(t *testing.T, c *pgx.Conn, list []string) error {
			tx, err := c.Begin(t.Context())
			if err != nil {
				return err
			}
			for _, sql := range list {
				if _, err := tx.Exec(t.Context(), sql, mode); err != nil {
					return errors.Join(err, tx.Rollback(t.Context()))
				}
			}
			return tx.Commit(t.Context())
		}
	}
	return []form{
		{"simple", each(pgx.QueryExecModeSimpleProtocol)},
		{"extended", each(pgx.QueryExecModeDescribeExec)},
		{"one string", func(t *testing.T, c *pgx.Conn, list []string) error {
			_, err := c.Exec(t.Context(), strings.Join(list, "; "), pgx.QueryExecModeSimpleProtocol)
			return err
		}},
		{"pipeline", func(t *testing.T, c *pgx.Conn, list []string) error {
			var b pgx.Batch
			for _, sql := range list {
				b.Queue(sql)
			}
			return c.SendBatch(t.Context(), &b).Close()
		}},
	}
}

// sum is what the shards hold together.
func (h *house) sum(sql string) (n int) {
	for i := range houseShards {
		n += one[int](h.t, h.direct(i), sql)
	}
	return n
}

const writesSchema = `CREATE TABLE users (id bigint PRIMARY KEY, email text);
CREATE TABLE payments (id bigint, user_id bigint, amount numeric, CHECK (amount < 1000));
CREATE TABLE countries (id int PRIMARY KEY, name text);
INSERT INTO countries VALUES (1, 'one')`

// TestWritesWithErrors does all kinds of writes with an error in the middle or at the end, in
// every form: nothing of it stays on any shard, and the session goes on.
func TestWritesWithErrors(t *testing.T) { transports(t, testWritesWithErrors) }

func testWritesWithErrors(t *testing.T) {
	for _, two := range []bool{false, true} {
		h := newHouse(t, writesSchema, func(c *shards.Config) {
			if two {
				c.TwoPhase = filepath.Join(t.TempDir(), "log")
			}
		})
		c := h.connect()
		mustExec(t, c, "INSERT INTO users SELECT g, 'start' FROM generate_series(1, 60) g")
		// Shard 1 alone has a country that the others have not: a broadcast fails there.
		mustExec(t, h.direct(1), "INSERT INTO countries VALUES (77, 'only here')")
		state := func() string {
			return fmt.Sprint(h.sum("SELECT count(*) FROM users"), h.sum("SELECT coalesce(sum(id), 0) FROM users"), h.sum("SELECT count(*) FROM users WHERE email = 'start'"),
				h.sum("SELECT count(*) FROM payments"), h.sum("SELECT count(*) FROM countries"), h.sum("SELECT count(*) FROM pg_class WHERE relname LIKE 'made%'"),
				h.sum("SELECT count(*) FROM pg_prepared_xacts"))
		}
		before := state()
		spread := "INSERT INTO users VALUES (101, 'x'), (102, 'x'), (103, 'x'), (104, 'x'), (105, 'x'), (106, 'x')"
		tests := []struct {
			name string
			list []string
			code string
		}{
			{"a duplicate among many rows", []string{"INSERT INTO users VALUES (201, 'x'), (202, 'x'), (203, 'x'), (7, 'again'), (204, 'x'), (205, 'x')"}, "23505"},
			{"an error behind a split INSERT", []string{spread, "INSERT INTO users VALUES (7, 'again')"}, "23505"},
			{"an error of the proxy's", []string{spread, "SELECT pg_notify('a', 'b')"}, "0A000"},
			{"a key that moves onto another", []string{spread, "UPDATE users SET id = 8 WHERE id = 9"}, "23505"},
			{"keys that move, then an error", []string{"UPDATE users SET id = id + 1000", "SELECT 1/0"}, "22012"},
			{"a NULL key", []string{spread, "UPDATE users SET id = NULL WHERE id = 5"}, "23502"},
			{"a broadcast that one shard refuses", []string{"INSERT INTO countries VALUES (5, 'five')", "INSERT INTO countries VALUES (77, 'x')"}, "23505"},
			{"a check", []string{"INSERT INTO payments SELECT g, g, g * 100 FROM generate_series(1, 20) g"}, "23514"},
			{"DDL, then an error", []string{"CREATE TABLE made (n int)", "SELECT 1/0"}, "22012"},
			{"UPDATE everywhere, then an error", []string{"UPDATE users SET email = 'changed'", "DELETE FROM users WHERE id < 30", "INSERT INTO users VALUES (40, 'again')"}, "23505"},
		}
		for _, tt := range tests {
			for _, f := range forms() {
				t.Run(fmt.Sprintf("%v/%s/%s", two, tt.name, f.name), func(t *testing.T) {
					err := f.run(t, c, tt.list)
					e, ok := errors.AsType[*pgconn.PgError](err)
					if !ok || e.Code != tt.code {
						t.Errorf("%v, want %s", err, tt.code)
					}
					if got := one[int](t, c, "SELECT count(*) FROM users"); got != 60 {
						t.Errorf("the session sees %d users", got)
					}
					if after := state(); after != before {
						t.Errorf("the shards have %s, before %s", after, before)
					}
				})
			}
		}
		// DDL that one shard refuses.
		mustExec(t, h.direct(2), "CREATE TABLE elsewhere (n int)")
		refused(t, c, "42P07", "already exists", "CREATE TABLE elsewhere (n int)")
		if n := h.sum("SELECT count(*) FROM pg_class WHERE relname = 'elsewhere'"); n != 1 {
			t.Errorf("the table is on %d shards", n)
		}
		copies(t, h, c, before, state)
	}
}

// copies is COPY with errors, in each format.
func copies(t *testing.T, h *house, c *pgx.Conn, before string, state func() string) {
	var text, csv bytes.Buffer
	for i := range 500 {
		fmt.Fprintf(&text, "%d\trow\\t%d\n", 1000+i, i)
		fmt.Fprintf(&csv, "%d,\"row, \"\"%d\"\"\n second line\"\n", 1000+i, i)
	}
	for _, tt := range []struct{ name, sql, data, code string }{
		{"text, a duplicate at the end", "COPY users FROM STDIN", text.String() + "7\tagain\n", "23505"},
		{"text, no number", "COPY users FROM STDIN", text.String() + "seven\tagain\n", "22P02"},
		{"text, a NULL key", "COPY users FROM STDIN", text.String() + "\\N\tagain\n", ""},
		{"text, too few columns", "COPY users FROM STDIN", text.String() + "7\n", "22P04"},
		{"csv, a duplicate", "COPY users FROM STDIN (FORMAT csv)", csv.String() + "7,again\n", "23505"},
		{"csv, no number", "COPY users FROM STDIN (FORMAT csv)", csv.String() + "x,again\n", "22P02"},
		{"binary, no signature", "COPY users FROM STDIN (FORMAT binary)", "nonsense, and enough of it to be a header", "22P04"},
	} {
		for _, block := range []bool{false, true} {
			if block {
				mustExec(t, c, "BEGIN")
				mustExec(t, c, "INSERT INTO users VALUES (900, 'x'), (901, 'x'), (902, 'x')")
			}
			_, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader(tt.data), tt.sql)
			e, ok := errors.AsType[*pgconn.PgError](err)
			if !ok || tt.code != "" && e.Code != tt.code {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.code)
			}
			if block {
				refused(t, c, "25P02", "aborted", "SELECT 1")
				mustExec(t, c, "ROLLBACK")
			}
			if after := state(); after != before {
				t.Errorf("%s: the shards have %s, before %s", tt.name, after, before)
			}
		}
	}
	for _, tt := range []struct{ sql, data string }{
		{"COPY users FROM STDIN", text.String()}, {"COPY users FROM STDIN (FORMAT csv)", csv.String()},
	} {
		tag, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader(tt.data), tt.sql)
		if err != nil || tag.RowsAffected() != 500 {
			t.Fatal(tag, err)
		}
		if n := one[int](t, c, "SELECT count(DISTINCT email) FROM users WHERE id >= 1000"); n != 500 {
			t.Errorf("%s: %d texts", tt.sql, n)
		}
		mustExec(t, c, "DELETE FROM users WHERE id >= 1000")
	}
	rows := make([][]any, 500)
	for i := range rows {
		rows[i] = []any{int64(1000 + i), fmt.Sprint(i)}
	}
	if n, err := c.CopyFrom(t.Context(), pgx.Identifier{"users"}, []string{"id", "email"}, pgx.CopyFromRows(rows)); err != nil || n != 500 {
		t.Fatal(n, err)
	}
	if _, err := c.CopyFrom(t.Context(), pgx.Identifier{"users"}, []string{"id", "email"}, pgx.CopyFromRows(append(rows[:0:0], []any{int64(5000), "x"}, []any{int64(5001), "x"}, rows[3]))); err == nil {
		t.Error("binary, a duplicate: no error")
	}
	if n := one[int](t, c, "SELECT count(*) FROM users WHERE id >= 1000"); n != 500 {
		t.Errorf("%d rows after COPY in binary", n)
	}
	mustExec(t, c, "DELETE FROM users WHERE id >= 1000")
}

// TestSavepoints takes back on every shard what came after a savepoint, also on those that
// joined the transaction later.
func TestSavepoints(t *testing.T) { transports(t, testSavepoints) }

func testSavepoints(t *testing.T) {
	h := newHouse(t, writesSchema, nil)
	c := h.connect()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeDescribeExec} {
		exec := func(sql, code string) {
			t.Helper()
			_, err := c.Exec(t.Context(), sql, mode)
			if got := ""; code == "" && err != nil || code != "" {
				if e, ok := errors.AsType[*pgconn.PgError](err); ok {
					got = e.Code
				}
				if got != code {
					t.Fatalf("%s: %v, want %s", sql, err, code)
				}
			}
		}
		exec("BEGIN", "")
		exec("INSERT INTO users VALUES (1, 'kept')", "")
		exec("SAVEPOINT a", "")
		exec("INSERT INTO users VALUES (2, 'x'), (3, 'x'), (4, 'x'), (5, 'x'), (6, 'x'), (7, 'x')", "")
		exec("UPDATE users SET id = id + 100", "")
		exec("SAVEPOINT b", "")
		exec("INSERT INTO countries VALUES (2, 'two')", "")
		exec("SELECT 1/0", "22012")
		exec("SELECT 1", "25P02")
		exec("ROLLBACK TO a", "")
		exec("ROLLBACK TO b", "3B001")
		exec("ROLLBACK TO a", "")
		exec("INSERT INTO users VALUES (12, 'kept'), (13, 'kept'), (14, 'kept'), (15, 'kept')", "")
		exec("RELEASE a", "")
		exec("COMMIT", "")
		if got := all[int64](t, c, "SELECT id FROM users ORDER BY id"); fmt.Sprint(got) != "[1 12 13 14 15]" {
			t.Errorf("users %v", got)
		}
		if n := h.sum("SELECT count(*) FROM countries"); n != houseShards {
			t.Errorf("%d countries", n)
		}
		mustExec(t, c, "DELETE FROM users")
	}
}

// TestPartialCommit lets COMMIT fail on one shard when others have committed: without two-phase
// commit the error names them, with it nothing has happened.
func TestPartialCommit(t *testing.T) { transports(t, testPartialCommit) }

func testPartialCommit(t *testing.T) {
	schema := writesSchema + "; ALTER TABLE payments ADD UNIQUE (id) DEFERRABLE INITIALLY DEFERRED"
	for _, two := range []bool{false, true} {
		h := newHouse(t, schema, func(c *shards.Config) {
			if two {
				c.TwoPhase = filepath.Join(t.TempDir(), "log")
			}
		})
		c := h.connect()
		// Two rows with the same id on the last shard that takes part, found at COMMIT only.
		var at [houseShards][]int
		for i := range 40 {
			for shard := range houseShards {
				if strings.Contains(one[string](t, c, fmt.Sprintf("EXPLAIN (ROUTE) SELECT * FROM users WHERE id = %d", i)), fmt.Sprintf("shard %d ", shard)) {
					at[shard] = append(at[shard], i)
				}
			}
		}
		for _, f := range forms() {
			list := []string{
				fmt.Sprintf("INSERT INTO payments VALUES (1, %d, 1)", at[0][0]), fmt.Sprintf("INSERT INTO payments VALUES (1, %d, 1)", at[1][0]),
				fmt.Sprintf("INSERT INTO payments VALUES (1, %d, 1), (1, %d, 1)", at[2][0], at[2][1]),
			}
			err := f.run(t, c, list)
			e, ok := errors.AsType[*pgconn.PgError](err)
			if !ok {
				t.Fatal(f.name, err)
			}
			left := h.sum("SELECT count(*) FROM payments")
			if two {
				if e.Code != "23505" || !strings.Contains(e.Detail, "rolled back on all shards") || left != 0 {
					t.Errorf("%s with two phases: %+v; %d rows", f.name, e, left)
				}
				continue
			}
			if e.Code != "40003" || !strings.Contains(e.Detail, "Committed on shards 0, 1; rolled back on shard 2") || left != 2 {
				t.Errorf("%s: %+v; %d rows", f.name, e, left)
			}
			for i := range houseShards {
				mustExec(t, h.direct(i), "DELETE FROM payments")
			}
		}
	}
}
