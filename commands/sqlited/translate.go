package sqlited

import (
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A translator puts into SQLite's words what PostgreSQL's clients write as a matter of
// course. SQL stays SQLite's: what has no equivalent is SQLite's to refuse.
//
//	x::int, '1'::text        pg_int4(x), pg_text('1')
//	x ~ 'a', x !~* 'a'       x REGEXP 'a', x NOT REGEXP '(?i)' || 'a'
//	x = ANY (array)          x IN (SELECT value FROM json_each(pg_elements(array)))
//	ARRAY[1, 2], x[1]        pg_array(1, 2), pg_element(x, 1)
//	ARRAY(SELECT …)          (WITH …(c) AS (SELECT …) SELECT pg_from_json(json_group_array(c)) …)
//	E'a\n', $$a$$            'a' and a line's end, 'a'
//	pg_catalog.f, current_user, COLLATE "default"
//
// It works on tokens, and all that goes to SQLite is written by it, without comments: what
// the two read differently (nested comments, strings with backslashes, `names` and [names])
// could otherwise hide a statement from us.
type translator struct {
	sql     string
	tokens  []lex.Token
	at      int
	user    string
	zone    string      // in which timestamps are meant that name none
	out     []string    // pieces, with the blanks before them
	primary int         // where the operand begins that the last piece ends; -1: it ends none
	dotted  int         // the operand that a dot continues
	groups  []group     // open brackets, and CASE
	casts   int         // how many casts in a row the last piece is
	skips   map[int]int // lists that have been written already: where they begin and end
}

// maxDepth bounds brackets in brackets and casts of casts: what is inside is written again
// for each.
const maxDepth = 200

var errTooDeep = wire.Errorf("54001", "the statement is nested too deeply: more than %d levels", maxDepth)

// A group is an open bracket.
type group struct {
	start int    // where an operand begins that ends with the bracket
	open  int    // the bracket's own piece
	end   string // what is written for the closing one
	array bool   // its pieces are elements of a subscript
}

func syntaxError(format string, args ...any) error {
	return wire.Errorf(wire.CodeSyntaxError, format, args...)
}

// translate rewrites a statement for a session of a role in a time zone.
func translate(sql, user, zone string) (string, error) {
	var s lex.Scanner
	if err := s.Scan(sql); err != nil {
		return "", syntaxError("%v", err)
	}
	t := &translator{sql: sql, tokens: s.Tokens, user: user, zone: zone, primary: -1, dotted: -1}
	for t.at < len(t.tokens) {
		if err := t.step(); err != nil {
			return "", err
		}
		if len(t.groups) > maxDepth || t.casts > maxDepth {
			return "", errTooDeep
		}
	}
	return strings.TrimSpace(strings.Join(t.out, "")), nil
}

func (t *translator) is(offset int, word string) bool {
	i := t.at + offset
	return i >= 0 && i < len(t.tokens) && t.tokens[i].Is(t.sql, word)
}

// blank returns what stands before the current token: a blank if there was anything.
func (t *translator) blank() string {
	if t.at == 0 || t.tokens[t.at].Start == t.tokens[t.at-1].End {
		return ""
	}
	return " "
}

// put writes a piece; start is the operand that it ends, or -1.
func (t *translator) put(text string, start int) {
	t.out, t.casts = append(t.out, text), 0
	t.primary, t.dotted = start, -1
}

// operand writes a piece that is an operand by itself.
func (t *translator) operand(text string) { t.put(t.blank()+text, len(t.out)) }

func (t *translator) step() error {
	tok := t.tokens[t.at]
	text := tok.Text(t.sql)
	defer func() { t.at++ }()
	if end, ok := t.skips[t.at]; ok {
		t.at = end
		return nil
	}
	switch tok.Kind {
	case lex.String:
		value, ok := tok.AppendValue(nil, t.sql)
		if !ok || strings.IndexByte(string(value), 0) >= 0 {
			return syntaxError("invalid string %.40s", text)
		}
		t.operand(quoteString(string(value)))
	case lex.Number, lex.Param:
		t.operand(text)
	case lex.OtherString:
		if text[0] != 'x' && text[0] != 'X' {
			return wire.Errorf(wire.CodeFeatureNotSupported, "this is SQLite: it has no strings like %.40s", text)
		}
		t.operand(text)
	case lex.QuotedUnicode:
		return wire.Errorf(wire.CodeFeatureNotSupported, "this is SQLite: it has no names like %.40s", text)
	case lex.Quoted:
		t.name(text)
	case lex.Word:
		return t.word(tok, text)
	case lex.Op:
		return t.operator(text)
	default:
		return t.punct(text)
	}
	return nil
}

// name writes an identifier, which may continue a dotted one.
func (t *translator) name(text string) {
	start := len(t.out)
	if t.dotted >= 0 {
		start = t.dotted
	}
	t.put(t.blank()+text, start)
}

// noOperand are words that end no operand: what stands in brackets behind them is no list
// of arguments, and [ behind them no subscript.
func noOperand(word string) bool {
	switch word {
	case "select", "distinct", "all", "from", "where", "and", "or", "not", "in", "on", "using", "as", "when", "then", "else",
		"values", "returning", "by", "having", "limit", "offset", "union", "except", "intersect", "exists", "between", "like",
		"is", "with", "into", "set", "join", "over", "filter", "any", "some", "collate", "escape", "glob", "regexp", "match", "table", "key", "references", "check", "unique", "default":
		return true
	}
	return false
}

func (t *translator) word(tok lex.Token, text string) error {
	word := strings.ToLower(text)
	if t.dotted >= 0 {
		t.name(text)
		return nil
	}
	switch word {
	case "pg_catalog", "information_schema":
		if !t.is(1, ".") {
			break
		}
		if word == "pg_catalog" {
			t.at++ // the dot
			t.out = append(t.out, " ")
			t.primary = -1
			return nil
		}
		if t.at+2 < len(t.tokens) {
			t.at += 2
			t.put(` "information_schema.`+t.tokens[t.at].Ident(t.sql)+`"`, len(t.out))
			return nil
		}
	case "current_user", "session_user", "current_role":
		if !t.is(1, ".") {
			t.operand(quoteString(t.user))
			return nil
		}
	case "current_schema", "current_catalog":
		if !t.is(1, "(") && !t.is(1, ".") {
			t.operand(map[string]string{"current_schema": "current_schema()", "current_catalog": "current_database()"}[word])
			return nil
		}
	case "array":
		if t.is(1, "[") || t.is(1, "(") && t.is(2, "select") {
			return t.array()
		}
	case "unnest":
		if t.unnest() {
			return nil
		}
	case "operator":
		if t.is(1, "(") {
			return t.namedOperator()
		}
	case "collate":
		return t.collate()
	case "case":
		t.groups = append(t.groups, group{start: len(t.out), open: len(t.out), end: "end"})
	case "end":
		if n := len(t.groups); n > 0 && t.groups[n-1].end == "end" {
			start := t.groups[n-1].start
			t.groups = t.groups[:n-1]
			t.put(" "+text, start)
			return nil
		}
	case "ilike":
		text = "LIKE" // which does not care for case
	}
	if noOperand(word) || word == "case" || word == "ilike" {
		t.put(" "+text, -1)
		return nil
	}
	_ = tok
	t.operand(text)
	return nil
}

// array writes ARRAY[…] or ARRAY(SELECT …).
func (t *translator) array() error {
	t.at++
	start := len(t.out)
	if t.is(0, "[") {
		t.put(" pg_array(", -1)
		t.groups = append(t.groups, group{start: start, open: start, end: ")"})
		return nil
	}
	t.put(" (WITH pg_rows(c) AS (", -1)
	t.groups = append(t.groups, group{start: start, open: start, end: ") SELECT pg_from_json(json_group_array(c)) FROM pg_rows)"})
	return nil
}

// namedOperator reads OPERATOR(pg_catalog.~).
func (t *translator) namedOperator() error {
	t.at += 2
	if t.is(0, "pg_catalog") && t.is(1, ".") {
		t.at += 2
	}
	if !t.is(1, ")") || t.tokens[t.at].Kind != lex.Op {
		return syntaxError("syntax error at OPERATOR")
	}
	op := t.tokens[t.at].Text(t.sql)
	t.at++
	return t.operator(op)
}

// collate drops PostgreSQL's default collation, which is a comparison of bytes here.
func (t *translator) collate() error {
	t.at++
	if t.is(0, "pg_catalog") && t.is(1, ".") {
		t.at += 2
	}
	if t.at >= len(t.tokens) {
		return syntaxError("syntax error at COLLATE")
	}
	switch name := t.tokens[t.at].Ident(t.sql); name {
	case "default":
	case "C", "POSIX":
		t.put(" COLLATE BINARY", t.primary)
	default:
		t.put(" COLLATE "+t.tokens[t.at].Text(t.sql), t.primary)
	}
	return nil
}

func (t *translator) operator(op string) error {
	if strings.ContainsAny(op, "`#?@") {
		return wire.Errorf(wire.CodeFeatureNotSupported, "this is SQLite, and %s is not read as it would: quote names like \"this\"", op)
	}
	binary := t.primary >= 0
	if (op == "=" || op == "<>" || op == "!=") && (t.is(1, "any") || t.is(1, "some") || t.is(1, "all")) && t.is(2, "(") {
		return t.quantified(op)
	}
	switch {
	case op == "::":
		return t.cast()
	case !binary:
	case op == "~":
		op = "REGEXP"
	case op == "!~":
		op = "NOT REGEXP"
	case op == "~*":
		op = "REGEXP '(?i)' ||"
	case op == "!~*":
		op = "NOT REGEXP '(?i)' ||"
	case op == "~~", op == "~~*":
		op = "LIKE"
	case op == "!~~", op == "!~~*":
		op = "NOT LIKE"
	}
	t.put(" "+op+" ", -1)
	return nil
}

// quantified writes x = ANY (…) and x <> ALL (…).
func (t *translator) quantified(op string) error {
	all := t.is(1, "all")
	if all == (op == "=") {
		return wire.Errorf(wire.CodeFeatureNotSupported, "this is SQLite: %s with ALL or ANY is not supported here", op)
	}
	t.at += 2
	words := map[bool]string{false: " IN (", true: " NOT IN ("}[all]
	end := ")"
	if !t.is(1, "select") && !t.is(1, "values") {
		words, end = words+"SELECT value FROM json_each(pg_elements(", ")))"
	}
	start := len(t.out)
	t.put(words, -1)
	t.groups = append(t.groups, group{start: start, open: start, end: end})
	return nil
}

func (t *translator) punct(text string) error {
	switch text {
	case "(":
		if t.namedColumns() {
			return nil
		}
		start := len(t.out)
		if t.primary >= 0 {
			start = t.primary // a function's name
		}
		t.groups = append(t.groups, group{start: start, open: len(t.out), end: ")"})
		t.put(t.blank()+"(", -1)
	case "[":
		if t.primary < 0 {
			return syntaxError("syntax error at [: quote names like \"this\"")
		}
		start := t.primary
		inner := strings.Join(t.out[start:], "")
		t.out = append(t.out[:start], " pg_element("+strings.TrimSpace(inner)+",")
		t.primary = -1
		t.groups = append(t.groups, group{start: start, open: start, end: ")", array: true})
	case ")", "]":
		n := len(t.groups)
		if n == 0 || t.groups[n-1].end == "end" {
			return syntaxError("syntax error at %s", text)
		}
		g := t.groups[n-1]
		t.groups = t.groups[:n-1]
		t.put(g.end, g.start)
	case ".":
		start := t.primary
		t.put(".", -1)
		t.dotted = start
		if start < 0 {
			t.dotted = len(t.out) - 1
		}
	case ";":
		return syntaxError("syntax error at ;")
	default:
		if text != "," && text != ":" {
			return syntaxError("syntax error at %s", text)
		}
		t.put(text, -1)
	}
	return nil
}

// cast writes operand::type as a call of the function that converts to the type.
func (t *translator) cast() error {
	if t.primary < 0 {
		return syntaxError("syntax error at ::")
	}
	start := t.primary
	operand := strings.TrimSpace(strings.Join(t.out[start:], ""))
	t.at++
	name, args, err := t.typeName()
	if err != nil {
		return err
	}
	if name == "timestamptz" && t.zone != "UTC" {
		operand += "," + quoteString(t.zone)
	}
	call, err := castCall(name, operand, args)
	if err != nil {
		return err
	}
	t.out = append(t.out[:start], " "+call)
	t.primary = start
	t.casts++
	return nil
}

// typeName reads a type; t.at is at its last token then.
func (t *translator) typeName() (name, args string, err error) {
	if t.is(0, "pg_catalog") && t.is(1, ".") {
		t.at += 2
	}
	if t.at >= len(t.tokens) || t.tokens[t.at].Kind != lex.Word && t.tokens[t.at].Kind != lex.Quoted {
		return "", "", syntaxError("syntax error at ::")
	}
	name = t.tokens[t.at].Ident(t.sql)
	if t.tokens[t.at].Kind == lex.Quoted {
		name = `"` + name + `"`
	}
	if t.is(1, "precision") || t.is(1, "varying") {
		t.at++
		name += " " + t.tokens[t.at].Ident(t.sql)
	}
	if t.is(1, "(") {
		from := t.at + 2
		for t.at++; t.at < len(t.tokens) && !t.is(0, ")"); t.at++ {
		}
		if t.at >= len(t.tokens) {
			return "", "", syntaxError("syntax error at the end")
		}
		for _, tok := range t.tokens[from:t.at] {
			if tok.Kind != lex.Number && !tok.Is(t.sql, ",") {
				return "", "", syntaxError("syntax error at %s", tok.Text(t.sql))
			}
			args += tok.Text(t.sql)
		}
	}
	if (t.is(1, "with") || t.is(1, "without")) && t.is(2, "time") && t.is(3, "zone") {
		if t.is(1, "with") {
			name += "tz"
		}
		t.at += 3
	}
	for t.is(1, "[") && t.is(2, "]") {
		t.at += 2
		name += "[]"
	}
	return name, args, nil
}

// quoteString writes a string as both write it.
func quoteString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// castCall returns the call that converts an operand to a type.
func castCall(name, operand, args string) (string, error) {
	if f, ok := castFunctions()[name]; ok {
		if args == "" || strings.HasPrefix(name, "time") {
			return fmt.Sprintf("%s(%s)", f, operand), nil
		}
		return fmt.Sprintf("%s(%s,%s)", f, operand, args), nil
	}
	literal := strings.HasPrefix(operand, "'") || strings.HasPrefix(operand, "$")
	switch name {
	case "regclass", "regtype", "regnamespace", "regrole", "regproc", "regprocedure", "regoper", "regoperator":
		if literal { // compared with an OID
			return fmt.Sprintf("pg_to_%s(%s)", name, operand), nil
		}
		return fmt.Sprintf("pg_%s(%s)", name, operand), nil
	}
	if strings.HasSuffix(name, "[]") {
		return fmt.Sprintf("pg_text(%s)", operand), nil
	}
	return "", wire.Errorf(wire.CodeUndefinedObject, "this is SQLite: there is no cast to type %s", name)
}
