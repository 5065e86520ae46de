package wasm_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// TestFeatures goes through what PostgreSQL can do, on one server.
func TestFeatures(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	c := connect(t, srv)
	ctx := t.Context()

	t.Run("version", func(t *testing.T) { // what the pinned package is said to be
		wantOne(t, c, srv.Info().Version, "select split_part(current_setting('server_version'), ' ', 1)")
		wantOne(t, c, fmt.Sprint(srv.Info().VersionNum), "show server_version_num")
	})
	t.Run("values", func(t *testing.T) {
		exec(t, c, "create collation de (provider = icu, locale = 'de')")
		wantOne(t, c, "true", "select ('ä' collate de < 'z' collate de)::text")
		for sql, want := range map[string]string{
			"select to_tsvector('english', 'running cats')::text":                                                    "'cat':2 'run':1",
			"select (timestamptz '2024-07-01 12:00 UTC' at time zone 'America/New_York')::text":                      "2024-07-01 08:00:00",
			"select regexp_replace('abc', 'b', 'x')":                                                                 "axc",
			"select jsonb_path_query_array('{\"a\":[1,2]}', '$.a[*]')::text":                                         "[1, 2]",
			"select xmlelement(name a)::text":                                                                        "<a/>",
			"select (0.1 + 0.2)::text":                                                                               "0.3",
			"select array_agg(x order by x desc)::text from unnest(array[3,1,2]) x":                                  "{3,2,1}",
			"with recursive r(n) as (select 1 union all select n+1 from r where n < 100) select sum(n)::text from r": "5050",
		} {
			wantOne(t, c, want, sql)
		}
	})
	t.Run("plpgsql", func(t *testing.T) {
		exec(t, c, `create function safe(a int, b int) returns text language plpgsql as $$
			begin return (a/b)::text; exception when division_by_zero then return 'caught ' || sqlstate; end $$`)
		wantOne(t, c, "caught 22012", "select safe(1, 0)")
		exec(t, c, "create function deep(n int) returns int language plpgsql as $$ begin return deep(n+1); end $$")
		wantCode(t, c, "54001", "select deep(0)")
		wantOne(t, c, "2", "select safe(4, 2)")
	})
	t.Run("savepoints", func(t *testing.T) {
		exec(t, c, "create table sp(a int primary key)")
		tx, err := c.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, c, "savepoint s")
		wantCode(t, c, "23505", "insert into sp values (1), (1)")
		wantCode(t, c, "25P02", "select 1")
		exec(t, c, "rollback to s")
		exec(t, c, "insert into sp values (2)")
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		wantOne(t, c, "2", "select string_agg(a::text, ',') from sp")
	})
	t.Run("cursors and portals", func(t *testing.T) {
		tx, err := c.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(ctx) //nolint:errcheck // it is only read
		exec(t, c, "declare cu scroll cursor for select generate_series(1, 1000)")
		exec(t, c, "move 499 in cu")
		wantOne(t, c, "500", "fetch 1 from cu", pgx.QueryExecModeSimpleProtocol)
		wantOne(t, c, "499", "fetch backward 1 from cu", pgx.QueryExecModeSimpleProtocol)
	})
	t.Run("pipelines", func(t *testing.T) {
		b := &pgx.Batch{}
		for i := range 500 {
			b.Queue("select $1::int", i)
		}
		r := c.SendBatch(ctx, b)
		for i := range 500 {
			var n int
			if err := r.QueryRow().Scan(&n); err != nil || n != i {
				t.Fatalf("answer %d: %d, %v", i, n, err)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		// Success, error, success, each behind a Sync of its own.
		p := c.PgConn().StartPipeline(ctx)
		for _, sql := range []string{"select 1", "select 1/0", "select 2"} {
			p.SendQueryParams(sql, nil, nil, nil, nil)
			if err := p.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		var seen []string
		for len(seen) < 3 {
			res, err := p.GetResults()
			switch r := res.(type) {
			case *pgconn.ResultReader:
				if err := r.Read().Err; err != nil {
					seen = append(seen, code(err))
				} else {
					seen = append(seen, "row")
				}
			case nil:
				seen = append(seen, code(err))
			}
		}
		if got := strings.Join(seen, " "); got != "row 22012 row" {
			t.Errorf("pipeline: %s", got)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("copy", func(t *testing.T) {
		exec(t, c, "create table cp(a int, b text)")
		var sb strings.Builder
		for i := range 50000 {
			fmt.Fprintf(&sb, "%d\trow %d\n", i, i)
		}
		if _, err := c.PgConn().CopyFrom(ctx, strings.NewReader(sb.String()), "copy cp from stdin"); err != nil {
			t.Fatal(err)
		}
		n, err := c.CopyFrom(ctx, pgx.Identifier{"cp"}, []string{"a", "b"}, pgx.CopyFromSlice(5000, func(i int) ([]any, error) { return []any{int32(i), "z"}, nil }))
		if err != nil || n != 5000 {
			t.Fatalf("binary copy: %d, %v", n, err)
		}
		if _, err := c.PgConn().CopyFrom(ctx, strings.NewReader("x\ty\n"), "copy cp from stdin"); code(err) != "22P02" {
			t.Errorf("a bad row: %v", err)
		}
		if _, err := c.PgConn().CopyFrom(ctx, &failing{}, "copy cp from stdin"); code(err) == "<nil>" {
			t.Error("CopyFail was taken for success")
		}
		wantOne(t, c, "55000", "select count(*)::text from cp")
		var out bytes.Buffer
		if ct, err := c.PgConn().CopyTo(ctx, &out, "copy (select * from cp order by a limit 3) to stdout"); err != nil || ct.RowsAffected() != 3 {
			t.Errorf("copy out: %v, %v", ct, err)
		}
		exec(t, c, "copy (select 7 as a, 'from a file' as b) to '/tmp/x.csv'")
		exec(t, c, "copy cp from '/tmp/x.csv'")
		wantOne(t, c, "from a file", "select b from cp where b like 'from%'")
		exec(t, c, "copy (select generate_series(1, 10)) to '/dev/blob'")
		exec(t, c, "copy cp(a) from '/dev/blob'")
		wantOne(t, c, "10", "select count(*)::text from cp where b is null")
		if _, err := c.Exec(ctx, "copy cp from program 'echo 1'"); err == nil || !strings.Contains(err.Error(), "Function not implemented") {
			t.Errorf("a program: %v", err)
		}
	})
	t.Run("large", func(t *testing.T) {
		rows, err := c.Query(ctx, "select repeat('x', 1000000) from generate_series(1, 64)")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n += len(rows.RawValues()[0])
		}
		if rows.Err() != nil || n != 64000000 {
			t.Errorf("%d bytes, %v", n, rows.Err())
		}
		wantOne(t, c, fmt.Sprint(32<<20), "select length($1::text)::text", strings.Repeat("y", 32<<20))
		var row string
		if err := c.QueryRow(ctx, "select repeat(repeat('x', 1000), 64000)").Scan(&row); err != nil || len(row) != 64000000 {
			t.Errorf("a row of 64 MB: %d bytes, %v", len(row), err)
		}
	})
	t.Run("large objects", func(t *testing.T) {
		tx, err := c.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		lobs := tx.LargeObjects()
		oid, err := lobs.Create(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		lo, err := lobs.Open(ctx, oid, pgx.LargeObjectModeWrite|pgx.LargeObjectModeRead)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lo.Write(bytes.Repeat([]byte("lo"), 100000)); err != nil {
			t.Fatal(err)
		}
		if n, err := lo.Seek(0, io.SeekEnd); err != nil || n != 200000 {
			t.Errorf("size %d, %v", n, err)
		}
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("maintenance", func(t *testing.T) {
		for _, sql := range []string{"vacuum full cp", "analyze", "create index on cp(a)", "reindex table cp", "cluster cp using cp_a_idx", "checkpoint", "create database d2", "drop database d2", "create unlogged table u(a int)", "create table p(a int) partition by range (a)"} {
			exec(t, c, sql)
		}
	})
	t.Run("functions over the protocol", func(t *testing.T) {
		fe := c.PgConn().Frontend()
		fe.Send(&pgproto3.FunctionCall{Function: 1598, ResultFormatCode: 0}) // random()
		if err := fe.Flush(); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := fe.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := m.(*pgproto3.ReadyForQuery); ok {
				break
			}
		}
	})
	t.Run("3000 errors", func(t *testing.T) {
		for i := range 3000 {
			if _, err := c.Exec(ctx, "select 1/0"); code(err) != "22012" {
				t.Fatalf("error %d: %v", i, err)
			}
		}
		wantOne(t, c, "alive", "select 'alive'")
	})
}

// TestOutOfMemory checks that a statement which needs more memory than there is fails, and
// nothing else does.
func TestOutOfMemory(t *testing.T) {
	e := wasm.New(wasm.Config{MaxMemory: 256})
	srv := temp(t, e, engines.Spec{})
	t.Cleanup(func() {
		_ = srv.Close(context.Background())
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	c := connect(t, srv)
	exec(t, c, "create table t(a int); insert into t values (1); set work_mem = '2047MB'", pgx.QueryExecModeSimpleProtocol)
	for range 3 {
		// At once, while there is still some; and little by little.
		wantCode(t, c, "53200", "select length(repeat('x', 300000000))")
		wantOne(t, c, "1", "select sum(a)::text from t")
		wantCode(t, c, "53200", "select array_agg(repeat('x', 1000) || g) from generate_series(1, 1000000) g")
		wantOne(t, c, "1", "select sum(a)::text from t")
	}
}

type failing struct{ sent bool }

func (f *failing) Read(b []byte) (int, error) {
	if f.sent {
		return 0, fmt.Errorf("the source broke")
	}
	f.sent = true
	return copy(b, "1\tx\n"), nil
}

// TestExtensions creates every extension of the packages that compiles at once, and uses
// some.
func TestExtensions(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	c := connect(t, srv)
	names, err := shared.Extensions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 35 {
		t.Errorf("there are only %d extensions: %v", len(names), names)
	}
	for _, name := range names {
		if name == "pgcrypto" {
			continue // a minute of compiling; see TestPgcrypto
		}
		_, err := c.Exec(t.Context(), `create extension if not exists "`+name+`" cascade`)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for sql, want := range map[string]string{
		"select round(similarity('hello', 'hallo')::numeric, 2)::text": "0.33",
		"select 'a=>1,b=>2'::hstore -> 'b'":                            "2",
		"select ('A'::citext = 'a')::text":                             "true",
		"select ('a.b.c'::ltree <@ 'a')::text":                         "true",
		"select levenshtein('a', 'abc')::text":                         "2",
		"select unaccent('Hôtel')":                                     "Hotel",
		"select length(uuid_generate_v4()::text)::text":                "36",
		"select ('[1,2,3]'::vector <-> '[1,2,4]')::text":               "1",
		"select (cube(1) <@ cube(0, 2))::text":                         "true",
	} {
		wantOne(t, c, want, sql)
	}
	exec(t, c, "create table it(id serial primary key, e vector(3)); insert into it(e) select array[random(), random(), random()]::vector from generate_series(1, 500); create index on it using hnsw (e vector_l2_ops)", pgx.QueryExecModeSimpleProtocol)
	wantOne(t, c, "5", "select count(*)::text from (select id from it order by e <-> '[0.1,0.2,0.3]' limit 5) x")
	if _, err := c.Exec(t.Context(), "create extension no_such"); code(err) != "0A000" && code(err) != "58P01" {
		t.Errorf("an unknown extension: %v", err)
	}
	if err := shared.Prepare(t.Context(), "no_such"); err == nil || !strings.Contains(err.Error(), "no_such") || !strings.Contains(err.Error(), "vector") {
		t.Errorf("preparing an unknown extension: %v", err)
	}
}

// TestPgcrypto uses pgcrypto where its minute of compiling has been spent before, and
// checks otherwise that it is never spent inside a statement.
func TestPgcrypto(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	c := connect(t, srv)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := c.Exec(ctx, "create extension pgcrypto"); err != nil {
		if !strings.Contains(err.Error(), "has not been compiled yet") {
			t.Fatal(err)
		}
		return
	}
	wantOne(t, c, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "select encode(digest('a', 'sha256'), 'hex')")
	wantOne(t, c, "true", "select (crypt('x', gen_salt('bf', 4)) like '$2a$04$%')::text")
	wantOne(t, c, "hey", "select pgp_sym_decrypt(pgp_sym_encrypt('hey', 'k'), 'k')")
}

// TestClonesDiffer checks that servers from one snapshot do not repeat each other.
func TestClonesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		srv := temp(t, shared, engines.Spec{})
		c := connect(t, srv)
		for _, sql := range []string{"select gen_random_uuid()::text", "select random()::text", "select uuidv7()::text", "select clock_timestamp()::text", "select md5(string_agg(ctid::text, '')) from (select ctid from pg_class tablesample bernoulli (50)) x"} {
			v := one(t, c, sql)
			if seen[v] {
				t.Errorf("%s gave %s twice", sql, v)
			}
			seen[v] = true
		}
	}
}
