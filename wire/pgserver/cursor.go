package pgserver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Cursors is Middleware that answers DECLARE … CURSOR FOR, FETCH, MOVE and CLOSE: the query
// after FOR goes to the handler inside, which runs as far as is fetched, exactly as for a
// portal with a row limit. Cursors move forward only and live as long as their transaction;
// WITH HOLD, SCROLL and binary cursors are errors.
func Cursors(h Handler) Handler {
	c := &cursors{}
	c.commands = commands{inner: h, parse: c.parse}
	return c
}

type cursors struct{ commands }

func (c *cursors) parse(s *Session, sql string) (*command, error) {
	l := &lexer{sql: sql}
	switch t := l.word(); {
	case t.is("declare"):
		return c.declare(s, l, sql)
	case t.is("fetch"), t.is("move"):
		return c.fetch(s, l, sql, t.is("move"))
	case t.is("close"):
		name, ok := l.lastName()
		if !ok {
			return nil, syntaxError(sql)
		}
		return done("CLOSE CURSOR", func(s *Session) error {
			if name == "all" {
				s.conn.dropPortals(func(n string) bool { return s.conn.portals[n].cursor == nil })
				return nil
			}
			if _, err := s.cursor(name); err != nil {
				return err
			}
			s.conn.dropPortal(name)
			return nil
		}), nil
	}
	return nil, nil
}

func (c *cursors) declare(_ *Session, l *lexer, sql string) (*command, error) {
	name, ok := l.word().name()
	if !ok {
		return nil, syntaxError(sql)
	}
	unsupported := ""
	for t := l.word(); !t.is("for"); t = l.word() {
		switch {
		case t.kind == tokEnd:
			return nil, syntaxError(sql)
		case t.is("no"):
			l.word() // NO SCROLL is what there is
		case t.is("scroll"), t.is("binary"):
			unsupported = strings.ToUpper(t.text)
		case t.is("with"):
			unsupported = "WITH HOLD"
		case t.is("without"), t.is("hold"), t.is("insensitive"), t.is("asensitive"), t.is("cursor"):
		default:
			return nil, syntaxError(sql)
		}
		if t.is("without") {
			unsupported = ""
			l.word()
		}
	}
	query := strings.TrimSpace(l.rest())
	if query == "" {
		return nil, syntaxError(sql)
	}
	if unsupported != "" {
		return nil, wire.Errorf(wire.CodeFeatureNotSupported, "cursors with %s are not supported here", unsupported)
	}
	return &command{run: func(w ResponseWriter, q *Query) error {
		s := q.Session
		if s.TxStatus() == wire.TxIdle {
			return wire.Errorf(wire.CodeNoActiveSQLTransaction, "DECLARE CURSOR can only be used in transaction blocks")
		}
		if s.conn.portals[name] != nil {
			return wire.Errorf(wire.CodeDuplicateCursor, "cursor %q already exists", name)
		}
		if over(len(s.conn.portals)+1, s.conn.srv.MaxPortals, DefaultMaxPortals) {
			return wire.Errorf(wire.CodeConfigurationLimit, "too many portals: %d", len(s.conn.portals))
		}
		st := &statement{sql: query}
		if p, ok := find[Preparer](c.inner); ok {
			var err error
			if st.prep, err = p.Prepare(q.Context(), s, query, nil); err != nil {
				return err
			}
		}
		p := &portal{name: name, stmt: st, cursor: &cursor{name: name, inner: c.inner}}
		if st.prep != nil {
			p.cursor.columns = st.prep.Columns()
		} else if cols, err := describeBy(s, c.inner, query); err != nil {
			return err
		} else {
			p.cursor.columns = cols
		}
		if p.cursor.columns == nil {
			return wire.Errorf("42P11", "cursor %q must be of a query that returns rows", name)
		}
		s.conn.portals[name] = p
		return w.Complete("DECLARE CURSOR")
	}}, nil
}

// describeBy asks a handler for the columns of a statement.
func describeBy(s *Session, h Handler, sql string) ([]Column, error) {
	st := &statement{sql: sql}
	err := s.conn.learn(st, h)
	return st.columns, err
}

// A cursor is a portal that SQL fetches from.
type cursor struct {
	name    string
	inner   Handler
	columns []Column
	task    *task
	sink    *sink
	ended   bool
}

func (s *Session) cursor(name string) (*cursor, error) {
	if p := s.conn.portals[name]; p != nil && p.cursor != nil {
		return p.cursor, nil
	}
	return nil, wire.Errorf(wire.CodeInvalidCursorName, "cursor %q does not exist", name)
}

// fetch reads FETCH [NEXT | FORWARD] [n | ALL] [FROM | IN] name.
func (c *cursors) fetch(s *Session, l *lexer, sql string, move bool) (*command, error) {
	limit := uint64(1)
	t := l.word()
	if t.is("next") || t.is("forward") {
		t = l.word()
	}
	if slices.ContainsFunc([]string{"prior", "first", "last", "absolute", "relative", "backward"}, t.is) {
		return nil, wire.Errorf("55000", "cursor can only scan forward")
	}
	if t.text == "-" {
		return nil, wire.Errorf("55000", "cursor can only scan forward")
	}
	none := false
	if t.is("all") {
		limit, t = 0, l.word()
	} else if n, err := strconv.ParseUint(t.text, 10, 31); err == nil {
		limit, none, t = n, n == 0, l.word()
	}
	if t.is("from") || t.is("in") {
		t = l.word()
	}
	name, ok := t.name()
	if !ok || l.word().kind != tokEnd {
		return nil, syntaxError(sql)
	}
	if move {
		return &command{run: func(w ResponseWriter, q *Query) error {
			n, err := q.Session.fetchInto(name, nil, limit, none)
			if err != nil {
				return err
			}
			return w.Complete(fmt.Sprintf("MOVE %d", n))
		}}, nil
	}
	cur, err := s.cursor(name)
	if err != nil {
		return nil, err
	}
	return &command{columns: cur.columns, run: func(w ResponseWriter, q *Query) error {
		n, err := q.Session.fetchInto(name, w, limit, none)
		if err != nil {
			return err
		}
		return w.Complete(fmt.Sprintf("FETCH %d", n))
	}}, nil
}

// fetchInto lets the cursor's handler send up to limit rows to w; nil drops them.
func (s *Session) fetchInto(name string, w ResponseWriter, limit uint64, none bool) (uint64, error) {
	cur, err := s.cursor(name)
	if err != nil || cur.ended || none {
		return 0, err
	}
	if cur.task == nil {
		cur.start(s)
	}
	cur.sink.to, cur.sink.sent = w, 0
	outer := s.conn.current.Load()
	finished, err := cur.task.fetch(limit)
	s.conn.current.Store(outer)
	cur.ended = finished
	if err != nil {
		if cause := cur.task.run.err(); cause != nil {
			return 0, cause
		}
		return 0, err
	}
	return cur.sink.sent, nil
}

func (c *cursor) start(s *Session) {
	conn := s.conn
	run := &running{parent: conn.run.parent, started: conn.watch}
	q := &Query{SQL: conn.portals[c.name].stmt.sql, Session: s, run: run}
	c.sink = &sink{cursor: c}
	serve := c.inner.ServeQuery
	if prep := conn.portals[c.name].stmt.prep; prep != nil {
		serve = prep.Query
	}
	w := &response{c: conn, q: q, run: run} // for its limit and silence only
	c.task = startTask(conn, w, run, func() error {
		return conn.guard(func() error { return serve(c.sink, q) })
	})
	c.sink.w = w
	conn.portals[c.name].task = c.task
}

// sink is the ResponseWriter of a cursor's handler: its rows go to whoever fetches.
type sink struct {
	cursor *cursor
	w      *response
	to     ResponseWriter
	sent   uint64
	open   bool
}

func (k *sink) check() error {
	if k.w.silent {
		return ErrPortalClosed
	}
	return k.w.run.err()
}

func (k *sink) Columns(cols ...Column) error {
	if !sameTypes(cols, k.cursor.columns) {
		return wire.Errorf(wire.CodeFeatureNotSupported, "cached plan must not change result type")
	}
	k.open = true
	return k.check()
}

func (k *sink) send(row func(ResponseWriter) error) error {
	if err := k.check(); err != nil {
		return err
	}
	if k.to != nil {
		if err := row(k.to); err != nil {
			return err
		}
	}
	k.sent++
	if k.w.limit > 0 && k.sent == k.w.limit {
		return k.w.suspend()
	}
	return nil
}

func (k *sink) Row(values ...any) error {
	return k.send(func(w ResponseWriter) error { return w.Row(values...) })
}

func (k *sink) RawRow(values [][]byte) error {
	return k.send(func(w ResponseWriter) error { return w.RawRow(values) })
}

func (k *sink) EncodeRow(r RowEncoder) error {
	return k.send(func(w ResponseWriter) error { return w.EncodeRow(r) })
}

func (k *sink) Formats() []wire.Format {
	if k.to == nil {
		return make([]wire.Format, len(k.cursor.columns))
	}
	return k.to.Formats()
}

func (k *sink) Complete(string) error { return k.check() }

func (k *sink) Notice(n *wire.Error) error {
	if k.to == nil {
		return nil
	}
	return k.to.Notice(n)
}

func (k *sink) CopyIn(CopyFormat, int) (*CopyReader, error)  { return nil, noCopy() }
func (k *sink) CopyOut(CopyFormat, int) (*CopyWriter, error) { return nil, noCopy() }
func (k *sink) CopyBoth() (*CopyConn, error)                 { return nil, noCopy() }

func noCopy() error { return wire.Errorf(wire.CodeFeatureNotSupported, "a cursor cannot COPY") }
