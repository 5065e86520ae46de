package shell_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
)

const (
	up    = "\x1b[A"
	left  = "\x1b[D"
	ctrlA = "\x01"
	ctrlC = "\x03"
	ctrlD = "\x04"
	ctrlE = "\x05"
	ctrlK = "\x0b"
	ctrlR = "\x12"
	ctrlU = "\x15"
	ctrlW = "\x17"
	ctrlY = "\x19"
)

func TestLineEditing(t *testing.T) {
	db := database(t)
	s := open(t, db, "")
	s.expect(db + "=# ")
	tests := []struct{ name, keys, want string }{
		{"insert within", "selct 11 + 31;" + ctrlA + "\x1b[C\x1b[C\x1b[Ce" + "\r", " 42\r\n"},
		{"backspace and delete", "select 1000x0;" + left + left + left + "\x1b[3~" + ctrlE + "\r", " 10000\r\n"},
		{"kill and yank", "select 'ab';" + ctrlA + ctrlK + "  " + ctrlY + "\r", " ab\r\n"},
		{"kill a word", "select 1 as wrong;" + left + ctrlW + "right7" + "\r", " right7 \r\n"},
		{"words", "select cd || ef from (select 'x' as cd, 'y' as ef) s;" + ctrlA + "\x1bf\x1bf\x1b\x7f" + "ef" + "\r", " yy\r\n"},
		{"wide characters", "select '日本', length('日本');" + left + left + left + left + "語" + "\r", " 3\r\n"},
		{"longer than the screen", "select '" + strings.Repeat("x", 100) + "', 5555;" + left + left + "6" + "\r", "55565\r\n"},
		{"clear", "nonsense" + ctrlU + "select 77;\r", " 77\r\n"},
		{"paste", "\x1b[200~select\n  88\n;\x1b[201~\r", " 88\r\n"},
	}
	for _, tt := range tests {
		s.enter(tt.keys)
		got := s.expect("(1 row)")
		if !strings.Contains(got, strings.TrimSuffix(tt.want, "\r\n")) {
			t.Errorf("%s: no %q in %q", tt.name, tt.want, got)
		}
		s.expect(db + "=# ")
	}
	s.enter(ctrlD)
	if code := s.end(); code != 0 {
		t.Errorf("exit code %d after Ctrl-D", code)
	}
}

func TestPrompts(t *testing.T) {
	db := database(t)
	s := open(t, db, "")
	s.expect("\\? for help")
	steps := []struct{ keys, want string }{
		{"", db + "=# "},
		{"select\r", db + "-# "},
		{"(\r", db + "(# "},
		{"'it''s\r", db + "'# "},
		{"') as \"x\r", db + "\"# "},
		{"y\", /* a\r", db + "*# "},
		{"*/ $tag$ ;\r", db + "$# "},
		{"$tag$\r", db + "-# "},
		{";\r", db + "=# "},
		{"begin;\r", db + "=*# "},
		{"select\r", db + "-*# "},
		{"1/0;\r", db + "=!# "},
		{"rollback;\r", db + "=# "},
		{"\\x\r", db + "=# "},
		{"select 1 \\gx\r", db + "=# "},
		{"\\c postgres\r", "postgres=# "},
		{"\\c nothing_there\r", "postgres=# "},
	}
	for _, step := range steps {
		s.enter(step.keys)
		s.expect(step.want)
	}
	s.enter("\\q\r")
	if code := s.end(); code != 0 {
		t.Errorf("exit code %d after \\q", code)
	}
}

func TestHistory(t *testing.T) {
	db := database(t)
	file := filepath.Join(t.TempDir(), "state", "history")
	s := open(t, db, file)
	s.expect(db + "=# ")
	s.enter("select 100 + 1;\r")
	s.expect("101")
	s.expect("=# ")
	s.enter("select\r")
	s.expect("-# ")
	s.enter("200 + 2;\r")
	s.expect("202")
	s.expect("=# ")
	s.enter(" select 'secret';\r") // a leading space keeps it out
	s.expect("(1 row)")
	s.expect("=# ")
	s.enter(up + up + "\r")
	s.expect(" 101\r\n")
	s.expect("=# ")
	s.enter(up + up + "\r") // both lines of it
	s.expect(" 202\r\n")
	s.expect("=# ")
	s.enter(ctrlD)
	s.end()

	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("mode of the history is %v", fi.Mode())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "select 100 + 1;\nselect\x01200 + 2;\nselect 100 + 1;\nselect\x01200 + 2;\n"
	if string(text) != want {
		t.Errorf("history is %q, want %q", text, want)
	}

	s = open(t, db, file)
	s.expect(db + "=# ")
	s.enter(ctrlR + "100" + "\r")
	s.expect(" 101\r\n")
	s.enter(up + ctrlC)
	s.expect("^C")
	s.expect("=# ")
	s.enter("\\q\r")
	s.end()
}

func TestHistoryNowhere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db := database(t)
	s := open(t, db, filepath.Join(file, "history")) // below a file: cannot be made
	s.expect(db + "=# ")
	s.enter("select 12 * 12;\r")
	s.expect(" 144\r\n")
	s.expect("=# ")
	s.enter(up + "\r")
	s.expect(" 144\r\n")
	s.expect("=# ")
	s.enter(ctrlD)
	s.end()
}

func TestInterrupt(t *testing.T) {
	db := database(t)
	s := open(t, db, "")
	s.expect(db + "=# ")
	s.enter("select 'open\r")
	s.expect(db + "'# ")
	s.enter("more" + ctrlC)
	s.expect("^C")
	s.expect(db + "=# ")

	s.enter("select pg_sleep(600);\r")
	waitFor(t, "SELECT 1 FROM pg_stat_activity WHERE datname = '"+db+"' AND state = 'active' AND query LIKE '%pg_sleep(600)%'")
	s.enter(ctrlC)
	s.expect("Cancel request sent")
	s.expect("ERROR:  canceling statement due to user request")
	s.expect(db + "=# ")

	// Again, to see that one Ctrl-C does not use up the next.
	s.enter("begin; select pg_sleep(601);\r")
	waitFor(t, "SELECT 1 FROM pg_stat_activity WHERE datname = '"+db+"' AND state = 'active' AND query LIKE '%pg_sleep(601)%'")
	s.enter(ctrlC)
	s.expect("ERROR:  canceling statement due to user request")
	s.expect(db + "=!# ")
	s.enter("rollback;\r")
	s.expect("ROLLBACK")
	s.expect(db + "=# ")
	s.enter(ctrlD)
	if code := s.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// waitFor asks the server until a query has a row.
func waitFor(t *testing.T, query string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	conn, err := engines.Connect(ctx, server, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for {
		results, err := conn.PgConn().Exec(ctx, query+"; SELECT pg_sleep(0.02)").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if len(results[0].Rows) > 0 {
			return
		}
	}
}

func TestCopyAtPrompt(t *testing.T) {
	db := database(t)
	s := open(t, db, "")
	s.expect(db + "=# ")
	s.enter("create table t (a int, b text);\r")
	s.expect("CREATE TABLE")
	s.expect("=# ")
	s.enter("copy t from stdin;\r")
	s.expect("Enter data to be copied followed by a newline.")
	s.expect(">> ")
	s.enter("0\tzero\r")
	s.expect("\x1b[?2004l") // the line has ended: what comes is the next one's prompt
	s.expect(">> ")
	s.enter("1" + ctrlC)
	s.expect("ERROR:  COPY from stdin failed: interrupted")
	s.expect("=# ")
	s.enter("copy t from stdin;\r")
	s.expect(">> ")
	s.enter("1\tone\r")
	s.expect(">> ")
	s.enter("2\ttwo\r")
	s.expect(">> ")
	s.enter("\\.\r")
	s.expect("COPY 2")
	s.expect("=# ")
	s.enter("copy t from stdin;\r")
	s.expect(">> ")
	s.enter("3\tthree\r")
	s.expect(">> ")
	s.enter(ctrlD)
	s.expect("COPY 1")
	s.expect("=# ")
	s.enter("select string_agg(b, '+' order by a) from t;\r")
	s.expect("one+two+three")
	s.expect("=# ")
	s.enter(ctrlD)
	s.end()
}

func TestEditCommand(t *testing.T) {
	dir := t.TempDir()
	editor := filepath.Join(dir, "editor")
	if err := os.WriteFile(editor, []byte("#!/bin/sh\nsed -i 's/wrong/1234 as right/' \"$1\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	db := database(t)
	s := open(t, db, "", "VISUAL=", "EDITOR="+editor)
	s.expect(db + "=# ")
	s.enter("select wrong;\r")
	s.expect("ERROR")
	s.expect("=# ")
	s.enter("\\e\r")
	s.expect("select 1234 as right;")
	s.expect(" 1234\r\n")
	s.expect("=# ")
	s.enter("\\! echo out; exit 3\r")
	s.expect("out\r\n")
	s.expect("=# ")
	s.enter(ctrlD)
	s.end()
}

func TestComplete(t *testing.T) {
	db := database(t)
	sql(t, db, `CREATE TABLE wonderful (first_column int); INSERT INTO wonderful VALUES (31415)`)
	s := open(t, db, "")
	s.expect(db + "=# ")
	s.enter("sel\tfirst_c\tfrom wonder\t;\r")
	s.expect(" 31415\r\n")
	s.expect("=# ")
	s.enter("\\conn\t\t" + ctrlC)
	s.expect("\\connect  \\conninfo")
	s.expect("^C") // between this line and the next one the terminal itself would take Ctrl-D
	s.expect("=# ")
	s.enter(ctrlD)
	s.end()
}

func TestReconnect(t *testing.T) {
	db := database(t)
	s := open(t, db, "")
	s.expect(db + "=# ")
	sql(t, "", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+db+"'")
	s.enter("select 1;\r")
	s.expect("FATAL:  terminating connection due to administrator command")
	s.expect("Attempting reset: Succeeded.")
	s.expect(db + "=# ")
	s.enter("select 6 * 7;\r")
	s.expect(" 42\r\n")
	s.expect("=# ")
	s.enter(ctrlD)
	s.end()
}

// TestOutputInterrupted has a screen that a billion rows would keep busy.
func TestOutputInterrupted(t *testing.T) {
	db := database(t)
	s := open(t, db, "")
	s.expect(db + "=# ")
	s.enter("\\pset format jsonl\r")
	s.expect("=# ")
	s.enter("select generate_series(1, 1000000000);\r")
	s.expect(`{"generate_series":2000}`)
	s.enter(ctrlC)
	s.expect("Cancel request sent")
	s.expect(db + "=# ")
	s.enter(ctrlD)
	if code := s.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
