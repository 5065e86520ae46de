package pgserver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Every byte in every state has an action, and it is the one the protocol's rules give.
func TestTableIsTotal(t *testing.T) {
	for s, row := range table {
		if len(row) != len(columns) {
			t.Fatalf("state %s has %d columns, not %d", state(s), len(row), len(columns))
		}
	}
	extended := "PBDECH"
	for s := range states {
		for b := range 256 {
			typ := wire.Type(b)
			got := actionFor(s, typ)
			want := refuse
			is := func(set string) bool { return strings.IndexByte(set, byte(b)) >= 0 }
			switch {
			case s == closed || !is(columns) || typ == wire.TypeAuthResponse:
			case is("X"):
				want = leave
			case s == skipping && is("S"):
				want = serve
			case s == skipping:
				want = skip
			case (s == ready || s == batch) && is("dcf"):
				want = ignore
			case s == ready || s == batch:
				if !is(extended + "QSF") {
					t.Errorf("%s, %q: no rule", s, rune(b))
				}
				want = serve
			case is("dcf"):
				want = copyTake
			case s == copyIn && is("HS"):
				want = ignore
			default:
				want = copyAbort
			}
			if got != want {
				t.Errorf("%s, %q: %d, want %d", s, rune(b), got, want)
			}
		}
	}
}

func TestStatements(t *testing.T) {
	tests := []struct {
		sql  string
		want []string
	}{
		{"", nil},
		{" ; ;; -- nothing\n /* nor here /* */ ; */ ", nil},
		{"select 1", []string{"select 1"}},
		{"select 1; select 2 ;", []string{"select 1", "select 2"}},
		{"select ';' ; select \";\"", []string{"select ';'", "select \";\""}},
		{"select 'it''s;'; x", []string{"select 'it''s;'", "x"}},
		{`select E'\';' ; x`, []string{`select E'\';'`, "x"}},
		{`select '\' ; x`, []string{`select '\'`, "x"}},
		{"select $$;$$ ; select $a$ $$;$$ $a$", []string{"select $$;$$", "select $a$ $$;$$ $a$"}},
		{"select $1; x", []string{"select $1", "x"}},
		{"select a$b$c; x$y$", []string{"select a$b$c", "x$y$"}},
		{"-- c;\nselect 1 -- ;\n; /* ; */ x /* ; */", []string{"select 1", "x"}},
		{"create rule r as on insert to t do (a; b); x", []string{"create rule r as on insert to t do (a; b)", "x"}},
		{"create function f() begin atomic select 1; select case when true then 1 end; end; x", []string{"create function f() begin atomic select 1; select case when true then 1 end; end", "x"}},
		{"create or replace procedure p() begin atomic a; end; b", []string{"create or replace procedure p() begin atomic a; end", "b"}},
		{"begin; x; end", []string{"begin", "x", "end"}},
		{"select 'open ; x", []string{"select 'open ; x"}},
		{"größe; ä", []string{"größe", "ä"}},
	}
	for _, tt := range tests {
		var got []string
		for s := range Statements(tt.sql) {
			got = append(got, s)
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
			t.Errorf("%q:\ngot  %q\nwant %q", tt.sql, got, tt.want)
		}
	}
}

func TestParameters(t *testing.T) {
	for sql, want := range map[string]int{
		"select 1": 0, "select $1, $12": 12, "select '$3', \"$4\", $$ $5 $$ -- $6\n": 0, "select $2::int": 2, "$99999999": 0,
	} {
		if got := parameters(sql); got != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	for text, want := range map[string]string{
		"-c a=b":                "[[a b]]",
		"-ca=b --c-d=e":         "[[a b] [c_d e]]",
		`-c search_path=a\ b\\`: `[[search_path a b\]]`,
		"  ":                    "[]",
		"-c a=b=c":              "[[a b=c]]",
	} {
		got, err := options(text)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"-c", "-c a", "-x", "a=b", "--a"} {
		if got, err := options(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzLexer(f *testing.F) {
	f.Add("select 'a'; $$b$$ -- c")
	f.Add("copy a.b (c, d) from stdin with (format csv, header, delimiter ';')")
	f.Add("create function f() begin atomic x; end; /* /* */ */ \"q\"\"\" E'\\'' $1 $a$ $a$")
	f.Fuzz(func(t *testing.T, sql string) {
		l := lexer{sql: sql}
		var all strings.Builder
		for tok := l.next(); tok.kind != tokEnd; tok = l.next() {
			if tok.text == "" {
				t.Fatal("a token without text")
			}
			all.WriteString(tok.text)
		}
		if all.String() != sql {
			t.Fatalf("the tokens of %q are %q", sql, all.String())
		}
		for s := range Statements(sql) {
			if s == "" || s != strings.TrimLeft(s, " \t\r\n\f\v") { // an open quote keeps blanks at the end
				t.Fatalf("statement %q", s)
			}
		}
		parameters(sql)
		_, _ = options(sql)
		_, _ = parseSetting(&Session{}, sql)
		classify(sql)
		if c, ok, err := ParseCopy(sql); ok && err == nil && (c.Table == "") == (c.Query == "") {
			t.Fatalf("%q: COPY of %+v", sql, c)
		}
	})
}
