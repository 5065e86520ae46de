package proxy

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// hint says where a text may run, if there is a choice at all, whoever sends it: statements are
// shared. Whatever cannot be read, or changes the session, is for the primary.
func (s *session) hint(sql string, t *effect.Text) roleHint {
	r := s.db.Router
	if r == nil {
		return roleHint{}
	}
	if r.Advised() || t.Statements != 1 || len(t.Effects) > 0 { // judge says it
		return roleHint{known: true, role: route.Primary}
	}
	st := route.Session{Hint: route.NoHint()}
	var d route.Decision
	if err := r.Route(&d, sql, &st, nil); err != nil {
		return roleHint{known: true, role: route.Primary}
	}
	if s.db.Defer && (d.Plan.Class == route.Set || d.Plan.Word == "transaction" || setsConfig(sql)) {
		return roleHint{known: true, role: route.Primary} // a setting is not what the transaction is about
	}
	return roleHint{known: true, role: d.Role}
}

// setsConfig says that a text may call set_config, whose word begins with a letter of ASCII.
func setsConfig(sql string) bool {
	const name = "set_config"
	for i := 0; i+len(name) <= len(sql); i++ {
		if (sql[i] == 's' || sql[i] == 'S') && strings.EqualFold(sql[i:i+len(name)], name) {
			return true
		}
	}
	return false
}

// plainValue is what the value of a setting says, quotes or not.
func plainValue(v string) string {
	if len(v) > 0 && v[0] == 1 {
		return v[1:]
	}
	if len(v) > 1 && v[0] == '\'' {
		return v[1 : len(v)-1]
	}
	return v
}

// role decides where the transaction that begins now will run. A replica has to be right for
// all of an extended series: one that has not come whole goes to the primary.
func (s *session) role(n need) route.Role {
	if s.db.Router == nil || s.db.Mode == Session {
		return route.Primary
	}
	if v, ok := s.want.Get("pgdog.role"); ok {
		h := route.NoHint()
		if _, err := h.Set("pgdog.role", plainValue(v)); err == nil && h.HasRole {
			return h.Role
		}
	}
	if !n.hint.known || s.serializable() {
		return route.Primary
	}
	if n.hint.role == route.Primary || !n.extended {
		return n.hint.role
	}
	rest := n.after
	for len(rest) >= wire.HeaderLen {
		size := 1 + int(uint32(rest[1])<<24|uint32(rest[2])<<16|uint32(rest[3])<<8|uint32(rest[4]))
		if size < wire.HeaderLen || size > len(rest) {
			break
		}
		body := rest[wire.HeaderLen:size]
		switch wire.Type(rest[0]) {
		case wire.TypeSync:
			return n.hint.role
		case wire.TypeParse:
			sql, _ := textOfParse(body)
			if h := s.hintOfParse(body); h.role != n.hint.role && !s.neutral(sql) {
				return route.Primary
			}
		case wire.TypeBind:
			_, rest, _ := cut(body)
			name, _, _ := cut(rest)
			if h := s.hintOfBind(body); h.known && h.role != n.hint.role && (len(name) == 0 || !s.neutral(s.prepared(name))) {
				return route.Primary
			}
		case wire.TypeDescribe, wire.TypeExecute, wire.TypeClose, wire.TypeFlush:
		default:
			return route.Primary
		}
		rest = rest[size:]
	}
	return route.Primary
}

// neutral says that a statement of the series goes wherever the held transaction does.
func (s *session) neutral(sql string) bool {
	if s.held == nil {
		return false
	}
	c, ok := s.p.scanners.control(sql)
	return ok && c.Kind != effect.Begin && c.Kind != effect.SetTransaction && !c.Chain
}

// serializable says that the session's transactions are, unless they say otherwise, what a server in
// recovery refuses to run (0A000).
func (s *session) serializable() bool {
	v, ok := s.want.Get("default_transaction_isolation")
	return ok && strings.EqualFold(plainValue(v), "serializable")
}

func (s *session) hintOfParse(body []byte) roleHint {
	sql, ok := textOfParse(body)
	if !ok {
		return roleHint{role: route.Primary}
	}
	_, h := s.classify(sql)
	return h
}

func (s *session) hintOfBind(body []byte) roleHint {
	_, rest, _ := cut(body)
	name, _, ok := cut(rest)
	if !ok {
		return roleHint{known: true, role: route.Primary}
	}
	if st := s.names[string(name)]; st != nil {
		return st.role
	}
	return roleHint{} // of a Parse in the same series
}
