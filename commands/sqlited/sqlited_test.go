package sqlited

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

// start serves a database and returns its URL.
func start(t *testing.T, path string, o Options) string {
	t.Helper()
	db, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	srv := wiretest.NewServer(Handler(db, "shop"))
	t.Cleanup(srv.Close)
	return srv.URL
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

const schema = `
create table author (id integer primary key, name text not null unique, born date default '1900-01-01');
create table "Book" (id integer primary key, title varchar(20), author int references author(id) on delete cascade, price numeric);
create index book_title on "Book" (title);
create view cheap as select * from "Book" where price < 10;
insert into author (id, name) values (1, 'Ann');`

// TestPsql shows psql's own commands the database.
func TestPsql(t *testing.T) {
	url := start(t, filepath.Join(t.TempDir(), "x.db"), Options{Create: true})
	if _, err := connect(t, url).PgConn().Exec(t.Context(), schema).ReadAll(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		command string
		want    []string
		not     string
	}{
		{`\l`, []string{"shop|test|UTF8"}, ""},
		{`\dn`, []string{"public|test"}, ""},
		{`\du`, []string{"test|Superuser"}, ""},
		{`\dt`, []string{"public|Book|table|test", "public|author|table|test"}, "cheap"},
		{`\dv`, []string{"public|cheap|view|test"}, "author"},
		{`\di`, []string{"public|book_title|index|test|Book"}, "cheap"},
		{`\d`, []string{"public|Book|table", "public|cheap|view"}, "book_title"},
		{`\dt a*`, []string{"public|author|table"}, "Book"},
		{`\dt public.a*`, []string{"public|author|table"}, "Book"},
		{`\dt nope`, []string{"Did not find any relation"}, ""},
		{`\dt other.*`, []string{"Did not find any relation"}, ""},
		{`\d author`, []string{"id|bigint||not null|", "name|text||not null|", "born|date|||'1900-01-01'", `"author_pkey" PRIMARY KEY, btree (id)`, "UNIQUE CONSTRAINT, btree (name)", `TABLE ""Book"" CONSTRAINT "Book_fkey0" FOREIGN KEY (author) REFERENCES author(id) ON DELETE CASCADE`}, "Inherits"},
		{`\d "Book"`, []string{"title|character varying(20)", "price|numeric", `"book_title" btree (title)`, "FOREIGN KEY (author) REFERENCES author(id) ON DELETE CASCADE"}, "Inherits"},
		{`\d cheap`, []string{"id|bigint", "price|numeric"}, ""},
		{`\dx`, nil, "ERROR"},
		{`\df`, nil, "ERROR"},
	}
	for _, tt := range tests {
		out, err := exec.CommandContext(t.Context(), "psql", "-XA", url, "-c", tt.command).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "Did not find") {
			t.Errorf("%s: %v\n%s", tt.command, err, out)
		}
		for _, want := range tt.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: no %q in\n%s", tt.command, want, out)
			}
		}
		if tt.not != "" && strings.Contains(string(out), tt.not) {
			t.Errorf("%s: %q in\n%s", tt.command, tt.not, out)
		}
	}
}

// TestPgx prepares, copies, uses a cursor and a transaction.
func TestPgx(t *testing.T) {
	ctx := t.Context()
	conn := connect(t, start(t, Memory, Options{}))
	if _, err := conn.PgConn().Exec(ctx, schema).ReadAll(); err != nil {
		t.Fatal(err)
	}
	var name, user string
	if err := conn.QueryRow(ctx, "select name, current_user from author where id = $1", "1").Scan(&name, &user); err != nil || name != "Ann" || user != "test" {
		t.Errorf("%q %q, %v", name, user, err)
	}
	n, err := conn.PgConn().CopyFrom(ctx, strings.NewReader("2\tBob\t\\N\n3\tEve\t2001-02-03\n"), "copy author from stdin")
	if err != nil || n.RowsAffected() != 2 {
		t.Errorf("copy in: %v, %v", n, err)
	}
	var out strings.Builder
	if _, err := conn.PgConn().CopyTo(ctx, &out, "copy (select id, name from author order by 1) to stdout csv header"); err != nil || out.String() != "id,name\n1,Ann\n2,Bob\n3,Eve\n" {
		t.Errorf("copy out: %q, %v", out.String(), err)
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "declare c cursor for select name from author order by id"); err != nil {
		t.Fatal(err)
	}
	rows, err := tx.Query(ctx, "fetch 2 from c")
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || strings.Join(names, " ") != "Ann Bob" {
		t.Errorf("fetched %v, %v", names, err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Error(err)
	}
	for sql, code := range map[string]string{
		"select * from nope": "42P01", "select nope from author": "42703", "selekt": "42601", "select nope()": "42883",
		"insert into author (id, name) values (1, 'x')":  "23505",
		"insert into author (id, name) values (9, null)": "23502",
		`insert into "Book" (author) values (77)`:        "23503",
		"create table author (i int)":                    "42P07",
		"select relname from pg_catalog.pg_locks":        "0A000",
	} {
		_, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != code || strings.HasSuffix(e.Message, ")") && strings.Contains(e.Message, " (1") {
			t.Errorf("%s: %v, want %s", sql, err, code)
		}
	}
	// All connections see the same database.
	var count int
	if err := connect(t, conn.Config().ConnString()).QueryRow(ctx, "select count(*) from author").Scan(&count); err != nil || count != 3 {
		t.Errorf("another connection: %d, %v", count, err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(t.Context(), filepath.Join(dir, "missing"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	path := filepath.Join(dir, "a ?&#%.db")
	conn := connect(t, start(t, path, Options{Create: true}))
	if _, err := conn.Exec(t.Context(), "create table t (a int)"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	var e *pgconn.PgError
	if _, err := connect(t, start(t, path, Options{ReadOnly: true})).Exec(t.Context(), "insert into t values (1)"); !errors.As(err, &e) || e.Code != "25006" {
		t.Errorf("read only: %v", err)
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), text, Options{}); err == nil || !strings.Contains(err.Error(), "not a database") {
		t.Errorf("a text file: %v", err)
	}
}

func TestTranslate(t *testing.T) {
	for sql, want := range map[string]string{
		"select current_user, 'current_user', \"session_user\" -- current_user":                  "select 'o''x', 'current_user', \"session_user\"",
		"select pg_catalog.version() /* pg_catalog.x */":                                         "select version()",
		"select a.current_user, 1":                                                               "select a.current_user, 1",
		"select a::int, '1'::text, f(a, (b))::bigint, t.a::numeric(10,2)":                        "select pg_int4(a), pg_text('1'), pg_int8(f(a, (b))), pg_numeric(t.a,10,2)",
		"select $1::int4::text, (a+b)::double precision, -1::int":                                "select pg_text(pg_int4($1)), pg_float8((a + b)), - pg_int4(1)",
		"select case when a then 1 else 2 end::text":                                             "select pg_text(case when a then 1 else 2 end)",
		"select a::timestamp with time zone, a::varchar(3), b::\"char\"":                         "select pg_timestamptz(a), pg_varchar(a,3), pg_qchar(b)",
		"select * from t where a = any($1) and b <> all ('{1,2}'::int[])":                        "select * from t where a IN (SELECT value FROM json_each(pg_elements($1))) and b NOT IN (SELECT value FROM json_each(pg_elements(pg_text('{1,2}'))))",
		"select * from t where a = any (select 1)":                                               "select * from t where a IN ( select 1)",
		"select a ~ 'x', b !~* 'y', ~c, d operator(pg_catalog.~) 'z' collate pg_catalog.default": "select a REGEXP 'x', b NOT REGEXP '(?i)' || 'y', ~ c, d REGEXP 'z'",
		"select array[1,2], (f(x))[1], array(select a from t)":                                   "select pg_array(1,2), pg_element((f(x)),1), (WITH pg_rows(c) AS ( select a from t) SELECT pg_from_json(json_group_array(c)) FROM pg_rows)",
		"select E'a\\n\\'b', $$it's$$, x'00'":                                                    "select 'a\n''b', 'it''s', x'00'",
		"select 't'::regclass, c.oid::pg_catalog.regclass":                                       "select pg_to_regclass('t'), pg_regclass(c.oid)",
		"select * from (values (1, (2))) as s(a, \"B\") where a > 0":                             "select * from (WITH s(a, \"B\") AS (values (1,(2))) SELECT * FROM s) as s where a > 0",
		"select x from pg_catalog.unnest(t.c) x":                                                 "select x from (SELECT value AS x FROM json_each(pg_elements(t.c))) x",
		"insert into t values ($1, 2) on conflict do nothing returning \"A\".b":                  "insert into t values ($1, 2) on conflict do nothing returning \"A\".b",
	} {
		got, err := translate(sql, "o'x", "UTC")
		squeeze := func(s string) string {
			s = strings.Join(strings.Fields(s), " ")
			for _, c := range []string{" (", "( ", " )", " ,", ", "} {
				s = strings.ReplaceAll(s, c, strings.TrimSpace(c))
			}
			return s
		}
		if err != nil || squeeze(got) != squeeze(want) {
			t.Errorf("%s\n got %s, %v\nwant %s", sql, got, err, want)
		}
	}
	for _, sql := range []string{"select `a`", "select [a]", "select ]", "select (1", "select 'a", "select 1; attach 'x' as y", "select B'01'", "select '1'::nonsense", "select ::int", "select @a"} {
		if got, err := translate(sql, "u", "UTC"); err == nil && sql != "select (1" {
			t.Errorf("%s became %s", sql, got)
		}
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add(`SELECT n.nspname as "Schema", c.relname FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' AND c.oid = '7'`)
	f.Add("select a::int, array[1, (x)[2]], case when true then 1 end::text from t where b = any('{1}') returning *")
	f.Add("insert into t (a, b) values ($1, $2::numeric(3,1)), (E'\\x', $$y$$) returning a, b as c")
	f.Add("select '(, from pg_catalog.pg_x")
	columns := []tableColumn{{"t", "a", 20}, {"t", "b", 25}}
	f.Fuzz(func(t *testing.T, sql string) {
		for _, text := range []string{sql, keyPositions(sql)} {
			if sh, ok := shapeOf(text); ok {
				sh.asksCatalog()
				sh.parameterTypes(nil, columns)
				for _, it := range sh.selectList() {
					sh.condition(it.from, it.to)
					if it.function != "" {
						sh.figure(it.from, it.to)
					}
				}
			}
			out, err := translate(text, "u", "UTC")
			if err != nil {
				continue
			}
			// What SQLite gets has nothing that it would read otherwise.
			if strings.Contains(out, "`") && !strings.ContainsAny(text, `'"$`) {
				t.Errorf("%q became %q", text, out)
			}
			if _, err := parseArray(text); err == nil {
				_ = formatArray(nil)
			}
		}
	})
}
