package schema

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
)

// A Querier runs a query without parameters and calls row for each row with its columns in
// text format, nil being NULL. The slices are only good during the call.
type Querier interface {
	Query(ctx context.Context, sql string, row func(columns [][]byte) error) error
}

// The catalog queries, which work on PostgreSQL 12 and later. Each has its own columns, in
// the order in which Load reads them.
const (
	// DatabaseSQL: database, version number, whether the default collation is bytewise, the
	// schemas of the search_path, separated by newlines.
	DatabaseSQL = `SELECT current_database(), current_setting('server_version_num'),
	datcollate IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8') AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute
		WHERE attrelid = 'pg_catalog.pg_database'::regclass AND attname = 'datlocprovider'
		AND (SELECT to_jsonb(x)->>'datlocprovider' FROM pg_catalog.pg_database x WHERE x.oid = d.oid) = 'i'),
	pg_catalog.array_to_string(pg_catalog.current_schemas(true), E'\n')
FROM pg_catalog.pg_database d WHERE datname = current_database()`

	// ColumnsSQL: schema, table, relkind, triggers or rules or foreign keys that cascade, column, type, type's name,
	// collation's name (NULL: none, or the default), bytewise, deterministic, not null, has a
	// default, the default is volatile, is generated, is
	// from a sequence, is from a sharded one; the table has row security.
	ColumnsSQL = `SELECT n.nspname, c.relname, c.relkind,
	c.relhasrules AND (c.relkind NOT IN ('v', 'm') OR EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN')) OR EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)
		OR EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.confrelid = c.oid AND k.contype = 'f' AND (k.confdeltype NOT IN ('a', 'r') OR k.confupdtype NOT IN ('a', 'r'))),
	a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod),
	CASE WHEN a.attcollation NOT IN (0, 100) THEN pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(co.collname) END,
	coalesce(co.collname IN ('C', 'POSIX', 'ucs_basic'), false), coalesce(co.collisdeterministic, true),
	a.attnotnull, a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
	a.attidentity <> '' OR a.attgenerated = '' AND (t.typdefault IS NOT NULL OR pg_catalog.pg_get_expr(d.adbin, d.adrelid) ~ '\(|CURRENT_|LOCALTIME'),
	a.attgenerated <> '', a.attidentity <> '' OR coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid) ~ '^nextval\(', false),
	coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid) ~ '^pgdog\.next_id_seq\(', false), c.relrowsecurity
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY c.oid, a.attnum`

	// ViewsSQL: schema, view or materialized view, its query.
	ViewsSQL = `SELECT n.nspname, c.relname, pg_catalog.pg_get_viewdef(c.oid)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'`

	// IndexesSQL: schema, table, is primary, column names separated by newlines.
	IndexesSQL = `SELECT n.nspname, c.relname, i.indisprimary,
	(SELECT pg_catalog.string_agg(a.attname, E'\n' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts-1]))
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE i.indisunique AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY i.indexrelid`

	// InheritsSQL: schema and name of a child, schema and name of its parent.
	InheritsSQL = `SELECT cn.nspname, c.relname, pn.nspname, p.relname
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
WHERE c.relkind IN ('r', 'p', 'f')`

	// FunctionsSQL: schema, name, prokind, provolatile, written in SQL or a PL, returns a set.
	FunctionsSQL = `SELECT n.nspname, p.proname, p.prokind, p.provolatile, l.lanname NOT IN ('internal', 'c') AND n.nspname <> 'pg_catalog', p.proretset
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang`

	// TriggersSQL: schema, table, function's schema and name, its language, its text, pg_trigger.tgtype; those
	// of constraints and those that are disabled left out.
	TriggersSQL = `SELECT n.nspname, c.relname, fn.nspname, p.proname, l.lanname, p.prosrc, g.tgtype
FROM pg_catalog.pg_trigger g
JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
JOIN pg_catalog.pg_namespace fn ON fn.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE NOT g.tgisinternal AND g.tgenabled <> 'D'
ORDER BY c.oid, g.tgname`

	// CollationsSQL: the names of the collations by which different strings may be equal.
	CollationsSQL = `SELECT collname FROM pg_catalog.pg_collation WHERE NOT collisdeterministic`

	// TypesSQL: name, oid of the base types, domains excluded.
	TypesSQL = `SELECT t.typname, t.oid FROM pg_catalog.pg_type t WHERE t.typtype IN ('b', 'e', 'r') AND pg_catalog.pg_type_is_visible(t.oid)`
)

// Load reads a snapshot. The queries should run in one repeatable read transaction, with an
// empty search_path, on a database in UTF-8.
func Load(ctx context.Context, q Querier) (*Snapshot, error) {
	s := New(nil, nil)
	yes := func(b []byte) bool { return string(b) == "t" }
	char := func(b []byte) byte {
		if len(b) == 0 {
			return 0
		}
		return b[0]
	}
	read := func(what, sql string, columns int, row func(c [][]byte) error) error {
		err := q.Query(ctx, sql, func(c [][]byte) error {
			if len(c) != columns {
				return fmt.Errorf("%d columns, want %d", len(c), columns)
			}
			return row(c)
		})
		if err != nil {
			return fmt.Errorf("read %s from the catalogs: %w", what, err)
		}
		return nil
	}
	err := read("the database", DatabaseSQL, 4, func(c [][]byte) (err error) {
		s.Database, s.Bytewise, s.Path = string(c[0]), yes(c[2]), strings.Split(string(c[3]), "\n")
		s.Version, err = strconv.Atoi(string(c[1]))
		return err
	})
	if err != nil {
		return nil, err
	}
	var last *Table
	err = read("tables", ColumnsSQL, 17, func(c [][]byte) error {
		if last == nil || last.Schema != string(c[0]) || last.Name != string(c[1]) {
			last = &Table{Schema: string(c[0]), Name: string(c[1]), Kind: char(c[2]), Triggers: yes(c[3]), Secured: yes(c[16])}
			s.tables[last.Name] = append(s.tables[last.Name], last)
		}
		oid, err := strconv.ParseUint(string(c[5]), 10, 32)
		if err != nil {
			return err
		}
		last.Columns = append(last.Columns, Column{
			Name: string(c[4]), Type: hash.OID(oid), TypeName: string(c[6]),
			Collation: s.collation(string(c[7]), yes(c[8]), yes(c[9])),
			NotNull:   yes(c[10]), Default: yes(c[11]), Volatile: yes(c[12]), Generated: yes(c[13]), Sequence: yes(c[14]), ShardSequence: yes(c[15]),
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = read("views", ViewsSQL, 3, func(c [][]byte) error {
		if t := s.Table(string(c[0]), string(c[1]), nil); t != nil {
			t.Definition = string(c[2])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = read("indexes", IndexesSQL, 4, func(c [][]byte) error {
		t := s.Table(string(c[0]), string(c[1]), nil)
		if t == nil {
			return nil
		}
		var columns []string
		if len(c[3]) > 0 {
			columns = strings.Split(string(c[3]), "\n")
		}
		if yes(c[2]) {
			t.Primary = columns
		}
		t.Unique = append(t.Unique, columns)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = read("inheritance", InheritsSQL, 4, func(c [][]byte) error {
		if child := s.Table(string(c[0]), string(c[1]), nil); child != nil {
			child.Parent = s.Table(string(c[2]), string(c[3]), nil)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for t := range s.All {
		for range 64 { // a chain of partitions, never a circle
			if t.Parent == nil || t.Parent.Parent == nil {
				break
			}
			t.Parent = t.Parent.Parent
		}
	}
	err = read("functions", FunctionsSQL, 6, func(c [][]byte) error {
		f := &Function{Schema: string(c[0]), Name: string(c[1]), Kind: char(c[2]), Volatility: char(c[3]), Opaque: yes(c[4]), Set: yes(c[5])}
		s.functions[f.Name] = append(s.functions[f.Name], f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = read("triggers", TriggersSQL, 7, func(c [][]byte) error {
		t := s.Table(string(c[0]), string(c[1]), nil)
		if t == nil {
			return nil
		}
		when, err := strconv.Atoi(string(c[6]))
		t.Fires = append(t.Fires, Trigger{Schema: string(c[2]), Function: string(c[3]), Language: string(c[4]), Body: string(c[5]), When: when})
		return err
	})
	if err != nil {
		return nil, err
	}
	err = read("collations", CollationsSQL, 1, func(c [][]byte) error {
		s.nondeterministic[string(c[0])] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = read("types", TypesSQL, 2, func(c [][]byte) error {
		oid, err := strconv.ParseUint(string(c[1]), 10, 32)
		s.types[string(c[0])] = hash.OID(oid)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// collation is that of a column, name being empty for none and for the default.
func (s *Snapshot) collation(name string, bytewise, deterministic bool) gather.Collation {
	if name == "" {
		return gather.Collation{Known: true, Bytewise: s.Bytewise}
	}
	return gather.Collation{Known: true, Name: name, Bytewise: bytewise, Nondeterministic: !deterministic}
}
