package effect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/setting"
)

func show(t Text) string {
	var out []string
	for _, e := range t.Effects {
		kind := [...]string{
			"", "set", "reset", "resetall", "setparams", "discardall", "savepoint", "release", "rollbackto", "pin", "unpin",
			"unknown", "prepare", "execute", "deallocate", "listen", "unlisten",
		}[e.Kind]
		s := kind
		if e.Name != "" || e.Value != "" {
			s += " " + e.Name
		}
		if e.Value != "" {
			s += "=" + strings.ReplaceAll(e.Value, "\x01", "~")
		}
		if e.NameAt+e.ValueAt+e.LocalAt > 0 {
			s += fmt.Sprint(" $", e.NameAt, " $", e.ValueAt, " $", e.LocalAt)
		}
		if e.Statement > 0 {
			s = fmt.Sprintf("%d:%s", e.Statement, s)
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestScan(t *testing.T) {
	tests := []struct{ sql, want string }{
		{"SELECT abalance FROM pgbench_accounts WHERE aid = 1;", ""},
		{"  begin", ""},
		{"", ""},
		{"-- x\n;", ""},
		{"SET search_path TO a, \"B\" -- c\n, c", `set search_path=a , "B" , c`},
		{"SET search_path = PG_Temp, a", "set search_path=PG_Temp , a; pin a parameter whose value the text does not tell"},
		{"SELECT set_config('search_path', ' \"pg_temp\"', false)", `set search_path=~ "pg_temp"; pin a parameter whose value the text does not tell`},
		{"SET search_path = a, pg_temp", "set search_path=a , pg_temp"},
		{"set Work_Mem = '1MB';", "set work_mem='1MB'"},
		{"SET SESSION my.Var TO DEFAULT", "reset my.var"},
		{"SET LOCAL work_mem = 1", ""},
		{"SET LOCAL ROLE x", ""},
		{"SET TIME ZONE LOCAL", "reset timezone"},
		{"SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", "set timezone=INTERVAL '-08:00' HOUR TO MINUTE"},
		{"SET NAMES 'LATIN1'", "set client_encoding='LATIN1'"},
		{"SET ROLE bob", "set role=bob"},
		{"SET SESSION ROLE bob", "set role=bob"},
		{"SET ROLE NONE", "reset role"},
		{"SET SESSION AUTHORIZATION DEFAULT", "reset session_authorization"},
		{"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", ""},
		{
			"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE",
			"set default_transaction_read_only=on; set default_transaction_isolation='read committed'; set default_transaction_deferrable=off",
		},
		{`SET x TO 'a\b'`, "pin a parameter whose value the text does not tell"},
		{"RESET ALL", "resetall"},
		{"RESET timezone", "reset timezone"},
		{"DISCARD ALL", "discardall"},
		{"DISCARD TEMP", "unpin"},
		{"SAVEPOINT a; ROLLBACK TO SAVEPOINT a; RELEASE a; ROLLBACK", "savepoint a; 1:rollbackto a; 2:release a"},
		{"SELECT set_config('search_path', 'a, b', false)", "set search_path=~a, b"},
		{"SELECT set_config('x.y'::text, 'b', TRUE)", ""},
		{"SELECT 1, SET_CONFIG('x', $1, false)", "setparams x=~ $0 $1 $0"},
		{"SELECT pg_catalog.set_config($1, $2, $3)", "setparams =~ $1 $2 $3"},
		{"SELECT set_config('x', a || b, false) FROM t", "pin a parameter whose value the text does not tell"},
		{"UPDATE pg_settings SET setting = '1'", "pin a parameter whose value the text does not tell"},
		{"update only PG_CATALOG . PG_Settings s SET setting = '1'", "pin a parameter whose value the text does not tell"},
		{"UPDATE t SET a_b = 1 FROM pg_settings", ""},
		{"SELECT * FROM pg_settings", ""},
		{"SELECT pg_advisory_lock(1)", "pin an advisory lock"},
		{"SELECT pg_try_advisory_lock_shared(1)", "pin an advisory lock"},
		{"SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2)", ""},
		{"SELECT pg_advisory_unlock_all()", "unpin"},
		{"CREATE TEMP TABLE t (a int)", "pin a temporary table"},
		{"CREATE TEMP TABLE t (a int) ON COMMIT DROP", ""},
		{"CREATE OR REPLACE LOCAL TEMPORARY VIEW v AS SELECT 1", "pin a temporary table"},
		{"CREATE TABLE pg_temp.t (a int)", "pin a temporary table"},
		{"CREATE TABLE t (temp int)", ""},
		{"SELECT 1 AS a INTO TEMP TABLE t", "pin a temporary table"},
		{"INSERT INTO temp VALUES (1)", ""},
		{"SELECT a FROM temperatures", ""},
		{"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "pin a cursor WITH HOLD"},
		{"DECLARE c CURSOR FOR SELECT 1", ""},
		{"LISTEN Abc", "listen abc"},
		{"UNLISTEN *", "unlisten"},
		{"DO $$BEGIN END$$", "unknown"},
		{"PREPARE foo (int) AS SELECT set_config('a', 'b', false)", "prepare foo=effects"},
		{"PREPARE foo (int) AS SELECT $1", "prepare foo"},
		{"PREPARE TRANSACTION 'x'", ""},
		{"EXECUTE foo(1)", "execute foo"},
		{"EXPLAIN (ANALYZE, VERBOSE) EXECUTE foo(1)", "execute foo"},
		{"CREATE TABLE t AS EXECUTE foo", "execute foo"},
		{"CREATE TRIGGER x AFTER INSERT ON t EXECUTE FUNCTION f()", ""},
		{"DEALLOCATE PREPARE foo", "deallocate foo"},
		{"DEALLOCATE ALL", "deallocate"},
		{"SELECT 1; SET a TO 1", "1:set a=1"},
		{"/* c */ SELECT 1", ""},
		{`SELECT U&"pg\005fadvisory_lock"(1)`, "pin a parameter whose value the text does not tell"},
		{"SELECT 'it''s", ""},
	}
	var sc Scanner
	for _, test := range tests {
		if got := show(sc.Scan(test.sql)); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.sql, got, test.want)
		}
	}
}

func TestStatement(t *testing.T) {
	for p, want := range map[setting.Param]string{
		{Name: "search_path", Value: "a , b"}:         `SET "search_path" TO a , b`,
		{Name: "my.var", Value: "1"}:                  `SET "my"."var" TO 1`,
		{Name: "search_path", Value: Config("a, 'b")}: `SELECT pg_catalog.set_config('search_path', 'a, ''b', false)`,
		{Name: "timezone", Value: "'UTC'"}:            `SET TIME ZONE 'UTC'`,
		{Name: "role", Value: "bob"}:                  `SET ROLE bob`,
	} {
		if got := Statement(p); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// FuzzScan checks that no text makes the scanner panic, and that the shortcut agrees with the
// long way.
func FuzzScan(f *testing.F) {
	for _, s := range []string{"SELECT set_config('a', $1, false)", "SET a TO 'b'; ROLLBACK TO x", "EXPLAIN (x) EXECUTE y", "select pg_temp.x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		var sc Scanner
		got := sc.Scan(sql)
		if !Plain(sql) {
			return
		}
		if sc.lex.Scan(sql) != nil {
			return
		}
		s := statement{sql: sql, tokens: sc.lex.Tokens}
		s.scan()
		if len(got.Effects) == 0 && len(s.effects) > 0 {
			t.Errorf("%q is said to have no effects, and has %v", sql, s.effects)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	b.ReportAllocs()
	var sc Scanner
	for b.Loop() {
		if sc.Scan("SELECT abalance FROM pgbench_accounts WHERE aid = 12345;").Effects != nil {
			b.Fatal("it has effects")
		}
	}
}
