package databases

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// statsSince is the first version whose counters are exact as soon as a session has ended
// (shared memory, activity/pgstat.c); before, they are sent to a collector.
const statsSince = 150000

// A baseline is what a database looks like that nobody has touched.
type baseline struct {
	catalogs  map[string]string // fingerprint of each system catalog
	shared    string            // of what pg_database says
	sequences []sequence
	seeded    map[uint32]bool // tables with rows
	tables    map[uint32]table
	refs      map[uint32][]uint32 // by the table that is referred to
}

// A table is an ordinary table by its identity.
type table struct{ name string } // quoted and qualified

// A sequence is where a sequence stands.
type sequence struct {
	name   string // quoted and qualified
	last   int64
	called bool
}

// A state is what makes a database that was cleaned unlike its template, though it holds
// the same.
type state struct {
	writes   int64             // pg_stat_database's counters
	catalogs map[string]string // fingerprints; absent is as in the baseline
	counts   map[uint32]int64  // counters of each relation; absent is 0
}

// learn looks at the first copy of a template. Looking changes nothing.
func (t *template) learn(ctx context.Context, l *life, name string) error {
	t.once.Lock()
	defer t.once.Unlock()
	if t.baseline != nil || l.version < statsSince {
		return nil
	}
	conn, err := l.connect(ctx, name)
	if err != nil {
		return err
	}
	b, err := takeBaseline(ctx, conn)
	closeConn(conn)
	if err != nil {
		return err
	}
	if err := l.evict(ctx, name); err != nil { // our own session, which takes a moment to end
		return err
	}
	t.baseline = b
	return nil
}

func takeBaseline(ctx context.Context, conn *pgx.Conn) (*baseline, error) {
	b := &baseline{seeded: map[uint32]bool{}, tables: map[uint32]table{}, refs: map[uint32][]uint32{}}
	var err error
	if b.catalogs, err = catalogPrints(ctx, conn, nil); err != nil {
		return nil, err
	}
	if b.shared, err = sharedPrint(ctx, conn); err != nil {
		return nil, err
	}
	if b.sequences, err = readSequences(ctx, conn, nil); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, `SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		return nil, err
	}
	var id uint32
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error { b.tables[id] = table{name}; return nil }); err != nil {
		return nil, err
	}
	if b.seeded, err = filled(ctx, conn, b.tables); err != nil {
		return nil, err
	}
	rows, err = conn.Query(ctx, "SELECT conrelid, confrelid FROM pg_constraint WHERE contype = 'f' AND conrelid <> confrelid")
	if err != nil {
		return nil, err
	}
	var from, to uint32
	_, err = pgx.ForEachRow(rows, []any{&from, &to}, func() error { b.refs[to] = append(b.refs[to], from); return nil })
	return b, err
}

// catalogPrints returns a fingerprint of each system catalog of the database, or of those
// that are named, by their rows' versions: any DDL, and TRUNCATE, leaves a row with another
// xmin, or fewer rows. Catalogs that ANALYZE and autovacuum write are left out; what they do
// to others is done in place.
func catalogPrints(ctx context.Context, conn *pgx.Conn, names []string) (map[string]string, error) {
	if names == nil {
		var err error
		names, err = column(ctx, conn, `SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace
			AND c.relkind = 'r' AND NOT c.relisshared AND has_table_privilege(c.oid, 'SELECT')
			AND c.relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject') ORDER BY 1`)
		if err != nil {
			return nil, err
		}
	}
	out := map[string]string{}
	if len(names) == 0 {
		return out, nil
	}
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("SELECT %s, count(*) || ':' || coalesce(sum(hashint8(xmin::text::bigint)::bigint), 0) FROM pg_catalog.%s", literal(name), ident(name))
	}
	rows, err := conn.Query(ctx, strings.Join(parts, " UNION ALL "))
	if err != nil {
		return nil, err
	}
	var name, print string
	_, err = pgx.ForEachRow(rows, []any{&name, &print}, func() error { out[name] = print; return nil })
	return out, err
}

// sharedPrint covers what CREATE DATABASE does not copy and DROP does away with: settings,
// privileges, limits, a comment, security labels.
func sharedPrint(ctx context.Context, conn *pgx.Conn) (string, error) {
	var print string
	err := conn.QueryRow(ctx, `SELECT format('%s %s %s %s %L %s', datdba, datacl, datconnlimit,
		(SELECT string_agg(setrole || ':' || setconfig::text, ',' ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid),
		shobj_description(d.oid, 'pg_database'),
		(SELECT string_agg(provider || ':' || label, ',' ORDER BY provider) FROM pg_shseclabel
			WHERE classoid = 'pg_database'::regclass AND objoid = d.oid))
		FROM pg_database d WHERE datname = current_database()`).Scan(&print)
	return print, err
}

// readSequences reads all sequences, or those of like, in one query.
func readSequences(ctx context.Context, conn *pgx.Conn, like []sequence) ([]sequence, error) {
	var names []string
	for _, s := range like {
		names = append(names, s.name)
	}
	if like == nil {
		var err error
		names, err = column(ctx, conn, `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
			JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND c.relpersistence <> 't' ORDER BY 1`)
		if err != nil {
			return nil, err
		}
	}
	var out []sequence
	const batch = 200
	for len(names) > 0 {
		n := min(len(names), batch)
		parts := make([]string, n)
		for i, name := range names[:n] {
			parts[i] = fmt.Sprintf("SELECT %d AS i, last_value, is_called FROM %s", i, name)
		}
		rows, err := conn.Query(ctx, strings.Join(parts, " UNION ALL ")+" ORDER BY i")
		if err != nil {
			return nil, err
		}
		var i int
		var last int64
		var called bool
		_, err = pgx.ForEachRow(rows, []any{&i, &last, &called}, func() error {
			out = append(out, sequence{names[i], last, called})
			return nil
		})
		if err != nil {
			return nil, err
		}
		names = names[n:]
	}
	return out, nil
}

// filled returns those tables that have rows.
func filled(ctx context.Context, conn *pgx.Conn, tables map[uint32]table) (map[uint32]bool, error) {
	out := map[uint32]bool{}
	var parts []string
	flush := func() error {
		if len(parts) == 0 {
			return nil
		}
		rows, err := conn.Query(ctx, strings.Join(parts, " UNION ALL "))
		if err != nil {
			return err
		}
		var id uint32
		var some bool
		_, err = pgx.ForEachRow(rows, []any{&id, &some}, func() error {
			if some {
				out[id] = true
			}
			return nil
		})
		parts = parts[:0]
		return err
	}
	for id, t := range tables {
		parts = append(parts, fmt.Sprintf("SELECT %d::oid, EXISTS (SELECT FROM ONLY %s)", id, t.name))
		if len(parts) == 200 {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return out, flush()
}
