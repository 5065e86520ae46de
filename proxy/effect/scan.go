package effect

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// Plain reports whether a text can have no effect: it is one statement that begins with one of
// the words of ordinary queries and has none of the words in it that would make it another
// kind. It is what nearly every statement is asked.
func Plain(sql string) bool {
	i := 0
	for i < len(sql) && (sql[i] == ' ' || sql[i] == '\n' || sql[i] == '\t' || sql[i] == '\r') {
		i++
	}
	start := i
	for i < len(sql) && sql[i]|0x20 >= 'a' && sql[i]|0x20 <= 'z' {
		i++
	}
	if i < len(sql) && (sql[i] == '_' || sql[i] >= '0' && sql[i] <= '9' || sql[i] == '$' || sql[i] >= 0x80) {
		return false
	}
	switch word := sql[start:i]; len(word) {
	case 3:
		if !fold(word, "end") {
			return false
		}
	case 4:
		if !fold(word, "with") && !fold(word, "copy") && !fold(word, "show") {
			return false
		}
	case 5:
		if !fold(word, "begin") && !fold(word, "fetch") && !fold(word, "merge") && !fold(word, "start") && !fold(word, "abort") && !fold(word, "table") {
			return false
		}
	case 6:
		if !fold(word, "select") && !fold(word, "insert") && !fold(word, "update") && !fold(word, "delete") &&
			!fold(word, "commit") && !fold(word, "values") && !fold(word, "notify") {
			return false
		}
	default:
		return false
	}
	return !suspicious(sql[i:])
}

// suspicious reports whether there is a second statement or a word in a text that could make it
// more than a query: it may err on that side only. A letter that each word has, and few others do,
// is looked for, which takes much less time than to look at every one.
func suspicious(s string) bool {
	if i := strings.IndexByte(s, ';'); i >= 0 && i+1 < len(s) && strings.TrimSpace(s[i+1:]) != "" {
		return true
	}
	if strings.Contains(s, `&"`) { // an escape may hide a word: U&"pg\005fadvisory_lock"
		return true
	}
	return has(s, 'v', "advisory", 2) || // pg_advisory_lock
		has(s, 'f', "set_config", 7) ||
		has(s, 'm', "temp", 2) // SELECT INTO TEMP; CREATE is elsewhere, but COPY may be to pg_temp, as INSERT may
}

// has reports whether a text has a word, in whatever case. letter is the one of it at a place.
func has(s string, letter byte, word string, at int) bool {
	return holds(s, letter, word, at) || holds(s, letter-'a'+'A', word, at)
}

func holds(s string, letter byte, word string, at int) bool {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], letter)
		if i < 0 {
			return false
		}
		i += from
		if start := i - at; start >= 0 && len(s)-start >= len(word) && fold(s[start:start+len(word)], word) {
			return true
		}
		from = i + 1
	}
}

// fold compares with a word in lower case, of ASCII.
func fold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// A Scanner looks at texts, reusing its memory. It is not safe for concurrent use.
type Scanner struct {
	lex    lex.Scanner
	ranges []lex.Range
}

// Scan says what a text does. A text that PostgreSQL would not take apart either has no
// effects.
func (sc *Scanner) Scan(sql string) Text {
	if Plain(sql) {
		return Text{Statements: 1}
	}
	if err := sc.lex.Scan(sql); err != nil {
		return Text{Statements: 1} // the server will answer with an error
	}
	sc.ranges = lex.Split(sc.ranges[:0], sql, sc.lex.Tokens)
	t := Text{Statements: len(sc.ranges)}
	for n, r := range sc.ranges {
		st := statement{sql: sql, tokens: sc.lex.Tokens[r.From:r.To], n: n}
		st.scan()
		t.Effects = append(t.Effects, st.effects...)
	}
	return t
}
