package reshard

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
)

// An applier writes what a source shard's changes make of a destination shard. It is used by one goroutine.
type applier struct {
	shard int
	conn  *pgconn.PgConn
	slot  string
	have  wire.LSN      // the last transaction that is applied
	start map[name]mark // of each table that was copied

	queue []statement
	bytes int
	names map[string]string // of prepared statements, by their texts
	open  bool              // a transaction is
	upTo  wire.LSN          // the last transaction of the source that is queued as a whole; 0: none is
}

// A statement is one that waits to be sent.
type statement struct {
	sql    string
	params [][]byte
	one    *relation // it has to concern exactly one row of it
}

// most is how many statements a connection keeps prepared.
const most = 500

// begin reads how far the destination is.
func (a *applier) begin(ctx context.Context) (err error) {
	if a.start, err = copied(ctx, a.conn, a.slot); err != nil {
		return err
	}
	a.have, err = applied(ctx, a.conn, a.slot)
	a.names = map[string]string{}
	return err
}

// wants reports whether a transaction, by the position of its end's record, has still to be applied to a
// table here.
func (a *applier) wants(t *table, final wire.LSN) bool {
	return final >= a.have && final >= a.start[t.name].at
}

// add queues a statement.
func (a *applier) add(s statement) {
	a.queue = append(a.queue, s)
	for _, p := range s.params {
		a.bytes += len(p)
	}
}

// touched reports whether a transaction of the source concerned this shard.
func (a *applier) touched() bool { return a.open || len(a.queue) > 0 }

// prepare makes sure that a statement is prepared.
func (a *applier) prepare(ctx context.Context, sql string) (string, error) {
	if n, ok := a.names[sql]; ok {
		return n, nil
	}
	if len(a.names) >= most {
		if err := do(ctx, a.conn, "DEALLOCATE ALL"); err != nil {
			return "", err
		}
		clear(a.names)
	}
	n := "s" + strconv.Itoa(len(a.names))
	if _, err := a.conn.Prepare(ctx, n, sql, nil); err != nil {
		return "", err
	}
	a.names[sql] = n
	return n, nil
}

// flush sends what is queued, and with commit ends the transaction: all at once, in one round trip where
// the statements are known.
func (a *applier) flush(ctx context.Context, commit bool) (err error) {
	if !a.touched() {
		return nil
	}
	// Statements beyond most make room for themselves, so they are prepared in runs.
	for len(a.queue) > 0 || commit {
		names := make([]string, 0, min(len(a.queue), most))
		for _, s := range a.queue {
			if _, ok := a.names[s.sql]; !ok && len(a.names) >= most && len(names) > 0 {
				break
			}
			n, err := a.prepare(ctx, s.sql)
			if err != nil {
				return a.failed(s, err)
			}
			names = append(names, n)
		}
		if err := a.send(ctx, names, commit && len(names) == len(a.queue)); err != nil {
			return err
		}
		if len(a.queue) == 0 {
			break
		}
	}
	return nil
}

// send sends the first statements of the queue.
func (a *applier) send(ctx context.Context, names []string, commit bool) (err error) {
	p := a.conn.StartPipeline(ctx)
	defer func() {
		if e := p.Close(); err == nil {
			err = e
		}
	}()
	began := !a.open
	if began {
		p.SendQueryParams("BEGIN", nil, nil, nil, nil)
	}
	for i, n := range names {
		p.SendQueryPrepared(n, a.queue[i].params, nil, nil)
	}
	if commit {
		if a.upTo != 0 {
			p.SendQueryParams("INSERT INTO "+Schema+".applied VALUES ($1, $2) ON CONFLICT (slot) DO UPDATE SET lsn = excluded.lsn", [][]byte{[]byte(a.slot), []byte(a.upTo.String())}, nil, nil, nil)
		}
		p.SendQueryParams("COMMIT", nil, nil, nil, nil)
	}
	if err := p.Sync(); err != nil {
		return err
	}
	next := func() (pgconn.CommandTag, error) {
		r, err := p.GetResults()
		if err != nil {
			return pgconn.CommandTag{}, err
		}
		if rr, ok := r.(*pgconn.ResultReader); ok {
			return rr.Close()
		}
		return pgconn.CommandTag{}, fmt.Errorf("the server has left an answer out (%T)", r)
	}
	if began {
		if _, err := next(); err != nil {
			return err
		}
	}
	for i := range names {
		s := &a.queue[i]
		tag, err := next()
		if err != nil {
			return a.failed(*s, err)
		}
		if s.one != nil && tag.RowsAffected() != 1 {
			return finalError{fmt.Errorf("table %s has %d rows with %s on shard %d, where the source has one: they were changed there by somebody else", s.one.t, tag.RowsAffected(), s.one.describe(s.params), a.shard)}
		}
	}
	if commit {
		if a.upTo != 0 {
			if _, err := next(); err != nil {
				return err
			}
		}
		if _, err := next(); err != nil {
			return err
		}
	}
	a.queue = a.queue[len(names):]
	a.open = !commit
	if len(a.queue) == 0 {
		a.queue, a.bytes = nil, 0
	}
	if commit && a.upTo != 0 {
		a.have, a.upTo = a.upTo, 0
	}
	return nil
}

// failed says what failed.
func (a *applier) failed(s statement, err error) error {
	if code(err) == "" {
		return err
	}
	return fmt.Errorf("shard %d: %w (in %s)", a.shard, err, s.sql)
}

// ask runs a statement within the open transaction, behind what is queued, and returns its rows and the
// number of those it concerned.
func (a *applier) ask(ctx context.Context, sql string, params [][]byte) ([]row, int64, error) {
	if err := a.flush(ctx, false); err != nil {
		return nil, 0, err
	}
	if !a.open {
		if err := do(ctx, a.conn, "BEGIN"); err != nil {
			return nil, 0, err
		}
		a.open = true
	}
	res := a.conn.ExecParams(ctx, sql, params, nil, nil, nil).Read()
	if res.Err != nil {
		return nil, 0, a.failed(statement{sql: sql}, res.Err)
	}
	out := make([]row, len(res.Rows))
	for i, r := range res.Rows {
		out[i] = row(r)
	}
	return out, res.CommandTag.RowsAffected(), nil
}
