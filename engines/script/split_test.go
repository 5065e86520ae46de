package script

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNext(t *testing.T) {
	tests := []struct {
		name, src string
		want      []string // statements; one that does not end is prefixed with "…"
	}{
		{"two", "select 1; select 2;", []string{"select 1", " select 2"}},
		{"no semicolon", "select 1", []string{"…select 1"}},
		{"string", "select ';''x;'; x", []string{"select ';''x;'", "… x"}},
		{"escape string", `select E'\';'; a`, []string{`select E'\';'`, "… a"}},
		{"plain backslash", `select '\'; a`, []string{`select '\'`, "… a"}},
		{"name", `select 1 as "a;""b"; x`, []string{`select 1 as "a;""b"`, "… x"}},
		{"dollar", "do $$ begin; end $$; x", []string{"do $$ begin; end $$", "… x"}},
		{"dollar tag", "do $a$ ; $b$ ; $a$; x", []string{"do $a$ ; $b$ ; $a$", "… x"}},
		{"parameter", "select $1; select a$b$c; x", []string{"select $1", " select a$b$c", "… x"}},
		{"open dollar", "do $$ ; ", []string{"…do $$ ; "}},
		{"line comment", "select 1 -- ; no\n; x", []string{"select 1 -- ; no\n", "… x"}},
		{"nested comment", "select /* ; /* ; */ ; */ 1; x", []string{"select /* ; /* ; */ ; */ 1", "… x"}},
		{"parentheses", "create rule r as on insert to t do (select 1; select 2); x", []string{"create rule r as on insert to t do (select 1; select 2)", "… x"}},
		{
			"atomic", "create or replace function f() returns int begin atomic; select case when true then 1 end; select 2; end; x",
			[]string{"create or replace function f() returns int begin atomic; select case when true then 1 end; select 2; end", "… x"},
		},
		{"transaction", "begin; select 1; end; x", []string{"begin", " select 1", " end", "… x"}},
		{"psql command", "\\restrict abc\nselect 1;\n\\unrestrict abc\n", []string{"\\restrict abc", "select 1", "\n\\unrestrict abc"}},
		{"unicode", "select 'ä;' as ö; x", []string{"select 'ä;' as ö", "… x"}},
		{"stray parenthesis", "select 1); x", []string{"select 1)", "… x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for src := tt.src; src != ""; {
				stmt, rest, ok := Next(src)
				if !ok {
					stmt = "…" + stmt
				}
				got = append(got, stmt)
				src = rest
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"psql command", "select 1;\n\\connect other\n", `f.sql:2: \connect is a psql command`},
		{"open quote", "select 1;\n\nselect 'x;\n", "f.sql:3: the statement that begins here does not end"},
		{"open parenthesis", "select (1;", "f.sql:1: the statement that begins here does not end"},
		{"no end of data", "copy t from stdin;\n1\n2\n", `f.sql:1: COPY … FROM stdin: its data do not end`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse("f.sql", tt.src)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want …%s…", err, tt.want)
			}
		})
	}
}

func TestParseCopy(t *testing.T) {
	src := "COPY public.t (a, b) FROM stdin;\n1\tx;\n2\ty\n\\.\n\nselect 2"
	steps, err := parse("f.sql", src)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 2 || !steps[0].isCopy || steps[0].copyData != "1\tx;\n2\ty\n" {
		t.Fatalf("%+v", steps)
	}
	if got := src[steps[1].start:steps[1].end]; got != "select 2" {
		t.Errorf("after the data: %q", got)
	}
}

func FuzzNext(f *testing.F) {
	for _, s := range []string{"select 1;", "do $a$;$a$;", "/* /* */", `E'\`, "\\x\n", "create function f() begin atomic;end;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		for n := 0; src != ""; n++ {
			stmt, rest, ok := Next(src)
			if len(rest) >= len(src) {
				t.Fatalf("no progress at %q", src)
			}
			if !strings.HasPrefix(src, stmt) || !strings.HasSuffix(src, rest) || !ok && rest != "" {
				t.Fatalf("%q -> %q %q %v", src, stmt, rest, ok)
			}
			Blank(stmt)
			Body(stmt)
			src = rest
		}
	})
}
