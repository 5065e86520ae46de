package scatter

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// simple answers a Query message: a string of statements, each routed by itself, which are
// one transaction unless they say otherwise.
func (s *Session) simple(ctx context.Context, sql string) error {
	err := s.one(ctx, sql)
	if errors.Is(err, route.ErrSeveral) {
		var parts []string
		if parts, err = splitText(sql); err == nil {
			s.rest, s.restPart = parts, true
			return s.proceed(ctx)
		}
	}
	if err == nil && s.copying != nil {
		return nil // it is answered when the data have come
	}
	return s.answered(ctx, err)
}

// one runs a statement that is a string by itself.
func (s *Session) one(ctx context.Context, sql string) error {
	q := &request{sql: sql}
	d := &s.decision
	if err := s.decide(ctx, d, q); err != nil {
		return err
	}
	return s.run(ctx, d, q)
}

func splitText(sql string) ([]string, error) {
	ranges, err := route.Split(sql)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range ranges {
		out = append(out, sql[r.From:r.To])
	}
	return out, nil
}

// proceed runs the statements that are left of a string.
func (s *Session) proceed(ctx context.Context) error {
	for len(s.rest) > 0 {
		sql := s.rest[0]
		s.rest = s.rest[1:]
		if s.tx.none() && len(s.rest) > 0 && !endsBlock(sql) {
			if _, err := s.implicitly(); err != nil {
				return s.answered(ctx, err)
			}
		}
		if err := s.one(ctx, sql); err != nil {
			return s.answered(ctx, err)
		}
		if s.copying != nil {
			return nil // what is left waits for its end
		}
	}
	return s.answered(ctx, nil)
}

// endsBlock reports whether a statement is one that a transaction of several statements
// need not be begun for.
func endsBlock(sql string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(strings.ToLower(sql)), " ")
	switch strings.TrimRight(word, ";") {
	case "begin", "start", "commit", "end", "rollback", "abort", "vacuum":
		return true
	}
	return false
}

// answered ends a Query message.
func (s *Session) answered(ctx context.Context, err error) error {
	s.rest, s.restPart = nil, false
	if broken(err) {
		return err
	}
	if err = s.finishImplicit(ctx, err); err != nil {
		if broken(err) {
			return err
		}
		s.fail(err)
	}
	return s.ready()
}

// run carries out a routed statement of the simple protocol, or one that is answered by
// us, and writes its answer.
func (s *Session) run(ctx context.Context, d *route.Decision, q *request) error {
	if err := s.admit(d, q.sql); err != nil {
		return err
	}
	if handled, err := s.control(ctx, d, q); handled || err != nil {
		return err
	}
	if err := s.lockOutside(d, q); err != nil {
		return err
	}
	for _, n := range d.Plan.Notices {
		if err := s.notice(wire.SeverityWarning, wire.CodeWarning, n); err != nil {
			return err
		}
	}
	s.started(d)
	s.noteLookups(d, q.sql)
	s.routed = s.explain(d, q.sql)
	if shard, ok := s.own(d); ok && d.Plan.Class != route.CopyIn {
		if err := s.forward(ctx, d, q, shard); err != nil {
			return err
		}
		return s.after(ctx, d, q)
	}
	if d.Plan.Class == route.CopyIn {
		return s.copyIn(ctx, d, q)
	}
	if d.Plan.Class == route.CopyOut {
		return s.copyOut(ctx, d, q)
	}
	if alone(d, q.sql) && s.tx.none() {
		return s.inTurn(ctx, d, q)
	}
	began := false
	if d.Plan.Write {
		var err error
		if began, err = s.implicitly(); err != nil {
			return err
		}
	}
	a, err := s.execute(ctx, d, q)
	if err == nil {
		err = s.reply(ctx, a, true, 0)
	}
	if began && !s.restPart {
		err = s.finishReply(ctx, err)
	} else if err == nil {
		err = s.complete()
	}
	if err != nil {
		return err
	}
	return s.after(ctx, d, q)
}

// lockOutside refuses LOCK outside of a transaction block, as the server would if it were not
// in one of ours (RequireTransactionBlock).
func (s *Session) lockOutside(d *route.Decision, q *request) error {
	if d.Plan.Class == route.Utility && !s.tx.block && !s.restPart && firstWord(q.sql) == "lock" {
		return wire.Errorf(wire.CodeNoActiveSQLTransaction, "LOCK TABLE can only be used in transaction blocks")
	}
	return nil
}

// started takes down that the transaction has begun on a server.
func (s *Session) started(d *route.Decision) {
	if s.tx.open() && !s.state.Started {
		s.state.Started, s.state.OnReplica = true, d.Role == route.Replica
	}
}

// admit refuses everything but the end of a failed transaction.
func (s *Session) admit(d *route.Decision, sql string) error {
	if !s.tx.failed || d.Plan.Class == route.Empty {
		return nil
	}
	if d.Plan.Class == route.Transaction {
		switch firstWord(sql) {
		case "commit", "end", "rollback", "abort":
			return nil
		}
	}
	return wire.Errorf(wire.CodeInFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
}

// execute runs a statement that concerns several shards, or more than one step.
func (s *Session) execute(ctx context.Context, d *route.Decision, q *request) (*answer, error) {
	switch {
	case explained(d.Plan):
		return s.explainQuery(ctx, d, q)
	case len(d.Steps) > 0:
		return s.steps(ctx, d, q)
	case d.Locking != nil:
		return s.lockFirst(ctx, d, q)
	case d.Plan.Feed != nil && d.FeedSelect != "":
		return s.feed(ctx, d, q)
	case d.Plan.Move != nil && d.SQL != "":
		return s.move(ctx, d, q)
	case d.Replay:
		return s.replay(ctx, d, q)
	case d.Plan.Vacancy != nil:
		if err := s.vacant(ctx, d); err != nil {
			return nil, err
		}
	}
	return s.gather(ctx, d, q)
}

// reply writes an answer, but for its CommandComplete, which [Session.complete] writes: a
// write is not complete before it is committed.
func (s *Session) reply(ctx context.Context, a *answer, describe bool, limit uint64) error {
	if describe && a.rows {
		if err := s.send(&wire.RowDescription{Fields: a.fields}); err != nil {
			a.stop(err)
			return err
		}
	}
	for n := uint64(0); limit == 0 || n < limit; n++ {
		body, err := a.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := s.raw(wire.TypeDataRow, body); err != nil {
			a.stop(err)
			return err
		}
	}
	tag, err := a.tag()
	s.scratch = append(s.scratch[:0], tag...)
	return err
}

// complete writes the CommandComplete of the last reply.
func (s *Session) complete() error {
	if err := s.explained(s.routed); err != nil {
		return err
	}
	return s.send(&wire.CommandComplete{Tag: string(s.scratch)})
}

// finishReply commits the transaction that one statement needed, and then says that it is
// complete.
func (s *Session) finishReply(ctx context.Context, err error) error {
	if broken(err) {
		return err
	}
	if err = s.finishImplicit(ctx, err); err != nil {
		return err
	}
	return s.complete()
}

// forward sends a statement to one shard and its answer back.
func (s *Session) forward(ctx context.Context, d *route.Decision, q *request, shard int) error {
	l, err := s.acquireAlone(ctx, shard, d.Role)
	if err != nil {
		return err
	}
	l.wrote = l.wrote || d.Plan.Write
	sql, _, rewritten := textFor(d, q, shard)
	if err := l.query(sql); err != nil {
		return err
	}
	if err := l.push(); err != nil {
		return err
	}
	l.running = true
	var failure error
	for {
		typ, body, err := l.next()
		if err != nil {
			if failure != nil && !broken(err) {
				return failure
			}
			return err
		}
		switch typ {
		case wire.TypeReadyForQuery:
			l.rest()
			if status := wire.TxStatus(body[0]); status != wire.TxIdle && s.tx.none() {
				l.dead = true // somebody has begun a transaction behind our back
			}
			return failure
		case wire.TypeErrorResponse:
			failure = l.errorOf(body)
			if rewritten {
				failure = unplaced(failure)
			}
			if l.dead {
				return failure
			}
		default:
			if typ == wire.TypeCommandComplete {
				if err := s.explained(s.routed); err != nil {
					return err
				}
			}
			if err := s.raw(typ, body); err != nil {
				return err
			}
		}
	}
}

// after does what must follow a statement.
func (s *Session) after(ctx context.Context, d *route.Decision, q *request) error {
	s.observe(d, q)
	if !d.Plan.ReloadSchema {
		return nil
	}
	if s.tx.open() {
		s.tx.reload, s.tx.stale = true, true
		return nil
	}
	s.told = s.ex.reload(ctx)
	return nil
}

// alone reports whether a statement cannot run in a transaction block
// (PreventInTransactionBlock in xact.c and its callers).
func alone(d *route.Decision, sql string) bool {
	if d.Plan.Class != route.DDL && d.Plan.Class != route.Utility {
		return false
	}
	words := strings.Fields(strings.ToLower(sql))
	has := func(w string) bool {
		for _, x := range words {
			if strings.Trim(x, "();,") == w {
				return true
			}
		}
		return false
	}
	two := ""
	if len(words) > 1 {
		two = words[0] + " " + words[1]
	}
	switch {
	case has("concurrently"):
		return true
	case strings.HasPrefix(two, "vacuum"), two == "alter system", two == "checkpoint":
		return true
	case two == "create database", two == "drop database", two == "create tablespace", two == "drop tablespace", two == "drop subscription", two == "create subscription":
		return true
	case two == "reindex database", two == "reindex system", two == "reindex schema", words[0] == "cluster" && len(words) < 3:
		return true
	}
	return false
}

// inTurn runs a statement on one shard after the other, outside of a transaction.
func (s *Session) inTurn(ctx context.Context, d *route.Decision, q *request) error {
	var done []int
	tag := ""
	for _, shard := range d.Targets() {
		l, err := s.acquire(ctx, shard, d.Role)
		if err == nil {
			tag, err = l.exec(q.sql)
		}
		if err != nil {
			if broken(err) || len(done) == 0 {
				return err
			}
			e := *wire.AsError(err)
			e.Detail = strings.TrimSpace(e.Detail + " The statement, which cannot run in a transaction, has been carried out on shards " + join(done) + " and has failed on shard " + join([]int{shard}) + ".")
			return &e
		}
		done = append(done, shard)
	}
	if err := s.send(&wire.CommandComplete{Tag: tag}); err != nil {
		return err
	}
	return s.after(ctx, d, q)
}
