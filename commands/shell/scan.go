package shell

import "strings"

// A lexer walks over SQL as it is read, line by line, and knows what is open. It looks for
// less than script.Next does, and never at the same text twice.
type lexer struct {
	pos       int    // what it has seen
	inside    byte   // what is open: ' or " or $ or * (a comment), or 0
	escapes   bool   // of a string
	tag       string // of a dollar-quoted string, with its dollars
	comment   int    // how deep
	paren     int    // how deep
	semicolon bool   // one was outside of everything
	backslash int    // where the first one outside of quotes and comments is, or -1
}

func newLexer() lexer { return lexer{backslash: -1} }

// scan looks at a text as a whole.
func scan(src string) (open byte, backslash int) {
	l := newLexer()
	l.advance(src)
	return l.open(), l.backslash
}

// ends reports whether a statement or a command may end in what was seen.
func (l *lexer) ends() bool { return l.semicolon || l.backslash >= 0 }

// open returns what is open: ' " $ * ( or, when nothing is, -. These are the characters of
// %R in psql's prompt.
func (l *lexer) open() byte {
	switch {
	case l.inside != 0:
		return l.inside
	case l.paren > 0:
		return '('
	}
	return '-'
}

// advance looks at what src, which begins with what was seen before, has more. A part must
// end with a line, or be the last.
func (l *lexer) advance(src string) {
	for l.pos < len(src) && l.backslash < 0 {
		switch l.inside {
		case '\'', '"':
			l.quoted(src)
		case '*':
			l.commented(src)
		case '$':
			if i := strings.Index(src[l.pos:], l.tag); i >= 0 {
				l.inside = 0
				l.pos += i + len(l.tag)
			} else {
				l.pos = len(src)
			}
		default:
			l.token(src)
		}
	}
}

// token moves over what begins outside of everything.
func (l *lexer) token(src string) {
	c, i := src[l.pos], l.pos
	l.pos++
	switch {
	case strings.HasPrefix(src[i:], "--"):
		l.pos = i + lineEnd(src[i:])
	case strings.HasPrefix(src[i:], "/*"):
		l.inside, l.comment, l.pos = '*', 1, i+2
	case c == '\'':
		l.inside, l.escapes = c, escapes(src, i)
	case c == '"':
		l.inside, l.escapes = c, false
	case c == '$' && (i == 0 || !wordByte(src[i-1])):
		if tag := dollarTag(src[i:]); tag != "" {
			l.inside, l.tag, l.pos = '$', tag, i+len(tag)
		}
	case c == '\\':
		l.backslash = i
	case c == '(':
		l.paren++
	case c == ')':
		l.paren = max(l.paren-1, 0)
	case c == ';' && l.paren == 0:
		l.semicolon = true
	}
}

// quoted moves to the end of a quoted text. A doubled quote reads as the end of one and the
// beginning of another, which comes to the same unless there are escapes.
func (l *lexer) quoted(src string) {
	for l.pos < len(src) {
		c := src[l.pos]
		l.pos++
		switch {
		case l.escapes && c == '\\':
			l.pos = min(l.pos+1, len(src))
		case c == l.inside && l.escapes && l.pos < len(src) && src[l.pos] == c:
			l.pos++
		case c == l.inside:
			l.inside = 0
			return
		}
	}
}

func (l *lexer) commented(src string) {
	for l.pos < len(src) {
		switch {
		case strings.HasPrefix(src[l.pos:], "/*"):
			l.comment++
			l.pos += 2
		case strings.HasPrefix(src[l.pos:], "*/"):
			l.comment--
			l.pos += 2
			if l.comment == 0 {
				l.inside = 0
				return
			}
		default:
			l.pos++
		}
	}
}

// skipQuoted returns what is behind the quoted text, or the other character, at i; -1 if
// the text does not end.
func skipQuoted(src string, i int) int {
	l := newLexer()
	l.pos = i
	l.token(src)
	switch {
	case l.inside == '$':
		if k := strings.Index(src[l.pos:], l.tag); k >= 0 {
			return l.pos + k + len(l.tag)
		}
		return -1
	case l.inside != 0:
		l.quoted(src)
	}
	if l.inside != 0 {
		return -1
	}
	return l.pos
}

// lineEnd returns the length of the first line of s, with its newline.
func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i + 1
	}
	return len(s)
}

// escapes reports whether the string that begins at i is E'…'.
func escapes(src string, i int) bool {
	return i > 0 && (src[i-1] == 'e' || src[i-1] == 'E') && (i == 1 || !wordByte(src[i-2]))
}

// dollarTag returns the tag that a text begins with, "" if it is none.
func dollarTag(src string) string {
	j := 1
	for j < len(src) && wordByte(src[j]) && src[j] != '$' && (j > 1 || src[j] < '0' || src[j] > '9') {
		j++
	}
	if j >= len(src) || src[j] != '$' {
		return ""
	}
	return src[:j+1]
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
