package route

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// withoutTable writes the command TABLE t as SELECT * FROM t, which is what it means
// (simple_select in gram.y), so that nothing else has to know it; ok is false if there is
// none.
func withoutTable(sql string, toks []lex.Token) (text string, ok bool) {
	at := -1
	for i := range toks {
		if toks[i].Kind == lex.Word && toks[i].Is(sql, "table") {
			at = i
			break
		}
	}
	if at < 0 {
		return "", false
	}
	switch lex.Fold(toks[0].Text(sql)) {
	case "table", "select", "with", "(", "values", "insert", "copy", "declare", "explain", "update", "delete", "merge", "prepare":
	default:
		return "", false // DDL, LOCK TABLE and their like
	}
	var b strings.Builder
	from := int32(0)
	for i := at; i < len(toks); i++ {
		if toks[i].Kind != lex.Word || !toks[i].Is(sql, "table") || !startsQuery(sql, toks, i) {
			continue
		}
		b.WriteString(sql[from:toks[i].Start])
		b.WriteString("SELECT * FROM")
		from = toks[i].End
	}
	if from == 0 {
		return "", false
	}
	b.WriteString(sql[from:])
	return b.String(), true
}

// startsQuery reports whether a query may start at the token i: TABLE is a reserved word, so
// that elsewhere it is a part of CREATE TABLE … AS, SELECT … INTO TABLE and DDL.
func startsQuery(sql string, toks []lex.Token, i int) bool {
	if i == 0 {
		return true
	}
	for _, word := range []string{
		"create", "alter", "drop", "truncate", "lock", "into", "temp", "temporary", "unlogged", "local", "global", "foreign", "reindex", ".", "on",
	} {
		if toks[i-1].Is(sql, word) {
			return false
		}
	}
	return i+1 < len(toks) && (toks[i+1].Kind == lex.Word || toks[i+1].Kind == lex.Quoted)
}
