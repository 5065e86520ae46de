package scatter

import (
	"context"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// describeMessage is Describe. That of a portal goes along with its Execute, if it can.
func (s *Session) describeMessage(ctx context.Context, m *wire.Describe) error {
	if m.Kind == wire.StatementKind {
		st := s.statements[m.Name]
		if st == nil {
			return noStatement(m.Name)
		}
		if err := s.describe(ctx, st); err != nil {
			return err
		}
		if err := s.answer(&wire.ParameterDescription{OIDs: st.params}); err != nil {
			return err
		}
		return s.answerFields(st.fields, nil)
	}
	p := s.portals[m.Name]
	if p == nil {
		return wire.Errorf(wire.CodeInvalidCursorName, "portal %q does not exist", m.Name)
	}
	if p.st.described && p.st.generation == s.ex.generation.Load() {
		return s.answerFields(p.st.fields, p.results)
	}
	if err := s.undescribed(ctx); err != nil {
		return err
	}
	p.describe = true
	return nil
}

// answerFields answers a Describe.
func (s *Session) answerFields(fields []wire.Field, results []wire.Format) error {
	if fields == nil {
		return s.answer(&wire.NoData{})
	}
	out := append([]wire.Field(nil), fields...)
	for i := range out {
		out[i].Format = wire.FormatAt(results, i)
	}
	return s.answer(&wire.RowDescription{Fields: out})
}

// undescribed answers a Describe whose Execute has not come.
func (s *Session) undescribed(ctx context.Context) error {
	for _, p := range s.portals {
		if !p.describe {
			continue
		}
		p.describe = false
		if err := s.describe(ctx, p.st); err != nil {
			return err
		}
		if err := s.answerFields(p.st.fields, p.results); err != nil {
			return err
		}
	}
	return nil
}

// describe asks a server what a statement's parameters and columns are.
func (s *Session) describe(ctx context.Context, st *statement) error {
	generation := s.ex.generation.Load()
	if st.described && st.generation == generation {
		return nil
	}
	if done, err := s.describeOwn(ctx, st); done || err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	var d route.Decision
	shard := s.sticky
	b := &route.Binding{UniqueID: s.ex.cfg.UniqueID, Lookups: &s.found}
	role := route.Primary
	if err := s.router().Route(&d, st.sql, &s.state, b); err == nil {
		role = d.Role
		if !d.Shards.Has(shard) && d.Shards.Len() > 0 {
			shard = d.Shards.Lowest()
		}
	}
	if d.Plan != nil && d.Plan.Class == route.Cursor {
		if c := s.cursors[d.Plan.Word]; c != nil && c.shard >= 0 && s.links[c.shard] != nil {
			shard, role = c.shard, s.links[c.shard].role
		}
	}
	l, err := s.acquireAlone(ctx, shard, role)
	if err != nil {
		return err
	}
	sql, err := withoutIDs(st.sql)
	if err != nil {
		return err
	}
	for _, m := range []wire.Message{&wire.Parse{SQL: sql, ParamOIDs: st.types}, &wire.Describe{Kind: wire.StatementKind}} {
		if err := l.put(m); err != nil {
			return err
		}
	}
	// Sync would end what a pipeline has begun.
	pipelined := l.unsynced
	if pipelined {
		err = l.put(&wire.Flush{})
	} else {
		err = l.put(&wire.Sync{})
	}
	if err == nil {
		err = l.push()
	}
	if err != nil {
		return err
	}
	l.running = true
	st.fields, st.params = nil, nil
	for {
		typ, body, err := l.next()
		if err != nil {
			return err
		}
		switch typ {
		case wire.TypeErrorResponse:
			failure := l.errorOf(body)
			if l.dead {
				return failure
			}
			if d.Shards.Len() > 1 && !d.Any {
				failure = l.missing(failure, d.Shards.Len())
			}
			if pipelined {
				l.running = false
				return failure // the rest is dropped up to Sync
			}
			if _, err := l.drain(); err != nil && broken(err) {
				return err
			}
			return failure
		case wire.TypeParameterDescription:
			var m wire.ParameterDescription
			if err := m.Decode(body); err != nil {
				return l.lost(err)
			}
			st.params = append([]uint32{}, m.OIDs...)
		case wire.TypeRowDescription, wire.TypeNoData:
			if typ == wire.TypeRowDescription {
				var m wire.RowDescription
				if err := m.Decode(body); err != nil {
					return l.lost(err)
				}
				// Rows may have no column, which is not the same as no rows.
				st.fields = append([]wire.Field{}, m.Fields...)
			}
			st.described, st.generation = true, generation
			if pipelined {
				l.running = false
				return nil
			}
		case wire.TypeReadyForQuery:
			l.rest()
			return nil
		}
	}
}

// describeOwn describes the statements that are the session's own.
func (s *Session) describeOwn(ctx context.Context, st *statement) (bool, error) {
	plan, err := s.router().Prepare(st.sql, &s.state)
	if err != nil {
		return true, err
	}
	w, err := scan(st.sql)
	if err != nil {
		return true, err
	}
	text := func(name string) []wire.Field {
		return []wire.Field{{Name: name, TypeOID: oidText, TypeSize: -1, TypeMod: -1}}
	}
	st.params = []uint32{}
	switch plan.Class {
	case route.Empty, route.Transaction, route.Set, route.Prepare, route.Deallocate, route.CopyIn, route.CopyOut, route.Listen, route.Notify, route.DDL:
		st.fields = nil
	case route.Explain:
		if !plan.RouteOnly {
			return false, nil
		}
		st.fields = text("QUERY PLAN")
	case route.Show:
		if !w.is(1, "pgdog") {
			return false, nil
		}
		st.fields = text("pgdog." + w.ident(3))
	case route.Execute:
		inner := s.prepared[plan.Word]
		if inner == nil {
			return true, noStatement(plan.Word)
		}
		if err := s.describe(ctx, inner); err != nil {
			return true, err
		}
		st.fields = inner.fields
	case route.Cursor:
		st.fields = nil
		if c := s.cursors[plan.Word]; c != nil && w.is(0, "fetch") {
			st.fields = c.fields
			if c.shard >= 0 {
				return false, nil
			}
		} else if !w.is(0, "declare", "move", "close") {
			return true, wire.Errorf(wire.CodeInvalidCursorName, "cursor %q does not exist", plan.Word)
		}
	default:
		return false, nil
	}
	st.described, st.generation = true, s.ex.generation.Load()
	return true, nil
}

// withoutIDs puts a number in place of each call of pgdog.unique_id(), which servers do not
// know, so that the rest can be described.
func withoutIDs(sql string) (string, error) {
	if !containsFold(sql, "unique_id") {
		return sql, nil
	}
	w, err := scan(sql)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	at := 0
	for i := 0; i < len(w.toks); i++ {
		if w.is(i, "pgdog") && w.is(i+1, ".") && w.is(i+2, "unique_id") && w.is(i+3, "(") && w.is(i+4, ")") {
			b.WriteString(sql[at:w.toks[i].Start])
			b.WriteString("0::bigint")
			at = int(w.toks[i+4].End)
			i += 4
		}
	}
	b.WriteString(sql[at:])
	return b.String(), nil
}
