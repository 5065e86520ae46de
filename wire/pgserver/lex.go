package pgserver

import (
	"iter"
	"strings"
	"unicode/utf8"
)

// tokenKind says what the lexer found.
type tokenKind uint8

const (
	tokEnd    tokenKind = iota
	tokSpace            // blanks and comments
	tokWord             // an identifier or key word
	tokQuoted           // an identifier in double quotes
	tokString           // a string in any of its forms
	tokParam            // $1
	tokSemi             // ;
	tokOther            // anything else, one character
)

// A lexer finds the borders of SQL's words as psqlscan.l does, and no more: strings, quoted
// names, dollar quotes and comments hide what is in them.
type lexer struct {
	sql string
	pos int
}

type sqlToken struct {
	kind tokenKind
	text string
}

func (l *lexer) next() sqlToken {
	if l.pos >= len(l.sql) {
		return sqlToken{}
	}
	start := l.pos
	kind := l.scan()
	return sqlToken{kind, l.sql[start:l.pos]}
}

// word returns the next token that is not blank.
func (l *lexer) word() sqlToken {
	for {
		if t := l.next(); t.kind != tokSpace {
			return t
		}
	}
}

// rest returns what was not read.
func (l *lexer) rest() string { return l.sql[l.pos:] }

func (l *lexer) scan() tokenKind {
	s := l.sql[l.pos:]
	switch c := s[0]; {
	case isSpace(c):
		l.pos++
		for l.pos < len(l.sql) && isSpace(l.sql[l.pos]) {
			l.pos++
		}
		return tokSpace
	case strings.HasPrefix(s, "--"):
		if n := strings.IndexByte(s, '\n'); n >= 0 {
			l.pos += n + 1
		} else {
			l.pos = len(l.sql)
		}
		return tokSpace
	case strings.HasPrefix(s, "/*"):
		l.comment()
		return tokSpace
	case c == '\'':
		l.quoted('\'', false)
		return tokString
	case c == '"':
		l.quoted('"', false)
		return tokQuoted
	case (c == 'e' || c == 'E') && len(s) > 1 && s[1] == '\'':
		l.pos++
		l.quoted('\'', true)
		return tokString
	case c == '$':
		return l.dollar()
	case isIdentStart(c):
		for l.pos < len(l.sql) && (isIdentStart(l.sql[l.pos]) || isDigit(l.sql[l.pos]) || l.sql[l.pos] == '$') {
			l.pos++
		}
		return tokWord
	case isDigit(c):
		for l.pos < len(l.sql) && (isDigit(l.sql[l.pos]) || isIdentStart(l.sql[l.pos]) || l.sql[l.pos] == '.') {
			l.pos++
		}
		return tokOther
	case c == ';':
		l.pos++
		return tokSemi
	}
	_, n := utf8.DecodeRuneInString(s)
	l.pos += n
	return tokOther
}

// comment passes a comment, which may hold others.
func (l *lexer) comment() {
	depth := 0
	for l.pos < len(l.sql) {
		switch s := l.sql[l.pos:]; {
		case strings.HasPrefix(s, "/*"):
			depth++
			l.pos += 2
		case strings.HasPrefix(s, "*/"):
			l.pos += 2
			if depth--; depth == 0 {
				return
			}
		default:
			l.pos++
		}
	}
}

func (l *lexer) quoted(q byte, backslash bool) {
	for l.pos++; l.pos < len(l.sql); l.pos++ {
		switch c := l.sql[l.pos]; {
		case c == '\\' && backslash:
			l.pos++
		case c == q:
			if l.pos+1 < len(l.sql) && l.sql[l.pos+1] == q {
				l.pos++
				continue
			}
			l.pos++
			return
		}
	}
	l.pos = min(l.pos, len(l.sql))
}

// dollar reads $1, $$…$$ or $tag$…$tag$.
func (l *lexer) dollar() tokenKind {
	s := l.sql[l.pos:]
	n := 1
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	if n > 1 {
		l.pos += n
		return tokParam
	}
	for n < len(s) && (isIdentStart(s[n]) || n > 1 && isDigit(s[n])) {
		n++
	}
	if n == len(s) || s[n] != '$' {
		l.pos++
		return tokOther
	}
	tag := s[:n+1]
	end := strings.Index(s[len(tag):], tag)
	if end < 0 {
		l.pos = len(l.sql)
		return tokString
	}
	l.pos += len(tag) + end + len(tag)
	return tokString
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isIdentStart(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80
}

// Statements splits a string at the semicolons between its statements, as psql does: those in
// strings, names, comments, parentheses and the body of a BEGIN ATOMIC function do not count.
// Statements are trimmed of blanks, and those that hold nothing but comments are left out.
func Statements(sql string) iter.Seq[string] {
	return func(yield func(string) bool) {
		l := lexer{sql: sql}
		for {
			statement, more := l.statement()
			if statement != "" && !yield(statement) {
				return
			}
			if !more {
				return
			}
		}
	}
}

// statement reads up to the end of a statement. more says that a semicolon ended it.
func (l *lexer) statement() (text string, more bool) {
	start, end := -1, l.pos
	depth := 0  // of parentheses
	blocks := 0 // of BEGIN … END and CASE … END in a function's body
	words := 0
	create := false
	for {
		t := l.next()
		switch t.kind {
		case tokEnd:
			more = false
		case tokSpace:
			continue
		case tokSemi:
			if depth > 0 || blocks > 0 {
				end = l.pos
				continue
			}
			more = true
		default:
			if start < 0 {
				start = l.pos - len(t.text)
			}
			end = l.pos
			switch t.text {
			case "(":
				depth++
			case ")":
				depth = max(depth-1, 0)
			}
			if t.kind == tokWord {
				words++
				l.blocks(t.text, words, &create, &blocks)
			}
			continue
		}
		if start < 0 {
			return "", more
		}
		return l.sql[start:end], more
	}
}

// blocks follows BEGIN and END within CREATE FUNCTION and CREATE PROCEDURE, psqlscan.l's rule.
func (l *lexer) blocks(word string, n int, create *bool, blocks *int) {
	if n <= 4 && (strings.EqualFold(word, "function") || strings.EqualFold(word, "procedure")) {
		*create = true
	}
	if !*create {
		return
	}
	switch {
	case strings.EqualFold(word, "begin"):
		*blocks++
	case strings.EqualFold(word, "case") && *blocks > 0:
		*blocks++
	case strings.EqualFold(word, "end") && *blocks > 0:
		*blocks--
	}
}

// parameters returns the highest number of a $n in a statement.
func parameters(sql string) int {
	if strings.IndexByte(sql, '$') < 0 {
		return 0
	}
	highest := 0
	l := lexer{sql: sql}
	for t := l.next(); t.kind != tokEnd; t = l.next() {
		if t.kind != tokParam || len(t.text) > 6 {
			continue
		}
		n := 0
		for _, c := range t.text[1:] {
			n = 10*n + int(c-'0')
		}
		highest = max(highest, n)
	}
	return highest
}

// name returns an identifier as PostgreSQL folds it.
func (t sqlToken) name() (string, bool) {
	switch t.kind {
	case tokWord:
		return strings.ToLower(t.text), true
	case tokQuoted:
		if len(t.text) < 2 {
			return "", false
		}
		return strings.ReplaceAll(t.text[1:len(t.text)-1], `""`, `"`), true
	}
	return "", false
}

// is reports whether the token is a key word.
func (t sqlToken) is(word string) bool { return t.kind == tokWord && strings.EqualFold(t.text, word) }
