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
// more than a query: it may err on that side only.
func suspicious(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ';':
			if i+1 < len(s) && strings.TrimSpace(s[i+1:]) != "" {
				return true
			}
		case 'a', 'A': // pg_advisory_lock
			if next(s, i, 'd') && ahead(s, i, "advisory") {
				return true
			}
		case 's', 'S':
			if next(s, i, 'e') && ahead(s, i, "set_config") {
				return true
			}
		case 't', 'T': // SELECT INTO TEMP
			if next(s, i, 'e') && ahead(s, i, "temp") {
				return true
			}
		case 'p', 'P': // CREATE is elsewhere, but COPY may be to pg_temp, as INSERT may
			if next(s, i, 'g') && ahead(s, i, "pg_temp") {
				return true
			}
		case '&': // an escape may hide a word: U&"pg\005fadvisory_lock"
			if next(s, i, '"') {
				return true
			}
		}
	}
	return false
}

// next says cheaply what nearly always is not so. A letter is given in lower case.
func next(s string, i int, c byte) bool { return i+1 < len(s) && s[i+1]|0x20 == c }

func ahead(s string, i int, word string) bool {
	return len(s)-i >= len(word) && fold(s[i:i+len(word)], word)
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
