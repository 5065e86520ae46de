package lex

// A Kind is what a [Token] is.
type Kind uint8

// The kinds of tokens.
const (
	// Word is an unquoted identifier or keyword.
	Word Kind = iota + 1
	// Quoted is a quoted identifier, "…".
	Quoted
	// QuotedUnicode is U&"…".
	QuotedUnicode
	// Number is an integer or decimal number without a sign.
	Number
	// String is a '…' (with its continuations), E'…' or $tag$…$tag$.
	String
	// OtherString is a bit string, a national one, or U&'…': nothing that is lifted.
	OtherString
	// Param is $1.
	Param
	// Op is an operator, :: and := and .. included.
	Op
	// Punct is one of ( ) [ ] , ; . : and anything that is no token of SQL.
	Punct
)

// A Token is a part of a statement.
type Token struct {
	Start, End int32 // offsets of the first byte and the one after the last
	Kind       Kind
	// Backslash says that a plain '…' string has a backslash, and so means something else
	// when standard_conforming_strings is off.
	Backslash bool
}

// Text is the token as it was written.
func (t Token) Text(sql string) string { return sql[t.Start:t.End] }

// Is reports whether t is the keyword or punctuation s, given in lower case.
func (t Token) Is(sql, s string) bool {
	if int(t.End-t.Start) != len(s) || t.Kind == Quoted || t.Kind == String {
		return false
	}
	text := sql[t.Start:t.End]
	for i := range len(s) {
		if lower(text[i]) != s[i] {
			return false
		}
	}
	return true
}

// Literal reports whether t is a literal whose value [AppendKey] leaves out.
func (t Token) Literal() bool { return t.Kind == Number || t.Kind == String }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Ident returns the identifier that a Word or Quoted token means: folded to lower case or
// unquoted, and cut to NAMEDATALEN-1 bytes as the server does (truncate_identifier).
func (t Token) Ident(sql string) string {
	text := t.Text(sql)
	if t.Kind != Quoted {
		return truncate(Fold(text))
	}
	text = text[1 : len(text)-1]
	for i := range len(text) {
		if text[i] == '"' {
			b := make([]byte, 0, len(text))
			for j := 0; j < len(text); j++ {
				b = append(b, text[j])
				if text[j] == '"' {
					j++
				}
			}
			return truncate(string(b))
		}
	}
	return truncate(text)
}

// truncate cuts at 63 bytes, not within a character (pg_mbcliplen, UTF-8).
func truncate(s string) string {
	const most = 63
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// Fold lowers ASCII letters, as downcase_truncate_identifier does in a multi-byte encoding.
func Fold(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				b[j] = lower(b[j])
			}
			return string(b)
		}
	}
	return s
}

// AppendValue appends what a String or Number token means to dst. ok is false for what
// cannot be told (a bad escape, or one that makes no valid UTF-8).
func (t Token) AppendValue(dst []byte, sql string) (value []byte, ok bool) {
	text := t.Text(sql)
	if t.Kind == Number {
		return append(dst, text...), true
	}
	if t.Kind != String {
		return dst, false
	}
	if text[0] == '$' {
		n := 1
		for text[n] != '$' {
			n++
		}
		n++
		return append(dst, text[n:len(text)-n]...), true
	}
	escapes := false
	if text[0] != '\'' {
		escapes = true
		text = text[1:]
	}
	for i := 1; i < len(text); {
		c := text[i]
		switch {
		case c == '\'' && i+1 < len(text) && text[i+1] == '\'':
			dst = append(dst, '\'')
			i += 2
		case c == '\'':
			// The end, or a continuation after blanks and comments.
			next := continuation(text, i+1)
			if next < 0 {
				return dst, i == len(text)-1
			}
			i = next + 1
		case c == '\\' && escapes:
			n, more, ok := escape(dst, text[i+1:])
			if !ok {
				return dst, false
			}
			dst, i = more, i+1+n
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst, false
}

// escape appends what stands for the escape after a backslash at the start of s.
func escape(dst []byte, s string) (n int, out []byte, ok bool) {
	if s == "" {
		return 0, dst, false
	}
	number := func(from, most int, base rune) (rune, int) {
		v, i := rune(0), from
		for i < len(s) && i < from+most {
			d := hexDigit(s[i])
			if d < 0 || d >= base {
				break
			}
			v = v*base + d
			i++
		}
		return v, i
	}
	switch s[0] {
	case 'b':
		return 1, append(dst, '\b'), true
	case 'f':
		return 1, append(dst, '\f'), true
	case 'n':
		return 1, append(dst, '\n'), true
	case 'r':
		return 1, append(dst, '\r'), true
	case 't':
		return 1, append(dst, '\t'), true
	case 'v':
		return 1, append(dst, '\v'), true
	case '0', '1', '2', '3', '4', '5', '6', '7':
		v, n := number(0, 3, 8)
		return n, append(dst, byte(v)), v != 0 && v < 128
	case 'x':
		v, n := number(1, 2, 16)
		if n == 1 {
			return 1, append(dst, 'x'), true
		}
		return n, append(dst, byte(v)), v != 0 && v < 128
	case 'u', 'U':
		size := 4
		if s[0] == 'U' {
			size = 8
		}
		v, n := number(1, size, 16)
		if n != size+1 || v <= 0 || v > 0x10FFFF || v >= 0xD800 && v < 0xE000 {
			return 0, dst, false
		}
		return n, append(dst, string(v)...), true
	}
	return 1, append(dst, s[0]), true
}

func hexDigit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}
