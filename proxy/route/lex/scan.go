package lex

import (
	"errors"
	"math"
	"strings"
)

// ErrUnterminated reports a string, quoted identifier or comment without an end.
var ErrUnterminated = errors.New("unterminated quoted string, identifier or comment")

// ErrTooLong reports a text whose offsets do not fit.
var ErrTooLong = errors.New("statement longer than 1 GB")

// A Comment is the range of a comment that may hold hints for routing.
type Comment struct{ Start, End int32 }

// A Scanner cuts text into tokens, reusing its memory. Not for concurrent use.
type Scanner struct {
	Tokens []Token
	// Hints are the comments with "pgdog_" in them.
	Hints []Comment
}

// Scan cuts sql into s.Tokens. After an error the tokens before it are there.
func (s *Scanner) Scan(sql string) error {
	s.Tokens, s.Hints = s.Tokens[:0], s.Hints[:0]
	if len(sql) > math.MaxInt32/2 {
		return ErrTooLong
	}
	for i := 0; i < len(sql); {
		c := sql[i]
		switch class[c] {
		case space:
			i++
		case letter:
			n, err := s.word(sql, i)
			if err != nil {
				return err
			}
			i = n
		case digit:
			i = s.add(Number, i, number(sql, i))
		case quote:
			end, backslash := stringEnd(sql, i, false)
			if end < 0 {
				return ErrUnterminated
			}
			s.Tokens = append(s.Tokens, Token{int32(i), int32(end), String, backslash})
			i = end
		case doubleQuote:
			end := quotedEnd(sql, i)
			if end < 0 {
				return ErrUnterminated
			}
			i = s.add(Quoted, i, end)
		case dollar:
			n, err := s.dollar(sql, i)
			if err != nil {
				return err
			}
			i = n
		case operator:
			n, err := s.operator(sql, i)
			if err != nil {
				return err
			}
			i = n
		default:
			n := i + 1
			switch {
			case c == '.' && n < len(sql) && class[sql[n]] == digit:
				i = s.add(Number, i, number(sql, i))
				continue
			case n < len(sql) && (c == ':' && (sql[n] == ':' || sql[n] == '=') || c == '.' && sql[n] == '.'):
				i = s.add(Op, i, n+1)
				continue
			}
			i = s.add(Punct, i, n)
		}
	}
	return nil
}

func (s *Scanner) add(k Kind, start, end int) int {
	s.Tokens = append(s.Tokens, Token{Start: int32(start), End: int32(end), Kind: k})
	return end
}

// word reads an identifier, or a string with a letter before it.
func (s *Scanner) word(sql string, i int) (int, error) {
	if i+1 < len(sql) && sql[i+1] == '\'' {
		switch sql[i] {
		case 'e', 'E':
			end, _ := stringEnd(sql, i+1, true)
			if end < 0 {
				return 0, ErrUnterminated
			}
			return s.add(String, i, end), nil
		case 'b', 'B', 'x', 'X', 'n', 'N':
			end, _ := stringEnd(sql, i+1, false)
			if end < 0 {
				return 0, ErrUnterminated
			}
			return s.add(OtherString, i, end), nil
		}
	}
	if (sql[i] == 'u' || sql[i] == 'U') && i+2 < len(sql) && sql[i+1] == '&' {
		switch sql[i+2] {
		case '\'':
			end, _ := stringEnd(sql, i+2, false)
			if end < 0 {
				return 0, ErrUnterminated
			}
			return s.add(OtherString, i, end), nil
		case '"':
			end := quotedEnd(sql, i+2)
			if end < 0 {
				return 0, ErrUnterminated
			}
			return s.add(QuotedUnicode, i, end), nil
		}
	}
	n := i + 1
	for n < len(sql) && (class[sql[n]] == letter || class[sql[n]] == digit || sql[n] == '$') {
		n++
	}
	return s.add(Word, i, n), nil
}

// dollar reads a parameter or a dollar-quoted string.
func (s *Scanner) dollar(sql string, i int) (int, error) {
	n := i + 1
	if n < len(sql) && class[sql[n]] == digit {
		for n < len(sql) && class[sql[n]] == digit {
			n++
		}
		return s.add(Param, i, n), nil
	}
	for n < len(sql) && (class[sql[n]] == letter || n > i+1 && class[sql[n]] == digit) {
		n++
	}
	if n == len(sql) || sql[n] != '$' {
		return s.add(Punct, i, i+1), nil
	}
	tag := sql[i : n+1]
	end := strings.Index(sql[n+1:], tag)
	if end < 0 {
		return 0, ErrUnterminated
	}
	return s.add(String, i, n+1+end+len(tag)), nil
}

// operator reads a comment or an operator. An operator ends where a comment starts, and
// does not end in + or - unless it has one of the characters ~!@#%^&|`?.
func (s *Scanner) operator(sql string, i int) (int, error) {
	if strings.HasPrefix(sql[i:], "--") {
		end := strings.IndexAny(sql[i:], "\r\n")
		if end < 0 {
			end = len(sql) - i
		}
		s.comment(sql, i, i+end)
		return i + end, nil
	}
	if strings.HasPrefix(sql[i:], "/*") {
		end := commentEnd(sql, i)
		if end < 0 {
			return 0, ErrUnterminated
		}
		s.comment(sql, i, end)
		return end, nil
	}
	n := i + 1
	for n < len(sql) && class[sql[n]] == operator && !strings.HasPrefix(sql[n:], "--") && !strings.HasPrefix(sql[n:], "/*") {
		n++
	}
	for n > i+1 && (sql[n-1] == '+' || sql[n-1] == '-') && !strings.ContainsAny(sql[i:n-1], "~!@#%^&|`?") {
		n--
	}
	return s.add(Op, i, n), nil
}

func (s *Scanner) comment(sql string, start, end int) {
	if strings.Contains(sql[start:end], "pgdog_") {
		s.Hints = append(s.Hints, Comment{int32(start), int32(end)})
	}
}

// commentEnd returns the end of the block comment at i; they nest. -1: there is none.
func commentEnd(sql string, i int) int {
	depth := 0
	for i < len(sql)-1 {
		switch {
		case sql[i] == '/' && sql[i+1] == '*':
			depth++
			i += 2
		case sql[i] == '*' && sql[i+1] == '/':
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return -1
}

// stringEnd returns the end of the string whose quote stands at i, with all continuations.
func stringEnd(sql string, i int, escapes bool) (end int, backslash bool) {
	for i++; i < len(sql); i++ {
		switch sql[i] {
		case '\\':
			backslash = true
			if escapes {
				i++
			}
		case '\'':
			if i+1 < len(sql) && sql[i+1] == '\'' {
				i++
				continue
			}
			next := continuation(sql, i+1)
			if next < 0 {
				return i + 1, backslash && !escapes
			}
			i = next
		}
	}
	return -1, false
}

// continuation returns the offset of the quote that goes on with a string which ended before
// i: only blanks with at least one newline, and comments to the end of line, are between.
func continuation(sql string, i int) int {
	newline := false
	for ; i < len(sql); i++ {
		switch c := sql[i]; {
		case c == '\n' || c == '\r':
			newline = true
		case class[c] == space:
		case c == '\'' && newline:
			return i
		case newline && strings.HasPrefix(sql[i:], "--"):
			end := strings.IndexAny(sql[i:], "\r\n")
			if end < 0 {
				return -1
			}
			i += end - 1
		default:
			return -1
		}
	}
	return -1
}

func quotedEnd(sql string, i int) int {
	for i++; i < len(sql); i++ {
		if sql[i] == '"' {
			if i+1 < len(sql) && sql[i+1] == '"' {
				i++
				continue
			}
			return i + 1
		}
	}
	return -1
}

// number returns the end of the number at i. Two dots do not belong to it (1..10).
func number(sql string, i int) int {
	n := i
	if sql[n] == '0' && n+2 < len(sql) && strings.IndexByte("xXoObB", sql[n+1]) >= 0 && hexDigit(sql[n+2]) >= 0 {
		for n += 2; n < len(sql) && (hexDigit(sql[n]) >= 0 || sql[n] == '_'); n++ { //nolint:revive // the condition is the work
		}
		return n
	}
	digits := func() {
		for n < len(sql) && (class[sql[n]] == digit || sql[n] == '_' && n+1 < len(sql) && class[sql[n+1]] == digit) {
			n++
		}
	}
	digits()
	if n < len(sql) && sql[n] == '.' && (n+1 == len(sql) || sql[n+1] != '.') {
		n++
		digits()
	}
	if n < len(sql) && (sql[n] == 'e' || sql[n] == 'E') {
		m := n + 1
		if m < len(sql) && (sql[m] == '+' || sql[m] == '-') {
			m++
		}
		if m < len(sql) && class[sql[m]] == digit {
			n = m
			digits()
		}
	}
	return n
}
