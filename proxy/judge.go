package proxy

import (
	"bytes"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/wire"
)

// judge asks who wants to be asked about a text that is about to run, and returns where it may
// do so. What cannot be told to them is not run.
func (s *session) judge(sql string, t *effect.Text, b *route.Binding) (roleHint, error) {
	primary := roleHint{known: true, role: route.Primary}
	parts, err := route.Split(sql)
	if err != nil {
		return primary, err
	}
	st := route.Session{Hint: route.NoHint(), InTransaction: s.held != nil || s.server != nil && s.server.Status != wire.TxIdle}
	role := route.Primary
	for _, p := range parts {
		var d route.Decision
		if err := s.db.Router.Route(&d, sql[p.From:p.To], &st, b); err != nil {
			return primary, err
		}
		role = d.Role
	}
	if len(parts) != 1 || len(t.Effects) > 0 {
		return primary, nil
	}
	return roleHint{known: true, role: role}, nil
}

// judgeBound judges a statement with its parameters: the one that is bound, or the unnamed one.
// Of another the server will say that it is not there.
func (s *session) judgeBound(st *statement, unnamed bool, bind []byte, hint roleHint) (roleHint, error) {
	var parse []byte
	var text *effect.Text
	switch {
	case st != nil:
		parse, text = []byte(st.key), &st.text
	case unnamed && s.unnamedID() != 0:
		parse, text = s.unnamed.msg, &s.unnamed.text
	default:
		return hint, nil
	}
	b, err := bindingOf(parse, bind)
	if err != nil {
		return hint, err
	}
	sql, _, _ := cut(parse)
	return s.judge(string(sql), text, b)
}

// observe tells of a statement that is bound.
func (s *session) observe(o Observer, st *statement, unnamed bool, bind []byte) {
	switch {
	case st != nil && !st.ofSQL():
		o(st.sql(), []byte(st.key), bind)
	case unnamed && s.unnamedID() != 0:
		sql, _, _ := cut(s.unnamed.msg)
		o(string(sql), s.unnamed.msg, bind)
	}
}

// BindingOf is what a Bind message says of a statement's parameters; parse is the body of its Parse
// message after the name. The values are parts of bind.
func BindingOf(parse, bind []byte) (*route.Binding, error) { return bindingOf(parse, bind) }

// bindingOf is what a Bind message says of a statement's parameters, whose declared types come
// after its text in the Parse message.
func bindingOf(parse, bind []byte) (*route.Binding, error) {
	var m wire.Bind
	if err := m.Decode(bind); err != nil {
		return nil, err
	}
	b := &route.Binding{Values: m.Params}
	if b.Values == nil {
		b.Values = [][]byte{}
	}
	for _, f := range m.ParamFormats {
		b.Formats = append(b.Formats, int16(f))
	}
	if bytes.Contains(parse, []byte{0}) {
		var p wire.Parse
		if err := p.Decode(append([]byte{0}, parse...)); err != nil {
			return nil, err
		}
		for _, t := range p.ParamOIDs {
			b.Types = append(b.Types, hash.OID(t))
		}
	}
	return b, nil
}

// unrunnable is a text that no server runs.
const unrunnable = "refused by the proxy"

// forbid answers a message that is not to run with an error. A server that is in the middle of
// something, of a transaction or of a pipeline, has to fail too: it is given what it cannot run,
// and its error becomes this one.
func (s *session) forbid(typ wire.Type, err error) error {
	if s.server == nil {
		if typ == wire.TypeQuery {
			return s.refuseQuery(err)
		}
		return s.refuse(err)
	}
	r := request{refused: wire.AsError(err)}
	switch typ {
	case wire.TypeQuery:
		r.kind = askedQuery
		s.dropUnnamed()
		s.server.Unnamed = 0
		s.ask(r)
		s.out = appendHeader(s.out, wire.TypeQuery, len(unrunnable)+1)
		s.out = append(append(s.out, unrunnable...), 0)
	case wire.TypeParse:
		r.kind = askedParse
		s.unsynced = true
		s.ask(r)
		s.out = appendParse(s.out, nobody, unrunnable+"\x00\x00\x00")
	default:
		r.kind = askedBind
		s.unsynced = true
		s.ask(r)
		// No portal, the statement that is not there, no formats, no parameters, no formats.
		s.out = appendHeader(s.out, wire.TypeBind, 1+len(nobody)+1+6)
		s.out = append(append(append(s.out, 0), nobody...), 0, 0, 0, 0, 0, 0, 0)
	}
	return nil
}

// instead is the error that a client is told for the server's.
func (r *request) instead() []byte {
	e := *r.refused
	e.Severity = wire.SeverityError
	b, err := wire.Append(nil, e.Response())
	if err != nil {
		b, _ = wire.Append(nil, wire.Errorf(wire.CodeInternalError, "the statement is refused").Response())
	}
	return b
}
