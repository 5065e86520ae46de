package databases

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/lease"
)

// statsSince is the first version whose counters are exact as soon as a session has ended
// (shared memory, activity/pgstat.c); before, they are sent to a collector.
const statsSince = 150000

// A baseline is what a database looks like that nobody has touched.
type baseline struct {
	catalog   string // fingerprint of the system catalogs
	shared    string // of what pg_database says
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
	writes  int64            // pg_stat_database's counters
	catalog string           // "" is as in the baseline
	tables  map[uint32]int64 // pg_stat_user_tables' counters; absent is 0
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
	if b.catalog, err = catalogPrint(ctx, conn); err != nil {
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

// catalogPrint is a fingerprint of all system catalogs of the database by their rows'
// versions: any DDL, and TRUNCATE, leaves a row with another xmin, or fewer rows. Catalogs
// that ANALYZE and autovacuum write are left out; what they do to others is done in place.
func catalogPrint(ctx context.Context, conn *pgx.Conn) (string, error) {
	names, err := column(ctx, conn, `SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace
		AND c.relkind = 'r' AND NOT c.relisshared AND has_table_privilege(c.oid, 'SELECT')
		AND c.relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject') ORDER BY 1`)
	if err != nil {
		return "", err
	}
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("SELECT '%s:' || count(*) || ':' || coalesce(sum(hashint8(xmin::text::bigint)::bigint), 0) AS p FROM pg_catalog.%s", name, ident(name))
	}
	var print string
	err = conn.QueryRow(ctx, "SELECT md5(string_agg(p, ',' ORDER BY p)) FROM ("+strings.Join(parts, " UNION ALL ")+") x").Scan(&print)
	return print, err
}

// sharedPrint covers what CREATE DATABASE does not copy and DROP does away with: settings,
// privileges, limits.
func sharedPrint(ctx context.Context, conn *pgx.Conn) (string, error) {
	var print string
	err := conn.QueryRow(ctx, `SELECT format('%s %s %s %s', datdba, datacl, datconnlimit,
		(SELECT string_agg(setrole || ':' || setconfig::text, ',' ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid))
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

// fewTables is how many dirty tables the policy "auto" empties; with more it is quicker to
// clone again.
const fewTables = 10

// wants reports whether a policy cleans n dirty tables.
func wants(policy string, n int) bool {
	switch policy {
	case lease.ResetTruncate, lease.ResetDelete:
		return true
	case lease.ResetAuto:
		return n <= fewTables
	}
	return n == 0
}
