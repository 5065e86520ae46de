package shell

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
	"github.com/pgx-dev/pgx-dev/engines/script"
)

func TestScan(t *testing.T) {
	tests := []struct {
		src       string
		open      byte
		backslash int
	}{
		{"select 1", '-', -1},
		{"select 'a", '\'', -1},
		{"select 'a''", '\'', -1},
		{"select 'a''b'", '-', -1},
		{`select E'a\'`, '\'', -1},
		{`select E'a\''`, '-', -1},
		{`select 'a\'`, '-', -1},
		{`select name'a\'`, '-', -1},
		{`select "a`, '"', -1},
		{"select (1, (2)", '(', -1},
		{"select ('", '\'', -1},
		{"select $$ a", '$', -1},
		{"select $a$ $b$", '$', -1},
		{"select $a$ $a$", '-', -1},
		{"select $1, a$b$c", '-', -1},
		{"/* a /* b */", '*', -1},
		{"/* a /* b */ */", '-', -1},
		{"-- '", '-', -1},
		{`select 1 \g`, '-', 9},
		{`select '\' \g`, '-', 11},
		{`-- \g`, '-', -1},
		{`/* \g */ \x`, '-', 9},
	}
	for _, tt := range tests {
		if open, at := scan(tt.src); open != tt.open || at != tt.backslash {
			t.Errorf("%s: %c, %d; want %c, %d", tt.src, open, at, tt.open, tt.backslash)
		}
	}
}

// FuzzScan holds scan to what script.Next says: where that finds the end of a statement
// behind a text, nothing was open in it.
func FuzzScan(f *testing.F) {
	for _, s := range []string{"select 1", "E'\\'", "$a$ $", "/* /* */", `"""`, "(()", `\d`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		open, at := scan(src)
		if at >= 0 {
			if src[at] != '\\' {
				t.Errorf("%q has no backslash at %d", src, at)
			}
			return
		}
		if strings.ContainsAny(src, ";\\") || strings.Contains(strings.ToLower(src), "begin") {
			return
		}
		stmt, _, ok := script.Next(src + "\n;")
		if ended := ok && stmt == src+"\n"; ended != (open == '-') {
			t.Errorf("%q: scan says %c, script says %v", src, open, ended)
		}
	})
}

func TestArgs(t *testing.T) {
	tests := []struct {
		text string
		want []string
		end  int
		err  string
	}{
		{" a  b ", []string{"a", "b"}, 6, ""},
		{` 'a b' "c d" e'f'g`, []string{"a b", `"c d"`, "efg"}, 18, ""},
		{` 'it''s' 'x\ty\\'`, []string{"it's", "x\ty\\"}, 17, ""},
		{` a \d b`, []string{"a"}, 3, ""},
		{` a \\ select 1`, []string{"a"}, 5, ""},
		{` 'open`, nil, 6, "unterminated"},
		{` "open`, nil, 1, "unterminated"},
	}
	for _, tt := range tests {
		a := args{text: tt.text}
		got, err := a.words(9)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v", tt.text, err)
			}
			continue
		}
		if d := cmp.Diff(tt.want, got); d != "" || err != nil || a.end() != tt.end {
			t.Errorf("%s: %v %v, ends at %d", tt.text, err, d, a.end())
		}
	}
}

func FuzzArgs(f *testing.F) {
	for _, s := range []string{` 'a''b' "c" \d`, ` '\`, ` "`, "`", ` \\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := args{text: text}
		for {
			at := a.pos
			_, ok, err := a.next()
			if err != nil || !ok {
				break
			}
			if a.pos <= at {
				t.Fatalf("no progress in %q at %d", text, at)
			}
		}
		if end := a.end(); end > len(text) {
			t.Fatalf("%q ends at %d", text, end)
		}
	})
}

func TestParseCopy(t *testing.T) {
	tests := []struct {
		text string
		want copySpec
		err  string
	}{
		{`t from 'a b.csv' with (format csv);`, copySpec{sql: "COPY t FROM STDIN with (format csv)", from: true, path: "a b.csv"}, ""},
		{`s."from" (a, b) to x.txt`, copySpec{sql: `COPY s."from" (a, b) TO STDOUT`, path: "x.txt"}, ""},
		{`(select 'to' as "to", (select 1 from t)) TO PROGRAM 'gzip > ''x''' csv`, copySpec{sql: `COPY (select 'to' as "to", (select 1 from t)) TO STDOUT csv`, program: "gzip > 'x'"}, ""},
		{`t from pstdin`, copySpec{sql: "COPY t FROM STDIN", from: true, stream: "pstdin"}, ""},
		{`t to stdout`, copySpec{sql: "COPY t TO STDOUT", stream: "stdout"}, ""},
		{`t to 'stdout'`, copySpec{sql: "COPY t TO STDOUT", path: "stdout"}, ""},
		{`t to stdin`, copySpec{}, "cannot be copied"},
		{`t from program cat`, copySpec{}, "single quotes"},
		{`t from`, copySpec{}, "a file is missing"},
		{`t from 'x`, copySpec{}, "unterminated"},
		{`(select 1 from t)`, copySpec{}, "say FROM or TO"},
	}
	for _, tt := range tests {
		got, err := parseCopy(tt.text)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v", tt.text, err)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %v\n%+v, want\n%+v", tt.text, err, got, tt.want)
		}
	}
}

func FuzzParseCopy(f *testing.F) {
	for _, s := range []string{"t from x", "(select 'a') to program 'b'", `"a" to E'\'`, "$$ from"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := parseCopy(text)
		if err == nil && (!strings.HasPrefix(spec.sql, "COPY ") || spec.path == "" && spec.program == "" && spec.stream == "" && !strings.Contains(text, "'")) {
			t.Errorf("%q: %+v", text, spec)
		}
	})
}

func TestPattern(t *testing.T) {
	tests := []struct {
		text string
		want pattern
	}{
		{"", pattern{}},
		{"*", pattern{}},
		{"Foo", pattern{name: "^(foo)$"}},
		{`"Foo""."`, pattern{name: `^(Foo"\.)$`}},
		{"a*.b?c", pattern{schema: "^(a.*)$", name: "^(b.c)$"}},
		{"pg$x", pattern{name: `^(pg\$x)$`}},
		{"*.*", pattern{}},
	}
	for _, tt := range tests {
		if got := parsePattern(tt.text); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.text, got, tt.want)
		}
	}
}

func TestSetArguments(t *testing.T) {
	type want struct {
		Steps    []Step
		Rows     rows.Options
		Keep     bool
		Quiet    bool
		Database string
	}
	tests := []struct {
		args string
		want want
		err  string
	}{
		{"-c|select 1|-f|x.sql|--command=select 2|--file|-", want{Steps: []Step{{Command: "select 1"}, {File: "x.sql"}, {Command: "select 2"}, {File: "-"}}}, ""},
		{"-XAtqcselect 1", want{Steps: []Step{{Command: "select 1"}}, Rows: rows.Options{Format: rows.Unaligned, TuplesOnly: true}, Quiet: true}, ""},
		{"--csv|-x|-F|;|other", want{Rows: rows.Options{Format: rows.CSV, Expanded: rows.On, FieldSep: ";"}, Database: "other"}, ""},
		{"-v|ON_ERROR_STOP=0|-Pnull=NULL|--pset=format=jsonl", want{Keep: true, Rows: rows.Options{Null: "NULL", Format: rows.JSONL}}, ""},
		{"--set=ON_ERROR_STOP=1|-dother", want{Database: "other"}, ""},
		{"-c||-X", want{Steps: []Step{{Command: " "}}}, ""},
		{"-f||-X", want{}, "wants the name of a file"},
		{"-v|x=1", want{}, "only ON_ERROR_STOP"},
		{"-P|border=2", want{}, "not an option of this shell"},
		{"-L|file", want{}, "does not know the argument -L"},
		{"--csv=1", want{}, "does not know the argument"},
		{"--quiet=1", want{}, "does not know the argument"},
		{"--html", want{}, "does not know the argument --html"},
		{"a|b", want{}, "does not know the argument b"},
		{"postgres://x/y", want{}, "does not know the argument"},
		{"-d|host=x", want{}, "not a connection string"},
		{"-c", want{}, "wants a value"},
		{"--file", want{}, "wants a value"},
	}
	for _, tt := range tests {
		var c Config
		err := c.SetArguments(strings.Split(tt.args, "|"))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v", tt.args, err)
			}
			continue
		}
		got := want{c.Steps, c.Rows, c.KeepGoing, c.Quiet, c.Database}
		if d := cmp.Diff(tt.want, got); d != "" || err != nil {
			t.Errorf("%s: %v %s", tt.args, err, d)
		}
	}
}

func TestHistoryPath(t *testing.T) {
	env := func(kv map[string]string) func(string) string { return func(k string) string { return kv[k] } }
	for want, kv := range map[string]map[string]string{
		"/s/pgx-dev/shell_history":              {"XDG_STATE_HOME": "/s", "HOME": "/h"},
		"/h/.local/state/pgx-dev/shell_history": {"XDG_STATE_HOME": "relative", "HOME": "/h"},
		"":                                      {},
	} {
		if got := HistoryPath(env(kv)); got != want {
			t.Errorf("%v: %q, want %q", kv, got, want)
		}
	}
}
