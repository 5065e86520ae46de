package proxy

import (
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/wire"
)

// Statements of PREPARE are shared as those of the protocol are: the proxy has a name of its own
// for each text, and puts that in the place of the client's. In the cache their key is the text of
// PREPARE with a mark where the name stands.
const nameMark = "\x01"

// maker is the name of what makes such a statement within a pipeline.
const maker = serverPrefix + "make"

// ofSQL says that the statement is one of PREPARE.
func (s *statement) ofSQL() bool { return !strings.Contains(s.key, "\x00") }

// prepareSQL is PREPARE under some name.
func (s *statement) prepareSQL(name string) string {
	return strings.Replace(s.key, nameMark, `"`+strings.ReplaceAll(name, `"`, `""`)+`"`, 1)
}

// foreign says that a name is none that a client may give, so that no client reaches another's
// statement by it.
func foreign(name string) bool { return strings.HasPrefix(name, serverPrefix) }

// poaching returns an error for a text that names statements which are not the client's.
func (s *session) poaching(t *effect.Text) error {
	for i := range t.Effects {
		e := &t.Effects[i]
		if !foreign(e.Name) || s.plainNames() {
			continue
		}
		switch e.Kind {
		case effect.Execute, effect.Deallocate:
			return &wire.Error{Code: wire.CodeInvalidSQLStatementName, Message: fmt.Sprintf("prepared statement %q does not exist", e.Name)}
		case effect.Prepare:
			return &wire.Error{Code: wire.Code("42602"), Message: fmt.Sprintf("names of prepared statements that begin with %s are the proxy's own", serverPrefix)}
		}
	}
	return nil
}

// shareable returns the key of a text that is one PREPARE, of a statement that leaves nothing in
// the session; "" for others, which keep their connection.
func (s *session) shareable(sql string, t *effect.Text) (key string) {
	if t.Statements != 1 || len(t.Effects) != 1 || s.plainNames() || len(s.names) >= maxNames {
		return ""
	}
	e := &t.Effects[0]
	trimmed := strings.TrimLeft(sql, " \t\r\n")
	cut := len(sql) - len(trimmed)
	sql = trimmed
	const word = "prepare"
	start, end := e.Start-cut, e.End-cut
	if e.Kind != effect.Prepare || e.Value == effect.Effective || len(sql) < len(word) || !strings.EqualFold(sql[:len(word)], word) ||
		strings.TrimSpace(sql[len(word):start]) != "" {
		return ""
	}
	return sql[:start] + nameMark + sql[end:]
}

// prepareShared takes a PREPARE whose statement is shared.
func (s *session) prepareShared(name, sql, key string) error {
	st := s.p.statements.intern([]byte(key), s.path(), s.classify)
	if err := s.attach(need{}); err != nil {
		s.p.statements.release(st)
		return s.refuseQuery(err)
	}
	s.dropUnnamed()
	s.server.Unnamed = 0
	s.sample(sql)
	s.stats.queries.Add(1)
	s.server.Pool().Counters.Queries.Add(1)
	s.server.Tally.Queries.Add(1)
	r := request{kind: askedQuery, name: name}
	if old := s.names[name]; old != nil {
		// The server must say that the name is taken, so it gets one that is.
		if s.ensure(old) {
			s.syncNow()
		}
		s.ask(r)
		s.appendQuery(st.prepareSQL(old.name))
		s.p.statements.release(st)
		return nil
	}
	if has, stale := s.server.Statements.Use(st.id, st.version.Load()); has || stale {
		s.drop(st.id, st.name)
		s.syncNow()
	}
	if s.names == nil {
		s.names = map[string]*statement{}
	}
	s.names[name] = st
	r.stmt, r.added, r.prepares, r.version = st, true, true, st.version.Load()
	s.server.Statements.Add(st.id, r.version)
	s.ask(r)
	s.appendQuery(st.prepareSQL(st.name))
	return nil
}

// syncNow ends extended messages of the proxy's own before a simple query.
func (s *session) syncNow() {
	s.ask(request{kind: askedSync, drop: true})
	s.out = append(s.out, byte(wire.TypeSync), 0, 0, 0, 4)
}

func (s *session) appendQuery(sql string) {
	s.out = appendHeader(s.out, wire.TypeQuery, len(sql)+1)
	s.out = append(append(s.out, sql...), 0)
}

// runMaker has the server run PREPARE within a pipeline. r is what the server's preparing stands
// for.
func (s *session) runMaker(sql string, r request) {
	r.kind, r.drop = askedParse, true
	s.ask(r)
	s.out = appendParse(s.out, maker, sql+"\x00\x00\x00")
	s.ask(request{kind: askedBind, drop: true})
	s.out = appendHeader(s.out, wire.TypeBind, 2*(len(maker)+1)+6)
	s.out = append(append(s.out, maker...), 0)
	s.out = append(append(s.out, maker...), 0, 0, 0, 0, 0, 0, 0)
	s.ask(request{kind: askedExecute, drop: true})
	s.out = appendHeader(s.out, wire.TypeExecute, len(maker)+1+4)
	s.out = append(append(s.out, maker...), 0, 0, 0, 0, 0)
	for _, kind := range []wire.Kind{wire.PortalKind, wire.StatementKind} {
		s.ask(request{kind: askedClose, drop: true})
		s.out = appendHeader(s.out, wire.TypeClose, len(maker)+2)
		s.out = append(s.out, byte(kind))
		s.out = append(append(s.out, maker...), 0)
	}
}

// realize gives the server the client's own names of statements that a text of the extended
// protocol runs, since that text has them: the connection stays with the client from then on.
func (s *session) realize(t *effect.Text) {
	for i := range t.Effects {
		e := &t.Effects[i]
		st := s.names[e.Name]
		if e.Kind != effect.Execute && e.Kind != effect.Deallocate || st == nil || !st.ofSQL() || s.plainNames() {
			continue
		}
		if _, there := s.real[e.Name]; there {
			continue
		}
		if s.real == nil {
			s.real = map[string]struct{}{}
		}
		s.real[e.Name] = struct{}{}
		s.pin(effect.PinSQL)
		s.runMaker(st.prepareSQL(e.Name), request{})
	}
}

// runs says that a text runs prepared statements by name.
func runs(t *effect.Text) bool {
	for i := range t.Effects {
		if t.Effects[i].Kind == effect.Execute {
			return true
		}
	}
	return false
}
