package tap

import (
	"regexp"
	"strings"
)

var (
	// PASSWORD 'x' of CREATE and ALTER ROLE, with E, U& or a dollar quote.
	passwordClause = regexp.MustCompile(`(?is)(\bpassword\s+)((?:E|U&)?'(?:[^'\\]|''|\\.)*'?|\$([A-Za-z_0-9]*)\$.*)`)
	// password=x in a connection string, as CREATE SUBSCRIPTION and dblink have it.
	passwordPair = regexp.MustCompile(`(?i)(\b(?:ssl)?password\s*=\s*)(''(?:[^']|'''')*''|[^\s']+)`)
	// The password in a URL.
	passwordURL = regexp.MustCompile(`([a-z]+://[^:/@\s']*:)[^@\s']*@`)
)

// maskPasswords takes the passwords out of an SQL text. It would rather take too much.
func maskPasswords(text string) string {
	text = passwordClause.ReplaceAllStringFunc(text, func(m string) string {
		parts := passwordClause.FindStringSubmatch(m)
		tag := "$" + parts[3] + "$"
		if body, ok := strings.CutPrefix(parts[2], tag); ok {
			_, rest, _ := strings.Cut(body, tag)
			return parts[1] + "'" + secret + "'" + maskPasswords(rest)
		}
		return parts[1] + "'" + secret + "'"
	})
	text = passwordPair.ReplaceAllString(text, "${1}"+secret)
	return passwordURL.ReplaceAllString(text, "${1}"+secret+"@")
}

// maskLiterals puts question marks in place of the strings and numbers of an SQL text, and
// takes its comments out, as they may hold anything.
func maskLiterals(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\'':
			i = stringEnd(text, i, i > 0 && (text[i-1] == 'E' || text[i-1] == 'e'))
			b.WriteByte('?')
		case c == '"':
			end := i + 1
			for end < len(text) && text[end] != '"' {
				end++
			}
			end = min(end+1, len(text))
			b.WriteString(text[i:end])
			i = end
		case strings.HasPrefix(text[i:], "--"):
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				end = len(text) - i
			}
			i += end
		case strings.HasPrefix(text[i:], "/*"):
			i = commentEnd(text, i)
			b.WriteByte(' ')
		case c == '$' && (i == 0 || !isWord(text[i-1])):
			if end, ok := dollarEnd(text, i); ok {
				b.WriteByte('?')
				i = end
				continue
			}
			b.WriteByte(c) // a parameter
			for i++; i < len(text) && isWord(text[i]); i++ {
				b.WriteByte(text[i])
			}
		case c >= '0' && c <= '9' && (i == 0 || !isWord(text[i-1])):
			b.WriteByte('?')
			for i < len(text) && (isWord(text[i]) || text[i] == '.') {
				i++
			}
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

func isWord(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// stringEnd returns the position behind the string that begins at i.
func stringEnd(text string, i int, escapes bool) int {
	for i++; i < len(text); i++ {
		switch {
		case escapes && text[i] == '\\':
			i++
		case text[i] == '\'':
			if i+1 < len(text) && text[i+1] == '\'' {
				i++
				continue
			}
			return i + 1
		}
	}
	return len(text)
}

// commentEnd returns the position behind the comment that begins at i; comments nest.
func commentEnd(text string, i int) int {
	depth := 0
	for i < len(text) {
		switch {
		case strings.HasPrefix(text[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(text[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return i
}

// dollarEnd returns the position behind the dollar-quoted string that begins at i, if one
// does.
func dollarEnd(text string, i int) (int, bool) {
	end := i + 1
	for end < len(text) && isWord(text[end]) {
		end++
	}
	if end == len(text) || text[end] != '$' || end > i+1 && text[i+1] >= '0' && text[i+1] <= '9' {
		return 0, false
	}
	tag := text[i : end+1]
	body := strings.Index(text[end+1:], tag)
	if body < 0 {
		return len(text), true
	}
	return end + 1 + body + len(tag), true
}
