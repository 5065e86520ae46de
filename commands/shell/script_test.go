package shell_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/commands/shell"
	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
)

func TestSteps(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.sql", "select 1 as a;\n\\i "+file("inner.sql", "select 2 as b;\n\\q\nselect 'not this';\n")+"\nselect 3 as c")
	bad := file("bad.sql", "-- a comment\nselect 1 as a;\n\nselect\n  nothing;\nselect 2 as b;\n")
	loop := file("loop.sql", "\\i "+filepath.Join(dir, "loop.sql")+"\n")
	relative := file("relative.sql", "\\ir inner.sql\n")
	cut := file("cut.sql", "create table cut (a int);\ncopy cut from stdin;\n1\n2\n")
	inline := file("inline.sql", "create temp table c (a int);\ncopy c from stdin;\n1\n2;\n\\.\n")

	quiet := rows.Options{Format: rows.Unaligned, TuplesOnly: true}
	tests := []struct {
		name   string
		cfg    shell.Config
		stdin  string
		out    string
		errs   string // is in stderr; "" is nothing at all
		failed bool
	}{
		{name: "commands", cfg: shell.Config{Steps: []shell.Step{{Command: "select 1; select 2"}, {Command: `\echo x`}, {Command: "select 3"}}}, out: "1\n2\nx\n3\n"},
		{name: "one transaction", cfg: shell.Config{Steps: []shell.Step{{Command: "create table gone (); select 1/0"}}}, errs: "ERROR:  division by zero\n", out: "CREATE TABLE\n", failed: true},
		{name: "and it is gone", cfg: shell.Config{Steps: []shell.Step{{Command: "select to_regclass('gone') is null"}}}, out: "t\n"},
		{name: "file", cfg: shell.Config{Steps: []shell.Step{{File: good}}}, out: "1\n2\n3\n"},
		{name: "stdin among steps", cfg: shell.Config{Steps: []shell.Step{{Command: "select 1"}, {File: "-"}, {Command: "select 3"}}}, stdin: "select 2;", out: "1\n2\n3\n"},
		{name: "stops", cfg: shell.Config{Steps: []shell.Step{{File: bad}, {Command: "select 'after'"}}}, out: "1\n", errs: bad + ":5: ERROR:  column \"nothing\" does not exist\nLINE 2:   nothing;\n          ^\n", failed: true},
		{name: "goes on", cfg: shell.Config{KeepGoing: true, Steps: []shell.Step{{File: bad}, {Command: "select 'after'"}}}, out: "1\n2\nafter\n", errs: bad + ":5: ERROR", failed: true},
		{name: "set in the script", stdin: "\\set ON_ERROR_STOP off\nselect 1/0;\nselect 1;\n\\set ON_ERROR_STOP 1\nselect 1/0;\nselect 2;\n", out: "1\n", errs: "ERROR:  division by zero\n", failed: true},
		{name: "stdin stops", stdin: "select 1;\nselect 1/0; select 2;\nselect 3;", out: "1\n", errs: "ERROR:  division by zero\n", failed: true},
		{name: "no such file", cfg: shell.Config{Steps: []shell.Step{{File: filepath.Join(dir, "none")}}}, errs: "no such file", failed: true},
		{name: "a directory", cfg: shell.Config{Steps: []shell.Step{{File: dir}}}, errs: "is a directory", failed: true},
		{name: "endless", cfg: shell.Config{Steps: []shell.Step{{File: loop}}}, errs: "include each other", failed: true},
		{name: "relative", cfg: shell.Config{Steps: []shell.Step{{File: relative}}}, out: "2\n"},
		{name: "unknown command", stdin: "\\foo\nselect 1;", errs: `\foo is not a command of this shell`, failed: true},
		{name: "plus", stdin: "\\dt+\n", errs: `this shell has no "+"`, failed: true},
		{name: "backquotes", stdin: "\\echo `date`\n", errs: "not supported", failed: true},
		{name: "variables", stdin: "\\set x 1\n", errs: "only ON_ERROR_STOP", failed: true},
		{name: "open quote", stdin: "select 'abc;\n", errs: "unterminated quoted string", failed: true},
		{name: "copy data cut off", cfg: shell.Config{Steps: []shell.Step{{File: cut}}}, out: "CREATE TABLE\n", errs: `its data do not end with a line "\."`, failed: true},
		{name: "and nothing is kept", cfg: shell.Config{Steps: []shell.Step{{Command: "select count(*) from cut"}}}, out: "0\n"},
		{name: "copy data wrong", cfg: shell.Config{KeepGoing: true, Steps: []shell.Step{{File: inline}, {Command: "select count(*) from c"}}}, out: "CREATE TABLE\n0\n", errs: inline + ":2: ERROR:  invalid input syntax for type integer", failed: true},
		{name: "copy from stdin by -c", cfg: shell.Config{Steps: []shell.Step{{Command: "create temp table d (a int); copy d from stdin; select sum(a) from d"}}}, stdin: "4\n5\n", out: "CREATE TABLE\nCOPY 2\n9\n"},
		{name: "copy twice", stdin: "create temp table e (a int);\ncopy e from stdin; select 'between';\n1\n\\.\ncopy e from stdin;\n2\n\\.\nselect sum(a) from e;", out: "CREATE TABLE\nCOPY 1\nbetween\nCOPY 1\n3\n"},
		{name: "pg_dump's", stdin: "\\restrict abc\nselect 1;\n\\unrestrict abc\n", out: "1\n"},
		{name: "byte order mark", stdin: "\ufeffselect 1;\r\nselect 2;\r\n", out: "1\n2\n"},
		{name: "connect", stdin: "\\c postgres\nselect current_database();\n\\c nothing_there\n", out: "You are now connected to database \"postgres\" as user \"postgres\".\npostgres\n", errs: "FATAL:  database \"nothing_there\" does not exist\nPrevious connection kept\n", failed: true},
		{name: "quiet", cfg: shell.Config{Quiet: true}, stdin: "create temp table q (); \\x\n\\a\nselect 1 as a;", out: "a | 1\n\n"},
		{name: "shell command", stdin: "\\! echo hi\n", out: "hi\n"},
		{name: "warn", stdin: "\\warn careful\n", errs: "careful\n"},
		{name: "conninfo", stdin: "\\conninfo\n", out: "You are connected to database \""},
		{name: "extra", stdin: "\\q now\nselect 1;"},
		{name: "help", stdin: "\\?\n", out: "Statements end with a semicolon."},
		{name: "reset", stdin: "select 1\n\\r\nselect 2;", out: "Query buffer reset (cleared).\n2\n"},
		{name: "pset", stdin: "\\pset format xml\n", errs: "there are table, unaligned, csv, json, jsonl", failed: true},
		{name: "pset nothing", stdin: "\\pset\n", out: "expanded     off\nfieldsep     '|'\nfooter       on\nformat       unaligned\nnull         ''\ntuples_only  on\n"},
	}
	db := database(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Database = db
			tt.cfg.Rows = quiet
			out, errs, err := run(t, tt.cfg, tt.stdin)
			if tt.failed != errors.Is(err, shell.ErrFailed) || !tt.failed && err != nil {
				t.Errorf("error %v", err)
			}
			if (tt.name == "conninfo" || tt.name == "help") && strings.HasPrefix(out, tt.out) {
				out = tt.out
			}
			if out != tt.out {
				t.Errorf("stdout: %s", cmp.Diff(tt.out, out))
			}
			if tt.errs == "" && errs != "" || !strings.Contains(errs, tt.errs) {
				t.Errorf("stderr: %q, want %q", errs, tt.errs)
			}
		})
	}
}

func TestFormats(t *testing.T) {
	const query = `select 1 as n, 1.50::numeric as d, true as b, 'a"\` + "\n\x01ä" + `' as t, null as "null", '{"x": [1, 2]}'::jsonb as j,
  '{ "y" : 1 }'::json as k, 'NaN'::float8 as nan, '\x00ff'::bytea as raw, '{1,2}'::int[] as arr, 5 as n, 6 as n_2, '1e400'::numeric::text::json as big`
	const object = `{"n":1,"d":1.50,"b":true,"t":"a\"\\\n\u0001ä","null":null,"j":{"x":[1,2]},"k":{"y":1},"nan":"NaN","raw":"\\x00ff","arr":"{1,2}","n_3":5,"n_2":6,"big":1` // …
	db := database(t)
	get := func(f rows.Format, sql string) string {
		t.Helper()
		out, errs, err := run(t, shell.Config{Database: db, Rows: rows.Options{Format: f}}, sql)
		if err != nil {
			t.Fatal(err, errs)
		}
		return out
	}
	if got := get(rows.JSONL, query); !strings.HasPrefix(got, object) || strings.Count(got, "\n") != 1 {
		t.Errorf("jsonl: %s", got)
	}
	tests := []struct {
		format    rows.Format
		sql, want string
	}{
		{rows.JSON, "select g as a from generate_series(1, 3) g; select 1 as b where false;", "[{\"a\":1},\n {\"a\":2},\n {\"a\":3}]\n[]\n"},
		{rows.JSON, "create temp table t (a int); insert into t values (1) returning a;", "[{\"a\":1}]\n"},
		{rows.JSONL, "select 1 as a, 'x' as b where false; select;", "{}\n"},
		{rows.CSV, "create temp table t (a int); select 1 as a, null as b, '' as c;", "a,b,c\n1,,\n"},
	}
	for _, tt := range tests {
		if got := get(tt.format, tt.sql); got != tt.want {
			t.Errorf("%s of %s: %q, want %q", tt.format, tt.sql, got, tt.want)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	db := database(t)
	path := func(name string) string { return filepath.Join(dir, name) }
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	script := strings.ReplaceAll(`
create table t (a int, b text);
\copy t from program 'printf "1,x\n2,y\n"' with (format csv)
\copy (select * from t where b <> 'to' order by a) to 'DIR/out.csv' (format csv, header)
\copy t (b, a) from DIR/in.txt
\copy "t" to program 'cat > DIR/program.txt'
select count(*) as n from t \g DIR/g.txt
\o DIR/o.txt
select 'in o' as x;
copy (select 'copied') to stdout;
\qecho behind
\o
\echo done
`, "DIR", dir)
	if err := os.WriteFile(path("in.txt"), []byte("three\t3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := run(t, shell.Config{Database: db}, script)
	if err != nil {
		t.Fatal(err, errs)
	}
	if want := "CREATE TABLE\nCOPY 2\nCOPY 2\nCOPY 1\nCOPY 3\ndone\n"; out != want {
		t.Errorf("stdout: %s", cmp.Diff(want, out))
	}
	for name, want := range map[string]string{
		"out.csv":     "a,b\n1,x\n2,y\n",
		"program.txt": "1\tx\n2\ty\n3\tthree\n",
		"g.txt":       " n \n---\n 3\n(1 row)\n\n",
		"o.txt":       "  x   \n------\n in o\n(1 row)\n\ncopied\nbehind\n",
	} {
		if got := read(name); got != want {
			t.Errorf("%s: %s", name, cmp.Diff(want, got))
		}
	}

	for _, tt := range []struct{ command, want string }{
		{`\copy t from program 'echo 9,z; exit 3' with (format csv)`, "the program failed: exit status 3"},
		{`\copy t from nowhere.txt`, "no such file"},
		{`\copy nothing from program 'sleep 600'`, `relation "nothing" does not exist`},
		{`\copy t`, "say FROM or TO"},
		{`\copy t to stdin`, "cannot be copied"},
		{`\copy t to '/nowhere/file'`, "no such file"},
		{`\g /nowhere/file`, "no such file"},
		{`\o |cat`, "not to a command"},
		{`\copy t to '/dev/full'`, "no space left"},
	} {
		_, errs, err := run(t, shell.Config{Database: db}, "select 1;\n"+tt.command+"\nselect 2;\n")
		if !errors.Is(err, shell.ErrFailed) || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: %v, %q", tt.command, err, errs)
		}
	}
	if out, _, _ := run(t, shell.Config{Database: db, Rows: rows.Options{Format: rows.CSV}}, "select count(*) from t"); out != "count\n3\n" {
		t.Errorf("after failures there are %q rows", out)
	}
}

// TestStream sees the first rows before the last ones are made.
func TestStream(t *testing.T) {
	for _, f := range []rows.Format{rows.CSV, rows.JSONL, rows.JSON, rows.Unaligned} {
		ctx, cancel := context.WithCancel(t.Context())
		w := &stopper{after: 100_000, stop: cancel}
		err := shell.Run(ctx, shell.Config{
			Server: connConfig, Rows: rows.Options{Format: f}, Stdout: w, Stderr: io.Discard,
			Steps: []shell.Step{{Command: "select generate_series(1, 1000000000)"}},
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// A stopper calls stop when enough was written.
type stopper struct {
	n, after int
	stop     func()
}

func (w *stopper) Write(b []byte) (int, error) {
	w.n += len(b)
	if w.n >= w.after {
		w.stop()
	}
	return len(b), nil
}

// TestStdoutFails has an output that takes nothing more, as a closed pipe.
func TestStdoutFails(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	err = shell.Run(t.Context(), shell.Config{
		Server: connConfig, Stdout: w, Stderr: io.Discard, Rows: rows.Options{Format: rows.CSV},
		Steps: []shell.Step{{Command: "select generate_series(1, 1000000000)"}},
	})
	if err == nil || errors.Is(err, shell.ErrFailed) || !strings.Contains(err.Error(), "broken pipe") {
		t.Error(err)
	}
	_ = w.Close()
}

// TestCancelWhileReading ends a shell that waits for its input.
func TestCancelWhileReading(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	out := &stopper{after: 1, stop: func() { cancel(cause) }}
	if _, err := w.WriteString("select 1;\nselect 2\n"); err != nil {
		t.Fatal(err)
	}
	if err := shell.Run(ctx, shell.Config{Server: connConfig, Stdin: r, Stdout: out, Stderr: io.Discard}); !errors.Is(err, cause) {
		t.Error(err)
	}
}

func TestServerGone(t *testing.T) {
	var errs bytes.Buffer
	err := shell.Run(t.Context(), shell.Config{
		Server: connConfig, Stdin: strings.NewReader("select pg_terminate_backend(pg_backend_pid());\nselect 1;"),
		Stdout: io.Discard, Stderr: &errs,
	})
	if err == nil || !strings.Contains(err.Error(), "connection to the server is lost") || !strings.HasPrefix(errs.String(), "FATAL:  terminating connection") {
		t.Error(err, errs.String())
	}
	err = shell.Run(t.Context(), shell.Config{
		Server: func(string, string) (*pgconn.Config, error) { return connConfig("nothing_there", "") },
		Stdin:  strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard,
	})
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "3D000" {
		t.Error(err)
	}
}

func TestTiming(t *testing.T) {
	out, _, err := run(t, shell.Config{Timing: true}, "select 1 as a;")
	if err != nil || !strings.HasPrefix(out, " a \n---\n 1\n(1 row)\n\nTime: ") || !strings.HasSuffix(out, " ms\n") {
		t.Error(err, out)
	}
}

// TestLongStatement has statements of very many lines, and very many statements in a line;
// to look at their beginnings again with each part would take minutes.
func TestLongStatement(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const n = 50_000
	db := database(t)
	for name, src := range map[string]string{
		"lines": "create table lines (a int, b text);\ninsert into lines values\n" + strings.Repeat("(1, 'text; of \\ more'),\n", n) + "(2, '');\n",
		"line":  "create temp table x (); \\echo here\n" + strings.Repeat(";", n) + strings.Repeat(" /* c */ ; -- \n", 1000) + "select 1;\n",
	} {
		var errs bytes.Buffer
		err := shell.Run(ctx, shell.Config{Server: connConfig, Database: db, Stdin: strings.NewReader(src), Stdout: io.Discard, Stderr: &errs})
		if err != nil {
			t.Error(name, err, errs.String())
		}
	}
	out, _, _ := run(t, shell.Config{Database: db, Rows: rows.Options{Format: rows.CSV}}, "select count(*) from lines")
	if out != "count\n50001\n" {
		t.Error(out)
	}
}

// TestNoticesDuringCopy makes the server write more than a socket holds while it is
// written to.
func TestNoticesDuringCopy(t *testing.T) {
	db := database(t)
	sql(t, db, `CREATE TABLE loud (a int);
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''%'', repeat(''x'', 1000); RETURN NEW; END';
CREATE TRIGGER t BEFORE INSERT ON loud FOR EACH ROW EXECUTE FUNCTION shout()`)
	const n = 20_000
	out, errs, err := run(t, shell.Config{Database: db}, "copy loud from stdin;\n"+strings.Repeat("1\n", n)+"\\.\n")
	if err != nil || out != "COPY 20000\n" || strings.Count(errs, "NOTICE") != n {
		t.Error(err, out, strings.Count(errs, "NOTICE"))
	}
}
