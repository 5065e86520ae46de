package scatter_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestSmoke follows a session through the plain things.
func TestSmoke(t *testing.T) {
	f := newFleet(t, startServer(t), "s", 3, nil)
	c := f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text); CREATE TABLE payments (id bigint, user_id bigint, amount numeric)")
	mustExec(t, c, "INSERT INTO users VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, NULL), (6, 'f')")
	if n := one[int](t, c, "SELECT count(*) FROM users"); n != 6 {
		t.Errorf("%d users", n)
	}
	for i := range 3 {
		if n := one[int](t, f.direct(i), "SELECT count(*) FROM users"); n == 0 || n == 6 {
			t.Errorf("shard %d has %d users", i, n)
		}
	}
	if got := one[string](t, c, "SELECT email FROM users WHERE id = $1", 3); got != "c" {
		t.Errorf("user 3 is %q", got)
	}
	rows, _ := c.Query(t.Context(), "SELECT id FROM users ORDER BY id DESC LIMIT $1 OFFSET $2", 3, 1)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(ids) != 3 || ids[0] != 5 || ids[2] != 3 {
		t.Errorf("%v %v", ids, err)
	}
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE users SET email = 'x' WHERE id IN (1, 2, 3)"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := one[int](t, c, "SELECT count(*) FROM users WHERE email = 'x'"); n != 0 {
		t.Errorf("%d rows after ROLLBACK", n)
	}
	if n := f.pool.lent(); n != 0 {
		t.Errorf("%d connections are lent at rest", n)
	}
}
