package pgserver

import (
	"context"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A command is a statement that middleware answers itself.
type command struct {
	columns []Column // nil: no rows
	run     func(w ResponseWriter, q *Query) error
}

// commands is a Handler that answers some statements and hands on the others.
type commands struct {
	inner Handler
	// parse returns the command that a statement is, or nil if it is another handler's.
	parse func(s *Session, sql string) (*command, error)
}

// Unwrap returns the handler inside.
func (h *commands) Unwrap() Handler { return h.inner }

// ServeQuery answers the command, or hands it on.
func (h *commands) ServeQuery(w ResponseWriter, q *Query) error {
	c, err := h.parse(q.Session, q.SQL)
	if err != nil {
		return err
	}
	if c == nil {
		return h.inner.ServeQuery(w, q)
	}
	if c.columns != nil {
		if err := w.Columns(c.columns...); err != nil {
			return err
		}
	} else if q.DescribeOnly {
		return nil
	}
	return c.run(w, q)
}

// Prepare prepares the command, or hands it on if there is a Preparer inside.
func (h *commands) Prepare(ctx context.Context, s *Session, sql string, types []uint32) (Stmt, error) {
	c, err := h.parse(s, sql)
	if err != nil {
		return nil, err
	}
	if c != nil {
		return commandStmt{c, h}, nil
	}
	if p, ok := find[Preparer](h.inner); ok {
		return p.Prepare(ctx, s, sql, types)
	}
	return nil, nil
}

type commandStmt struct {
	c *command
	h *commands
}

func (s commandStmt) Params() []uint32                       { return nil }
func (s commandStmt) Columns() []Column                      { return s.c.columns }
func (s commandStmt) Query(w ResponseWriter, q *Query) error { return s.h.ServeQuery(w, q) }

// done is a command without rows that does something and has a tag.
func done(tag string, f func(s *Session) error) *command {
	return &command{run: func(w ResponseWriter, q *Query) error {
		if err := f(q.Session); err != nil {
			return err
		}
		return w.Complete(tag)
	}}
}

func syntaxError(sql string) error {
	return wire.Errorf(wire.CodeSyntaxError, "syntax error in %q", sql)
}

// Notifications is Middleware that answers LISTEN, UNLISTEN and NOTIFY with the server's
// Broker.
func Notifications(h Handler) Handler {
	return &commands{inner: h, parse: func(_ *Session, sql string) (*command, error) {
		l := &lexer{sql: sql}
		switch t := l.word(); {
		case t.is("listen"):
			name, ok := l.lastName()
			if !ok {
				return nil, syntaxError(sql)
			}
			return done("LISTEN", func(s *Session) error { return s.Listen(name) }), nil
		case t.is("unlisten"):
			target := l.word()
			name, ok := target.name()
			if target.text == "*" {
				name, ok = "", true
			}
			if !ok || l.word().kind != tokEnd {
				return nil, syntaxError(sql)
			}
			return done("UNLISTEN", func(s *Session) error { s.Unlisten(name); return nil }), nil
		case t.is("notify"):
			name, ok := l.word().name()
			payload := ""
			next := l.word()
			if next.text == "," {
				payload, ok = l.word().string()
				next = l.word()
			}
			if !ok || next.kind != tokEnd {
				return nil, syntaxError(sql)
			}
			return done("NOTIFY", func(s *Session) error { return s.Notify(name, payload) }), nil
		}
		return nil, nil
	}}
}

// Settings is Middleware that answers SET, SET LOCAL, RESET and SHOW with the session's
// parameters, and DISCARD ALL and DEALLOCATE. Custom parameters are taken as they come; one
// that nobody has set is an error in SHOW.
func Settings(h Handler) Handler {
	return &commands{inner: h, parse: parseSetting}
}

func parseSetting(s *Session, sql string) (*command, error) {
	l := &lexer{sql: sql}
	switch t := l.word(); {
	case t.is("set"):
		return parseSet(l, sql)
	case t.is("show"):
		return parseShow(s, l, sql)
	case t.is("reset"):
		name, ok := l.setting()
		if !ok {
			return nil, syntaxError(sql)
		}
		if name == "all" {
			name = ""
		}
		return done("RESET", func(s *Session) error { return s.ResetParam(name) }), nil
	case t.is("discard"):
		if !l.word().is("all") {
			return nil, nil
		}
		return done("DISCARD ALL", discardAll), nil
	case t.is("deallocate"):
		t := l.word()
		if t.is("prepare") {
			t = l.word()
		}
		if t.is("all") {
			return done("DEALLOCATE ALL", func(s *Session) error { s.deallocateAll(); return nil }), nil
		}
		name, ok := t.name()
		if !ok {
			return nil, syntaxError(sql)
		}
		return done("DEALLOCATE", func(s *Session) error {
			if !s.Deallocate(name) {
				return wire.Errorf(wire.CodeInvalidSQLStatementName, "prepared statement %q does not exist", name)
			}
			return nil
		}), nil
	}
	return nil, nil
}

func parseSet(l *lexer, sql string) (*command, error) {
	start := l.pos
	local := false
	switch t := l.word(); {
	case t.is("session"):
		if l.word().is("characteristics") {
			return nil, nil
		}
		l.pos = start
		l.word()
	case t.is("local"):
		local = true
	case t.is("transaction"), t.is("constraints"), t.is("role"):
		return nil, nil // not settings
	default:
		l.pos = start
	}
	if l.peek().is("transaction") || l.peek().is("authorization") {
		return nil, nil
	}
	var name string
	var ok bool
	if l.peek().is("time") { // SET TIME ZONE x
		l.word()
		if !l.word().is("zone") {
			return nil, syntaxError(sql)
		}
		name = "TimeZone"
	} else {
		name, ok = l.dotted()
		if eq := l.word(); !ok || eq.text != "=" && !eq.is("to") {
			return nil, syntaxError(sql)
		}
	}
	value, ok := l.values()
	if !ok {
		return nil, syntaxError(sql)
	}
	return done("SET", func(s *Session) error { return s.set(name, value, local) }), nil
}

// set is SetParam with SET LOCAL, whose value ends with the transaction, and with DEFAULT.
func (s *Session) set(name, value string, local bool) error {
	if local && s.TxStatus() == wire.TxIdle {
		return nil // with a warning in PostgreSQL: it has no effect
	}
	old, had := s.Param(name)
	var err error
	if strings.EqualFold(value, "default") {
		err = s.ResetParam(name)
	} else {
		err = s.SetParam(name, value)
	}
	if err != nil || s.TxStatus() == wire.TxIdle {
		return err
	}
	// A rollback takes it back, and so does the end of the transaction if it is local.
	undo := func() {
		if had {
			_ = s.TellParam(name, old) // it was a valid value
		} else {
			delete(s.params.values, spelling(name))
		}
	}
	if local {
		s.atEnd = append(s.atEnd, undo)
	} else {
		s.atRollback = append(s.atRollback, undo)
	}
	return nil
}

func parseShow(s *Session, l *lexer, sql string) (*command, error) {
	name, ok := l.setting()
	if !ok {
		return nil, syntaxError(sql)
	}
	if name == "all" {
		return &command{columns: []Column{Text("name"), Text("setting"), Text("description")}, run: showAll}, nil
	}
	if l := strings.ToLower(name); l == "transaction isolation level" {
		name = "transaction_isolation"
	}
	if _, ok := s.Param(name); !ok {
		return nil, wire.Errorf(wire.CodeUndefinedObject, "unrecognized configuration parameter %q", name)
	}
	return &command{columns: []Column{Text(spelling(name))}, run: func(w ResponseWriter, q *Query) error {
		value, _ := q.Session.Param(name) // empty if it was reset meanwhile
		if err := w.Row(value); err != nil {
			return err
		}
		return w.Complete("SHOW")
	}}, nil
}

func showAll(w ResponseWriter, q *Query) error {
	all := q.Session.Params()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	for _, name := range names {
		if err := w.Row(name, all[name], ""); err != nil {
			return err
		}
	}
	return w.Complete("SHOW")
}

func discardAll(s *Session) error {
	if s.TxStatus() != wire.TxIdle {
		return wire.Errorf(wire.CodeActiveSQLTransaction, "DISCARD ALL cannot run inside a transaction block")
	}
	s.deallocateAll()
	s.Unlisten("")
	return s.ResetParam("")
}

func (s *Session) deallocateAll() {
	for _, name := range s.Statements() {
		s.Deallocate(name)
	}
}

// peek returns the next word without taking it.
func (l *lexer) peek() sqlToken {
	at := l.pos
	defer func() { l.pos = at }()
	return l.word()
}

// lastName reads a name that ends the statement.
func (l *lexer) lastName() (string, bool) {
	name, ok := l.word().name()
	return name, ok && l.word().kind == tokEnd
}

// dotted reads a parameter's name, which may have a dot in it.
func (l *lexer) dotted() (string, bool) {
	name, ok := l.word().name()
	for ok && l.peek().text == "." {
		l.word()
		var more string
		more, ok = l.word().name()
		name += "." + more
	}
	return name, ok
}

// setting reads the name of a parameter to show or reset, to the statement's end.
func (l *lexer) setting() (string, bool) {
	if l.peek().is("time") {
		l.word()
		return "TimeZone", l.word().is("zone") && l.word().kind == tokEnd
	}
	if l.peek().is("transaction") {
		return "transaction isolation level", true
	}
	name, ok := l.dotted()
	return name, ok && l.word().kind == tokEnd
}

// values reads the value of SET: words, strings and numbers with commas between them.
func (l *lexer) values() (string, bool) {
	var out []string
	for {
		t := l.word()
		text, ok := t.string()
		switch {
		case t.kind == tokEnd:
			return "", false
		case ok:
		case t.text == "-" || t.text == "+":
			text = t.text + l.word().text
		case t.kind == tokQuoted:
			text, _ = t.name()
		default:
			text = t.text
		}
		out = append(out, text)
		switch t = l.word(); {
		case t.kind == tokEnd:
			return strings.Join(out, ", "), true
		case t.text != ",":
			return "", false
		}
	}
}

// string returns the value of a string token.
func (t sqlToken) string() (string, bool) {
	if t.kind != tokString || len(t.text) < 2 {
		return "", false
	}
	switch t.text[0] {
	case '\'':
		return strings.ReplaceAll(t.text[1:len(t.text)-1], "''", "'"), true
	case '$':
		tag := strings.IndexByte(t.text[1:], '$') + 2
		if len(t.text) < 2*tag {
			return "", false
		}
		return t.text[tag : len(t.text)-tag], true
	}
	body := t.text[2 : len(t.text)-1] // E'…'
	return string(wire.AppendCopyText(nil, []byte(strings.ReplaceAll(body, "''", "'")))), true
}
