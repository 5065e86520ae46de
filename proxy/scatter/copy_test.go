package scatter_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// TestCopyIn splits data in every format, in pieces of any size.
func TestCopyIn(t *testing.T) {
	f := newFleet(t, startServer(t), "s", 3, nil)
	c := f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text); CREATE TABLE countries (id int, name text)")
	ctx := t.Context()
	rnd := rand.New(rand.NewPCG(1, 2))
	emails := []string{"", "a", "tab\tin", "line\nbreak", `back\slash`, `quo"te`, "cr\rin", "comma,in", `\N`, `\.`, "ä€"}
	var text, csv strings.Builder
	fmt.Fprint(&csv, "email,id\n")
	const n = 3000
	want := map[int64]string{}
	for i := range n {
		e := emails[rnd.IntN(len(emails))]
		want[int64(i)] = e
		fmt.Fprintf(&text, "%d\t%s\n", i, strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n", "\r", "\\r").Replace(e))
		fmt.Fprintf(&csv, "\"%s\",%d\n", strings.ReplaceAll(e, `"`, `""`), i)
	}
	check := func(what string) {
		t.Helper()
		rows, _ := c.Query(ctx, "SELECT id, email FROM users")
		got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
			ID    int64
			Email string
		}])
		if err != nil || len(got) != n {
			t.Fatalf("%s: %d rows, %v", what, len(got), err)
		}
		for _, r := range got {
			if want[r.ID] != r.Email {
				t.Fatalf("%s: row %d is %q, want %q", what, r.ID, r.Email, want[r.ID])
			}
		}
		for i := range 3 {
			// Each row is where a query for its key looks for it.
			ids, err := pgx.CollectRows(func() pgx.Rows { r, _ := f.direct(i).Query(ctx, "SELECT id FROM users ORDER BY id LIMIT 5"); return r }(), pgx.RowTo[int64])
			if err != nil || len(ids) == 0 {
				t.Fatalf("%s: shard %d has %d rows, %v", what, i, len(ids), err)
			}
			for _, id := range ids {
				if got := one[string](t, c, "SELECT email FROM users WHERE id = $1", id); got != want[id] {
					t.Fatalf("%s: row %d is %q by its key", what, id, got)
				}
			}
		}
		mustExec(t, c, "TRUNCATE users")
	}
	pg := c.PgConn()
	for _, piece := range []int{1 << 20, 1000, 7, 1} {
		tag, err := pg.CopyFrom(ctx, &chopped{[]byte(text.String()), piece}, "COPY users FROM STDIN")
		if err != nil || tag.RowsAffected() != n {
			t.Fatalf("text in pieces of %d: %v, %v", piece, tag, err)
		}
		check("text")
		if _, err = pg.CopyFrom(ctx, &chopped{[]byte(csv.String()), piece}, "COPY users (email, id) FROM STDIN (FORMAT csv, HEADER)"); err != nil {
			t.Fatalf("CSV in pieces of %d: %v", piece, err)
		}
		check("CSV")
	}
	var rows [][]any
	for id, e := range want {
		rows = append(rows, []any{id, e})
	}
	if got, err := c.CopyFrom(ctx, pgx.Identifier{"users"}, []string{"id", "email"}, pgx.CopyFromRows(rows)); err != nil || got != n {
		t.Fatalf("binary: %d, %v", got, err)
	}
	for _, format := range []string{"text", "csv", "binary"} {
		var out bytes.Buffer
		tag, err := pg.CopyTo(ctx, &out, "COPY users TO STDOUT (FORMAT "+format+")")
		if err != nil || tag.RowsAffected() != n {
			t.Fatalf("COPY TO %s: %v, %v", format, tag, err)
		}
		mustExec(t, c, "TRUNCATE users")
		if tag, err = pg.CopyFrom(ctx, &out, "COPY users FROM STDIN (FORMAT "+format+")"); err != nil || tag.RowsAffected() != n {
			t.Fatalf("COPY FROM what COPY TO %s gave: %v, %v", format, tag, err)
		}
	}
	var header bytes.Buffer
	if _, err := pg.CopyTo(ctx, &header, "COPY users TO STDOUT (FORMAT csv, HEADER)"); err != nil || strings.Count(header.String(), "id,email") != 1 {
		t.Errorf("the header comes %d times, %v", strings.Count(header.String(), "id,email"), err)
	}
	var sorted bytes.Buffer
	if _, err := pg.CopyTo(ctx, &sorted, "COPY (SELECT id FROM users ORDER BY id LIMIT 3) TO STDOUT"); err != nil || sorted.String() != "0\n1\n2\n" {
		t.Errorf("a query: %q, %v", sorted.String(), err)
	}
	check("binary")
	// Every shard gets what is not divided.
	if _, err := pg.CopyFrom(ctx, strings.NewReader("1\tFrance\n2\t\\N\n"), "COPY countries FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if n := one[int](t, f.direct(i), "SELECT count(*) FROM countries"); n != 2 {
			t.Errorf("shard %d has %d countries", i, n)
		}
	}
}

// chopped gives its bytes in pieces.
type chopped struct {
	b []byte
	n int
}

func (c *chopped) Read(b []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.b[:min(c.n, len(c.b))])
	c.b = c.b[n:]
	return n, nil
}

// TestCopyInMistakes leaves nothing behind when a row, or the client, is wrong.
func TestCopyInMistakes(t *testing.T) {
	f := newFleet(t, startServer(t), "s", 3, nil)
	c := f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text)")
	pg := c.PgConn()
	for _, tt := range []struct{ sql, data, code string }{
		{"COPY users FROM STDIN", "1\ta\n2\tb\n3\tc\nx\td\n", "22P02"},
		{"COPY users FROM STDIN", "1\ta\n2\tb\n3\tc\n3\td\n", "23505"},
		{"COPY users FROM STDIN", "1\ta\n2\tb\n3\tc\td\n", "22P04"},
		{"COPY users FROM STDIN", "1\ta\n\\N\tb\n", "23502"},
		{"COPY users (email, id) FROM STDIN", "a\t1\nb\n", "22P04"},
		{"COPY users (email) FROM STDIN", "a\n", "0A000"},
		{"COPY users FROM STDIN (FORMAT binary)", "nonsense, and enough of it", "22P04"},
		{"COPY nosuch FROM STDIN", "1\n", "42P01"},
		{"COPY users FROM '/etc/passwd'", "", "0A000"},
	} {
		_, err := pg.CopyFrom(t.Context(), strings.NewReader(tt.data), tt.sql)
		if got := codeOf(err); got != tt.code {
			t.Errorf("%s %q: %v, want %s", tt.sql, tt.data, err, tt.code)
		}
		if pg.TxStatus() != 'I' {
			t.Fatalf("%s: transaction status %c", tt.sql, pg.TxStatus())
		}
	}
	if _, err := pg.CopyFrom(t.Context(), &failing{}, "COPY users FROM STDIN"); err == nil {
		t.Error("a client that fails: no error")
	}
	if n := one[int](t, c, "SELECT count(*) FROM users"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if n := f.pool.lent(); n != 0 {
		t.Errorf("%d connections are lent at rest", n)
	}
}

type failing struct{ some bool }

func (f *failing) Read(b []byte) (int, error) {
	if f.some {
		return 0, fmt.Errorf("the client has had enough")
	}
	f.some = true
	return copy(b, "1\ta\n2\tb\n3\tc\n"), nil
}

// TestCopyEncoding copies data that are not in UTF-8: a key is hashed as the server stores it.
func TestCopyEncoding(t *testing.T) {
	f := newFleet(t, startServer(t), "ce", 3, func(sc *sharding.Config, _ *scatter.Config) {
		sc.Tables = append(sc.Tables, sharding.Table{Name: "docs", Columns: []string{"k"}, Types: []hash.OID{hash.Text}})
	})
	c := f.connect()
	mustExec(t, c, "CREATE TABLE docs (k text, v text)")
	mustExec(t, c, "SET client_encoding = 'LATIN1'")
	pg := c.PgConn()
	if _, err := pg.CopyFrom(t.Context(), strings.NewReader("a\t\xe9\nb\t\xe9\nc\tx\n"), "COPY docs FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	for _, options := range []string{"", " (ENCODING 'LATIN1')", " (ENCODING LATIN1, FORMAT csv, DELIMITER E'\\t')"} {
		if _, err := pg.CopyFrom(t.Context(), strings.NewReader("d\tx\n\xe9\tx\n"), "COPY docs FROM STDIN"+options); codeOf(err) != "0A000" {
			t.Errorf("%s: %v", options, err)
		}
	}
	if _, err := pg.CopyFrom(t.Context(), strings.NewReader("é\tx\n"), "COPY docs FROM STDIN (ENCODING 'UTF8')"); err != nil {
		t.Fatal(err)
	}
	mustExec(t, c, "RESET client_encoding")
	if v := one[string](t, c, "SELECT v FROM docs WHERE k = 'a'"); v != "é" {
		t.Errorf("a is %q", v)
	}
	if n := one[int](t, c, "SELECT count(*) FROM docs WHERE k = 'é'"); n != 1 {
		t.Errorf("é is there %d times", n)
	}
	if n := one[int](t, c, "SELECT count(*) FROM docs"); n != 4 {
		t.Errorf("%d rows", n)
	}
}
