package sqlited

import (
	"regexp"
	"strings"
)

// A query is what matters of a SELECT about the catalog.
type query struct {
	items []item
	from  string // the first table, without pg_catalog
	rest  string // from FROM on, in lower case but for strings
}

// An item is one expression of the select list.
type item struct {
	text string // in lower case
	name string // what the result's column is called
}

var (
	catalogTable = regexp.MustCompile(`^(?:pg_catalog\.)?(pg_[a-z_]+)`)
	aliasPattern = regexp.MustCompile(`(?is)\sas\s+("(?:[^"]|"")*"|[a-z_][a-z0-9_]*)\s*$`)
	lastName     = regexp.MustCompile(`([a-z_][a-z0-9_]*)$`)
)

// parseQuery takes a SELECT apart whose first table is one of pg_catalog.
func parseQuery(sql string) (query, bool) {
	text := strings.TrimSpace(sql)
	if len(text) < 7 || !strings.EqualFold(text[:6], "select") || strings.ContainsAny(text[6:7], "abcdefghijklmnopqrstuvwxyz_") {
		return query{}, false
	}
	text = text[6:]
	var q query
	depth, start := 0, 0
	add := func(end int) {
		piece := strings.TrimSpace(text[start:end])
		it := item{text: lower(piece), name: "?column?"}
		if m := aliasPattern.FindStringSubmatchIndex(piece); m != nil {
			it.name = unquote(piece[m[2]:m[3]])
			it.text = lower(strings.TrimSpace(piece[:m[0]]))
		} else if m := lastName.FindString(it.text); m != "" {
			it.name = m
		}
		it.text = strings.TrimPrefix(it.text, "distinct ")
		q.items = append(q.items, it)
		start = end + 1
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'' || c == '"':
			for i++; i < len(text) && text[i] != c; i++ {
			}
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			add(i)
		case depth == 0 && (c == 'F' || c == 'f') && i > 0 && isSpace(text[i-1]) && len(text) > i+4 &&
			strings.EqualFold(text[i:i+4], "from") && isSpace(text[i+4]):
			add(i)
			q.rest = lower(strings.TrimSpace(text[i+4:]))
			m := catalogTable.FindStringSubmatch(q.rest)
			if m == nil {
				return query{}, false
			}
			q.from = m[1]
			return q, true
		}
	}
	return query{}, false
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// lower puts everything but strings and quoted names into lower case.
func lower(s string) string {
	b := []byte(s)
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\'' || c == '"':
			for i++; i < len(b) && b[i] != c; i++ {
			}
		case c >= 'A' && c <= 'Z':
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func unquote(name string) string {
	if len(name) >= 2 && name[0] == '"' {
		return strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
	}
	return strings.ToLower(name)
}

var (
	oidCondition  = regexp.MustCompile(`(?:\b[a-z0-9]+\.)?(oid|attrelid|conrelid|confrelid|indrelid)\s*=\s*'?([0-9]+)'?`)
	kindCondition = regexp.MustCompile(`\.relkind in \(([^)]*)\)`)
	nameCondition = regexp.MustCompile(`\.(relname|nspname|datname|rolname)\s+operator\(pg_catalog\.(~|!~)\)\s+e?'((?:[^']|'')*)'`)
	// Since version 14 the keys to a table are asked for with those to what it is a part of.
	referenced = regexp.MustCompile(`confrelid in \(select [^']*'([0-9]+)'`)
)

// oid returns the object that a condition names.
func (q query) oid() string {
	if m := oidCondition.FindStringSubmatch(q.rest); m != nil {
		return m[2]
	}
	if m := referenced.FindStringSubmatch(q.rest); m != nil {
		return m[1]
	}
	return ""
}

// matches reports whether a name satisfies the conditions that psql makes of a pattern.
func (q query) matches(column, value string) (bool, error) {
	for _, m := range nameCondition.FindAllStringSubmatch(q.rest, -1) {
		if m[1] != column {
			continue
		}
		pattern := strings.ReplaceAll(strings.ReplaceAll(m[3], "''", "'"), `\\`, `\`)
		re, err := regexp.Compile(pattern)
		if err != nil {
			return false, notAnswered(m[0])
		}
		if re.MatchString(value) != (m[2] == "~") {
			return false, nil
		}
	}
	return true, nil
}

// wantsKind reports whether the condition on relkind, if there is one, lets a kind through.
func (q query) wantsKind(kind string) bool {
	m := kindCondition.FindStringSubmatch(q.rest)
	return m == nil || strings.Contains(m[1], "'"+kind+"'")
}
