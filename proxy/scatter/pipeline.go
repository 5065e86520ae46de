package scatter

import (
	"context"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// relieve reads answers before too many wait.
func (s *Session) relieve() error {
	bytes := 0
	for _, l := range s.links {
		if l != nil {
			bytes += len(l.buf)
		}
	}
	if len(s.queue) > maxQueue || bytes > maxQueueBytes {
		return s.settle()
	}
	return nil
}

// others reports whether the pipeline has begun on another shard.
func (s *Session) others(shard int) bool {
	for _, l := range s.links {
		if l != nil && l.shard != shard && l.unsynced {
			return true
		}
	}
	return false
}

// promote makes a block of what a pipeline has begun on one shard, before others are used.
func (s *Session) promote() error {
	for _, l := range s.links {
		if l != nil && l.unsynced && s.tx.none() {
			_, err := s.implicitly()
			return err
		}
	}
	return nil
}

// beginInPipeline makes a transaction block of what the connection has executed since the
// last Sync.
func (l *link) beginInPipeline() error {
	for _, m := range []wire.Message{&wire.Parse{SQL: "BEGIN"}, &wire.Bind{}, &wire.Execute{}, &wire.Sync{}} {
		if err := l.put(m); err != nil {
			return err
		}
	}
	if err := l.push(); err != nil {
		return err
	}
	l.running = true
	if _, err := l.drain(); err != nil {
		return err
	}
	l.inTx, l.wrote = true, true
	return nil
}

// expect sends a message along with the others, and takes down what it is answered by.
func (s *Session) expect(l *link, e expect, m wire.Message) error {
	if err := l.put(m); err != nil {
		return err
	}
	l.unsynced = true
	e.l = l
	s.queue = append(s.queue, e)
	return nil
}

// settle reads and passes on all answers that are still to come.
func (s *Session) settle() error {
	if len(s.queue) == 0 {
		return nil
	}
	for _, l := range s.links {
		if l != nil && len(l.buf) > 0 {
			if l.unsynced && !l.synced {
				if err := l.put(&wire.Flush{}); err != nil {
					return err
				}
			}
			if err := l.push(); err != nil {
				return err
			}
		}
	}
	queue := s.queue
	s.queue = s.queue[:0]
	for i := range queue {
		e := &queue[i]
		if e.want == literal {
			b := append(s.out.Buffer(), e.lit...)
			if err := s.out.Commit(b); err != nil {
				return brokenError{err}
			}
			continue
		}
		if err := s.await(e); err != nil {
			for _, rest := range queue[i:] {
				if rest.want == parsed && rest.name != "" {
					rest.l.conn.Statements().forget(rest.name)
				}
				if rest.want == executed && rest.p != nil {
					rest.p.link = nil
				}
			}
			return err
		}
	}
	return nil
}

// await reads one answer.
func (s *Session) await(e *expect) error {
	for {
		typ, body, err := e.l.next()
		if err != nil {
			return err
		}
		done := false
		switch typ {
		case wire.TypeErrorResponse:
			return e.l.errorOf(body)
		case wire.TypeParseComplete:
			done = e.want == parsed
		case wire.TypeBindComplete:
			done = e.want == bound
		case wire.TypeCloseComplete:
			done = e.want == closed
		case wire.TypeRowDescription, wire.TypeNoData:
			done = e.want == rowsDescribed
		case wire.TypeDataRow:
			if e.p != nil && e.p.shape != nil {
				if err := e.l.oids.rewriteRow(e.p.shape, body); err != nil {
					return e.l.lost(err)
				}
			}
		case wire.TypeCopyData, wire.TypeCopyDone, wire.TypeCopyOutResponse:
		case wire.TypeCommandComplete, wire.TypeEmptyQueryResponse:
			done = e.want == executed
			if e.p != nil {
				if err := s.explained(e.p.routed); err != nil {
					return err
				}
				e.p.link = nil
			}
		case wire.TypePortalSuspended:
			done = e.want == executed
		default:
			return e.l.lost(wire.Errorf(wire.CodeProtocolViolation, "unexpected message of type %q", byte(typ)))
		}
		if !e.drop {
			if err := s.raw(typ, body); err != nil {
				return err
			}
		}
		if done {
			return nil
		}
	}
}

// forwardExtended sends a statement that is not pipelined to one shard, and its answer back.
func (s *Session) forwardExtended(ctx context.Context, d *route.Decision, q *request, shard int) error {
	l, err := s.acquireAlone(ctx, shard, d.Role)
	if err != nil {
		return err
	}
	l.wrote = l.wrote || d.Plan.Write
	sql, params, rewritten := textFor(d, q, shard)
	b := &branch{l: l, sql: sql}
	var types []uint32
	if rewritten {
		if types, err = s.described(ctx, q); err != nil {
			return err
		}
		b.params = append([]int{}, params...)
	}
	if err := b.start(q, types, q.results); err != nil {
		return err
	}
	if err := b.header(); err != nil {
		return err
	}
	if b.copies != 0 {
		return wire.Errorf(wire.CodeInternalError, "shard %d has begun a COPY", shard)
	}
	a := &answer{fields: b.fields, rows: b.rows, next: b.Next, tag: func() (string, error) { return b.tag, b.finish() }, stop: b.Stop}
	if err := s.reply(ctx, a, false, 0); err != nil {
		return err
	}
	if err := s.complete(); err != nil {
		return err
	}
	return s.after(ctx, d, q)
}
