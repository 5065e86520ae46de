package sqlited

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ask runs a query by the simple protocol and returns names, types and rows, or the code of
// the error.
func ask(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var out []string
	for _, r := range results {
		var head []string
		for _, f := range r.FieldDescriptions {
			typ, _ := conn.TypeMap().TypeForOID(f.DataTypeOID)
			head = append(head, f.Name+" "+typ.Name)
		}
		out = append(out, strings.Join(head, ","))
		for _, row := range r.Rows {
			var values []string
			for _, v := range row {
				if values = append(values, string(v)); v == nil {
					values[len(values)-1] = "NULL"
				}
			}
			out = append(out, strings.Join(values, "|"))
		}
	}
	return strings.Join(out, "\n")
}

// TestCasts: a cast gives what PostgreSQL gives, or its SQLSTATE.
func TestCasts(t *testing.T) {
	conn := connect(t, start(t, Memory, Options{}))
	for sql, want := range map[string]string{
		"select '12'::int":                        "int4 int4\n12",
		"select ' 12 '::int8 as n":                "n int8\n12",
		"select '12x'::int":                       "22P02",
		"select ''::int":                          "22P02",
		"select 32768::int2":                      "22003",
		"select '99999999999999999999'::bigint":   "22003",
		"select 2.5::int, 3.5::int":               "int4 int4,int4 int4\n2|4",
		"select '1.5'::float8":                    "float8 float8\n1.5",
		"select '1.25'::numeric(10,1)":            "numeric numeric\n1.3",
		"select '123.4'::numeric(3,1)":            "22003",
		"select '0.1234567890123456789'::numeric": "22003", // not as another number
		"select 'NaN'::float8":                    "22003", // SQLite would make NULL of it
		"select 'NaN'::numeric":                   "22003",
		"select '1e400'::float8":                  "22003",
		"select $1":                               "42P02",
		"select 9223372036854775807 + sum(x) from (select 9223372036854775807 x union all select 1)": "22003",
		"select 'a' || char(0)":      "22021",
		"select cast(x'ff' as text)": "22021",
		"set timezone = 'Asia/Kolkata'; select '2024-07-01 12:00'::timestamptz; reset timezone": "\ntimestamptz timestamptz\n2024-07-01 12:00:00+05:30\n",
		"set timezone = '-3'; select '2024-07-01 12:00'::timestamptz; reset timezone":           "\ntimestamptz timestamptz\n2024-07-01 12:00:00-03\n",
		"select zeroblob(2000000000)":                          "54000",
		"select 'yes'::bool, 'of'::boolean":                    "bool bool,bool bool\nt|f",
		"select 'maybe'::bool":                                 "22P02",
		"select 5::text || 'x'":                                "?column? text\n5x",
		"select 'abcdef'::varchar(3)":                          "varchar varchar\nabc",
		"select '2024-02-30'::date":                            "22007",
		"select '2024-02-29T13:14:15'::timestamp":              "timestamp timestamp\n2024-02-29 13:14:15",
		"select '2024-02-29 13:00:00+02'::timestamptz":         "timestamptz timestamptz\n2024-02-29 11:00:00+00",
		`select '{"a": 1}'::jsonb, '[1'::json`:                 "22P02",
		"select 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid":  "uuid uuid\na0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
		`select '\x00ff'::bytea`:                               "bytea bytea\n\\x00ff",
		"select null::int":                                     "null int4\nNULL",
		"select '1'::nonsense":                                 "42704",
		"select count(*), exists(select 1)":                    "count int8,exists bool\n1|t",
		"select 2 = any('{1,2}'), 'x' <> all (array['x','y'])": "?column? bool,?column? bool\nt|f",
		"select 'abc' ~ '^a', 'abc' !~* 'B'":                   "?column? bool,?column? bool\nt|f",
		"select 'a' ~ '('":                                     "2201B",
		"select * from unnest('{a,NULL}'::text[])":             "unnest text\na\nNULL",
		"select a + b from (values (1, 2), (3, 4)) v(a, b)":    "?column? int8\n3\n7",
		"select (array['a','b'])[2]":                           "pg_element text\nb",
	} {
		if got := ask(t, conn, sql); got != want {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
	}
}

// TestStars: the columns that a star stands for keep their names.
func TestStars(t *testing.T) {
	conn := connect(t, start(t, Memory, Options{}))
	if _, err := conn.Exec(t.Context(), "create table one (only_one int); insert into one values (7); create table two (a int, b text); insert into two values (1, 'b')"); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]string{
		"select * from one":                 "only_one int8\n7",
		"select one.* from one":             "only_one int8\n7",
		"select *, count(*) from one":       "only_one int8,count int8\n7|1",
		"select 1+1, *, 'x' from two":       "?column? int8,a int8,b text,?column? text\n2|1|b|x",
		"select o.*, t.* from one o, two t": "only_one int8,a int8,b text\n7|1|b",
	} {
		if got := ask(t, conn, sql); got != want {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
	}
}

// TestValues: a parameter or a value of COPY comes back as it was sent, whatever the formats, or
// is refused: never as another value.
func TestValues(t *testing.T) {
	conn := connect(t, start(t, Memory, Options{}))
	if _, err := conn.Exec(t.Context(), "create table v (n numeric, f double precision, b bytea, d date, ts timestamp, tz timestamptz, u uuid, tm time, j jsonb)"); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ column, typ, value, want string }{
		{"n", "numeric", "12345.678", "12345.678"},
		{"n", "numeric", "12345678901234567890.123", "22003"},
		{"n", "numeric", strings.Repeat("9", 1000), "22003"},
		{"n", "numeric", "NaN", "22003"},
		{"f", "float8", "NaN", "22003"},
		{"f", "float8", "-Infinity", "-Infinity"},
		{"f", "float8", "0.30000000000000004", "0.30000000000000004"},
		{"b", "bytea", `\x`, `\x`},
		{"b", "bytea", `\x00ff`, `\x00ff`},
		{"d", "date", "infinity", "infinity"},
		{"d", "date", "0001-01-01", "0001-01-01"},
		{"ts", "timestamp", "9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"},
		{"tz", "timestamptz", "2024-01-01 05:30:00+05:30", "2024-01-01 00:00:00+00"},
		{"u", "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"tm", "time", "23:59:59.999999", "23:59:59.999999"},
		{"j", "jsonb", `{"a":[1,null]}`, `{"a":[1,null]}`},
	}
	m := conn.TypeMap()
	for _, tt := range tests {
		typ, _ := m.TypeForName(tt.typ)
		value, err := typ.Codec.DecodeValue(m, typ.OID, pgx.TextFormatCode, []byte(tt.value))
		if err != nil {
			t.Fatal(err)
		}
		binary := []byte{0x7f, 0xff, 0xff, 0xff} // infinity, which pgx decodes to no date
		if tt.value != "infinity" {
			if binary, err = m.Encode(typ.OID, pgx.BinaryFormatCode, value, []byte{}); err != nil {
				t.Fatal(err)
			}
		}
		for in, data := range [][]byte{[]byte(tt.value), binary} {
			_, err := conn.Exec(t.Context(), "delete from v")
			if err != nil {
				t.Fatal(err)
			}
			res := conn.PgConn().ExecParams(t.Context(), "insert into v ("+tt.column+") values ($1)", [][]byte{data}, []uint32{typ.OID}, []int16{int16(in)}, nil).Read()
			if e, ok := errors.AsType[*pgconn.PgError](res.Err); ok {
				if e.Code != tt.want {
					t.Errorf("%s %.40s, format %d: %v, want %s", tt.typ, tt.value, in, e, tt.want)
				}
				continue
			}
			for out := range int16(2) {
				res := conn.PgConn().ExecParams(t.Context(), "select "+tt.column+" from v", nil, nil, nil, []int16{out}).Read()
				if res.Err != nil {
					t.Errorf("%s %.40s, formats %d and %d: %v", tt.typ, tt.value, in, out, res.Err)
					continue
				}
				got := string(res.Rows[0][0])
				if out == pgx.BinaryFormatCode && bytes.Equal(res.Rows[0][0], binary) {
					continue
				}
				if out == pgx.BinaryFormatCode && res.Rows[0][0] != nil {
					back, err := typ.Codec.DecodeValue(m, typ.OID, out, res.Rows[0][0])
					if err != nil {
						t.Fatal(err)
					}
					text, err := m.Encode(typ.OID, pgx.TextFormatCode, back, []byte{})
					if err != nil {
						t.Fatal(err)
					}
					if got = string(text); tt.typ == "timestamptz" || tt.typ == "jsonb" {
						continue // written in other words
					}
				}
				if got != tt.want {
					t.Errorf("%s %.40s, formats %d and %d: got %s, want %s", tt.typ, tt.value, in, out, got, tt.want)
				}
			}
		}
	}
	_, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader("1\t2.5\n2\tx\n"), "copy v (n, f) from stdin")
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "22P02" || e.Message != `invalid input syntax for type double precision: "x"` || e.Where != "COPY v, row 2, column f" {
		t.Errorf("COPY of a bad number: %#v", err)
	}
}

// TestCatalog: questions that are none of psql's, and those that must be refused.
func TestCatalog(t *testing.T) {
	conn := connect(t, start(t, Memory, Options{}))
	if _, err := conn.PgConn().Exec(t.Context(), schema).ReadAll(); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]string{
		"select count(*) from pg_class where relkind = 'r'": "count int8\n2",
		"select name, pg_catalog.format_type(tp, tpm) from (values ('a', '20'::pg_catalog.oid, -1), ('b', '1700'::pg_catalog.oid, 655366)) s(name, tp, tpm)": "name text,format_type text\na|bigint\nb|numeric(10,2)",
		"select d.datname, t.spcname from pg_database d join pg_tablespace t on d.dattablespace = t.oid":                                                     "datname name,spcname name\nshop|pg_default",
		"select * from (select relname from pg_class where relkind = 'v') x":                                                                                 "relname name\ncheap",
		"select count(*) from pg_catalog.pg_trigger":                                                                                                         "count int8\n0",
		"select 'author'::regclass::oid = c.oid as same, c.relname from pg_class c where c.oid = 'public.author'::regclass":                                  "same bool,relname name\nt|author",
		`select attname, atttypid::regtype from pg_attribute where attrelid = '"Book"'::regclass and attnum > 2 order by attnum`:                             "attname name,atttypid text\nauthor|bigint\nprice|numeric",
		"select 'nope'::regclass":                           "42P01",
		"select to_regclass('nope'), to_regclass('author')": "to_regclass text,to_regclass text\nNULL|author",
		"select table_name, table_type from information_schema.tables where table_schema = 'public' order by 1":                                                                                                    "table_name name,table_type text\nBook|BASE TABLE\nauthor|BASE TABLE\ncheap|VIEW",
		"select k.column_name, c.column_name as other from information_schema.key_column_usage k join information_schema.constraint_column_usage c using (constraint_name) where k.constraint_name = 'Book_fkey0'": "column_name name,other name\nauthor|id",
		"select schema_name from information_schema.schemata order by 1":                                                                                                                                           "schema_name name\ninformation_schema\npg_catalog\npublic",
		"select current_setting('server_version_num')::int / 10000":                                                                                                                                                "?column? int8\n15",
		"select setting from pg_settings where name = 'DateStyle'":                                                                                                                                                 "",
		"select has_table_privilege('author', 'select'), pg_is_in_recovery()":                                                                                                                                      "has_table_privilege bool,pg_is_in_recovery bool\nt|f",
		"select array_to_string(array(select relname from pg_class where relkind = 'v'), ',')":                                                                                                                     "array_to_string text\ncheap",
		"select * from pg_stat_activity":                         "42P01",
		"select relname from pg_class, author":                   "0A000",
		"select unnest(array[1]) from pg_class":                  "0A000",
		"select nosuch from pg_class":                            "0A000",
		"select count(*) from pg_trigger, generate_series(1, 2)": "0A000", // counts: no answer by the emptiness of a table
		"select name from author where name = 'pg_class'":        "",
	} {
		if got := ask(t, conn, sql); got != want {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
	}
	// Arguments that are none end nothing but the query.
	for _, sql := range []string{"select pg_get_indexdef()", "select pg_get_expr()", "select pg_numeric('1', 'x')", "select pg_regclass()", "select pg_qchar()", "select array_to_string()", "select pg_get_constraintdef('x')", "select format_type('x', 'y')", "select pg_element('{', 1)"} {
		if got := ask(t, conn, sql); strings.HasPrefix(got, "XX") {
			t.Errorf("%s: %s", sql, got)
		}
	}
	for _, sql := range []string{"select " + strings.Repeat("(", 100000) + "1" + strings.Repeat(")", 100000), "select 1" + strings.Repeat("::int", 100000), "select " + strings.Repeat("array[", 5000) + strings.Repeat("]", 5000), "select " + strings.Repeat("case when true then ", 5000)} {
		if got := ask(t, conn, sql); got != "54001" {
			t.Errorf("%.30s…: %.100s", sql, got)
		}
	}
	// A session sees what its own transaction has made, and nobody else does.
	if got := ask(t, conn, "begin; create table fresh (a int)"); strings.HasPrefix(got, "4") {
		t.Fatal(got)
	}
	if got := ask(t, conn, "select relname from pg_class where relname = 'fresh'"); got != "relname name\nfresh" {
		t.Error(got)
	}
	if got := ask(t, conn, "select nonsense"); got != "42703" {
		t.Error(got)
	}
	if got := ask(t, conn, "select relname from pg_class"); got != "25P02" {
		t.Errorf("in a failed transaction: %s", got)
	}
	if got := ask(t, conn, "rollback"); got != "" {
		t.Error(got)
	}
	// Prepared, with parameters.
	other := connect(t, conn.Config().ConnString())
	var name string
	if err := other.QueryRow(t.Context(), "select relname from pg_class where relkind = $1 and relname like $2", "r", "auth%").Scan(&name); err != nil || name != "author" {
		t.Errorf("%s, %v", name, err)
	}
}

// TestConfined: nothing that a client writes leads it to another file.
func TestConfined(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret.db")
	if _, err := connect(t, start(t, secret, Options{Create: true})).Exec(t.Context(), "create table t (a); insert into t values (1)", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "x.db")
	conn := connect(t, start(t, path, Options{Create: true}))
	if got := ask(t, conn, "create table t (a)"); got != "" {
		t.Fatal(got)
	}
	for _, sql := range []string{
		"attach 'SECRET' as s", "ATTACH DATABASE 'SECRET' AS s", "/* x */ attach 'SECRET' as s", "attach 'SEC' || 'RET' as s", "detach main",
		"vacuum into 'NEW'", "vacuum main into 'NEW'", "pragma temp_store_directory = '/tmp'", "select load_extension('x')",
		"/* /* */ attach 'SECRET' as s /* */ */",
		"select E'\\\\'; attach 'SECRET' as s; --'", "select $$;$$; attach 'SECRET' as s", "select 1 as `'`; attach 'SECRET' as s; select `'`",
		"select 1 as [']; attach 'SECRET' as s; select [']", "explain attach 'SECRET' as s", "create trigger x after insert on t begin attach 'SECRET' as s; end",
		"begin; attach 'SECRET' as s; commit",
	} {
		text := strings.NewReplacer("SECRET", secret, "NEW", filepath.Join(dir, "new.db")).Replace(sql)
		_, err := conn.PgConn().Exec(t.Context(), text).ReadAll()
		_, _ = conn.PgConn().Exec(t.Context(), "rollback").ReadAll()
		if _, seen := conn.Exec(t.Context(), "select * from s.t", pgx.QueryExecModeSimpleProtocol); seen == nil {
			t.Fatalf("%s: it sees the other file", sql)
		}
		var e *pgconn.PgError
		if errors.As(err, &e) && e.Code != "42501" && e.Code != "42601" && e.Code != "0A000" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := conn.Exec(context.Background(), "attach $1 as s", secret); err == nil {
		t.Error("a parameter named the file")
	}
	if _, err := os.Stat(filepath.Join(dir, "new.db")); err == nil {
		t.Error("a copy was made")
	}
	readOnly := connect(t, start(t, Memory, Options{ReadOnly: true}))
	for _, sql := range []string{"pragma query_only = 0", "pragma query_only(false)"} {
		_, _ = readOnly.PgConn().Exec(t.Context(), sql).ReadAll()
		if got := ask(t, readOnly, "create table t (a)"); got != "25006" {
			t.Errorf("after %s: %s", sql, got)
		}
	}
	free := connect(t, start(t, path, Options{Attach: true}))
	if got := ask(t, free, "attach '"+secret+"' as s; select a from s.t; vacuum into '"+filepath.Join(dir, "copy.db")+"'"); strings.Contains(got, "42501") {
		t.Errorf("--attach: %s", got)
	}
}
