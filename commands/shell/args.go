package shell

import (
	"errors"
	"strings"
)

// args are what follows a command's name on its line.
type args struct {
	text string
	pos  int
}

// next returns the next word, as psqlscanslash.l reads one: single quotes make white space
// part of it, with ” and C's escapes in them, double quotes too and stay. A backslash
// outside of quotes begins the next command.
func (a *args) next() (word string, ok bool, err error) {
	a.skipBlank()
	if a.pos >= len(a.text) || a.text[a.pos] == '\\' {
		return "", false, nil
	}
	var b strings.Builder
	for a.pos < len(a.text) {
		switch c := a.text[a.pos]; c {
		case ' ', '\t', '\r', '\n', '\\':
			return b.String(), true, nil
		case '\'':
			if err := a.single(&b); err != nil {
				return "", false, err
			}
		case '"':
			end := strings.IndexByte(a.text[a.pos+1:], '"')
			if end < 0 {
				return "", false, errors.New("unterminated quoted string")
			}
			b.WriteString(a.text[a.pos : a.pos+end+2])
			a.pos += end + 2
		case '`':
			return "", false, errors.New("commands in backquotes are not supported by this shell")
		default:
			b.WriteByte(c)
			a.pos++
		}
	}
	return b.String(), true, nil
}

func (a *args) single(b *strings.Builder) error {
	for a.pos++; a.pos < len(a.text); a.pos++ {
		c := a.text[a.pos]
		switch {
		case c == '\'' && a.pos+1 < len(a.text) && a.text[a.pos+1] == '\'':
			a.pos++
			b.WriteByte('\'')
		case c == '\'':
			a.pos++
			return nil
		case c == '\\' && a.pos+1 < len(a.text):
			a.pos++
			i := strings.IndexByte("ntbrf", a.text[a.pos])
			if i >= 0 {
				b.WriteByte("\n\t\b\r\f"[i])
			} else {
				b.WriteByte(a.text[a.pos])
			}
		default:
			b.WriteByte(c)
		}
	}
	return errors.New("unterminated quoted string")
}

// words returns at most limit words; further ones are left.
func (a *args) words(limit int) ([]string, error) {
	var out []string
	for len(out) < limit {
		word, ok, err := a.next()
		if err != nil || !ok {
			return out, err
		}
		out = append(out, word)
	}
	return out, nil
}

// rest returns everything up to the end of the line.
func (a *args) rest() string {
	text := a.text[a.pos:]
	a.pos = len(a.text)
	return strings.TrimSpace(text)
}

// end returns where the command ends.
func (a *args) end() int {
	a.skipBlank()
	// "\\" only separates a command from what follows it.
	if strings.HasPrefix(a.text[a.pos:], `\\`) {
		a.pos += 2
	}
	return a.pos
}

func (a *args) skipBlank() {
	for a.pos < len(a.text) && strings.IndexByte(" \t\r\n", a.text[a.pos]) >= 0 {
		a.pos++
	}
}
