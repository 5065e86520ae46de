package scatter_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// TestOrderedByServer sorts more rows than memory would hold by orders that only a server
// knows: the rows pass through, page by page, in every mode, and the connections are at rest
// afterwards, whether all rows are read or not.
func TestOrderedByServer(t *testing.T) {
	srv := startServer(t)
	createDatabase(t, srv, "rw")
	w, err := engines.Connect(t.Context(), srv, "rw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	// A page at most is 512 kB, and each of three shards has one; the rows are nearly 4 MB.
	f := newFleet(t, srv, "r", 3, func(_ *sharding.Config, c *scatter.Config) { c.Memory = 3 << 20 })
	c := f.connect()
	const rows = 12_000
	for _, x := range []*pgx.Conn{w, c} {
		mustExec(t, x, `CREATE TABLE users (id bigint PRIMARY KEY, email text, icu text COLLATE "und-x-icu", j jsonb, pad text)`)
		for from := 1; from < rows; from += 2000 {
			mustExec(t, x, fmt.Sprintf(`INSERT INTO users SELECT g, nullif(left(md5((g %% 5000)::text), 1 + g %% 4), 'a'),
			(ARRAY['a','A','b','B','ä','-a','z ',NULL])[1 + g %% 8] || (g %% 997), to_jsonb(g %% 1000), repeat('x', 250) FROM generate_series(%d, %d) g`, from, from+1999))
		}
	}
	for _, sql := range []string{
		"SELECT id, email, pad FROM users ORDER BY email COLLATE \"und-x-icu\", id DESC",
		"SELECT icu, id, pad FROM users ORDER BY icu DESC NULLS LAST, id",
		"SELECT id, pad FROM users ORDER BY j DESC, id",
		"SELECT id, pad FROM users ORDER BY id % 7, icu || 'x' NULLS FIRST, j, id LIMIT 7000 OFFSET 3000",
		"SELECT DISTINCT icu, j FROM users ORDER BY icu, j",
		"SELECT DISTINCT ON (icu) icu, id, pad FROM users ORDER BY icu DESC, id",
	} {
		for _, m := range []mode{simpleMode, textMode, binaryMode} {
			if m == binaryMode && strings.Contains(sql, "j") {
				continue // jsonb has no order that the merger knows, and its text is asked for
			}
			want, got := ask(t.Context(), w.PgConn(), m, sql), ask(t.Context(), c.PgConn(), m, sql)
			if why := differ(want, got, true); why != "" {
				t.Errorf("%s (%v): %.2000s", sql, m, why)
			}
			if n := f.pool.lent(); n != 0 {
				t.Fatalf("%d connections are lent after %s (%v)", n, sql, m)
			}
		}
	}
	// Within a transaction, in part, with writes between, and an error in the middle.
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := one[string](t, c, "SELECT string_agg(i, ',') FROM (SELECT icu AS i FROM users ORDER BY icu, id LIMIT 5) x")
	if want := one[string](t, w, "SELECT string_agg(i, ',') FROM (SELECT icu AS i FROM users ORDER BY icu, id LIMIT 5) x"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	var ids []int64
	list, err := c.Query(t.Context(), "SELECT id FROM users WHERE id < 2000 ORDER BY icu, id LIMIT 700")
	if err != nil {
		t.Fatal(err)
	}
	if ids, err = pgx.CollectRows(list, pgx.RowTo[int64]); err != nil || len(ids) != 700 {
		t.Fatal(len(ids), err)
	}
	mustExec(t, c, "UPDATE users SET icu = 'zzz' WHERE id = $1", ids[0])
	list, _ = c.Query(t.Context(), "SELECT id FROM users WHERE id < 2000 ORDER BY icu, id")
	if ids2, err := pgx.CollectRows(list, pgx.RowTo[int64]); err != nil || slices.Index(ids2, ids[0]) < 1000 {
		t.Errorf("the row that was changed is at %d, %v", slices.Index(ids2, ids[0]), err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		for _, m := range []mode{simpleMode, textMode} {
			if o := ask(t.Context(), c.PgConn(), m, "SELECT id, 1 / (id - 11000) FROM users ORDER BY icu, id"); o.code != "22012" {
				t.Errorf("error %v, want 22012", o.err)
			}
		}
		if o := ask(t.Context(), c.PgConn(), simpleMode, "SELECT id FROM users ORDER BY icu, id LIMIT 100"); o.code != "" || len(o.rows) != 100 {
			t.Errorf("after an error: %v, %d rows", o.err, len(o.rows))
		}
	}
	if n := f.pool.lent(); n != 0 {
		t.Errorf("%d connections are lent after an error", n)
	}
	// The client goes away, and so does the query.
	limited, cancel := context.WithCancel(t.Context())
	gone, err := c.Query(limited, "SELECT id, pad FROM users ORDER BY icu, id")
	if err != nil {
		t.Fatal(err)
	}
	gone.Next()
	cancel()
	gone.Close()
}
