package shards_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

const typesSchema = `CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN short AS varchar(5);
CREATE TYPE pair AS (m mood, n int, list mood[]);
CREATE TYPE moods AS RANGE (subtype = mood);
CREATE TABLE users (id bigint PRIMARY KEY, m mood, ms mood[], d short, p pair, ps pair[], r moods);
CREATE TABLE settings (id int PRIMARY KEY, m mood, p pair)`

type pair struct {
	M    string
	N    int32
	List []string
}

// TestTypesOfOtherNumbers reads and writes values of the shards' own types, whose numbers
// differ, in text and in binary, whichever shard has them.
func TestTypesOfOtherNumbers(t *testing.T) { transports(t, testTypesOfOtherNumbers) }

func testTypesOfOtherNumbers(t *testing.T) {
	h := newHouse(t, typesSchema, nil)
	if a, b := one[uint32](t, h.direct(0), "SELECT 'mood'::regtype::oid"), one[uint32](t, h.direct(2), "SELECT 'mood'::regtype::oid"); a == b {
		t.Fatal("the numbers are the same, which proves nothing")
	}
	c := h.connect()
	ctx := t.Context()
	for _, name := range []string{"mood", "_mood", "short", "pair", "_pair", "moods"} {
		typ, err := c.LoadType(ctx, name)
		if err != nil {
			t.Fatal(name, err)
		}
		c.TypeMap().RegisterType(typ)
	}
	const n = 30
	insert := "INSERT INTO users VALUES ($1, $2, $3, $4, $5, $6, $7)"
	for i := range n {
		p := pair{"happy", int32(i), []string{"sad", "happy"}}
		r := pgtype.Range[string]{Lower: "sad", Upper: "happy", LowerType: pgtype.Inclusive, UpperType: pgtype.Inclusive, Valid: true}
		mustExec(t, c, insert, i, "ok", []string{"sad", "ok"}, "dom", p, []pair{p, {"sad", 1, nil}}, r)
	}
	check := func(what, sql string, args ...any) {
		t.Helper()
		rows, err := c.Query(ctx, sql, args...)
		if err != nil {
			t.Fatal(what, err)
		}
		seen := 0
		for rows.Next() {
			var id int
			var m, d string
			var ms []string
			var p pair
			var ps []pair
			var r pgtype.Range[string]
			if err := rows.Scan(&id, &m, &ms, &d, &p, &ps, &r); err != nil {
				t.Fatal(what, err)
			}
			seen++
			if m != "ok" || fmt.Sprint(ms) != "[sad ok]" || d != "dom" || p.M != "happy" || p.N != int32(id) || fmt.Sprint(p.List) != "[sad happy]" ||
				len(ps) != 2 || ps[0].N != int32(id) || ps[1].M != "sad" || r.Upper != "happy" {
				t.Fatalf("%s: row %d: %v %v %v %v %v %v", what, id, m, ms, d, p, ps, r)
			}
		}
		if err := rows.Err(); err != nil || seen == 0 {
			t.Fatal(what, seen, err)
		}
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec} {
		check("all", "SELECT * FROM users", mode)
		check("sorted", "SELECT * FROM users ORDER BY id DESC", mode)
		check("by enum", "SELECT * FROM users ORDER BY m, id LIMIT 7", mode)
		for i := range n {
			check("one", "SELECT * FROM users WHERE id = $1", mode, i)
		}
	}
	p := pair{"happy", 7, []string{"sad", "happy"}}
	if got := one[int](t, c, "SELECT count(*) FROM users WHERE p = $1::pair AND ms = $2", p, []string{"sad", "ok"}); got != 1 {
		t.Errorf("%d rows by a row and an array", got)
	}
	if got := all[string](t, c, "SELECT m FROM users WHERE m = ANY($1) GROUP BY m", []string{"ok"}); len(got) != 1 {
		t.Errorf("groups %v", got)
	}
	// On copies of an omnisharded table, whichever shard answers.
	mustExec(t, c, "INSERT INTO settings VALUES (1, 'ok', $1)", p)
	for range 2 * houseShards {
		if got := one[pair](t, c, "SELECT p FROM settings"); got.M != "happy" || len(got.List) != 2 {
			t.Errorf("%v", got)
		}
	}
	var batch pgx.Batch
	for i := range n {
		batch.Queue("SELECT p, ps FROM users WHERE id = $1", i).QueryRow(func(row pgx.Row) error {
			var p pair
			var ps []pair
			err := row.Scan(&p, &ps)
			if err == nil && (p.N != int32(i) || len(ps) != 2) {
				t.Errorf("%d: %v %v", i, p, ps)
			}
			return err
		})
	}
	if err := c.SendBatch(ctx, &batch).Close(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, c, "UPDATE users SET id = id + 1000 WHERE p = $1::pair", p)
	if got := one[pair](t, c, "SELECT p FROM users WHERE id = 1007"); got.N != 7 {
		t.Errorf("the row that moved has %v", got)
	}
	// COPY in binary has the numbers of one shard in it.
	_, err := c.CopyFrom(ctx, pgx.Identifier{"users"}, []string{"id", "ps"}, pgx.CopyFromRows([][]any{{int64(5000), []pair{p}}}))
	if err == nil {
		t.Error("COPY in binary was not refused")
	}
	if k, err := c.CopyFrom(ctx, pgx.Identifier{"users"}, []string{"id", "m", "d"}, pgx.CopyFromRows([][]any{{int64(5000), "ok", "x"}, {int64(5001), "sad", "y"}})); err != nil || k != 2 {
		t.Error(k, err)
	}
	_ = c.Close(context.Background())
}
