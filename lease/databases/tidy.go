package databases

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/lease"
)

// tidy makes a database that nobody is connected to as new, if the policy and what has
// happened in it allow, and reports whether it proved to be so.
func (s *Source) tidy(ctx context.Context, l *life, name, policy string) (bool, error) {
	l.mu.Lock()
	t := l.templates[strings.SplitN(s.Version(), "/", 2)[0]]
	l.mu.Unlock()
	if t == nil || l.version < statsSince {
		return false, nil
	}
	t.once.Lock()
	base := t.baseline
	t.once.Unlock()
	s.mu.Lock()
	st := s.states[name]
	s.mu.Unlock()
	if base == nil {
		return false, nil
	}
	if st == nil {
		st = &state{}
	}
	writes, reset, err := l.writes(ctx, name)
	if err != nil || reset {
		return false, err
	}
	conn, err := l.connect(ctx, name)
	if err != nil {
		return false, err
	}
	c := cleaner{conn: conn, base: base, state: *st, policy: policy}
	clean, err := c.clean(ctx, writes != st.writes)
	closeConn(conn)
	if err != nil || !clean {
		return false, err
	}
	if !c.wrote {
		c.state.writes = writes
	}
	if err := l.evict(ctx, name); err != nil { // our own session
		return false, err
	}
	s.mu.Lock()
	s.states[name] = &c.state
	s.mu.Unlock()
	return true, nil
}

// writes returns how many rows were written in a database, catalogs and rolled back
// transactions included; reset tells that somebody reset the counters.
func (l *life) writes(ctx context.Context, name string) (n int64, reset bool, err error) {
	err = l.admin(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT coalesce(sum(tup_inserted + tup_updated + tup_deleted), 0)::bigint,
			coalesce(bool_or(stats_reset IS NOT NULL), false) FROM pg_stat_database WHERE datname = $1`, name).Scan(&n, &reset)
	})
	return n, reset, err
}

// tableWrites returns the tables' counters.
func tableWrites(ctx context.Context, conn *pgx.Conn) (map[uint32]int64, error) {
	rows, err := conn.Query(ctx, `SELECT relid, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables
		WHERE n_tup_ins + n_tup_upd + n_tup_del > 0`)
	if err != nil {
		return nil, err
	}
	out := map[uint32]int64{}
	var id uint32
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error { out[id] = n; return nil })
	return out, err
}

// A cleaner makes one database as new.
type cleaner struct {
	conn   *pgx.Conn
	base   *baseline
	state  state
	policy string
	wrote  bool
}

// clean reports whether the database is as new. written is whether anything was written
// that the counters see.
func (c *cleaner) clean(ctx context.Context, written bool) (bool, error) {
	shared, err := sharedPrint(ctx, c.conn)
	if err != nil || shared != c.base.shared {
		return false, err // settings or privileges: as quick to make it again
	}
	if !written {
		return c.sequences(ctx)
	}
	print, err := catalogPrint(ctx, c.conn)
	if err != nil {
		return false, err
	}
	if want := cmp.Or(c.state.catalog, c.base.catalog); print != want {
		return false, nil // DDL or TRUNCATE
	}
	dirty, err := c.dirty(ctx)
	if err != nil || !wants(c.policy, len(dirty)) {
		return false, err
	}
	if len(dirty) > 0 {
		if ok, err := c.empty(ctx, dirty); err != nil || !ok {
			return false, err
		}
	}
	if ok, err := c.sequences(ctx); err != nil || !ok {
		return false, err
	}
	return c.verify(ctx, dirty)
}

// dirty returns the tables that were written.
func (c *cleaner) dirty(ctx context.Context) ([]uint32, error) {
	now, err := tableWrites(ctx, c.conn)
	if err != nil {
		return nil, err
	}
	var out []uint32
	for id, n := range now {
		if _, known := c.base.tables[id]; known && n != c.state.tables[id] {
			out = append(out, id)
		}
	}
	// What has gone down was reset; nobody knows what else was done.
	for id, n := range c.state.tables {
		if now[id] < n && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out, nil
}

// empty removes all rows of tables that are empty in the template; it reports false if
// one of them is not.
func (c *cleaner) empty(ctx context.Context, dirty []uint32) (bool, error) {
	all := map[uint32]bool{}
	for _, id := range dirty {
		all[id] = true
	}
	truncate := c.policy != lease.ResetDelete
	if truncate {
		// TRUNCATE wants those that refer to a table in the same command.
		for queue := dirty; len(queue) > 0; queue = queue[1:] {
			for _, from := range c.base.refs[queue[0]] {
				if !all[from] {
					all[from] = true
					queue = append(queue, from)
				}
			}
		}
	}
	var names []string
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if _, plain := c.base.tables[id]; !plain || c.base.seeded[id] {
			return false, nil
		}
		names = append(names, c.base.tables[id].name)
	}
	c.wrote = true
	sql := "TRUNCATE " + strings.Join(names, ", ")
	if !truncate {
		sql = "DELETE FROM ONLY " + strings.Join(names, "; DELETE FROM ONLY ")
	}
	// As a replica, so that neither triggers nor foreign keys have a say.
	_, err := c.conn.PgConn().Exec(ctx, "BEGIN; SET LOCAL session_replication_role = replica; "+sql+"; COMMIT").ReadAll()
	if hasCode(err, "42501") { // insufficient_privilege
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("empty %d tables: %w", len(names), err)
	}
	if truncate {
		if c.state.catalog, err = catalogPrint(ctx, c.conn); err != nil {
			return false, err
		}
	}
	return true, nil
}

// sequences sets those back that have moved.
func (c *cleaner) sequences(ctx context.Context) (bool, error) {
	if len(c.base.sequences) == 0 {
		return true, nil
	}
	now, err := readSequences(ctx, c.conn, c.base.sequences)
	if err != nil || len(now) != len(c.base.sequences) {
		return false, err
	}
	for i, want := range c.base.sequences {
		if now[i] == want {
			continue
		}
		if _, err := c.conn.Exec(ctx, "SELECT setval($1::regclass, $2, $3)", want.name, want.last, want.called); err != nil {
			return false, fmt.Errorf("set %s back: %w", want.name, err)
		}
	}
	return true, nil
}

// verify looks once more at what was cleaned.
func (c *cleaner) verify(ctx context.Context, dirty []uint32) (bool, error) {
	tables := map[uint32]table{}
	for _, id := range dirty {
		tables[id] = c.base.tables[id]
	}
	some, err := filled(ctx, c.conn, tables)
	if err != nil || len(some) > 0 {
		return false, err
	}
	if c.wrote {
		if err := c.count(ctx); err != nil {
			return false, err
		}
	}
	now, err := readSequences(ctx, c.conn, c.base.sequences)
	return err == nil && slices.Equal(now, c.base.sequences), err
}

// count reads the counters with our own writes in them, which the next lease's have to be
// told from. Once they are flushed this session adds no more.
func (c *cleaner) count(ctx context.Context) (err error) {
	if _, err := c.conn.Exec(ctx, "SELECT pg_stat_force_next_flush()"); err != nil {
		return err
	}
	if c.state.tables, err = tableWrites(ctx, c.conn); err != nil {
		return err
	}
	return c.conn.QueryRow(ctx, `SELECT coalesce(sum(tup_inserted + tup_updated + tup_deleted), 0)::bigint
		FROM pg_stat_database WHERE datname = current_database()`).Scan(&c.state.writes)
}
