package lex

import (
	"fmt"
	"strings"
	"testing"
)

func dump(sql string, s *Scanner) string {
	names := []string{"?", "word", "quoted", "uquoted", "number", "string", "other", "param", "op", "punct"}
	var b strings.Builder
	for i, t := range s.Tokens {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s:%s", names[t.Kind], t.Text(sql))
	}
	return b.String()
}

func TestScan(t *testing.T) {
	for _, tt := range []struct{ sql, want string }{
		{`SELECT a.b,"C""d" FROM t`, `word:SELECT word:a punct:. word:b punct:, quoted:"C""d" word:FROM word:t`},
		{`1.5e-3 .5 1..2 1.e 0x1F 1_000`, `number:1.5e-3 number:.5 number:1 op:.. number:2 number:1. word:e number:0x1F number:1_000`},
		{`a<=-1`, `word:a op:<= op:- number:1`},
		{`a@-1`, `word:a op:@- number:1`},
		{`a--c` + "\n" + `+b`, `word:a op:+ word:b`},
		{`a*/**/b`, `word:a op:* word:b`},
		{`/* a /* b */ c */ x`, `word:x`},
		{`'a''b' E'a\'b' $$x'y$$ $t$ $$ $t$`, `string:'a''b' string:E'a\'b' string:$$x'y$$ string:$t$ $$ $t$`},
		{"'a'  \n -- c\n 'b' 'c'", "string:'a'  \n -- c\n 'b' string:'c'"},
		{`B'01' x'ff' U&'d\0061' U&"d" N'x'`, `other:B'01' other:x'ff' other:U&'d\0061' uquoted:U&"d" other:N'x'`},
		{`$1::int4[$2]`, `param:$1 op::: word:int4 punct:[ param:$2 punct:]`},
		{`a$1 étage _x`, `word:a$1 word:étage word:_x`},
		{`x->>'k' #>> y`, `word:x op:->> string:'k' op:#>> word:y`},
	} {
		var s Scanner
		if err := s.Scan(tt.sql); err != nil {
			t.Errorf("%s: %v", tt.sql, err)
		}
		if got := dump(tt.sql, &s); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.sql, got, tt.want)
		}
	}
	for _, sql := range []string{"'a", `"a`, "/* /* */", "$$a", "E'\\'"} {
		var s Scanner
		if err := s.Scan(sql); err == nil {
			t.Errorf("%s: no error", sql)
		}
	}
}

func TestValue(t *testing.T) {
	for _, tt := range []struct {
		sql, want string
		ok        bool
	}{
		{`'a''b\n'`, `a'b\n`, true},
		{`E'a\n\'\x41\101\u0042\\'`, "a\n'AAB\\", true},
		{"'a'\n'b'", "ab", true},
		{`$x$a$$b$x$`, "a$$b", true},
		{`E'\xff'`, "", false},
		{`42`, "42", true},
	} {
		var s Scanner
		if err := s.Scan(tt.sql); err != nil || len(s.Tokens) != 1 {
			t.Fatalf("%s: %v %v", tt.sql, err, s.Tokens)
		}
		got, ok := s.Tokens[0].AppendValue(nil, tt.sql)
		if ok != tt.ok || ok && string(got) != tt.want {
			t.Errorf("%s: %q %v", tt.sql, got, ok)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct{ sql, want string }{
		{`;;select 1; ; select ';' ;`, `select 1|select ';'`},
		{`create rule r as on insert to t do (select 1; select 2); select 3`, `create rule r as on insert to t do (select 1; select 2)|select 3`},
		{
			`create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end; select 3`,
			`create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end|select 3`,
		},
		{`begin; select 1; end`, `begin|select 1|end`},
		{``, ``},
	} {
		var s Scanner
		if err := s.Scan(tt.sql); err != nil {
			t.Fatal(err)
		}
		var parts []string
		for _, r := range Split(nil, tt.sql, s.Tokens) {
			parts = append(parts, tt.sql[s.Tokens[r.From].Start:s.Tokens[r.To-1].End])
		}
		if got := strings.Join(parts, "|"); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.sql, got, tt.want)
		}
	}
}

func TestKey(t *testing.T) {
	key := func(sql string) string {
		var s Scanner
		if err := s.Scan(sql); err != nil {
			t.Fatal(err)
		}
		return string(AppendKey(nil, sql, s.Tokens))
	}
	same := [][2]string{
		{"select * from T where a = 1", "SELECT *\nFROM t /* c */ WHERE a=22 -- x"},
		{"select 'a'", "select E'b'"},
	}
	differ := [][2]string{
		{"select 1", "select '1'"},
		{`select "A"`, `select A`},
		{"select a b", "select ab"},
		{"select $1", "select $2"},
		{"select a - -1", "select a --1"},
	}
	for _, p := range same {
		if key(p[0]) != key(p[1]) {
			t.Errorf("%q and %q differ", p[0], p[1])
		}
	}
	for _, p := range differ {
		if key(p[0]) == key(p[1]) {
			t.Errorf("%q and %q are the same", p[0], p[1])
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add(`SELECT "a", 'b''c', E'\x41', $1, $$x$$ FROM t -- c`)
	f.Add("create function f() begin atomic select 1; end; 'a'\n'b'")
	f.Add("/* /* */ */ 1..2 a@-1 U&\"x\" :: := 1e5")
	f.Fuzz(func(t *testing.T, sql string) {
		var s Scanner
		err := s.Scan(sql)
		end := int32(0)
		for _, tok := range s.Tokens {
			if tok.Start < end || tok.End <= tok.Start || int(tok.End) > len(sql) {
				t.Fatalf("token %v after %d", tok, end)
			}
			end = tok.End
			switch tok.Kind {
			case Word, Quoted:
				_ = tok.Ident(sql)
			case String, Number:
				_, _ = tok.AppendValue(nil, sql)
			}
		}
		if err == nil {
			_ = AppendKey(nil, sql, s.Tokens)
			for _, r := range Split(nil, sql, s.Tokens) {
				if r.Len() <= 0 {
					t.Fatal("empty statement")
				}
			}
		}
	})
}

func BenchmarkScan(b *testing.B) {
	sql := "SELECT abalance FROM pgbench_accounts WHERE aid = 123456;"
	var s Scanner
	var key []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(sql)))
	for b.Loop() {
		if err := s.Scan(sql); err != nil {
			b.Fatal(err)
		}
		key = AppendKey(key[:0], sql, s.Tokens)
	}
}
