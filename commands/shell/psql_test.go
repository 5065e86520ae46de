package shell_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgx-dev/pgx-dev/commands/shell"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

const fixture = `
CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2) DEFAULT 1.50, tags text[], note text COLLATE "C",
  made timestamptz, CONSTRAINT positive CHECK (price > 0));
CREATE UNIQUE INDEX items_name ON items (lower(name)) WHERE price > 1;
CREATE INDEX items_tags ON items USING gin (tags);
ALTER TABLE items ADD CONSTRAINT items_note UNIQUE (note) DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE "Odd Name" (a int GENERATED ALWAYS AS IDENTITY, b bigserial, c int GENERATED ALWAYS AS (1 + 2) STORED,
  item int REFERENCES items (id) ON DELETE CASCADE);
CREATE UNLOGGED TABLE quick (a int);
CREATE VIEW cheap AS SELECT id, name FROM items WHERE price < 2;
CREATE MATERIALIZED VIEW counts AS SELECT count(*) AS n FROM items;
CREATE UNIQUE INDEX counts_n ON counts (n);
CREATE SEQUENCE numbers AS smallint INCREMENT 2 CYCLE;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN small AS int CHECK (VALUE < 10);
COMMENT ON TYPE mood IS 'how it is';
CREATE FUNCTION twice(n int, OUT r int) LANGUAGE sql AS 'SELECT n * 2';
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE PROCEDURE nothing() LANGUAGE sql AS '';
CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int);
CREATE TRIGGER items_stamp BEFORE INSERT OR UPDATE OF name ON items FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TRIGGER items_off AFTER DELETE ON items FOR EACH ROW EXECUTE FUNCTION stamp();
ALTER TABLE items DISABLE TRIGGER items_off;
CREATE TABLE part (a int, b text) PARTITION BY RANGE (a);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE base (a int);
CREATE TABLE derived (b int) INHERITS (base);
CREATE TABLE guarded (a int);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded FOR SELECT USING (a > 1);
CREATE RULE no_delete AS ON DELETE TO base DO INSTEAD NOTHING;
CREATE SCHEMA other;
CREATE TABLE other.hidden (a int);
INSERT INTO items (id, name, tags) VALUES (1, 'apple', '{a,b}'), (2, E'two\nlines', NULL), (3, '日本語', '{}'), (4, E'tab\there', '{c}');
`

// A comparison is what both are given to read.
type comparison struct{ name, input string }

func statements() []comparison {
	return []comparison{
		{"one", "select 1;"},
		{"types", "select 1 as int, 'x' as text, 1.5 as num, true as b, null as nothing, 12345678901234 as big, '$1'::money, 1.5::float8, 7::oid;"},
		{"rows", "select g as n, repeat('x', g) as text, g * 1000 as m from generate_series(1, 12) g;"},
		{"no rows", "select * from items where false;"},
		{"no columns", "select; select from generate_series(1,2);"},
		{"no columns or rows", "select where false;"},
		{"wide", "select id, name, tags, price from items order by id;"},
		{"combining", "select 'e' || chr(769) as e, 'ok' as b union all select 'plain', 'x';"},
		{"control", `select E'a\x01b' as a, E'c\rd' as b, E'\x7f' as c, chr(133) as d, E'x\ty\tz' as e;`},
		{"multi-line name", `select 1 as "a` + "\n" + `b", 2 as "c";`},
		{"multi-line values", `select E'a\nbb\n\nc' as first, E'1\n2' as second, 3 as third union all select 'x', 'y', 4;`},
		{"multi-line last", `select 1 as n, E'a\nbbb' as t union all select 2, 'c';`},
		{"multi-line empty end", `select E'a\n' as t, E'\n' as u;`},
		{"tags", "create temp table z (a int); insert into z values (1), (2); update z set a = 3; delete from z; drop table z; begin; commit; rollback;"},
		{"returning", "begin; insert into items (id, name) values (9, 'nine') returning id, name; delete from items where id = 9 returning *; rollback;"},
		{"several on a line", "select 1 as a; select 2 as b;\nselect 3\nas c\n;"},
		{"comments", "-- first\nselect 1; -- behind\n/* block */ select 2;"},
		{"no semicolon at the end", "select 1"},
		{"empty", ";;\n;"},
		{"expanded", "\\x\nselect id, name, price from items order by id; select * from items where false; select; \\x"},
		{"expanded short", "\\x\nselect 1 as a; select 1 as a_long_name_indeed_it_is, 'x' as b; select repeat('y', 50) as a;"},
		{"expanded many", "\\x\nselect g as a from generate_series(1, 101) g offset 98;"},
		{"expanded lines", "\\x\nselect E'a\\nbb' as first, E'1\\n\\n333' as \"se\ncond\";"},
		{"expanded tuples", "\\x\n\\t\nselect id, name from items order by id;"},
		{"tuples only", "\\t\nselect id, name from items order by id; select 1 where false; create temp table q();"},
		{"unaligned", "\\a\nselect id, name, tags from items order by id; select 1 where false;"},
		{"unaligned tuples", "\\a\n\\t\nselect id, name, note from items order by id;"},
		{"unaligned expanded", "\\a\n\\x\nselect id, note from items order by id; select 1 as a where false;"},
		{"csv", "\\pset format csv\nselect id, name, tags, 'a \"q\"' as \"x,y\", E'\\\\.' as dot, note from items order by id; select 1 as a where false;"},
		{"csv expanded", "\\pset format csv\n\\x\nselect id, note from items order by id;"},
		{"null", "\\pset null '(none)'\nselect null as a, 1 as b; \\x\nselect null as a;"},
		{"no footer", "\\pset footer off\nselect 1 as a; select 1 as a where false;"},
		{"fieldsep", "\\a\n\\pset fieldsep ';'\nselect 1 as a, 2 as b;"},
		{"gx", "select 1 as a, 2 as b \\gx\nselect 3 as c \\g\nselect 4 as d; \\gx"},
		{"echo", "\\echo hello 'two  words' \"quoted\" it''s \n\\echo -n no newline\n\\echo\n\\echo a \\\\ select 1;"},
		{"copy out", "copy (select id, name from items order by id) to stdout;"},
		{"copy in", "create temp table c (a int, b text);\ncopy c from stdin;\n1\tone;\n2\t\\N\n\\.\nselect * from c;"},
		{"copy commands", "create temp table c (a int, b text);\n\\copy c from stdin with (format csv)\n1,\"a,b\"\n2,c\n\\.\n\\copy (select * from c where b <> 'from') to stdout"},
		{"backslash within", "select 1 as a,\n\\echo between\n2 as b;\n\\p\n\\r\n\\p"},
		{"syntax error", "select 1 as a form t where;"},
		{"unknown column", "select id,\n  name,\n       prize\nfrom items;"},
		{"long line", "select 'a long line that goes on and on', 'and on and on and on', nothing_here, 'more of it follows' from items;"},
		{"long line, late", "select 'a long line that goes on and on', 'and on and on and on and on and on and on and on', nothing_here;"},
		{"wide error", "select '日本語日本語日本語日本語日本語日本語日本語日本語日本語', nothing, '日本語日本語';"},
		{"tabs in error", "select\t1,\tnothing;"},
		{"detail and hint", "insert into items (id, name) values (1, 'again'); select twic(1); select upper(1);"},
		{"notice", "do $$ begin raise notice 'hello %', 1 using detail = 'd', hint = 'h'; raise warning 'careful'; end $$;"},
		{"context", "do $$ begin perform 1/0; end $$;"},
		{"internal query", "do $$ begin execute 'select nothing from items'; end $$;"},
		{"failed transaction", "begin; select 1/0; select 1; rollback;"},
		{"error within rows", "select 1/(3-g) from generate_series(1,5) g; select 'on';"},
		{"quotes", `select 'it''s; \ here', E'\'; \\', $a$ ; \d $a$, "x;y" from (select 1 as "x;y") s;`},
		{"atomic", "create or replace function pg_temp.f() returns int begin atomic; select 1; select 2; end; select pg_temp.f();"},
		{"parentheses", "create temp table p1 (a int); create rule r as on insert to p1 do (select 1; select 2); insert into p1 values (1);"},
		{"explain", "explain (costs off) select * from items where id = 1;"},
		{"listen", "listen here; notify here; notify here, 'text';"},
		{"x auto", "\\x auto\nselect 1 as a;"},
		{"timing off", "\\timing off\n\\timing on\n\\timing off"},
	}
}

// catalogs are the commands that read the catalogs.
func catalogs() []comparison {
	return []comparison{
		{"d", `\d`},
		{"dt", `\dt`},
		{"dt pattern", "\\dt other.*\n\\dt i*\n\\dt \"Odd Name\"\n\\dt ITEMS"},
		{"none", "\\dt nothing\n\\dv nothing*\n\\d nothing"},
		{"dv dm ds di", "\\dv\n\\dm\n\\ds\n\\di\n\\dtv\n\\dE"},
		{"dn", "\\dn\n\\dn other\n\\dnS"},
		{"df", "\\df\n\\df tw*\n\\da total"},
		{"df builtin", `\df upper`},
		{"dT", "\\dT\n\\dT mood\n\\dT int4"},
		{"du", `\du`},
		{"dx", `\dx`},
		{"d table", `\d items`},
		{"d odd", `\d "Odd Name"`},
		{"d unlogged", `\d quick`},
		{"d view", `\d cheap`},
		{"d materialized", `\d counts`},
		{"d sequence", "\\d numbers\n\\d \"Odd Name_b_seq\"\n\\d \"Odd Name_a_seq\""},
		{"d index", "\\d items_pkey\n\\d items_name\n\\d items_tags\n\\d items_note"},
		{"d type", `\d pair`},
		{"d partition", `\d part_1`},
		{"d derived", `\d derived`},
		{"d policy", `\d guarded`},
		{"d qualified", `\d other.hidden;`},
		{"d several", `\d items_*`},
		{"d expanded", "\\x\n\\d quick\n\\dt quick"},
	}
}

// TestLikePsql compares what is written with what psql writes, to the byte.
func TestLikePsql(t *testing.T) {
	path := findPsql(t)
	db := database(t)
	sql(t, db, fixture)
	for _, tt := range append(statements(), catalogs()...) {
		t.Run(tt.name, func(t *testing.T) { compare(t, path, server, db, tt) })
	}
}

func compare(t *testing.T, path string, srv engines.Server, db string, tt comparison) {
	wantOut, wantErr := psql(t, path, srv, db, tt.input)
	gotOut, gotErr, err := run(t, shell.Config{Server: reach(srv), Database: db, KeepGoing: true}, tt.input)
	if err != nil && !errors.Is(err, shell.ErrFailed) {
		t.Fatal(err)
	}
	if tt.name == "listen" { // the process differs
		wantOut, gotOut = withoutPID(wantOut), withoutPID(gotOut)
	}
	if wantOut != gotOut {
		t.Errorf("stdout (-psql +shell):\n%s", cmp.Diff(wantOut, gotOut))
	}
	if wantErr != gotErr {
		t.Errorf("stderr (-psql +shell):\n%s", cmp.Diff(wantErr, gotErr))
	}
}

// TestCatalogs runs the commands that read the catalogs on every PostgreSQL that is
// installed. Up to its own version psql is right about them; on later ones they must at
// least find the same things.
func TestCatalogs(t *testing.T) {
	path := findPsql(t)
	db := database(t)
	sql(t, db, fixture)
	engine := native.New(native.Config{})
	runtimes, err := engine.Runtimes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{server.Info().VersionNum / 10000: true}
	for _, rt := range runtimes {
		major := rt.Version.Num() / 10000
		if seen[major] || major < 12 { // the fixture has what 12 brought
			continue
		}
		seen[major] = true
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			srv, err := engine.Start(t.Context(), engines.Spec{Fast: true, Version: rt.Version.String()})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := srv.Close(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			}()
			if _, errs, err := run(t, shell.Config{Server: reach(srv)}, fixture); err != nil {
				t.Fatal(err, errs)
			}
			for _, tt := range catalogs() {
				if major <= 15 {
					compare(t, path, srv, "postgres", tt)
					continue
				}
				want, _, _ := run(t, shell.Config{Database: db, KeepGoing: true}, tt.input)
				got, errs, err := run(t, shell.Config{Server: reach(srv), KeepGoing: true}, tt.input)
				if strings.Contains(errs, "ERROR") || err != nil && !errors.Is(err, shell.ErrFailed) {
					t.Errorf("%s: %v %s", tt.input, err, errs)
				}
				if got != want {
					t.Errorf("%s (-%s +%d):\n%s", tt.input, psqlMajor, major, cmp.Diff(want, got))
				}
			}
		})
	}
}

func withoutPID(s string) string {
	var out []string
	for l := range strings.Lines(s) {
		l, _, _ = strings.Cut(l, "PID")
		out = append(out, l)
	}
	return strings.Join(out, "")
}
