package proxy

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/wire"
)

// plainNames says that the client's names of prepared statements are the server's: it has the
// connection to itself for good. Where statements are judged they are not, since it must be known
// what they stand for.
func (s *session) plainNames() bool {
	return (s.db.Mode == Session || s.db.KeepNames) && !s.db.Router.Advised()
}

// maxNames bounds the prepared statements that one client may have at a time.
const maxNames = 1 << 16

// parse takes a Parse.
func (s *session) parse(m, body, after []byte) error {
	name, rest, ok := bytes.Cut(body, []byte{0})
	end := bytes.IndexByte(rest, 0)
	if !ok || end < 0 {
		return protocolError("invalid string in message")
	}
	if s.db.Mode == Statement && s.p.scanners.opens(string(rest[:end])) {
		if len(name) == 0 {
			s.dropUnnamed()
		}
		return s.forbid(wire.TypeParse, errBlock)
	}
	if s.db.Defer {
		if done, err := s.heldParse(name, rest, end); done {
			return err
		}
	}
	if len(name) == 0 || s.plainNames() {
		return s.parseAsItIs(m, name, rest, end, after)
	}
	st := s.p.statements.intern(rest, s.path(), s.classify)
	if err := s.poaching(&st.text); err != nil {
		s.p.statements.release(st)
		return s.forbid(wire.TypeParse, err)
	}
	hint := st.role
	if s.db.Router.Advised() {
		var err error
		if hint, err = s.judge(st.sql(), &st.text, nil); err != nil {
			s.p.statements.release(st)
			return s.forbid(wire.TypeParse, err)
		}
	}
	if err := s.attach(need{hint: hint, extended: true, after: after}); err != nil {
		s.p.statements.release(st)
		return s.refuse(err)
	}
	s.unsynced = true
	s.server.Pool().Counters.ClientParses.Add(1)
	if runs(&st.text) {
		st.version.Add(1) // what it runs is another one for each client
		s.realize(&st.text)
	}
	if old := s.names[string(name)]; old != nil {
		// The server must say that the name is taken, so it gets one that is.
		s.p.statements.release(st)
		s.ensure(old)
		s.ask(request{kind: askedParse, name: string(name)})
		s.out = appendParse(s.out, old.name, rest)
		return nil
	}
	if len(s.names) >= maxNames {
		s.p.statements.release(st)
		return &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeConfigurationLimit,
			Message: fmt.Sprintf("more than %d prepared statements in one session", maxNames),
		}
	}
	if s.names == nil {
		s.names = map[string]*statement{}
	}
	s.names[string(name)] = st
	r := request{kind: askedParse, name: string(name), stmt: st}
	if s.server.Status != wire.TxFailed && s.there(st) {
		// Closing what is not there has the same answer but for a letter, in the same place; but not in
		// a transaction that has failed, where PostgreSQL prepares nothing but that which ends it.
		r.swap = true
		s.ask(r)
		s.out = appendNamed(s.out, wire.TypeClose, nobody)
		return nil
	}
	s.make(st, r)
	return nil
}

// ownListen ends the path of sessions whose LISTEN is the server's.
const ownListen = "\x00listen"

// path is the session's search_path, as far as it is known, and what else statements depend on.
func (s *session) path() string {
	if !s.sharesListen() {
		return s.searchPath() + ownListen
	}
	return s.searchPath()
}

func (s *session) searchPath() string {
	for i := len(s.pending) - 1; i >= 0; i-- {
		if o := &s.pending[i]; o.name == "search_path" {
			return o.value
		}
	}
	v, _ := s.want.Get("search_path")
	return v
}

// parseAsItIs passes a Parse on under the client's own name.
func (s *session) parseAsItIs(m, name, rest []byte, end int, after []byte) error {
	sql, _ := passingText(rest[:end+1])
	if s.listened() {
		sql = strings.Clone(sql)
	} else if err := s.attach(need{extended: true, after: after}); err != nil {
		return s.refuse(err)
	}
	t, hint := s.classify(sql)
	if len(t.Effects) > 0 {
		sql = strings.Clone(sql) // they are kept
		t, hint = s.classify(sql)
	}
	if err := s.poaching(&t); err != nil {
		s.dropUnnamed()
		return s.forbid(wire.TypeParse, err)
	}
	if s.db.Router.Advised() {
		var err error
		if hint, err = s.judge(sql, &t, nil); err != nil {
			if len(name) == 0 {
				s.dropUnnamed()
			}
			return s.forbid(wire.TypeParse, err)
		}
	}
	if err := s.attach(need{hint: hint, extended: true, after: after}); err != nil {
		return s.refuse(err)
	}
	if len(name) == 0 && len(t.Effects) > 0 && s.sharesListen() {
		if other := unlistened(sql, &t); other != sql {
			rest = append([]byte(other), rest[len(sql):]...)
			m = appendParse(nil, "", rest)
		}
	}
	s.unsynced = true
	s.sample(sql)
	s.realize(&t)
	r := request{kind: askedParse, name: string(name)}
	if len(name) == 0 {
		if s.unnamed == nil {
			s.unnamed = &unnamed{}
		}
		u := s.unnamed
		u.id = s.p.unnamed.Add(1)
		u.msg, u.text, u.role = append(u.msg[:0], rest...), t, hint
		s.server.Unnamed = u.id
		r.unnamed = true
	}
	s.ask(r)
	s.out = append(s.out, m...)
	return nil
}

// classify says what a text does and where it may run.
func (s *session) classify(sql string) (effect.Text, roleHint) {
	t := s.p.scanners.scan(sql)
	return t, s.hint(sql, &t)
}

// make has the server prepare a statement that is not there, or may not be; r is whose answer that is.
func (s *session) make(st *statement, r request) {
	c := s.server
	version := st.version.Load()
	if has, stale := c.Statements.Use(st.id, version); has || stale {
		s.drop(st.id, st.name)
		r.again = true
	} else if c.Statements.Len() >= c.Pool().Config().Statements {
		if id, ok := c.Statements.Oldest(); ok {
			s.drop(id, serverName(id))
			c.Pool().Counters.Evictions.Add(1)
		}
	} else if id, ok := c.Statements.Expired(s.asked); ok {
		s.drop(id, serverName(id))
		c.Pool().Counters.Evictions.Add(1)
	}
	c.Statements.Add(st.id, version)
	c.Pool().Counters.Parses.Add(1)
	r.kind, r.stmt, r.added, r.version = askedParse, st, true, version
	if st.ofSQL() {
		s.runMaker(st.prepareSQL(st.name), r)
		return
	}
	s.ask(r)
	s.out = st.appendParse(s.out)
}

// drop has the server forget a statement.
func (s *session) drop(id uint64, name string) {
	s.server.Statements.Remove(id)
	s.server.Pool().Counters.Closes.Add(1)
	s.ask(request{kind: askedClose, drop: true, removed: true, stmt: &statement{id: id}})
	s.out = appendNamed(s.out, wire.TypeClose, name)
}

// named takes a Describe or Close.
func (s *session) named(typ wire.Type, m, body, after []byte) error {
	kind := askedDescribe
	if typ == wire.TypeClose {
		kind = askedClose
	}
	if len(body) < 2 || body[len(body)-1] != 0 {
		return protocolError("invalid string in message")
	}
	name := string(body[1 : len(body)-1])
	statementKind := wire.Kind(body[0]) == wire.StatementKind
	if s.db.Defer {
		if done, err := s.heldNamed(typ, wire.Kind(body[0]), []byte(name)); done {
			return err
		}
	}
	st := s.names[name]
	n := need{extended: true, after: after}
	if statementKind && st != nil {
		n.hint = st.role
	} else if statementKind && name == "" && s.unnamed != nil {
		n.hint = s.unnamed.role
	}
	if err := s.attach(n); err != nil {
		return s.refuse(err)
	}
	s.unsynced = true
	r := request{kind: kind, name: name}
	switch {
	case !statementKind || s.plainNames():
		if !statementKind && typ == wire.TypeClose {
			delete(s.portals, name)
		}
		s.ask(r)
		s.out = append(s.out, m...)
	case name == "" && typ == wire.TypeClose:
		s.dropUnnamed()
		s.server.Unnamed = 0
		s.ask(r)
		s.out = append(s.out, m...)
	case name == "":
		target := ""
		if s.unnamedID() == 0 {
			target = nobody
		} else {
			s.ensureUnnamed()
		}
		s.ask(r)
		s.out = appendNamed(s.out, typ, target)
	case typ == wire.TypeClose:
		// Others may use it: only this client lets go of it. A name that it did not give
		// may be one of PREPARE.
		target := name
		if foreign(name) {
			target = nobody
		}
		if st != nil {
			target = nobody
			delete(s.names, name)
			s.p.statements.release(st)
		}
		s.ask(r)
		s.out = appendNamed(s.out, typ, target)
	case st != nil:
		s.ensure(st)
		r.stmt = st
		s.ask(r)
		s.out = appendNamed(s.out, typ, st.name)
	case foreign(name):
		s.ask(r)
		s.out = appendNamed(s.out, typ, nobody)
	default:
		s.ask(r)
		s.out = append(s.out, m...)
	}
	return nil
}
