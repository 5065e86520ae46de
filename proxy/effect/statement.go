package effect

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/setting"
)

// statement is one statement that is looked at.
type statement struct {
	sql     string
	tokens  []lex.Token
	n       int
	effects []Effect
}

func (s *statement) add(e Effect) {
	e.Statement = s.n
	s.effects = append(s.effects, e)
	if e.Kind == Set && e.Name == "search_path" && temporaryFirst(e.Value) {
		// From now on tables are temporary though nothing says so where they are created.
		s.effects = append(s.effects, Effect{Kind: Pin, Name: PinSet, Statement: s.n})
	}
}

// temporaryFirst reports whether a search_path begins with the schema of temporary tables.
func temporaryFirst(path string) bool {
	path = strings.TrimLeft(path, "\x01 \t\n'\"")
	return len(path) >= len("pg_temp") && fold(path[:len("pg_temp")], "pg_temp")
}

// is reports whether token i is one of the words.
func (s *statement) is(i int, words ...string) bool {
	if i < 0 || i >= len(s.tokens) {
		return false
	}
	for _, w := range words {
		if s.tokens[i].Is(s.sql, w) {
			return true
		}
	}
	return false
}

// name returns the identifier at token i.
func (s *statement) name(i int) (string, bool) {
	if i >= len(s.tokens) {
		return "", false
	}
	switch t := s.tokens[i]; t.Kind {
	case lex.Word, lex.Quoted:
		return t.Ident(s.sql), true
	}
	return "", false
}

func (s *statement) scan() {
	if len(s.tokens) == 0 {
		return
	}
	switch {
	case s.is(0, "set"):
		s.set(1)
	case s.is(0, "reset"):
		s.reset()
	case s.is(0, "discard"):
		if s.is(1, "all") {
			s.add(Effect{Kind: DiscardAll})
		} else {
			s.add(Effect{Kind: Unpin})
		}
	case s.is(0, "savepoint"):
		s.named(Savepoint, 1)
	case s.is(0, "release"):
		s.named(Release, 1+s.skip(1, "savepoint"))
	case s.is(0, "rollback", "abort"):
		i := 1 + s.skip(1, "work", "transaction")
		if s.is(i, "to") {
			s.named(RollbackTo, i+1+s.skip(i+1, "savepoint"))
		}
	case s.is(0, "declare"):
		s.declare()
	case s.is(0, "close", "drop"):
		s.add(Effect{Kind: Unpin})
	case s.is(0, "listen"):
		if name, ok := s.name(1); ok {
			s.add(Effect{Kind: Listen, Name: name, Start: int(s.tokens[0].Start), End: int(s.tokens[0].End)})
		} else {
			s.add(Effect{Kind: Pin, Name: PinListen})
		}
	case s.is(0, "unlisten"):
		if name, ok := s.name(1); ok {
			s.add(Effect{Kind: Unlisten, Name: name})
		} else {
			s.add(Effect{Kind: Unlisten})
		}
	case s.is(0, "do", "call"):
		s.add(Effect{Kind: Unknown})
	case s.is(0, "prepare") && !s.is(1, "transaction"):
		s.named(Prepare, 1)
		if len(s.effects) > 0 && len(s.tokens) > 2 {
			inner := statement{sql: s.sql, tokens: s.tokens[2:], n: s.n}
			if inner.words(); len(inner.effects) > 0 {
				s.effects[0].Value = Effective
			}
		}
		return // what is prepared is not run
	case s.is(0, "execute"):
		s.named(Execute, 1)
	case s.is(0, "deallocate"):
		i := 1 + s.skip(1, "prepare")
		if s.is(i, "all") {
			s.add(Effect{Kind: Deallocate})
		} else {
			s.named(Deallocate, i)
		}
	case s.is(0, "create"):
		s.create()
	case s.is(0, "explain"):
		s.explain()
	}
	s.words()
}

// skip returns 1 if token i is one of the words, which may be left out.
func (s *statement) skip(i int, words ...string) int {
	if s.is(i, words...) && i+1 < len(s.tokens) {
		return 1
	}
	return 0
}

// named adds an effect with the name at token i.
func (s *statement) named(k Kind, i int) {
	if name, ok := s.name(i); ok {
		s.add(Effect{Kind: k, Name: name, Start: int(s.tokens[i].Start), End: int(s.tokens[i].End)})
	}
}

func (s *statement) declare() {
	for i := 1; i < len(s.tokens) && !s.is(i, "for"); i++ {
		if s.is(i, "with") && s.is(i+1, "hold") {
			s.add(Effect{Kind: Pin, Name: PinCursor})
		}
	}
}

// create finds what is temporary, and EXECUTE at the end of CREATE TABLE AS.
func (s *statement) create() {
	i := 1
	if s.is(i, "or") && s.is(i+1, "replace") {
		i += 2
	}
	i += s.skip(i, "global", "local")
	if s.is(i, "temp", "temporary") {
		for j := i; j+2 < len(s.tokens); j++ {
			if s.is(j, "on") && s.is(j+1, "commit") && s.is(j+2, "drop") {
				return
			}
		}
		s.add(Effect{Kind: Pin, Name: PinTemp})
		i++
	}
	if i += s.skip(i, "unlogged"); !s.is(i, "table") {
		return
	}
	for ; i+2 < len(s.tokens); i++ {
		if s.is(i, "as") && s.is(i+1, "execute") {
			s.named(Execute, i+2)
		}
	}
}

// explain looks at EXPLAIN [(…)] [ANALYZE] [VERBOSE] EXECUTE and CREATE TABLE AS.
func (s *statement) explain() {
	i := 1
	if s.is(i, "(") {
		end := lex.Match(s.sql, s.tokens, i)
		if end < 0 {
			return
		}
		i = end + 1
	}
	i += s.skip(i, "analyze", "analyse")
	i += s.skip(i, "verbose")
	inner := statement{sql: s.sql, tokens: s.tokens[i:], n: s.n}
	switch {
	case inner.is(0, "execute"):
		inner.named(Execute, 1)
	case inner.is(0, "create"):
		inner.create()
	case inner.is(0, "declare"):
		inner.declare()
	}
	s.effects = append(s.effects, inner.effects...)
}

// words finds functions and clauses that matter wherever they stand.
func (s *statement) words() {
	for i, t := range s.tokens {
		switch t.Kind {
		case lex.Word, lex.Quoted:
			s.word(i, t.Ident(s.sql))
		case lex.QuotedUnicode:
			// U&"…" may be the name of anything.
			if s.is(i+1, "(") {
				s.add(Effect{Kind: Pin, Name: PinSet})
			}
		}
	}
}

func (s *statement) word(i int, name string) {
	switch {
	case name == "set_config" && s.is(i+1, "("):
		s.setConfig(i + 1)
	case strings.HasPrefix(name, "pg_advisory_unlock"):
		s.add(Effect{Kind: Unpin})
	case strings.Contains(name, "advisory_xact_"):
	case strings.HasPrefix(name, "pg_advisory_lock") || strings.HasPrefix(name, "pg_try_advisory_lock"):
		s.add(Effect{Kind: Pin, Name: PinLock})
	case name == "into":
		if j := i + 1 + s.skip(i+1, "local", "global"); s.is(j, "temp", "temporary") && !s.is(0, "insert", "merge", "import") {
			s.add(Effect{Kind: Pin, Name: PinTemp})
		}
	case name == "pg_temp" && s.is(i+1, ".") && s.is(0, "create", "select", "with", "explain"):
		s.add(Effect{Kind: Pin, Name: PinTemp})
	case name == settingsView:
		from := i - 1
		if s.is(from, ".") {
			from -= 2
		}
		if s.is(from, "update", "only") { // it has a rule that calls set_config
			s.add(Effect{Kind: Pin, Name: PinSet})
		}
	}
}

// settingsView is the view whose UPDATE sets parameters (system_views.sql).
const settingsView = "pg_settings"

// text is the tokens from i to j as text, without comments.
func (s *statement) text(i, j int) string {
	var b strings.Builder
	for k, t := range s.tokens[i:j] {
		if k > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t.Text(s.sql))
	}
	return b.String()
}

// setConfig reads set_config(name, value, is_local); open is its parenthesis.
func (s *statement) setConfig(open int) {
	end := lex.Match(s.sql, s.tokens, open)
	unclear := func() { s.add(Effect{Kind: Pin, Name: PinSet}) }
	if end < 0 || s.is(0, "create", "alter") {
		return
	}
	var args [][]lex.Token
	depth, from := 0, open+1
	for i := open + 1; i <= end; i++ {
		switch {
		case s.is(i, "(", "["):
			depth++
		case i == end || depth == 0 && s.is(i, ","):
			args = append(args, s.tokens[from:i])
			from = i + 1
		case s.is(i, ")", "]"):
			depth--
		}
	}
	if len(args) != 3 {
		return // the server will refuse it
	}
	var e Effect
	at := [3]*int{&e.NameAt, &e.ValueAt, &e.LocalAt}
	var values [3]string
	params := false
	for i, arg := range args {
		value, number, ok := s.argument(arg)
		if !ok {
			unclear()
			return
		}
		values[i], *at[i] = value, number
		params = params || number > 0
	}
	local := strings.HasPrefix(values[2], "t") || values[2] == "1" || values[2] == "on"
	if e.LocalAt == 0 && local {
		return
	}
	e.Kind, e.Name, e.Value = Set, strings.ToLower(values[0]), Config(values[1])
	if params {
		e.Kind = SetParams
	}
	s.add(e)
}

// argument reads a literal, TRUE or FALSE, or $n, each with a cast or without.
func (s *statement) argument(tokens []lex.Token) (value string, number int, ok bool) {
	if len(tokens) == 3 && tokens[1].Text(s.sql) == "::" {
		tokens = tokens[:1]
	}
	if len(tokens) != 1 {
		return "", 0, false
	}
	switch t := tokens[0]; t.Kind {
	case lex.String:
		if t.Backslash {
			return "", 0, false
		}
		v, ok := t.AppendValue(nil, s.sql)
		return string(v), 0, ok
	case lex.Param:
		for _, c := range t.Text(s.sql)[1:] {
			if number = number*10 + int(c-'0'); number > 65535 {
				return "", 0, false
			}
		}
		return "", number, number > 0
	case lex.Word:
		w := t.Ident(s.sql)
		return w, 0, w == "true" || w == "false"
	}
	return "", 0, false
}

// Config is the Value of a parameter that set_config is to set to text: unlike SET, it takes a
// list as one text.
func Config(text string) string { return "\x01" + text }

// Statement returns the SQL that sets a parameter to the Value of an Effect.
func Statement(p setting.Param) string {
	switch text, config := strings.CutPrefix(p.Value, "\x01"); {
	case config:
		return "SELECT pg_catalog.set_config(" + setting.Quote(p.Name) + ", " + setting.Quote(text) + ", false)"
	case p.Name == "timezone":
		return "SET TIME ZONE " + p.Value
	case p.Name == "session_authorization":
		return "SET SESSION AUTHORIZATION " + p.Value
	case p.Name == "role":
		return "SET ROLE " + p.Value
	case p.Name == "xmloption":
		return "SET XML OPTION " + p.Value
	}
	return "SET " + QuoteName(p.Name) + " TO " + p.Value
}

// QuoteName quotes each part of a parameter's name.
func QuoteName(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}
