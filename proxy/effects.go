package proxy

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/setting"
)

// effectArgs are the parameters of a statement that its effects refer to, by number.
type effectArgs struct {
	number int
	value  string
	null   bool
}

// An op is something that a transaction has done to the session and that counts once it has
// committed.
type op struct {
	kind        effect.Kind // Set, Reset, ResetAll; Listen, Unlisten; Pin, for PinSet; Savepoint
	name, value string
}

// asks looks at what a text will do before it is sent: whatever pins does so even if the
// statement fails half-way.
func (s *session) asks(t *effect.Text) {
	if s.ears != nil {
		s.ears.flushed = false
	}
	for i := range t.Effects {
		switch e := &t.Effects[i]; e.Kind {
		case effect.Pin:
			s.pin(e.Name)
		case effect.Listen:
			if !s.sharesListen() {
				s.pin(effect.PinListen)
			}
		case effect.Prepare:
			s.pin(effect.PinSQL)
		case effect.Unknown:
			if s.server != nil {
				s.server.Unknown = true
			}
		}
	}
}

// did notes what a statement of a text has done, once the server has said so.
func (s *session) did(t *effect.Text, n int, args *[]effectArgs) {
	for i := range t.Effects {
		if e := &t.Effects[i]; e.Statement == n {
			s.apply(e, args)
		}
	}
}

func (s *session) apply(e *effect.Effect, args *[]effectArgs) {
	switch e.Kind {
	case effect.Set, effect.Reset:
		s.pending = append(s.pending, op{e.Kind, e.Name, e.Value})
	case effect.ResetAll:
		s.pending = append(s.pending, op{kind: e.Kind})
	case effect.SetParams:
		s.setParams(e, args)
	case effect.Savepoint:
		if len(s.pending) > 0 {
			s.pending = append(s.pending, op{kind: e.Kind, name: e.Name})
		}
	case effect.RollbackTo:
		s.rollbackTo(e.Name)
	case effect.Release:
		// Its changes belong to the transaction, or to the savepoint around it, now.
		for i := len(s.pending) - 1; i >= 0; i-- {
			if o := &s.pending[i]; o.kind == effect.Savepoint && o.name == e.Name {
				s.pending = append(s.pending[:i], s.pending[i+1:]...)
				break
			}
		}
	case effect.DiscardAll:
		s.pending = s.pending[:0]
		s.want = s.startup
		s.server.Have, s.server.Unknown = setting.Set{}, false
		s.forgetStatements()
		s.server.Statements.Clear()
		s.server.Unnamed = 0
		s.dropUnnamed()
		s.pinned, s.unsaid = "", false
		s.deafen()
		s.probe = false
		s.resync = s.startup.Len() > 0
	case effect.Deallocate:
		if e.Name == "" {
			s.forgetStatements()
			s.server.Statements.Clear()
		} else if _, there := s.real[e.Name]; there { // by the extended protocol
			delete(s.real, e.Name)
			if st := s.names[e.Name]; st != nil {
				delete(s.names, e.Name)
				s.p.statements.release(st)
			}
		}
		s.probe = true
	case effect.Listen:
		if s.sharesListen() {
			s.pending = append(s.pending, op{kind: e.Kind, name: e.Name})
		}
	case effect.Unlisten:
		if s.ears != nil {
			s.pending = append(s.pending, op{kind: e.Kind, name: e.Name})
		}
		s.probe = true
	case effect.Pin:
		if e.Name == effect.PinSet {
			s.pending = append(s.pending, op{kind: e.Kind})
		}
	case effect.Unpin:
		s.probe = true
	}
}

// setParams is set_config with parameters.
func (s *session) setParams(e *effect.Effect, args *[]effectArgs) {
	unclear := args == nil
	value := func(at int, text string) (string, bool) {
		if at == 0 || unclear {
			return text, false
		}
		for _, a := range *args {
			if a.number == at {
				return a.value, a.null
			}
		}
		unclear = true
		return "", false
	}
	name, noName := value(e.NameAt, e.Name)
	text, null := value(e.ValueAt, strings.TrimPrefix(e.Value, "\x01"))
	local, noLocal := value(e.LocalAt, "f")
	if unclear {
		s.pin(effect.PinSet)
		s.pending = append(s.pending, op{kind: effect.Pin})
		return
	}
	if noName || noLocal || strings.HasPrefix(strings.ToLower(local), "t") || local == "1" || local == "\x01" || strings.EqualFold(local, "on") || strings.EqualFold(local, "yes") {
		return
	}
	if null {
		s.pending = append(s.pending, op{kind: effect.Reset, name: strings.ToLower(name)})
		return
	}
	s.pending = append(s.pending, op{effect.Set, strings.ToLower(name), effect.Config(text)})
}

// rollbackTo drops what was done since a savepoint. One that is not noted was made before the
// first change.
func (s *session) rollbackTo(name string) {
	for i := len(s.pending) - 1; i >= 0; i-- {
		if o := &s.pending[i]; o.kind == effect.Savepoint && o.name == name {
			s.pending = s.pending[:i+1]
			return
		}
	}
	s.pending = s.pending[:0]
}

// commit makes what the transaction did hold, for the client and for the connection.
func (s *session) commit() {
	for _, o := range s.pending {
		switch o.kind {
		case effect.Listen, effect.Unlisten:
			s.heard(o)
		case effect.Pin:
			s.unsaid = true
		case effect.Set:
			s.want = s.want.With(o.name, o.value)
			if o.name == pinByHand {
				s.pinnedByHand()
			}
			s.server.Have = s.server.Have.With(o.name, o.value)
		case effect.Reset:
			s.server.Have = s.server.Have.Without(o.name)
			s.probe = s.probe || o.name == pinByHand
			if v, ok := s.startup.Get(o.name); ok {
				s.want = s.want.With(o.name, v)
				s.resync = true
			} else {
				s.want = s.want.Without(o.name)
			}
		case effect.ResetAll:
			s.want = keepAuthorization(s.want).Over(s.startup)
			s.server.Have = keepAuthorization(s.server.Have)
			s.resync = s.startup.Len() > 0
		}
	}
	s.pending = s.pending[:0]
}

// keepAuthorization is what RESET ALL leaves.
func keepAuthorization(p setting.Set) (out setting.Set) {
	for _, name := range []string{"role", "session_authorization"} {
		if v, ok := p.Get(name); ok {
			out = out.With(name, v)
		}
	}
	return out
}

// pinByHand is the setting by which a client keeps its connection.
const pinByHand = "pgdog.pin"

// pinnedByHand reports whether the client wants to keep its connection, and sees to it.
func (s *session) pinnedByHand() bool {
	v, ok := s.want.Get(pinByHand)
	switch strings.ToLower(plainValue(v)) {
	case "on", "true", "yes", "t", "y", "1":
		if ok && s.pinned == "" {
			s.pin("SET " + pinByHand)
		}
		return ok
	}
	s.probe = s.pinned != ""
	return false
}

// pin keeps the connection for this client.
func (s *session) pin(why string) {
	s.pins++
	if s.pinned == "" {
		s.pinned = why
	}
}

// probeSQL counts what a session has that no other one may get. Advisory locks that are held
// outside of a transaction are the session's.
const probeSQL = `SELECT (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid())
 + (SELECT count(*) FROM pg_catalog.pg_cursors WHERE is_holdable)
 + (SELECT count(*) FROM pg_catalog.pg_listening_channels())
 + (SELECT count(*) FROM pg_catalog.pg_prepared_statements WHERE from_sql AND NOT pg_catalog.starts_with(name, '` + serverPrefix + `'))
 + (SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema())`

// syncSQL is what makes a connection that has some parameters have others. It is empty if there
// is nothing to do.
func syncSQL(c *pool.Conn, want setting.Set) string {
	if !c.Unknown && c.Have.Same(want) {
		return ""
	}
	var b strings.Builder
	add := func(sql string) {
		b.WriteString(sql)
		b.WriteString(";")
	}
	have := c.Have
	// Who the session is decides what it may set, so that comes first when it goes and last
	// when it comes.
	for _, name := range []string{"role", "session_authorization"} {
		_, has := have.Get(name)
		if !has && !c.Unknown {
			continue
		}
		if name == "role" {
			add("RESET ROLE")
		} else {
			add("RESET SESSION AUTHORIZATION")
		}
		have = have.Without(name)
	}
	if c.Unknown {
		add("RESET ALL")
		have = setting.Set{}
	}
	for _, p := range have.All() {
		if _, ok := want.Get(p.Name); !ok {
			add("RESET " + effect.QuoteName(p.Name))
		}
	}
	for _, p := range want.All() {
		if p.Name == "role" || p.Name == "session_authorization" {
			continue
		}
		if v, ok := have.Get(p.Name); !ok || v != p.Value {
			add(effect.Statement(p))
		}
	}
	for _, name := range []string{"session_authorization", "role"} {
		if v, ok := want.Get(name); ok {
			add(effect.Statement(setting.Param{Name: name, Value: v}))
		}
	}
	return b.String()
}
