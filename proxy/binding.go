package proxy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// ensure makes sure that the server has a statement, and reports whether that took a message.
func (s *session) ensure(st *statement) bool {
	if s.there(st) {
		return false
	}
	s.make(st, request{drop: true})
	return true
}

// there says that the server will have a statement when it comes to what is sent now.
func (s *session) there(st *statement) bool {
	has, _ := s.server.Statements.Use(st.id, st.version.Load())
	return has && !s.queue.doubtful(st.id)
}

// ensureUnnamed makes sure that the server's unnamed statement is the client's.
func (s *session) ensureUnnamed() {
	if s.server.Unnamed == s.unnamed.id {
		return
	}
	s.server.Unnamed = s.unnamed.id
	s.ask(request{kind: askedParse, drop: true, unnamed: true})
	s.out = appendParse(s.out, "", s.unnamed.msg)
}

// bind takes a Bind.
func (s *session) bind(m, body, after []byte) error {
	portalName, rest, ok := bytes.Cut(body, []byte{0})
	name, args, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 {
		return protocolError("invalid string in message")
	}
	var st *statement
	n := need{extended: true, after: after}
	if len(name) > 0 {
		if st = s.names[string(name)]; st != nil {
			n.hint = st.role
		}
	} else if s.unnamed != nil {
		n.hint = s.unnamed.role
	}
	if s.db.Router.Advised() {
		var err error
		if n.hint, err = s.judgeBound(st, len(name) == 0, body, n.hint); err != nil {
			return s.forbid(wire.TypeBind, err)
		}
	}
	if s.db.Defer {
		if done, err := s.heldBind(portalName, name, args); done {
			return err
		}
	}
	if err := s.attach(n); err != nil {
		return s.refuse(err)
	}
	s.unsynced = true
	s.server.Pool().Counters.Binds.Add(1)
	if o := s.db.observer.Load(); o != nil {
		s.observe(*o, st, len(name) == 0, body)
	}
	r := request{kind: askedBind, name: string(name)}
	var t *effect.Text
	target := ""
	switch {
	case st != nil:
		if runs(&st.text) {
			s.realize(&st.text)
		}
		s.ensure(st)
		s.sample(st.sql())
		target, r.stmt = st.name, st
		t = &st.text
	case len(name) > 0:
		if target = string(name); foreign(target) && !s.plainNames() {
			target = nobody
		}
	case s.unnamedID() == 0 && !s.plainNames():
		target = nobody // the server's own may be another client's
	default:
		if !s.plainNames() {
			s.ensureUnnamed()
		}
		if s.unnamed == nil {
			break // the server will say so
		}
		if t = &s.unnamed.text; len(t.Effects) > 0 {
			t = &effect.Text{Statements: t.Statements, Effects: t.Effects} // a portal may outlive it
			s.realize(t)
		}
	}
	if len(s.portals) >= maxPortals {
		return &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeConfigurationLimit,
			Message: fmt.Sprintf("more than %d portals at once", maxPortals),
		}
	}
	s.bound(string(portalName), t, args)
	if s.db.Explain {
		s.explains(string(portalName), st, len(name) == 0)
	}
	s.ask(r)
	if target == string(name) {
		s.out = append(s.out, m...)
		return nil
	}
	s.out = appendHeader(s.out, wire.TypeBind, len(body)-len(name)+len(target))
	s.out = append(s.out, portalName...)
	s.out = append(s.out, 0)
	s.out = append(s.out, target...)
	s.out = append(s.out, 0)
	s.out = append(s.out, args...)
	return nil
}

// bound remembers what a portal will do, if that is anything.
func (s *session) bound(name string, t *effect.Text, args []byte) {
	if t == nil || len(t.Effects) == 0 {
		if len(s.portals) > 0 {
			delete(s.portals, name)
		}
		return
	}
	p := portal{text: t}
	for _, e := range t.Effects {
		if e.Kind == effect.SetParams {
			p.args = arguments(t, args)
			break
		}
	}
	if s.portals == nil {
		s.portals = map[string]portal{}
	}
	s.portals[name] = p
}

// closePortals forgets portals that ended with their transaction. While the server is still to bind
// others it may forget none: what is after the next Sync is bound already, here.
func (s *session) closePortals() {
	if len(s.portals) == 0 {
		return
	}
	for i := s.queue.head; i < len(s.queue.items); i++ {
		if s.queue.items[i].kind == askedBind {
			return
		}
	}
	clear(s.portals)
}

// maxPortals bounds the portals whose statements have effects.
const maxPortals = 1 << 12

// explains notes that a portal is an EXPLAIN.
func (s *session) explains(portalName string, st *statement, unnamed bool) {
	sql := ""
	switch {
	case st != nil:
		sql = st.sql()
	case unnamed && s.unnamed != nil:
		text, _, _ := cut(s.unnamed.msg)
		sql = string(text)
	}
	if !route.ExplainsAsText(sql) {
		return
	}
	if s.portals == nil {
		s.portals = map[string]portal{}
	}
	p := s.portals[portalName]
	if p.explains = true; p.text == nil {
		p.text = &effect.Text{}
	}
	s.portals[portalName] = p
}

// whereItRan are the rows that say where an EXPLAIN ran.
func whereItRan(c *pool.Conn) (out []byte) {
	b := c.Pool().Backend()
	role := route.Primary
	if b.Role == pool.Replica {
		role = route.Replica
	}
	lines := append(route.Summary(strconv.Itoa(b.Shard), role, ""), "  Server: "+b.Name)
	for _, l := range lines {
		row, err := wire.Append(out, &wire.DataRow{Values: [][]byte{[]byte(l)}})
		if err != nil {
			return nil
		}
		out = row
	}
	return out
}

// arguments reads the parameters that effects refer to. Text and binary are the same for
// those: strings, and booleans of one byte.
func arguments(t *effect.Text, b []byte) *[]effectArgs {
	wanted := map[int]bool{}
	for _, e := range t.Effects {
		wanted[e.NameAt], wanted[e.ValueAt], wanted[e.LocalAt] = true, true, true
	}
	number := func(size int) int {
		if len(b) < size {
			b = nil
			return -1
		}
		v := 0
		if size == 2 {
			v = int(binary.BigEndian.Uint16(b))
		} else {
			v = int(int32(binary.BigEndian.Uint32(b)))
		}
		b = b[size:]
		return v
	}
	out := []effectArgs{}
	for range max(0, number(2)) {
		number(2)
	}
	for i := range max(0, number(2)) {
		n := number(4)
		if n > len(b) {
			return nil
		}
		a := effectArgs{number: i + 1, null: n < 0}
		if n > 0 {
			a.value = string(b[:n])
			b = b[n:]
		}
		if wanted[a.number] {
			out = append(out, a)
		}
	}
	return &out
}
