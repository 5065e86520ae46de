package shell

import "strings"

// A pattern is a name with wildcards, as the \d commands take it.
type pattern struct{ schema, name string } // regular expressions, anchored; "" is everything

// parsePattern reads "schema.name", where * stands for any characters and ? for one, and
// double quotes keep what is in them as it is (processSQLNamePattern in PostgreSQL's
// string_utils.c).
func parsePattern(text string) pattern {
	var parts []string
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"' && quoted && i+1 < len(text) && text[i+1] == '"':
			b.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == '.':
			parts = append(parts, b.String())
			b.Reset()
		case !quoted && c == '*':
			b.WriteString(".*")
		case !quoted && c == '?':
			b.WriteByte('.')
		case strings.IndexByte(`$|*+?()[]{}.^\`, c) >= 0 && (quoted || c == '$'):
			b.WriteByte('\\')
			b.WriteByte(c)
		case !quoted && c >= 'A' && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		default:
			b.WriteByte(c)
		}
	}
	parts = append(parts, b.String())
	p := pattern{name: anchored(parts[len(parts)-1])}
	if len(parts) > 1 {
		p.schema = anchored(parts[len(parts)-2])
	}
	return p
}

func anchored(re string) string {
	if re == "" || re == ".*" {
		return ""
	}
	return "^(" + re + ")$"
}

// where returns the conditions for a name in one of the given columns and, when the
// pattern has a schema, for that; without one only visible objects match, where visible
// says so.
func (p pattern) where(schema, visible string, names ...string) string {
	var b strings.Builder
	if p.name != "" {
		var alternatives []string
		for _, n := range names {
			// A name compares bytewise; text compares alike in every version.
			alternatives = append(alternatives, n+"::pg_catalog.text OPERATOR(pg_catalog.~) "+literal(p.name))
		}
		b.WriteString("\n  AND (" + strings.Join(alternatives, " OR ") + ")")
	}
	switch {
	case p.schema != "" && schema != "":
		b.WriteString("\n  AND " + schema + "::pg_catalog.text OPERATOR(pg_catalog.~) " + literal(p.schema))
	case visible != "":
		b.WriteString("\n  AND " + visible)
	}
	return b.String()
}

// literal quotes a string for SQL, whatever standard_conforming_strings is.
func literal(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return " E'" + strings.ReplaceAll(s, `\`, `\\`) + "'"
	}
	return "'" + s + "'"
}
