package scatter

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// executeMessage is Execute.
func (s *Session) executeMessage(ctx context.Context, m *wire.Execute) error {
	p := s.portals[m.Portal]
	if p == nil {
		return wire.Errorf(wire.CodeInvalidCursorName, "portal %q does not exist", m.Portal)
	}
	switch {
	case p.answer != nil:
		if err := s.settle(); err != nil {
			return err
		}
		return s.executePart(ctx, p, uint64(m.MaxRows))
	case p.link != nil:
		return s.executeMore(p, m.MaxRows)
	case p.complete:
		return s.answer(&wire.CommandComplete{Tag: "SELECT 0"})
	}
	q := &request{sql: p.st.sql, extended: true, types: p.st.types, formats: p.formats, values: p.values, results: p.results, st: p.st}
	if len(q.values) > 0 && anyBinary(q.formats) && !typed(q) {
		// A binary value cannot be read without its type.
		if err := s.describe(ctx, p.st); err != nil {
			return err
		}
	}
	d := &s.decision
	if err := s.decide(ctx, d, q); err != nil {
		return err
	}
	if err := s.admit(d, q.sql); err != nil {
		return err
	}
	s.started(d)
	s.noteLookups(d, q.sql)
	p.routed = s.explain(d, q.sql)
	for _, n := range d.Plan.Notices {
		if err := s.settle(); err != nil {
			return err
		}
		if err := s.notice(wire.SeverityWarning, wire.CodeWarning, n); err != nil {
			return err
		}
	}
	if shard, ok := s.own(d); ok && direct(d.Plan) {
		return s.executeDirect(ctx, d, q, p, shard, m.MaxRows)
	}
	// All else has the connections for itself.
	if p.describe {
		p.describe = false
		if err := s.describe(ctx, p.st); err != nil {
			return err
		}
		if err := s.answerFields(p.st.fields, p.results); err != nil {
			return err
		}
	}
	if err := s.settle(); err != nil {
		return err
	}
	if err := s.promote(); err != nil {
		return err
	}
	if handled, err := s.control(ctx, d, q); handled || err != nil {
		return err
	}
	if err := s.lockOutside(d, q); err != nil {
		return err
	}
	switch d.Plan.Class {
	case route.CopyIn:
		return s.copyIn(ctx, d, q)
	case route.CopyOut:
		return s.copyOut(ctx, d, q)
	}
	if shard, ok := s.own(d); ok {
		return s.forwardExtended(ctx, d, q, shard)
	}
	if alone(d, q.sql) && s.tx.none() {
		return s.inTurn(ctx, d, q)
	}
	if d.Plan.Write {
		if _, err := s.implicitly(); err != nil {
			return err
		}
	}
	a, err := s.execute(ctx, d, q)
	if err != nil {
		return err
	}
	if err := s.same(ctx, p, a); err != nil {
		a.stop(err)
		return err
	}
	p.answer = a
	if err := s.executePart(ctx, p, uint64(m.MaxRows)); err != nil {
		return err
	}
	return s.after(ctx, d, q)
}

// direct reports whether a plan that one shard carries out can be pipelined.
func direct(p *route.Plan) bool {
	switch p.Class {
	case route.Select, route.Insert, route.Update, route.Delete, route.Merge:
		return true
	}
	return false
}

func anyBinary(formats []wire.Format) bool {
	return slices.Contains(formats, wire.Binary)
}

// typed reports whether all types of a request's parameters are known.
func typed(q *request) bool {
	types := q.types
	if q.st != nil && q.st.params != nil {
		types = q.st.params
	}
	for i := range q.values {
		if i >= len(types) || types[i] == 0 {
			return false
		}
	}
	return true
}

// same checks that the answer has the columns that the client has been told.
func (s *Session) same(ctx context.Context, p *portal, a *answer) error {
	if !p.st.described {
		return nil
	}
	if a.rows != (p.st.fields != nil) || a.rows && len(a.fields) != len(p.st.fields) {
		return wire.Errorf(wire.CodeInternalError, "the shards' answer has other columns than the statement")
	}
	for i, f := range p.st.fields {
		if a.rows && a.fields[i].TypeOID != f.TypeOID {
			return wire.Errorf(wire.CodeInternalError, "column %q of the shards' answer has type %d, not %d", f.Name, a.fields[i].TypeOID, f.TypeOID)
		}
	}
	return nil
}

// executePart sends rows of an answer that several shards make.
func (s *Session) executePart(ctx context.Context, p *portal, limit uint64) error {
	a := p.answer
	for n := uint64(0); limit == 0 || n < limit; n++ {
		if p.pending != nil {
			row := p.pending
			p.pending = nil
			if err := s.raw(wire.TypeDataRow, row); err != nil {
				return err
			}
			continue
		}
		body, err := a.next(ctx)
		if errors.Is(err, io.EOF) {
			p.answer, p.complete = nil, true
			tag, err := a.tag()
			if err != nil {
				return err
			}
			if err := s.explained(p.routed); err != nil {
				return err
			}
			return s.send(&wire.CommandComplete{Tag: tag})
		}
		if err != nil {
			p.answer = nil
			return err
		}
		if err := s.raw(wire.TypeDataRow, body); err != nil {
			a.stop(err)
			return err
		}
	}
	// What is left is kept here, so that the connections are free for other statements.
	if err := s.keep(ctx, p); err != nil {
		return err
	}
	return s.send(&wire.PortalSuspended{})
}

// keep reads the rows that are left of a portal's answer into memory.
func (s *Session) keep(ctx context.Context, p *portal) error {
	a := p.answer
	rows, err := s.store(ctx, a)
	if err != nil {
		p.answer = nil
		return err
	}
	tag, err := a.tag()
	if err != nil {
		p.answer = nil
		return err
	}
	at := 0
	p.answer = &answer{
		fields: a.fields, rows: a.rows,
		next: func(context.Context) ([]byte, error) {
			if at == len(rows) {
				return nil, io.EOF
			}
			at++
			return rows[at-1], nil
		},
		tag:  func() (string, error) { return tag, nil },
		stop: func(error) {},
	}
	return nil
}

// store reads all rows of an answer into memory, up to the limit.
func (s *Session) store(ctx context.Context, a *answer) ([][]byte, error) {
	var rows [][]byte
	left := s.ex.cfg.Memory
	for {
		body, err := a.next(ctx)
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		if left -= len(body) + 32; left < 0 {
			err := wire.Errorf(wire.CodeProgramLimitExceeded, "the rows that are left of a portal over several shards take more memory than is allowed")
			err.Hint = "Fetch all rows at once, narrow the query, or raise the proxy's memory limit for merging."
			a.stop(err)
			return nil, err
		}
		rows = append(rows, append([]byte(nil), body...))
	}
}

// executeDirect sends a statement to the one shard that concerns it; the answer is read
// when something has to wait for it.
func (s *Session) executeDirect(ctx context.Context, d *route.Decision, q *request, p *portal, shard int, limit uint32) error {
	sql, params, rewritten := textFor(d, q, shard)
	oids, formats, values := q.types, q.formats, q.values
	if rewritten && len(q.values) > 0 {
		types, err := s.described(ctx, q)
		if err != nil {
			return err
		}
		if oids, formats, values, err = parameters(q, types, append([]int{}, params...)); err != nil {
			return err
		}
	}
	if s.tx.none() && s.others(shard) {
		// The pipeline goes on on a second shard: all of it is one transaction.
		if err := s.settle(); err != nil {
			return err
		}
		if _, err := s.implicitly(); err != nil {
			return err
		}
	}
	l, err := s.acquireAlone(ctx, shard, d.Role)
	if err != nil {
		return err
	}
	var rows shape
	if l.oids != nil {
		if anyBinary(q.results) {
			if err := s.describe(ctx, p.st); err != nil {
				return err
			}
			rows = l.oids.shapeOf(p.st.fields, func(i int) wire.Format { return wire.FormatAt(q.results, i) })
		}
		types := oids
		if !rewritten && p.st.params != nil {
			types = p.st.params
		}
		if values, err = l.oids.params(types, formats, values); err != nil {
			return err
		}
	}
	name := p.st.server
	if rewritten || name == "" {
		name = ""
		if err := s.expect(l, expect{want: parsed, drop: true}, &wire.Parse{SQL: sql, ParamOIDs: oids}); err != nil {
			return err
		}
	} else {
		known, drop := l.conn.Statements().use(name)
		if drop != "" {
			if err := s.expect(l, expect{want: closed, drop: true}, &wire.Close{Kind: wire.StatementKind, Name: drop}); err != nil {
				return err
			}
		}
		if !known {
			if err := s.expect(l, expect{want: parsed, drop: true, name: name}, &wire.Parse{Name: name, SQL: sql, ParamOIDs: oids}); err != nil {
				return err
			}
		}
	}
	target := ""
	if limit > 0 {
		target = serverPortal(p.name)
		if err := s.expect(l, expect{want: closed, drop: true}, &wire.Close{Kind: wire.PortalKind, Name: target}); err != nil {
			return err
		}
	}
	err = s.expect(l, expect{want: bound, drop: true}, &wire.Bind{Portal: target, Statement: name, ParamFormats: formats, Params: values, ResultFormats: q.results})
	if err != nil {
		return err
	}
	if p.describe {
		p.describe = false
		if err := s.expect(l, expect{want: rowsDescribed, p: p}, &wire.Describe{Kind: wire.PortalKind, Name: target}); err != nil {
			return err
		}
	}
	l.wrote = l.wrote || d.Plan.Write
	p.complete = true
	if limit > 0 {
		p.link = l
	}
	p.shape = rows
	if err := s.expect(l, expect{want: executed, p: p}, &wire.Execute{Portal: target, MaxRows: limit}); err != nil {
		return err
	}
	s.observe(d, q)
	if d.Plan.ReloadSchema {
		if err := s.settle(); err != nil {
			return err
		}
		return s.after(ctx, d, q)
	}
	return s.relieve()
}

// executeMore fetches more rows of a portal of one shard.
func (s *Session) executeMore(p *portal, limit uint32) error {
	if err := s.expect(p.link, expect{want: executed, p: p}, &wire.Execute{Portal: serverPortal(p.name), MaxRows: limit}); err != nil {
		return err
	}
	return s.relieve()
}
