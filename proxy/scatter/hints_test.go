package scatter_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// newListed is a fleet whose rows are on the shards of their own numbers: one, two and three.
func newListed(t *testing.T) *fleet {
	f := newFleet(t, startServer(t), "h", 3, func(c *sharding.Config, _ *scatter.Config) {
		c.Tables = []sharding.Table{{Name: "users", Columns: []string{"id"}, Rules: []sharding.Rule{
			{Kind: sharding.List, Values: []string{"0"}, Shard: 0},
			{Kind: sharding.List, Values: []string{"1", "2"}, Shard: 1},
			{Kind: sharding.List, Values: []string{"3", "4", "5"}, Shard: 2},
		}}}
	})
	c := f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text)")
	mustExec(t, c, "INSERT INTO users SELECT g FROM generate_series(0, 5) g")
	return f
}

// TestHints routes by SET, by comments in front of a statement and within it, and in what is
// prepared, declared, copied or explained.
func TestHints(t *testing.T) {
	c := newListed(t).connect()
	last := func(sql string) string {
		t.Helper()
		list, err := c.PgConn().Exec(t.Context(), sql).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		for _, r := range slices.Backward(list) {
			if len(r.Rows) > 0 {
				return string(r.Rows[0][0])
			}
		}
		return ""
	}
	const count = "SELECT count(*) FROM users"
	for _, tt := range []struct{ sql, want string }{
		{count, "6"},
		{"SET pgdog.shard = 1; " + count, "2"},
		{"SHOW pgdog.shard", "1"},
		{"RESET pgdog.shard; " + count, "6"},
		{"SET pgdog.sharding_key = '4'; " + count, "3"},
		{"SHOW pgdog.sharding_key", "4"},
		{"RESET pgdog.sharding_key; " + count, "6"},
		{"SET pgdog.sharding_key = 'nowhere'; BEGIN; COMMIT; RESET pgdog.sharding_key; " + count, "6"},
		{"SET pgdog.sharding_key TO 0; RESET ALL; " + count, "6"},
		{"BEGIN; SET LOCAL pgdog.sharding_key = '0'; " + count + "; COMMIT", "1"},
		{count, "6"},
		{"/* pgdog_sharding_key: 5 */ " + count, "3"},
		{"SELECT /* pgdog_shard: 1 */ count(*) FROM users", "2"},
		{count + " -- pgdog_shard: 0", "1"},
		{"PREPARE a AS /* pgdog_shard: 1 */ " + count, ""},
		{"EXECUTE a", "2"},
		{"-- pgdog_shard: 0\nPREPARE b AS " + count, ""},
		{"EXECUTE b", "1"},
		{"/* pgdog_shard: 2 */ EXECUTE a", "3"},
		{"EXECUTE b -- pgdog_shard: 1", "2"},
		{"EXECUTE a", "2"},
		{"BEGIN; /* pgdog_shard: 1 */ DECLARE d CURSOR FOR " + count + "; FETCH d", "2"},
		{"ROLLBACK; BEGIN; DECLARE d CURSOR FOR /* pgdog_shard: 2 */ " + count + "; FETCH d", "3"},
		{"ROLLBACK; /* pgdog_shard: 1 */ EXPLAIN (ROUTE) " + count, "select: shard 1 on a replica"},
	} {
		if got := last(tt.sql); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.sql, got, tt.want)
		}
	}
}

// TestCurrentOf writes the row of a cursor on the shard that has it, and refuses those of
// cursors on several.
func TestCurrentOf(t *testing.T) {
	c := newListed(t).connect()
	run := func(list ...string) error {
		t.Helper()
		for _, sql := range list {
			if _, err := c.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
		}
		return nil
	}
	if err := run("BEGIN", "DECLARE d CURSOR FOR SELECT * FROM users WHERE id = 4", "FETCH d", "UPDATE users SET email = 'x' WHERE CURRENT OF d", "COMMIT"); err != nil {
		t.Error(err)
	}
	if n := one[int](t, c, "SELECT count(*) FROM users WHERE email = 'x' AND id = 4"); n != 1 {
		t.Errorf("%d rows", n)
	}
	for _, tt := range []struct{ query, name, code string }{
		{"SELECT * FROM users", "d", "0A000"},
		{"SELECT * FROM users", "e", "34000"},
	} {
		err := run("BEGIN", "DECLARE d CURSOR FOR "+tt.query, "FETCH d", "DELETE FROM users WHERE CURRENT OF "+tt.name)
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != tt.code {
			t.Errorf("%v, want %s", err, tt.code)
		}
		if err := run("ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
	if n := one[int](t, c, "SELECT count(*) FROM users"); n != 6 {
		t.Errorf("%d rows", n)
	}
}

// TestNoticesOnce tells a client once of what all shards say.
func TestNoticesOnce(t *testing.T) {
	f := newListed(t)
	cfg := f.connect().Config()
	var told []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { told = append(told, n.Message) }
	c, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	for _, sql := range []string{"CREATE TABLE IF NOT EXISTS users ()", "DROP TABLE IF EXISTS a, b"} {
		mustExec(t, c, sql)
	}
	if len(told) != 3 {
		t.Errorf("told %q", told)
	}
}
