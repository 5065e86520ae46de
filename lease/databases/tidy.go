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
// happened in it allow, and reports whether it proved to be so, and whether tables had to be
// emptied.
func (s *Source) tidy(ctx context.Context, l *life, name, policy string) (clean, emptied bool, err error) {
	l.mu.Lock()
	t := l.templates[strings.SplitN(s.Version(), "/", 2)[0]]
	l.mu.Unlock()
	if t == nil || l.version < statsSince {
		return false, false, nil
	}
	t.once.Lock()
	base := t.baseline
	t.once.Unlock()
	s.mu.Lock()
	st := s.states[name]
	s.mu.Unlock()
	if base == nil {
		return false, false, nil
	}
	if st == nil {
		st = &state{}
	}
	writes, reset, err := l.writes(ctx, name)
	if err != nil || reset {
		return false, false, err
	}
	conn, err := l.connect(ctx, name)
	if err != nil {
		return false, false, err
	}
	c := cleaner{conn: conn, base: base, state: *st, policy: policy, written: writes - st.writes, pays: s.costs.emptyPays}
	clean, err = c.clean(ctx)
	closeConn(conn)
	if err != nil || !clean {
		return false, c.wrote, err
	}
	if !c.wrote {
		c.state.writes = writes
	}
	if err := l.evict(ctx, name); err != nil { // our own session
		return false, c.wrote, err
	}
	s.mu.Lock()
	s.states[name] = &c.state
	s.mu.Unlock()
	return true, c.wrote, nil
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

// A relation is what was written to a table, system catalog or their like.
type relation struct {
	catalog string // its name, if it is a system catalog
	n       int64
}

// relationWrites returns the counters of everything that has been written to.
func relationWrites(ctx context.Context, conn *pgx.Conn) (map[uint32]relation, error) {
	rows, err := conn.Query(ctx, `SELECT oid, name, n FROM (
		SELECT oid, CASE WHEN relnamespace = 'pg_catalog'::regnamespace THEN relname ELSE '' END AS name,
			pg_stat_get_tuples_inserted(oid) + pg_stat_get_tuples_updated(oid) + pg_stat_get_tuples_deleted(oid) AS n
		FROM pg_class WHERE relkind IN ('r', 't', 'm') AND NOT relisshared) c WHERE n > 0`)
	if err != nil {
		return nil, err
	}
	out := map[uint32]relation{}
	var id uint32
	var r relation
	_, err = pgx.ForEachRow(rows, []any{&id, &r.catalog, &r.n}, func() error { out[id] = r; return nil })
	return out, err
}

// A cleaner makes one database as new.
type cleaner struct {
	conn   *pgx.Conn
	base   *baseline
	state  state
	policy string
	pays   func() bool // whether emptying tables is worth its time; for "auto"

	written int64 // rows, by the database's own counters, since state
	wrote   bool  // by us
	setBack []sequence
}

// clean reports whether the database is as new.
func (c *cleaner) clean(ctx context.Context) (bool, error) {
	shared, err := sharedPrint(ctx, c.conn)
	if err != nil || shared != c.base.shared {
		return false, err // settings or privileges: as quick to make it again
	}
	var now map[uint32]relation
	var dirty []uint32
	if c.written != 0 {
		if now, err = relationWrites(ctx, c.conn); err != nil {
			return false, err
		}
		if ok, err := c.sameCatalogs(ctx, now); err != nil || !ok {
			return false, err
		}
		dirty = c.dirty(now)
	}
	if !c.wants(len(dirty)) {
		return false, nil
	}
	if len(dirty) > 0 {
		if ok, err := c.empty(ctx, dirty); err != nil || !ok {
			return false, err
		}
	}
	if ok, err := c.sequences(ctx); err != nil || !ok {
		return false, err
	}
	return c.verify(ctx, dirty, now)
}

// fewTables is how many dirty tables the policy "auto" empties at most.
const fewTables = 10

// wants reports whether the policy cleans n dirty tables.
func (c *cleaner) wants(n int) bool {
	switch c.policy {
	case lease.ResetTruncate, lease.ResetDelete:
		return true
	case lease.ResetAuto:
		return n == 0 || n <= fewTables && c.pays()
	}
	return n == 0
}

// sameCatalogs reports whether there was no DDL. Only catalogs that were written to have to
// be looked at, provided that the counters of all relations add up to the database's: they
// do not where somebody has reset single ones, or dropped a table with its own, and then
// nothing is known.
func (c *cleaner) sameCatalogs(ctx context.Context, now map[uint32]relation) (bool, error) {
	sum := int64(0)
	moved := []string{}
	for id, r := range now {
		delta := r.n - c.state.counts[id]
		sum += delta
		switch {
		case delta == 0 || r.catalog == "":
		case r.catalog == "pg_largeobject": // pages of it are not for everybody to look at
			return false, nil
		case c.base.catalogs[r.catalog] != "":
			moved = append(moved, r.catalog)
		}
	}
	for id, n := range c.state.counts {
		if _, ok := now[id]; !ok {
			sum -= n
		}
	}
	if sum != c.written {
		return false, nil
	}
	prints, err := catalogPrints(ctx, c.conn, moved)
	if err != nil {
		return false, err
	}
	for name, print := range prints {
		if print != cmp.Or(c.state.catalogs[name], c.base.catalogs[name]) {
			return false, nil
		}
	}
	return true, nil
}

// dirty returns the tables that were written.
func (c *cleaner) dirty(now map[uint32]relation) []uint32 {
	var out []uint32
	for id := range c.base.tables {
		// What has gone down was reset; nobody knows what else was done.
		if now[id].n != c.state.counts[id] {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
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
		c.setBack = append(c.setBack, want)
	}
	return true, nil
}

// verify looks once more at what was cleaned. before are the counters without our own
// writes.
func (c *cleaner) verify(ctx context.Context, dirty []uint32, before map[uint32]relation) (bool, error) {
	tables := map[uint32]table{}
	for _, id := range dirty {
		tables[id] = c.base.tables[id]
	}
	some, err := filled(ctx, c.conn, tables)
	if err != nil || len(some) > 0 {
		return false, err
	}
	if c.wrote {
		err = c.count(ctx, before)
	} else if before != nil {
		c.state.counts = counts(before)
	}
	if err != nil || len(c.setBack) == 0 {
		return err == nil, err
	}
	now, err := readSequences(ctx, c.conn, c.setBack)
	return err == nil && slices.Equal(now, c.setBack), err
}

// counts returns the relations' counters alone.
func counts(relations map[uint32]relation) map[uint32]int64 {
	out := map[uint32]int64{}
	for id, r := range relations {
		out[id] = r.n
	}
	return out
}

// count reads the counters with our own writes in them, which the next lease's have to be
// told from, and looks at the catalogs that these have changed. Once they are flushed this
// session adds no more.
func (c *cleaner) count(ctx context.Context, before map[uint32]relation) error {
	if _, err := c.conn.Exec(ctx, "SELECT pg_stat_force_next_flush()"); err != nil {
		return err
	}
	now, err := relationWrites(ctx, c.conn)
	if err != nil {
		return err
	}
	c.state.counts = counts(now)
	moved := []string{}
	for id, r := range now {
		if r.n != before[id].n && c.base.catalogs[r.catalog] != "" {
			moved = append(moved, r.catalog)
		}
	}
	prints, err := catalogPrints(ctx, c.conn, moved)
	if err != nil {
		return err
	}
	catalogs := maps.Clone(c.state.catalogs)
	if catalogs == nil {
		catalogs = map[string]string{}
	}
	maps.Copy(catalogs, prints)
	c.state.catalogs = catalogs
	return c.conn.QueryRow(ctx, `SELECT coalesce(sum(tup_inserted + tup_updated + tup_deleted), 0)::bigint
		FROM pg_stat_database WHERE datname = current_database()`).Scan(&c.state.writes)
}
