package pgserver

import (
	"errors"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A statement is a prepared statement of a session.
type statement struct {
	name   string
	sql    string
	empty  bool
	params []uint32
	prep   Stmt // of a Preparer, or nil

	known   bool // columns holds
	columns []Column
}

// extended answers one extended message; an error makes the session skip to Sync.
func (c *conn) extended(m wire.FrontendMessage) error {
	switch m := m.(type) {
	case *wire.Parse:
		return c.parse(m)
	case *wire.Bind:
		return c.bind(m)
	case *wire.Describe:
		return c.describe(m)
	case *wire.Execute:
		return c.execute(m)
	case *wire.Close:
		return c.closeNamed(m)
	case *wire.Flush:
		c.mustFlush = true
		return c.w.Flush()
	}
	return errors.New("pgserver: a message that is none of the extended protocol")
}

func (c *conn) parse(m *wire.Parse) error {
	if err := errors.Join(checkText(m.Name), checkText(m.SQL)); err != nil {
		return err
	}
	if m.Name == "" {
		c.closeStatement("")
	} else if c.stmts[m.Name] != nil {
		return wire.Errorf(wire.CodeDuplicatePreparedStmt, "prepared statement %q already exists", m.Name)
	} else if over(len(c.stmts)+1, c.srv.MaxStatements, DefaultMaxStatements) {
		return wire.Errorf(wire.CodeConfigurationLimit, "too many prepared statements: %d", len(c.stmts))
	}
	st := &statement{name: m.Name, sql: m.SQL}
	if c.srv.WholeStrings {
		st.empty = isEmpty(m.SQL)
	} else {
		first := ""
		for s := range Statements(m.SQL) {
			if first != "" {
				return wire.Errorf(wire.CodeSyntaxError, "cannot insert multiple commands into a prepared statement")
			}
			first = s
		}
		st.sql, st.empty = first, first == ""
	}
	if !st.empty {
		if err := c.prepare(st, m.ParamOIDs); err != nil {
			return err
		}
	}
	c.stmts[m.Name] = st
	return c.w.Send(&wire.ParseComplete{})
}

func (c *conn) prepare(st *statement, hints []uint32) error {
	hints = append([]uint32(nil), hints...) // the message's memory is used again
	if h, ok := find[Preparer](c.srv.Handler); ok {
		c.begin(&c.run)
		defer c.run.finish()
		err := c.guard(func() (err error) {
			st.prep, err = h.Prepare(c.run.context(), c.sess, st.sql, hints)
			return err
		})
		if err != nil {
			if cause := c.run.err(); cause != nil {
				return cause
			}
			return err
		}
	}
	if st.prep != nil {
		st.params = append([]uint32(nil), st.prep.Params()...)
		st.columns, st.known = st.prep.Columns(), true
	} else {
		st.params = make([]uint32, max(len(hints), parameters(st.sql)))
		copy(st.params, hints)
	}
	for i, oid := range st.params {
		if oid == 0 || oid == pgtype.UnknownOID {
			st.params[i] = pgtype.TextOID
		}
	}
	return nil
}

func (c *conn) statement(name string) (*statement, error) {
	if st := c.stmts[name]; st != nil {
		return st, nil
	}
	if name == "" {
		return nil, wire.Errorf(wire.CodeInvalidSQLStatementName, "unnamed prepared statement does not exist")
	}
	return nil, wire.Errorf(wire.CodeInvalidSQLStatementName, "prepared statement %q does not exist", name)
}

func (c *conn) bind(m *wire.Bind) error {
	st, err := c.statement(m.Statement)
	if err != nil {
		return err
	}
	if n := len(m.ParamFormats); n > 1 && n != len(m.Params) {
		return wire.Errorf(wire.CodeProtocolViolation, "bind message has %d parameter formats but %d parameters", n, len(m.Params))
	}
	if len(m.Params) != len(st.params) {
		return wire.Errorf(wire.CodeProtocolViolation, "bind message supplies %d parameters, but prepared statement %q requires %d", len(m.Params), st.name, len(st.params))
	}
	if m.Portal == "" {
		c.dropPortal("")
	} else if c.portals[m.Portal] != nil {
		return wire.Errorf(wire.CodeDuplicateCursor, "cursor %q already exists", m.Portal)
	} else if over(len(c.portals)+1, c.srv.MaxPortals, DefaultMaxPortals) {
		return wire.Errorf(wire.CodeConfigurationLimit, "too many portals: %d", len(c.portals))
	}
	values, err := args(m.Params, m.ParamFormats, st.params, c.sess)
	if err != nil {
		return err
	}
	for _, f := range m.ResultFormats {
		if err := checkFormat(f); err != nil {
			return err
		}
	}
	if n := len(m.ResultFormats); st.known && n > 1 && n != len(st.columns) {
		return wire.Errorf(wire.CodeProtocolViolation, "bind message has %d result formats but query has %d columns", n, len(st.columns))
	}
	c.portals[m.Portal] = &portal{
		name: m.Portal, stmt: st, args: values,
		formats: append([]wire.Format(nil), m.ResultFormats...),
	}
	return c.w.Send(&wire.BindComplete{})
}

func (c *conn) describe(m *wire.Describe) error {
	var st *statement
	var formats []wire.Format
	switch m.Kind {
	case wire.StatementKind:
		var err error
		if st, err = c.statement(m.Name); err != nil {
			return err
		}
		if err := c.w.Send(&wire.ParameterDescription{OIDs: st.params}); err != nil {
			return err
		}
	case wire.PortalKind:
		p, err := c.portal(m.Name)
		if err != nil {
			return err
		}
		if p.cursor != nil {
			return c.w.Send(rowDescription(p.cursor.columns, make([]wire.Format, len(p.cursor.columns))))
		}
		st, formats = p.stmt, p.formats
	default:
		return wire.Errorf(wire.CodeProtocolViolation, "invalid DESCRIBE message subtype %d", byte(m.Kind))
	}
	if err := c.learnColumns(st); err != nil {
		return err
	}
	if st.columns == nil {
		return c.w.Send(&wire.NoData{})
	}
	if n := len(formats); n > 1 && n != len(st.columns) {
		return wire.Errorf(wire.CodeProtocolViolation, "bind message has %d result formats but query has %d columns", n, len(st.columns))
	}
	each := make([]wire.Format, len(st.columns))
	for i := range each {
		each[i] = wire.FormatAt(formats, i)
	}
	return c.w.Send(rowDescription(st.columns, each))
}

// learnColumns asks a handler that is no Preparer for a statement's columns.
func (c *conn) learnColumns(st *statement) error {
	if st.known || st.empty {
		return nil
	}
	c.begin(&c.run)
	defer c.run.finish()
	return c.learn(st, c.srv.Handler)
}

func (c *conn) learn(st *statement, h Handler) error {
	q := &Query{SQL: st.sql, Name: st.name, Session: c.sess, DescribeOnly: true, run: &c.run}
	w := &response{c: c, q: q, run: &c.run, extended: true, describing: true}
	err := c.guard(func() error { return h.ServeQuery(w, q) })
	if err != nil && !errors.Is(err, ErrDescribeOnly) {
		return c.ended(w, err)
	}
	st.columns, st.known = w.described, true
	return nil
}

func (c *conn) closeNamed(m *wire.Close) error {
	switch m.Kind {
	case wire.StatementKind:
		c.closeStatement(m.Name)
	case wire.PortalKind:
		c.dropPortal(m.Name)
	default:
		return wire.Errorf(wire.CodeProtocolViolation, "invalid CLOSE message subtype %d", byte(m.Kind))
	}
	return c.w.Send(&wire.CloseComplete{})
}

// closeStatement drops a statement; portals made of it live on, as in PostgreSQL.
func (c *conn) closeStatement(name string) bool {
	st := c.stmts[name]
	if st == nil {
		return false
	}
	delete(c.stmts, name)
	c.release(st)
	return true
}

// release closes a statement that nothing uses any more.
func (c *conn) release(st *statement) {
	if c.stmts[st.name] == st {
		return
	}
	for _, p := range c.portals {
		if p.stmt == st {
			return
		}
	}
	if cl, ok := st.prep.(interface{ Close() }); ok && st.prep != nil {
		st.prep = closedStmt{st.prep}
		_ = c.guard(func() error { cl.Close(); return nil })
	}
}

// closedStmt hides the method Close of a statement that has been closed.
type closedStmt struct{ Stmt }
