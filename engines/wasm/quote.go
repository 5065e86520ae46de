package wasm

import (
	"fmt"
	"strings"
)

// Identifier quotes a name for use in SQL, always with double quotes.
func Identifier(parts ...string) string {
	quoted := make([]string, len(parts))
	for i, p := range parts {
		quoted[i] = `"` + strings.ReplaceAll(strings.ReplaceAll(p, "\x00", ""), `"`, `""`) + `"`
	}
	return strings.Join(quoted, ".")
}

// Literal quotes a string for use in SQL; the result means the same whatever
// standard_conforming_strings is.
func Literal(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\x00", ""), `'`, `''`)
	if strings.Contains(s, `\`) {
		return ` E'` + strings.ReplaceAll(s, `\`, `\\`) + `'`
	}
	return `'` + s + `'`
}

// Raw is text that Template puts into a statement as it is.
type Raw string

// Name is an identifier, quoted by Template; its parts are joined with dots.
type Name []string

// Template builds a statement from text with {} for each argument: a Raw is put in as it
// is, a Name quoted, and every other value becomes a parameter, $1 and so on. {{ and }}
// stand for braces. It returns the statement and the values of its parameters.
//
//	sql, args, err := wasm.Template("SELECT * FROM {} WHERE id = {}", wasm.Name{"public", "t"}, 7)
func Template(text string, args ...any) (sql string, params []any, err error) {
	var b strings.Builder
	used := 0
	for i := 0; i < len(text); i++ {
		two := text[i:min(i+2, len(text))]
		switch {
		case two == "{{" || two == "}}":
			b.WriteByte(text[i])
			i++
		case two == "{}":
			if used == len(args) {
				return "", nil, fmt.Errorf("build a statement: more placeholders than the %d arguments", len(args))
			}
			switch a := args[used].(type) {
			case Raw:
				b.WriteString(string(a))
			case Name:
				b.WriteString(Identifier(a...))
			default:
				params = append(params, a)
				fmt.Fprintf(&b, "$%d", len(params))
			}
			used++
			i++
		case text[i] == '{' || text[i] == '}':
			return "", nil, fmt.Errorf("build a statement: a lone %c at byte %d; write it twice to mean itself", text[i], i)
		default:
			b.WriteByte(text[i])
		}
	}
	if used != len(args) {
		return "", nil, fmt.Errorf("build a statement: %d placeholders for %d arguments", used, len(args))
	}
	return b.String(), params, nil
}
