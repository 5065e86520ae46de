package reshard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/pgx-dev/pgx-dev/proxy/copysplit"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// dropPause is how long to wait before a slot that is in use is tried again, dropFor how long in all.
const (
	dropPause = 50 * time.Millisecond
	dropFor   = 20 * time.Second
)

// sendAt is how many bytes are gathered for a shard before they are sent.
const sendAt = 64 << 10

// A TableCopy is the copy of a table of one source shard, as far as it is.
type TableCopy struct {
	Shard         int // of the source
	Schema, Table string
	SQL           string
	rows, bytes   atomic.Int64
	state         atomic.Value // string
	begun, ended  atomic.Int64 // Unix time in ns; 0: not yet
}

// State is waiting, running, finished, or failed.
func (c *TableCopy) State() string { return c.state.Load().(string) }

// Rows and Bytes are what has been read so far.
func (c *TableCopy) Rows() int64  { return c.rows.Load() }
func (c *TableCopy) Bytes() int64 { return c.bytes.Load() }

// Elapsed is how long it has taken.
func (c *TableCopy) Elapsed() time.Duration {
	begun, ended := c.begun.Load(), c.ended.Load()
	if begun == 0 {
		return 0
	}
	if ended == 0 {
		ended = time.Now().UnixNano()
	}
	return time.Duration(ended - begun)
}

// Copies are the copies of all tables, in no particular order of their ends.
func (m *Move) Copies() []*TableCopy {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*TableCopy(nil), m.copies...)
}

// Copy copies all tables. Begin has been called. A table that was copied before, by a move of the same
// slot, is left out.
func (m *Move) Copy(ctx context.Context) error {
	defer m.release()
	tables, err := m.plan(ctx, true)
	if err != nil {
		return err
	}
	for i := 1; i < len(tables); i++ {
		tables[i] = slices.DeleteFunc(tables[i], func(t *table) bool { return t.once(m.Source.Layout) }) // the first one has it
	}
	if err := m.empty(ctx, tables); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for i := range m.Source.Shards {
		own, inner := errgroup.WithContext(ctx)
		own.SetLimit(m.Options.Parallel)
		list := make([]*TableCopy, len(tables[i]))
		for j, t := range tables[i] {
			list[j] = &TableCopy{Shard: i, Schema: t.schema, Table: t.name.table, SQL: t.selects()}
			list[j].state.Store("waiting")
		}
		m.mu.Lock()
		m.copies = append(m.copies, list...)
		m.mu.Unlock()
		g.Go(func() error {
			for j, t := range tables[i] {
				own.Go(func() error { return m.copyTable(inner, i, t, list[j]) })
			}
			return own.Wait()
		})
	}
	return g.Wait()
}

// release lets go of the snapshots, which keep the source from vacuuming.
func (m *Move) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.slots {
		s.close()
	}
}

// empty refuses tables that have rows on the destination which were not copied by this move.
func (m *Move) empty(ctx context.Context, tables [][]*table) error {
	for d := range m.Destination.Shards {
		err := func() error {
			conn, err := m.Destination.Shards[d].connect(ctx)
			if err != nil {
				return err
			}
			defer shut(ctx, conn)
			var errs []error
			for _, t := range distinct(tables) {
				text, err := one(ctx, conn, "SELECT EXISTS (SELECT FROM "+t.only()+") AND NOT EXISTS (SELECT FROM "+Schema+".copied WHERE schema_name = $1 AND table_name = $2)", t.schema, t.name.table)
				if err != nil {
					return err
				}
				if text == "t" {
					errs = append(errs, fmt.Errorf("table %s has rows already, of which nobody knows where they come from; TRUNCATE it there, or go on with the slot of the move that copied them", t))
				}
			}
			return errors.Join(errs...)
		}()
		if err != nil {
			return fmt.Errorf("shard %d of %s (%s): %w", d, m.Destination.Name, &m.Destination.Shards[d], err)
		}
	}
	return nil
}

// distinct are the tables of all source shards, each once.
func distinct(tables [][]*table) []*table {
	seen := map[name]bool{}
	var out []*table
	for _, list := range tables {
		for _, t := range list {
			if !seen[t.name] {
				seen[t.name] = true
				out = append(out, t)
			}
		}
	}
	return out
}

// copyTable copies a table, as often as it takes.
func (m *Move) copyTable(ctx context.Context, shard int, t *table, c *TableCopy) error {
	delay := m.Options.CopyDelay
	for attempt := 1; ; attempt++ {
		c.rows.Store(0)
		c.bytes.Store(0)
		c.state.Store("running")
		c.begun.Store(time.Now().UnixNano())
		err := m.tryCopy(ctx, shard, t, c)
		c.ended.Store(time.Now().UnixNano())
		if err == nil {
			c.state.Store("finished")
			return nil
		}
		if attempt >= m.Options.CopyAttempts || ctx.Err() != nil || !passing(err) {
			c.state.Store("failed")
			return fmt.Errorf("copy table %s of shard %d of %s: %w", t, shard, m.Source.Name, err)
		}
		m.log().Warn("copy a table again", "table", t.String(), "shard", shard, "error", err, "in", delay)
		c.state.Store("waiting")
		c.ended.Store(0)
		if err := pause(ctx, delay); err != nil {
			return err
		}
		delay = min(2*delay, 32*m.Options.CopyDelay)
	}
}

// selects is the query whose rows are copied.
func (t *table) selects() string {
	var cols []string
	for _, c := range t.columns {
		if c.cast != "" {
			cols = append(cols, ident(c.name)+"::"+c.cast)
			continue
		}
		cols = append(cols, ident(c.name))
	}
	sql := "SELECT " + strings.Join(cols, ", ") + " FROM " + t.only()
	if t.filter != "" {
		sql += " WHERE " + t.filter
	}
	return sql
}

// names are the columns, quoted, in a list.
func (t *table) names() string {
	cols := make([]string, len(t.columns))
	for i, c := range t.columns {
		cols[i] = ident(c.name)
	}
	return strings.Join(cols, ", ")
}

// A target is a destination shard that gets rows of a table.
type target struct {
	shard int
	conn  *pgconn.PgConn
	w     *io.PipeWriter
	rows  int64
}

// tryCopy copies a table at a snapshot to those shards that have not got it yet, in one transaction on each.
func (m *Move) tryCopy(ctx context.Context, shard int, t *table, c *TableCopy) (err error) {
	sl := m.slots[shard]
	targets, err := m.lacking(ctx, sl.name, t)
	defer func() {
		for _, d := range targets {
			shut(ctx, d.conn)
		}
	}()
	if err != nil || len(targets) == 0 {
		return err
	}
	snapshot, at, err := sl.export(ctx)
	if err != nil {
		return err
	}
	src, err := m.Source.Shards[shard].connect(ctx)
	if err != nil {
		sl.lost(snapshot)
		return err
	}
	defer shut(ctx, src)
	if err := do(ctx, src, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT "+literal(snapshot)); err != nil {
		sl.lost(snapshot)
		return again{fmt.Errorf("take the snapshot of the replication slot: %w", err)}
	}
	options := " WITH (FORMAT binary)"
	if m.Options.Text {
		options = ""
	}
	// What fails ends all others; the first error is the reason.
	g, gctx := errgroup.WithContext(ctx)
	for _, d := range targets {
		r, w := io.Pipe()
		d.w = w
		g.Go(func() error {
			if err := do(gctx, d.conn, "BEGIN"); err != nil {
				_ = r.CloseWithError(err)
				return err
			}
			tag, err := d.conn.CopyFrom(gctx, r, "COPY "+t.String()+" ("+t.names()+") FROM STDIN"+options)
			d.rows = tag.RowsAffected()
			_ = r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
			if err != nil {
				return fmt.Errorf("shard %d of %s (%s): %w", d.shard, m.Destination.Name, &m.Destination.Shards[d.shard], err)
			}
			return nil
		})
	}
	g.Go(func() error {
		s := &sorter{t: t, targets: targets, copy: c, binary: !m.Options.Text}
		err := s.begin(m.Destination.Layout.Shards)
		if err == nil {
			_, err = src.CopyTo(gctx, s, "COPY ("+t.selects()+") TO STDOUT"+options)
		}
		if err == nil {
			err = s.end()
		}
		if s.err != nil {
			err = s.err // pgconn hides what the writer said
		}
		if s.astray != nil {
			err = s.astray
		}
		for _, d := range targets {
			_ = d.w.CloseWithError(err) // nil is the end of the data
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for _, d := range targets {
		sql := fmt.Sprintf("INSERT INTO "+Schema+".copied VALUES (%s, %s, %s, %s, %d, %s); COMMIT", literal(sl.name), literal(t.schema), literal(t.name.table), literal(at.String()), d.rows, literal(t.division(d.shard, len(m.Destination.Shards))))
		if err := do(ctx, d.conn, sql); err != nil {
			return fmt.Errorf("commit on shard %d of %s (%s): %w", d.shard, m.Destination.Name, &m.Destination.Shards[d.shard], err)
		}
	}
	return nil
}

// lacking connects to the shards that are to have rows of a table and have not got them.
func (m *Move) lacking(ctx context.Context, slot string, t *table) (out []*target, err error) {
	for _, d := range t.targets(len(m.Destination.Shards)) {
		conn, err := m.replica(ctx, d)
		if err != nil {
			return out, err
		}
		have, err := copied(ctx, conn, slot)
		if err != nil {
			shut(ctx, conn)
			return out, err
		}
		if was, ok := have[t.name]; ok {
			shut(ctx, conn)
			if err := m.alike(t, was, d); err != nil {
				return out, err
			}
			continue
		}
		out = append(out, &target{shard: d, conn: conn})
	}
	return out, nil
}

// A sorter gives each target its rows.
type sorter struct {
	t       *table
	targets []*target
	by      []*target           // by shard
	split   *copysplit.Splitter // nil: all get all
	copy    *TableCopy
	binary  bool
	buf     []byte
	err     error
	astray  error // a row has no shard
}

func (s *sorter) begin(shards int) (err error) {
	if s.t.key == nil {
		return nil
	}
	cols := make([]string, len(s.t.columns))
	for i, c := range s.t.columns {
		cols[i] = c.name
	}
	options := map[string]string{}
	if s.binary {
		options["format"] = "binary"
	}
	s.by = make([]*target, shards)
	for _, d := range s.targets {
		s.by[d.shard] = d
	}
	place := func(key []sharding.Raw) (int, error) {
		shard, err := s.t.shardOf(key)
		if err != nil {
			s.astray = finalError{err}
		}
		return shard, err
	}
	s.split, err = copysplit.New(&route.Copy{Schema: s.t.schema, Table: s.t.name.table, Columns: cols, Key: s.t.key, KeyAt: s.t.keyAt, Fit: s.t.fit, Options: options}, shards, place)
	return err
}

// Write takes what the source sends: one row at a time.
func (s *sorter) Write(p []byte) (int, error) {
	s.copy.rows.Add(1)
	s.copy.bytes.Add(int64(len(p)))
	if s.split == nil {
		s.buf = append(s.buf, p...)
		s.err = s.send(sendAt)
	} else if s.err = s.split.Write(p); s.err == nil {
		s.err = s.send(sendAt)
	}
	if s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

// end sends the rest.
func (s *sorter) end() error {
	if s.binary {
		s.copy.rows.Add(-1) // header and first row come together, the trailer by itself
	}
	if s.split != nil {
		if s.err = s.split.Close(); s.err != nil {
			return s.err
		}
	}
	s.err = s.send(0)
	return s.err
}

// send sends what has gathered beyond a number of bytes.
func (s *sorter) send(beyond int) error {
	if s.split == nil {
		if len(s.buf) <= beyond {
			return nil
		}
		for _, d := range s.targets {
			if _, err := d.w.Write(s.buf); err != nil {
				return err
			}
		}
		s.buf = s.buf[:0]
		return nil
	}
	for shard, d := range s.by {
		out := s.split.Out(shard)
		if len(out) <= beyond {
			continue
		}
		if d != nil { // else it has the table already
			if _, err := d.w.Write(out); err != nil {
				return err
			}
		}
		s.split.Taken(shard)
	}
	return nil
}
