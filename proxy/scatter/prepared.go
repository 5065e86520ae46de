package scatter

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/wire"
)

// prepare is SQL's PREPARE: the statement is kept here, and routed when it is executed.
func (s *Session) prepare(ctx context.Context, d *route.Decision, q *request) error {
	name := d.Plan.Word
	if s.prepared[name] != nil || name != "" && s.statements[name] != nil {
		return wire.Errorf(wire.CodeDuplicatePreparedStmt, "prepared statement %q already exists", name)
	}
	w, err := scan(q.sql)
	if err != nil {
		return err
	}
	at, list := 2, ""
	if w.is(at, "(") {
		end := lex.Match(w.sql, w.toks, at)
		list = w.text(at+1, end)
		at = end + 1
	}
	st := &statement{name: name, sql: w.inner(at+1, len(w.toks))}
	if list != "" {
		if st.types, err = s.typeOIDs(ctx, splitList(w, 3, at-1)); err != nil {
			return err
		}
	}
	if err := s.describe(ctx, st); err != nil {
		return err
	}
	s.prepared[name] = st
	return s.tagged("PREPARE")
}

// splitList cuts tokens at the commas outside of parentheses.
func splitList(w words, from, to int) []string {
	var out []string
	depth, start := 0, from
	for i := from; i < to; i++ {
		switch {
		case w.is(i, "(", "["):
			depth++
		case w.is(i, ")", "]"):
			depth--
		case w.is(i, ",") && depth == 0:
			out = append(out, w.text(start, i))
			start = i + 1
		}
	}
	return append(out, w.text(start, to))
}

// typeOIDs asks a server what types are called.
func (s *Session) typeOIDs(ctx context.Context, list []string) ([]uint32, error) {
	if err := s.settle(); err != nil {
		return nil, err
	}
	l, err := s.acquire(ctx, s.sticky, route.Primary)
	if err != nil {
		return nil, err
	}
	var sql strings.Builder
	sql.WriteString("SELECT ")
	for i, t := range list {
		if i > 0 {
			sql.WriteString(", ")
		}
		sql.WriteString("'" + strings.ReplaceAll(t, "'", "''") + "'::pg_catalog.regtype::pg_catalog.oid")
	}
	row, err := l.row(sql.String())
	if err != nil {
		return nil, unplaced(err)
	}
	var out []uint32
	for _, v := range row {
		var oid uint32
		if _, err := fmt.Sscan(string(v), &oid); err != nil {
			return nil, err
		}
		out = append(out, l.oids.client(oid))
	}
	return out, nil
}

// executePrepared is SQL's EXECUTE.
func (s *Session) executePrepared(ctx context.Context, d *route.Decision, q *request) error {
	st := s.prepared[d.Plan.Word]
	if st == nil {
		return noStatement(d.Plan.Word)
	}
	inner, err := s.execution(ctx, d.Plan, st, q)
	if err != nil {
		return err
	}
	var run route.Decision
	if err := s.decide(ctx, &run, inner); err != nil {
		return err
	}
	if err := s.admit(&run, inner.sql); err != nil {
		return err
	}
	s.started(&run)
	began := false
	if shard, ok := s.own(&run); ok {
		run.Any = false
		one := run
		a, err := s.ownAnswer(ctx, &one, inner, shard)
		if err != nil {
			return err
		}
		if err := s.reply(ctx, a, !q.extended, 0); err != nil {
			return err
		}
		return s.complete()
	}
	if run.Plan.Write {
		if began, err = s.implicitly(); err != nil {
			return err
		}
	}
	a, err := s.execute(ctx, &run, inner)
	if err == nil {
		err = s.reply(ctx, a, !q.extended, 0)
	}
	if began && !s.restPart && !q.extended {
		return s.finishReply(ctx, err)
	}
	if err != nil {
		return err
	}
	return s.complete()
}

// execution is the request that EXECUTE of a prepared statement makes.
func (s *Session) execution(ctx context.Context, plan *route.Plan, st *statement, q *request) (*request, error) {
	if err := s.describe(ctx, st); err != nil {
		return nil, err
	}
	w, err := scan(q.sql)
	if err != nil {
		return nil, err
	}
	var args []string
	if w.is(2, "(") {
		if end := lex.Match(w.sql, w.toks, 2); end > 3 {
			args = splitList(w, 3, end)
		}
	}
	if len(args) != len(st.params) {
		e := wire.Errorf(wire.CodeSyntaxError, "wrong number of parameters for prepared statement %q", plan.Word)
		e.Detail = fmt.Sprintf("Expected %d parameters but got %d.", len(st.params), len(args))
		return nil, e
	}
	values, ok := plan.Arguments(q.sql)
	if !ok || len(values) != len(args) {
		if values, err = s.evaluate(ctx, args, st.params, q); err != nil {
			return nil, err
		}
	}
	inner := &request{sql: st.sql, extended: true, types: st.params, values: values, st: st, results: q.results}
	for _, c := range w.hints { // the last one counts
		inner.sql += "\n" + q.sql[c.Start:c.End]
	}
	return inner, nil
}

// ownAnswer runs a request on one shard.
func (s *Session) ownAnswer(ctx context.Context, d *route.Decision, q *request, shard int) (*answer, error) {
	l, err := s.acquire(ctx, shard, d.Role)
	if err != nil {
		return nil, err
	}
	l.wrote = l.wrote || d.Plan.Write
	sql, params, rewritten := textFor(d, q, shard)
	b := &branch{l: l, sql: sql}
	var types []uint32
	if rewritten {
		if types, err = s.described(ctx, q); err != nil {
			return nil, err
		}
		b.params = append([]int{}, params...)
	}
	if err := b.start(q, types, q.results); err != nil {
		return nil, err
	}
	if err := b.header(); err != nil {
		return nil, err
	}
	return &answer{fields: b.fields, rows: b.rows, next: b.Next, tag: func() (string, error) { return b.tag, b.finish() }, stop: b.Stop}, nil
}

// evaluate lets a server compute the arguments of EXECUTE.
func (s *Session) evaluate(ctx context.Context, args []string, types []uint32, q *request) ([][]byte, error) {
	l, err := s.acquire(ctx, s.sticky, route.Primary)
	if err != nil {
		return nil, err
	}
	fields := make([]wire.Field, len(types))
	for i, t := range types {
		fields[i] = wire.Field{TypeOID: t, TypeMod: -1}
	}
	names, err := s.typeNames(l, fields)
	if err != nil {
		return nil, err
	}
	var sql strings.Builder
	sql.WriteString("SELECT ")
	for i, a := range args {
		if i > 0 {
			sql.WriteString(", ")
		}
		sql.WriteString("(" + a + ")::" + names[i])
	}
	sub := &request{sql: sql.String()}
	var d route.Decision
	if err := s.decide(ctx, &d, sub); err != nil {
		return nil, err
	}
	if d.Plan.Class != route.Select {
		return nil, wire.Errorf(wire.CodeSyntaxError, "the arguments of EXECUTE must be expressions")
	}
	a, err := s.source(ctx, &d, sub)
	if err != nil {
		return nil, unplaced(err)
	}
	rows, _, err := s.all(ctx, a)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, wire.Errorf(wire.CodeSyntaxError, "the arguments of EXECUTE gave %d rows", len(rows))
	}
	return rows[0], nil
}

// deallocate is DEALLOCATE and DISCARD.
func (s *Session) deallocate(ctx context.Context, q *request) error {
	w, err := scan(q.sql)
	if err != nil {
		return err
	}
	if w.is(0, "discard") {
		return s.discard(ctx, w)
	}
	at := 1
	if w.is(at, "prepare") && len(w.toks) > 2 {
		at++
	}
	if w.is(at, "all") {
		clear(s.prepared)
		for name := range s.statements {
			if name != "" {
				delete(s.statements, name)
			}
		}
		return s.tagged("DEALLOCATE ALL")
	}
	name := w.ident(at)
	if s.prepared[name] == nil && (name == "" || s.statements[name] == nil) {
		return noStatement(name)
	}
	delete(s.prepared, name)
	delete(s.statements, name)
	return s.tagged("DEALLOCATE")
}

// discard is DISCARD.
func (s *Session) discard(ctx context.Context, w words) error {
	switch {
	case w.is(1, "plans"):
		return s.tagged("DISCARD PLANS")
	case w.is(1, "sequences"):
		return s.tagged("DISCARD SEQUENCES")
	case w.is(1, "temp", "temporary"):
		for _, l := range s.links {
			if l != nil {
				if _, err := l.exec(w.sql); err != nil {
					return err
				}
			}
		}
		return s.tagged("DISCARD TEMP")
	case !w.is(1, "all"):
		return wire.Errorf(wire.CodeSyntaxError, "syntax error at or near %q", w.value(1))
	case s.tx.block:
		return wire.Errorf(wire.CodeActiveSQLTransaction, "DISCARD ALL cannot run inside a transaction block")
	}
	if err := s.hush(ctx, ""); err != nil {
		return err
	}
	s.unlisten("")
	clear(s.wrote)
	clear(s.prepared)
	clear(s.cursors)
	for name := range s.statements {
		if name != "" {
			delete(s.statements, name)
		}
	}
	for _, l := range s.links {
		if l != nil {
			if _, err := l.exec("DISCARD ALL"); err != nil {
				return err
			}
			l.conn.Statements().Clear()
			l.settings = nil
		}
	}
	s.pinned = false
	s.settings = s.base
	s.state = route.Session{Hint: route.NoHint()}
	return s.tagged("DISCARD ALL")
}
