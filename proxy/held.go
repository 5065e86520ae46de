package proxy

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// With read_write_strategy = aggressive a transaction runs where its first statement says. So the
// proxy answers BEGIN itself, and what else says nothing about tables, until there is a statement
// that does: then the server that this one chooses is told all of it, and the statement after that.
// On any other server than the primary such a transaction is READ ONLY: what it must not write there
// it is told by the server, even by one that is no standby.
//
// Whatever is not one of the few statements that are understood whole goes to the primary, as BEGIN
// does without all this.

// A held is a transaction that no server knows of yet. The session's lock guards it.
type held struct {
	begin  string     // as the client wrote it
	after  []heldStep // what came since, in order
	since  time.Time
	failed bool // until the client has rolled back
	chosen bool // role is the one that the first statement wants
	role   route.Role
}

// A heldStep is SET TRANSACTION, or what makes a savepoint.
type heldStep struct{ sql, savepoint string }

// maxHeld bounds the statements that are held.
const maxHeld = 64

// canHold says that a statement can be done without a server. The lock is held.
func (s *session) canHold(c *effect.Control) bool {
	h := s.held
	if h == nil {
		return c.Kind == effect.Begin && !c.ReadOnly && !c.ReadWrite && !c.Serializable
	}
	switch c.Kind {
	case effect.Commit, effect.Rollback:
		return true
	case effect.RollbackToSavepoint:
		return h.failed || h.find(c.Name) >= 0
	case effect.ReleaseSavepoint:
		return !h.failed && h.find(c.Name) >= 0
	case effect.MakeSavepoint:
		return !h.failed && len(h.after) < maxHeld
	case effect.SetTransaction:
		// What a standby does not take, and what is refused within a savepoint, is for the primary.
		return !h.failed && !c.Serializable && !c.ReadWrite && len(h.after) < maxHeld &&
			!slices.ContainsFunc(h.after, func(x heldStep) bool { return x.savepoint != "" })
	}
	return false
}

// find is where the last savepoint of a name was made; -1: nowhere.
func (h *held) find(savepoint string) int {
	for i, x := range slices.Backward(h.after) {
		if x.savepoint == savepoint {
			return i
		}
	}
	return -1
}

// hold does a statement that can be done without a server, and returns its tag. The lock is held.
func (s *session) hold(c *effect.Control, sql string) (tag string, err error) {
	h := s.held
	switch c.Kind {
	case effect.Begin:
		s.held = &held{begin: strings.Clone(sql), since: s.clock()}
	case effect.Commit, effect.Rollback:
		if tag = c.Tag; h.failed {
			tag = "ROLLBACK"
		}
		if !c.Chain {
			s.letGo()
			return tag, nil
		}
		h.failed, h.chosen, h.since = false, false, s.clock()
		h.after = slices.DeleteFunc(h.after, func(x heldStep) bool { return x.savepoint != "" })
		return tag, nil
	case effect.MakeSavepoint, effect.SetTransaction:
		h.after = append(h.after, heldStep{strings.Clone(sql), c.Name})
	case effect.ReleaseSavepoint:
		h.after = h.after[:h.find(c.Name)]
	case effect.RollbackToSavepoint:
		i := h.find(c.Name)
		if i < 0 {
			return "", &wire.Error{Code: wire.Code("3B001"), Message: `savepoint "` + c.Name + `" does not exist`}
		}
		h.after, h.failed = h.after[:i+1], false
	}
	return c.Tag, nil
}

// letGo ends a transaction that no server has heard of.
func (s *session) letGo() {
	s.held, s.heldPortal = nil, nil
	if s.ears != nil {
		s.rung() // for what came meanwhile
	}
}

// sql is what the server is to be told, which is the primary or not.
func (h *held) sql(primary bool) string {
	var b strings.Builder
	b.WriteString(h.begin)
	if !primary {
		b.WriteString("\n;SET TRANSACTION READ ONLY")
	}
	for _, x := range h.after {
		b.WriteString("\n;") // a comment may have been the end
		b.WriteString(x.sql)
	}
	return b.String()
}

// errAborted is what a failed transaction answers.
func errAborted() error {
	return &wire.Error{Code: wire.CodeInFailedSQLTransaction, Message: "current transaction is aborted, commands ignored until end of transaction block"}
}

// control returns what a text is, if it can be done without a server.
func (s *session) control(sql string) (c effect.Control, ok bool) {
	c, ok = s.p.scanners.control(sql)
	return c, ok && s.canHold(&c)
}

// holding waits for the server connection to be given back, if it is, and says that there is none
// and that transactions are held.
func (s *session) holding() (bool, error) {
	if !s.db.Defer || s.db.Mode != Transaction {
		return false, nil
	}
	if err := s.settled(); err != nil {
		return false, err
	}
	return s.server == nil, nil
}

// heldQuery takes a simple query that needs no server; done is false for others.
func (s *session) heldQuery(sql string, t *effect.Text) (done bool, err error) {
	if ok, err := s.holding(); err != nil || !ok {
		return err != nil, err
	}
	c, ok := s.control(sql)
	h := s.held
	if !ok && (h == nil || !h.failed && t.Statements > 0 || t.Statements > 1) {
		return false, nil
	}
	s.dropUnnamed()
	var out []byte
	switch {
	case ok:
		s.heldNote(sql)
		tag, err := s.hold(&c, sql)
		if err != nil {
			return true, s.refuseQuery(err)
		}
		out, err = wire.Append(nil, &wire.CommandComplete{Tag: tag})
		if err != nil {
			return true, err
		}
	case t.Statements == 0:
		out, _ = wire.Append(nil, &wire.EmptyQueryResponse{})
	default:
		return true, s.refuseQuery(errAborted())
	}
	s.say(out)
	return true, s.ready()
}

// heldNote counts a statement that no server counts.
func (s *session) heldNote(sql string) {
	s.sample(sql)
	s.stats.queries.Add(1)
	s.answered = s.p.instant(s.clock())
}

// say has something said to the client before the next answer of a server, or of the proxy.
func (s *session) say(b []byte) { s.said = append(s.said, b...) }

// speak says it. The lock is not held meanwhile.
func (s *session) speak() error {
	if s.busy == nil || len(s.said) == 0 {
		return nil
	}
	out := s.said
	s.said = nil
	s.mu.Unlock()
	defer s.mu.Lock()
	return s.toClient(out)
}

// heldParse takes a Parse that needs no server; done is false for others.
func (s *session) heldParse(name, rest []byte, end int) (done bool, err error) {
	if ok, err := s.holding(); err != nil || !ok || s.plainNames() {
		return err != nil, err
	}
	sql := string(rest[:end])
	if _, ok := s.control(sql); !ok {
		if s.held != nil && s.held.failed && strings.TrimSpace(sql) != "" {
			return true, s.refuse(errAborted())
		}
		return false, nil
	}
	if len(name) == 0 {
		t, hint := s.classify(sql)
		if s.unnamed == nil {
			s.unnamed = &unnamed{}
		}
		u := s.unnamed
		u.id = s.p.unnamed.Add(1)
		u.msg, u.text, u.role = append(u.msg[:0], rest...), t, hint
	} else {
		if s.names[string(name)] != nil || len(s.names) >= maxNames {
			return false, nil
		}
		if s.names == nil {
			s.names = map[string]*statement{}
		}
		s.names[string(name)] = s.p.statements.intern(rest, s.path(), s.classify)
	}
	s.unsynced = true
	s.say([]byte{byte(wire.TypeParseComplete), 0, 0, 0, 4})
	return true, nil
}

// prepared is the text of a prepared statement of the client's; "" of one that there is not.
func (s *session) prepared(name []byte) string {
	if len(name) > 0 {
		if st := s.names[string(name)]; st != nil && !st.ofSQL() {
			return st.sql()
		}
		return ""
	}
	if s.unnamedID() == 0 {
		return ""
	}
	sql, _, _ := cut(s.unnamed.msg)
	return string(sql)
}

// heldBind takes a Bind that needs no server; done is false for others.
func (s *session) heldBind(portal, name, args []byte) (done bool, err error) {
	if ok, err := s.holding(); err != nil || !ok || s.plainNames() {
		return err != nil, err
	}
	sql := s.prepared(name)
	_, ok := s.control(sql)
	switch {
	case ok && len(portal) == 0 && !bindsParams(args):
		s.heldPortal = &sql
		s.unsynced = true
		s.say([]byte{byte(wire.TypeBindComplete), 0, 0, 0, 4})
		return true, nil
	case s.held != nil && s.held.failed && strings.TrimSpace(sql) != "":
		return true, s.refuse(errAborted())
	}
	return false, nil
}

// bindsParams says that a Bind, after the names, has parameters.
func bindsParams(args []byte) bool {
	if len(args) < 4 {
		return true
	}
	formats := int(args[0])<<8 | int(args[1])
	args = args[2:]
	return len(args) < 2*formats+2 || !bytes.Equal(args[2*formats:2*formats+2], []byte{0, 0})
}

// heldNamed takes a Describe or Close that needs no server; done is false for others.
func (s *session) heldNamed(typ wire.Type, kind wire.Kind, name []byte) (done bool, err error) {
	if ok, err := s.holding(); err != nil || !ok || s.plainNames() {
		return err != nil, err
	}
	failed := s.held != nil && s.held.failed
	switch {
	case typ == wire.TypeClose && (s.held != nil || s.heldPortal != nil):
		switch {
		case kind != wire.StatementKind:
			if len(name) == 0 {
				s.heldPortal = nil
			}
		case len(name) == 0:
			s.dropUnnamed()
		case s.names[string(name)] != nil:
			s.p.statements.release(s.names[string(name)])
			delete(s.names, string(name))
		}
		s.say([]byte{byte(wire.TypeCloseComplete), 0, 0, 0, 4})
	case typ == wire.TypeClose:
		return false, nil
	case kind == wire.PortalKind && len(name) == 0 && s.heldPortal != nil:
		s.say([]byte{byte(wire.TypeNoData), 0, 0, 0, 4})
	default:
		_, ok := s.control(s.prepared(name))
		switch {
		case kind == wire.StatementKind && ok:
			s.say([]byte{byte(wire.TypeParameterDescription), 0, 0, 0, 6, 0, 0, byte(wire.TypeNoData), 0, 0, 0, 4})
		case failed:
			return true, s.refuse(errAborted())
		default:
			return false, nil
		}
	}
	s.unsynced = true
	return true, nil
}

// heldExecute takes an Execute that needs no server; done is false for others.
func (s *session) heldExecute(portal []byte) (done bool, err error) {
	if ok, err := s.holding(); err != nil || !ok {
		return err != nil, err
	}
	if s.heldPortal == nil || len(portal) > 0 {
		if s.held != nil && s.held.failed {
			return true, s.refuse(errAborted())
		}
		return false, nil
	}
	sql := *s.heldPortal
	s.heldPortal = nil
	c, ok := s.control(sql)
	if !ok {
		return true, s.refuse(&wire.Error{Code: wire.Code("34000"), Message: `portal "" does not exist`})
	}
	s.heldNote(sql)
	tag, err := s.hold(&c, sql)
	if err != nil {
		return true, s.refuse(err)
	}
	out, err := wire.Append(nil, &wire.CommandComplete{Tag: tag})
	if err != nil {
		return true, err
	}
	s.unsynced = true
	s.say(out)
	return true, nil
}

// primary says that a connection leads to the server that is the primary now.
func (s *session) primary(c *pool.Conn) bool {
	if c.Pool().Backend().Role == pool.Primary {
		return true
	}
	r, ok := s.db.Servers.(ready)
	return ok && r.Ready(route.Primary) == c.Pool()
}

// unhold begins the held transaction on a connection, which has just been got. It is called with the
// lock held, which it gives up meanwhile. After an error the connection is released.
func (s *session) unhold(c *pool.Conn) error {
	h := s.held
	primary := s.primary(c)
	sql, failed := h.sql(primary), h.failed
	s.mu.Unlock()
	err := setParams(s.context(), c, sql)
	if err == nil && failed {
		// The server knows best what may be done in such a transaction.
		if err = setParams(s.context(), c, unrunnable); c.Status == wire.TxFailed {
			err = nil
		}
	}
	s.mu.Lock()
	switch {
	case err == nil:
		s.aside = !primary
	case c.Broken() || c.Status == wire.TxIdle:
		c.Release()
	default:
		c.Recover(pool.Abandoned{})
	}
	return err
}

// begunOn notes that the session has a connection on which its transaction has begun, if it has one.
func (s *session) begunOn() {
	h := s.held
	if h == nil {
		return
	}
	s.begun, s.held, s.heldPortal = h.since, nil, nil
	if s.tape != nil {
		if m, err := wire.Append(nil, &wire.Query{SQL: h.sql(true)}); err == nil {
			s.tape.keep(step{ready: true}, m)
			s.tape.answered++
		}
	}
}

// hintAside tells a client whose transaction runs beside the primary why it cannot write.
func (s *session) hintAside(e *wire.Error, raw []byte) []byte {
	if !s.aside || e.Code != wire.CodeReadOnlySQLTransaction || e.Hint != "" {
		return raw
	}
	e.Hint = "The transaction runs on a replica, since its first statement reads (read_write_strategy = aggressive). " +
		"Begin it READ WRITE, or with a statement that writes, or set pgdog.role to primary."
	b, err := wire.Append(nil, e.Response())
	if err != nil {
		return raw
	}
	return b
}
