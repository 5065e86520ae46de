package effect

import (
	"math/bits"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// Plain reports whether a text can have no effect: it is one statement that begins with one of
// the words of ordinary queries and has none of the words in it that would make it another
// kind. It is what nearly every statement is asked.
func Plain(sql string) bool {
	if len(sql) > 6 && sql[6] == ' ' && fold(sql[:6], "select") {
		return !suspicious(sql[6:]) // nearly always
	}
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
		switch {
		case fold(word, "update"):
			if mentions(sql[i:], settingsView) {
				return false
			}
		case !fold(word, "select") && !fold(word, "insert") && !fold(word, "delete") &&
			!fold(word, "commit") && !fold(word, "values") && !fold(word, "notify"):
			return false
		}
	default:
		return false
	}
	return !suspicious(sql[i:])
}

// suspicious reports whether there is a second statement or a word in a text that could make it
// more than a query: it may err on that side only. A letter that each word has, and few others do,
// is looked for, eight bytes at a time, which takes much less time than to look at every one.
func suspicious(s string) bool {
	b := s
	for ; len(b) >= 8; b = b[8:] {
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		// With both bits of 0x30 each v and f is a v, each m a }.
		folded := w | 0x30*ones
		found := (zero(folded^'v'*ones) | zero(folded^'}'*ones) | zero(w^';'*ones) | zero(w^'&'*ones)) & (0x80 * ones)
		for ; found != 0; found &= found - 1 {
			if sign(s, len(s)-len(b)+bits.TrailingZeros64(found)/8) {
				return true
			}
		}
	}
	for i := range len(b) {
		if sign(s, len(s)-len(b)+i) {
			return true
		}
	}
	return false
}

// ones times a byte is eight of it.
const ones = 0x0101010101010101

// zero has the highest bit of each byte that is 0, and perhaps of others above one that is.
func zero(w uint64) uint64 { return (w - ones) &^ w }

// sign looks for one around a byte of a text.
func sign(s string, i int) bool {
	switch s[i] {
	case ';':
		return strings.TrimSpace(s[i+1:]) != ""
	case '&': // an escape may hide a word: U&"pg\005fadvisory_lock"
		return i+1 < len(s) && s[i+1] == '"'
	case 'v', 'V': // pg_advisory_lock
		return around(s, i-2, "advisory")
	case 'f', 'F':
		return around(s, i-7, "set_config")
	case 'm', 'M': // SELECT INTO TEMP; CREATE is elsewhere, but COPY may be to pg_temp, as INSERT may
		return around(s, i-2, "temp")
	}
	return false
}

// mentions reports whether a text has a word, in whatever case, whose third letter is an underscore.
func mentions(s, word string) bool {
	for i := 0; ; i++ {
		n := strings.IndexByte(s[i:], '_')
		if n < 0 {
			return false
		}
		if i += n; around(s, i-2, word) {
			return true
		}
	}
}

// around reports whether a text has a word at a place, in whatever case.
func around(s string, at int, word string) bool {
	return at >= 0 && len(s)-at >= len(word) && fold(s[at:at+len(word)], word)
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
