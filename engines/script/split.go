package script

import (
	"strings"
)

// Next returns the first statement of src, without its semicolon, and what follows it. ok
// is false when src ends before the statement does; then stmt is all of src, which is
// blank or a comment, or a statement that lacks its semicolon or more. Comments before a
// statement belong to it.
//
// A semicolon ends no statement in a quoted string, a quoted name, a dollar-quoted
// string, a comment, parentheses, or the body of a function between BEGIN ATOMIC and its
// END. A backslash outside all of these starts a psql command, which goes to the end of
// the line and is returned as a statement of its own when nothing but blanks and comments
// come before it.
func Next(src string) (stmt, rest string, ok bool) {
	s := scanner{src: src}
	for s.pos < len(src) {
		if s.step() {
			return src[:s.end], src[s.pos:], true
		}
	}
	return src, "", false
}

// Blank reports whether a text holds nothing but white space and comments.
func Blank(stmt string) bool {
	s := scanner{src: stmt}
	for s.pos < len(stmt) {
		if !s.skipBlank() {
			return false
		}
	}
	return true
}

// Body returns a statement without the white space and comments before it, and how many
// bytes those are.
func Body(stmt string) (body string, skipped int) {
	s := scanner{src: stmt}
	for s.pos < len(stmt) && s.skipBlank() {
	}
	return stmt[s.pos:], s.pos
}

// A scanner walks over one statement. Its state mirrors psqlscan.l's: depth of
// parentheses, and for functions in SQL the first identifiers and the depth of BEGIN.
type scanner struct {
	src   string
	pos   int
	end   int // of the statement, when step returned true
	paren int
	begin int
	words []string // the first identifiers, lower case, up to four
	some  bool     // anything but blanks was seen
}

// step moves over one token and reports whether the statement ended with it.
func (s *scanner) step() bool {
	if s.skipBlank() {
		return false
	}
	c := s.src[s.pos]
	if c == '\\' && !s.some {
		s.end = len(s.src)
		if i := strings.IndexByte(s.src[s.pos:], '\n'); i >= 0 {
			s.end = s.pos + i
		}
		s.pos = min(s.end+1, len(s.src))
		return true
	}
	s.some = true
	switch {
	case c == ';':
		s.end = s.pos
		s.pos++
		return s.paren == 0 && s.begin == 0
	case c == '(':
		s.paren++
		s.pos++
	case c == ')':
		s.paren = max(s.paren-1, 0)
		s.pos++
	case c == '\'':
		s.quoted('\'', false)
	case c == '"':
		s.quoted('"', false)
	case c == '$':
		s.dollar()
	case identStart(c):
		s.identifier()
	case c >= '0' && c <= '9':
		// $ may go on a number or a name, and quotes nothing there.
		for s.pos < len(s.src) && identPart(s.src[s.pos]) {
			s.pos++
		}
	default:
		s.pos++
	}
	return false
}

// skipBlank moves over white space or a comment.
func (s *scanner) skipBlank() bool {
	rest := s.src[s.pos:]
	switch {
	case strings.HasPrefix(rest, "--"):
		i := strings.IndexByte(rest, '\n')
		if i < 0 {
			i = len(rest) - 1
		}
		s.pos += i + 1
	case strings.HasPrefix(rest, "/*"):
		depth := 1
		for s.pos += 2; s.pos < len(s.src) && depth > 0; s.pos++ {
			switch {
			case strings.HasPrefix(s.src[s.pos:], "/*"):
				depth++
				s.pos++
			case strings.HasPrefix(s.src[s.pos:], "*/"):
				depth--
				s.pos++
			}
		}
		s.pos = min(s.pos, len(s.src))
	case rest[0] == ' ' || rest[0] >= '\t' && rest[0] <= '\r':
		s.pos++
	case strings.HasPrefix(rest, "\ufeff") && s.pos == 0: // a byte order mark
		s.pos += len("\ufeff")
	default:
		return false
	}
	return true
}

// quoted moves over a string or a quoted name; a doubled quote is part of it.
func (s *scanner) quoted(quote byte, escapes bool) {
	for s.pos++; s.pos < len(s.src); s.pos++ {
		switch {
		case escapes && s.src[s.pos] == '\\':
			s.pos++
		case s.src[s.pos] == quote:
			if s.pos+1 < len(s.src) && s.src[s.pos+1] == quote {
				s.pos++
				continue
			}
			s.pos++
			return
		}
	}
	s.pos = len(s.src)
}

// dollar moves over a dollar-quoted string, a parameter, or a lone dollar sign.
func (s *scanner) dollar() {
	i := s.pos + 1
	for i < len(s.src) && s.src[i] != '$' && identPart(s.src[i]) && (i > s.pos+1 || identStart(s.src[i])) {
		i++
	}
	if i >= len(s.src) || s.src[i] != '$' {
		s.pos++
		return
	}
	tag := s.src[s.pos : i+1]
	if j := strings.Index(s.src[i+1:], tag); j >= 0 {
		s.pos = i + 1 + j + len(tag)
		return
	}
	s.pos = len(s.src)
}

func (s *scanner) identifier() {
	start := s.pos
	for s.pos < len(s.src) && identPart(s.src[s.pos]) {
		s.pos++
	}
	word := strings.ToLower(s.src[start:s.pos])
	if s.pos < len(s.src) && s.src[s.pos] == '\'' && (word == "e" || word == "b" || word == "x" || word == "n") {
		s.quoted('\'', word == "e")
		return
	}
	if len(s.words) < 4 {
		s.words = append(s.words, word)
	}
	// As psqlscan.l does: only within CREATE [OR REPLACE] {FUNCTION | PROCEDURE}.
	if s.paren > 0 || !s.createsRoutine() {
		return
	}
	switch {
	case word == "begin", word == "case" && s.begin > 0:
		s.begin++
	case word == "end" && s.begin > 0:
		s.begin--
	}
}

func (s *scanner) createsRoutine() bool {
	w := s.words
	if len(w) > 0 && w[0] == "create" {
		w = w[1:]
		if len(w) > 1 && w[0] == "or" && w[1] == "replace" {
			w = w[2:]
		}
		return len(w) > 0 && (w[0] == "function" || w[0] == "procedure")
	}
	return false
}

func identStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func identPart(c byte) bool { return identStart(c) || c >= '0' && c <= '9' || c == '$' }
