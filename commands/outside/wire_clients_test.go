package outside_test

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestWireSqliteClients has real clients do what applications do with a SQLite database:
// prepare, fetch by cursors, COPY both ways, fail and go on, and ask about its tables.
func TestWireSqliteClients(t *testing.T) {
	need(t, "psql")
	need(t, "python3")
	need(t, "npm")
	need(t, "javac")
	file := filepath.Join(t.TempDir(), "shop.db")
	address := withPassword(t, serving(t, "wire", "serve", "sqlite", "--create", file, "--listen", "tcp:0"))
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	t.Run("pgx", func(t *testing.T) { sqlitePgx(t, address) })
	t.Run("psycopg", func(t *testing.T) {
		python := pythonWith(t, "psycopg[binary]==3.3.9", "asyncpg==0.31.0")
		if out := run(t, ".", python, "testdata/clients/sqlite/client.py", address); !strings.HasPrefix(out, "psycopg ") {
			t.Errorf("it said:\n%s", out)
		}
		if out := run(t, ".", python, "testdata/clients/sqlite/client_asyncpg.py", address); !strings.HasPrefix(out, "asyncpg ") {
			t.Errorf("it said:\n%s", out)
		}
	})
	t.Run("node-postgres", func(t *testing.T) {
		dir := nodeWith(t, "testdata/clients/sqlite/client.js", "pg@8.23.1", "pg-copy-streams@7.0.0", "pg-cursor@2.22.0")
		if out := run(t, dir, "node", "client.js", address); !strings.HasPrefix(out, "node-postgres ") {
			t.Errorf("it said:\n%s", out)
		}
	})
	t.Run("lib-pq", func(t *testing.T) {
		if out := run(t, ".", libPQ(t, "testdata/clients/sqlite/libpq/main.go"), address); out != "lib/pq 1020\n" {
			t.Errorf("it said:\n%s", out)
		}
	})
	t.Run("jdbc", func(t *testing.T) {
		classpath := jdbc(t, t.TempDir(), "testdata/clients/sqlite/Client.java")
		out := run(t, ".", "java", "-cp", classpath, "Client", u.Hostname(), u.Port(), strings.TrimPrefix(u.Path, "/"), u.User.Username(), password)
		if !strings.HasPrefix(out, "JDBC 42.") {
			t.Errorf("it said:\n%s", out)
		}
	})
	t.Run("psql", func(t *testing.T) {
		out := run(t, ".", "psql", "-XA", address, "-c", `\l`, "-c", `\dt`, "-c", `\d java`, "-c", `\d child`, "-c", "select 1::int, 'x'::text, '{a,b}'::text[]")
		for _, want := range []string{"shop|postgres|UTF8", "public|java|table|postgres", "name|character varying(40)||not null|", `FOREIGN KEY (parent) REFERENCES java(id)`, "1|x|{a,b}"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
	})
}

func sqlitePgx(t *testing.T, url string) {
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "CREATE TABLE go (id integer PRIMARY KEY, name text, price double precision, at timestamp, ok boolean)"); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, 2, 29, 13, 14, 15, 0, time.UTC)
	for i := range 10 {
		var id int
		if err := conn.QueryRow(ctx, "INSERT INTO go (name, price, at, ok) VALUES ($1, $2, $3, $4) RETURNING id", "n", float64(i)/2, at, true).Scan(&id); err != nil || id != i+1 {
			t.Fatalf("id %d, %v", id, err)
		}
	}
	if n, err := conn.CopyFrom(ctx, pgx.Identifier{"go"}, []string{"name", "price"}, pgx.CopyFromSlice(1000, func(i int) ([]any, error) { return []any{"c", float64(i)}, nil })); err != nil || n != 1000 {
		t.Fatalf("COPY: %d, %v", n, err)
	}
	type row struct {
		ID    int
		Name  string
		Price float64
		At    *time.Time
		OK    *bool
	}
	rows, err := conn.Query(ctx, "SELECT * FROM go WHERE id = ANY($1) AND price < $2 AND ok ORDER BY id LIMIT $3", []int64{1, 3, 5, 500}, 10.0, 2)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil || len(got) != 2 || got[1].ID != 3 || got[1].Price != 1 || !got[1].At.Equal(at) || !*got[1].OK {
		t.Errorf("%+v, %v", got, err)
	}
	var sum float64
	var n int
	if err := conn.QueryRow(ctx, "SELECT sum(price)::float8, count(*)::int FROM go WHERE name = $1", "n").Scan(&sum, &n); err != nil || sum != 22.5 || n != 10 {
		t.Errorf("%g, %d, %v", sum, n, err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DECLARE c CURSOR FOR SELECT id FROM go ORDER BY id"); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, "FETCH 3 FROM c")
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if len(ids) != 3 {
			t.Errorf("fetched %v", ids)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
