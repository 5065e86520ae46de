package shell

import "strings"

// scan walks over SQL that has no semicolon of its own any more (script.Next has split
// it) and returns where its first backslash outside of quotes and comments is, or -1, and
// what is open at its end: ' " $ * (comment) ( or, when nothing is, -. These are the
// characters of psql's %R.
func scan(src string) (open byte, backslash int) {
	depth := 0
	for i := 0; i < len(src); {
		c := src[i]
		end, quote := -1, c
		switch {
		case strings.HasPrefix(src[i:], "--"):
			end = i + lineEnd(src[i:])
		case strings.HasPrefix(src[i:], "/*"):
			end, quote = commentEnd(src, i), '*'
		case c == '\'':
			end = quoteEnd(src, i, escapes(src, i))
		case c == '"':
			end = quoteEnd(src, i, false)
		case c == '$' && (i == 0 || !wordByte(src[i-1])):
			end = dollarEnd(src, i)
		case c == '\\':
			return '-', i
		case c == '(':
			depth++
			end = i + 1
		case c == ')':
			depth = max(depth-1, 0)
			end = i + 1
		default:
			end = i + 1
		}
		if end < 0 {
			return quote, -1
		}
		i = end
	}
	if depth > 0 {
		return '(', -1
	}
	return '-', -1
}

// lineEnd returns the length of the first line of s, with its newline.
func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i + 1
	}
	return len(s)
}

func commentEnd(src string, i int) int {
	depth := 0
	for i < len(src) {
		switch {
		case strings.HasPrefix(src[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(src[i:], "*/"):
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

// quoteEnd returns what is behind the quoted text at i. A doubled quote reads as the end
// of one text and the beginning of another, which comes to the same.
func quoteEnd(src string, i int, escapes bool) int {
	quote := src[i]
	for i++; i < len(src); i++ {
		switch {
		case escapes && src[i] == '\\':
			i++
		case src[i] == quote:
			if escapes && i+1 < len(src) && src[i+1] == quote {
				i++
				continue
			}
			return i + 1
		}
	}
	return -1
}

// escapes reports whether the string that begins at i is E'…'.
func escapes(src string, i int) bool {
	return i > 0 && (src[i-1] == 'e' || src[i-1] == 'E') && (i == 1 || !wordByte(src[i-2]))
}

// dollarEnd returns what is behind a dollar-quoted string, or behind a dollar sign that
// begins none; -1 if the string does not end.
func dollarEnd(src string, i int) int {
	j := i + 1
	for j < len(src) && wordByte(src[j]) && src[j] != '$' && (j > i+1 || src[j] < '0' || src[j] > '9') {
		j++
	}
	if j >= len(src) || src[j] != '$' {
		return i + 1
	}
	tag := src[i : j+1]
	if k := strings.Index(src[j+1:], tag); k >= 0 {
		return j + 1 + k + len(tag)
	}
	return -1
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
