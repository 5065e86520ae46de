package walsender

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A token is a word of a command. kind is 'i' for an identifier or keyword, 's' for a string,
// else the character itself; 0 is the end.
type token struct {
	kind   byte
	text   string // of identifiers as written, without quotes
	quoted bool
}

// A lexer splits a command into tokens, as repl_scanner.l does.
type lexer struct {
	rest string
	tok  token
	err  error
}

func newLexer(s string) *lexer {
	l := &lexer{rest: s}
	l.next()
	return l
}

func (l *lexer) fail(message string) {
	if l.err == nil {
		l.err = wire.Errorf(wire.CodeSyntaxError, "%s", message)
	}
	l.tok, l.rest = token{}, ""
}

func isWord(b byte) bool {
	return b == '_' || b == '$' || b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z' || b >= 0x80
}

func (l *lexer) next() {
	l.rest = strings.TrimLeft(l.rest, " \t\n\r\f\v")
	if l.rest == "" {
		l.tok = token{}
		return
	}
	switch b := l.rest[0]; {
	case b == '\'' || b == '"':
		l.quoted(b)
	case isWord(b):
		n := 1
		for n < len(l.rest) && (isWord(l.rest[n]) || l.rest[n] == '/') { // an LSN has a slash
			n++
		}
		l.tok = token{kind: 'i', text: l.rest[:n]}
		l.rest = l.rest[n:]
	default:
		l.tok = token{kind: b, text: l.rest[:1]}
		l.rest = l.rest[1:]
	}
}

func (l *lexer) quoted(q byte) {
	var text strings.Builder
	s := l.rest[1:]
	for {
		n := strings.IndexByte(s, q)
		if n < 0 {
			l.fail("unterminated quoted string")
			return
		}
		text.WriteString(s[:n])
		s = s[n+1:]
		if s == "" || s[0] != q {
			break
		}
		text.WriteByte(q)
		s = s[1:]
	}
	l.tok = token{kind: 's', text: text.String(), quoted: true}
	if q == '"' {
		l.tok.kind = 'i'
	}
	l.rest = s
}

// keyword takes the word if it comes next.
func (l *lexer) keyword(word string) bool {
	if l.tok.kind == 'i' && !l.tok.quoted && strings.EqualFold(l.tok.text, word) {
		l.next()
		return true
	}
	return false
}

// punct takes the character if it comes next.
func (l *lexer) punct(b byte) bool {
	if l.tok.kind == b {
		l.next()
		return true
	}
	return false
}

// ident takes a name; one without quotes is folded to lower case.
func (l *lexer) ident() string {
	if l.tok.kind != 'i' {
		l.unexpected()
		return ""
	}
	s := l.tok.text
	if !l.tok.quoted {
		s = strings.ToLower(s)
	}
	l.next()
	return s
}

func (l *lexer) unexpected() {
	if l.tok.kind == 0 {
		l.fail("syntax error at end of input")
		return
	}
	l.fail(`syntax error at or near "` + l.tok.text + `"`)
}

// end demands that nothing is left but a semicolon.
func (l *lexer) end() error {
	l.punct(';')
	if l.err == nil && l.tok.kind != 0 {
		l.unexpected()
	}
	return l.err
}
