package reshard

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// wideSQL are the integer columns that are to be bigint: those of primary keys, and of foreign keys that
// refer to them, with the same columns of partitions and children. Left alone, with what refers to them, are
// those that a generated column or a function written in SQL standard form computes with, since these have
// types of their own, and those of tables made of a type.
const wideSQL = `WITH RECURSIVE family AS (
	SELECT c.oid AS child, c.oid AS top FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p')
	UNION SELECT i.inhrelid, f.top FROM family f JOIN pg_catalog.pg_inherits i ON i.inhparent = f.child),
wide AS (
	SELECT a.attrelid, a.attname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts-1])
	WHERE i.indisprimary AND a.atttypid IN (21, 23)
	UNION
	SELECT n.attrelid, n.attname FROM wide w CROSS JOIN LATERAL (
		SELECT fa.attrelid, fa.attname FROM pg_catalog.pg_constraint k
		JOIN pg_catalog.pg_attribute ra ON ra.attrelid = k.confrelid AND ra.attname = w.attname
		JOIN LATERAL unnest(k.conkey, k.confkey) u(own, other) ON u.other = ra.attnum
		JOIN pg_catalog.pg_attribute fa ON fa.attrelid = k.conrelid AND fa.attnum = u.own AND fa.atttypid IN (21, 23)
		WHERE k.contype = 'f' AND k.confrelid = w.attrelid
		UNION ALL
		SELECT o.child, w.attname FROM family f JOIN family o ON o.top = f.top WHERE f.child = w.attrelid) n)
SELECT n.nspname, c.relname, w.attname, format_type(a.atttypid, NULL), s.nspname, q.relname,
	c.reloftype <> 0
	OR EXISTS (SELECT FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute g ON g.attrelid = d.adrelid AND g.attnum = d.adnum AND g.attgenerated <> ''
		JOIN pg_catalog.pg_depend x ON x.classid = 'pg_catalog.pg_class'::regclass AND x.objid = d.adrelid AND x.objsubid = d.adnum AND x.refobjid = c.oid AND x.refobjsubid = a.attnum
		WHERE d.adrelid = c.oid)
	OR EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.pg_proc'::regclass AND x.refclassid = 'pg_catalog.pg_class'::regclass AND x.refobjid = c.oid AND x.refobjsubid = a.attnum)
FROM wide w
JOIN pg_catalog.pg_attribute a ON a.attrelid = w.attrelid AND a.attname = w.attname AND a.atttypid IN (21, 23)
JOIN pg_catalog.pg_class c ON c.oid = w.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend o ON o.classid = 'pg_catalog.pg_class'::regclass AND o.refobjid = c.oid AND o.refobjsubid = a.attnum AND o.deptype = 'a'
	AND EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = o.objid AND relkind = 'S')
LEFT JOIN pg_catalog.pg_class q ON q.oid = o.objid LEFT JOIN pg_catalog.pg_namespace s ON s.oid = q.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')`

// wide are the columns of tables that become bigint, and their sequences.
type wide struct {
	columns   map[name][][2]string // column and type
	sequences map[name]bool
}

func wideColumns(ctx context.Context, conn *pgconn.PgConn) (*wide, error) {
	rows, err := query(ctx, conn, wideSQL)
	if err != nil {
		return nil, fmt.Errorf("look for integer keys: %w", err)
	}
	out := &wide{columns: map[name][][2]string{}, sequences: map[name]bool{}}
	for _, r := range rows {
		if r.bool(6) { // one that has to stay, and so all: their types would not be the same any more
			return &wide{}, nil
		}
	}
	for _, r := range rows {
		n := name{r.str(0), r.str(1)}
		out.columns[n] = append(out.columns[n], [2]string{r.str(2), r.str(3)})
		if r[5] != nil {
			out.sequences[name{r.str(4), r.str(5)}] = true
		}
	}
	return out, nil
}

// plain is a name that pg_dump writes without quotes.
var plain = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// widen rewrites the definition of a table or a sequence, which pg_dump writes with a line for each column.
func (w *wide) widen(e *entry) bool {
	n := name{e.schema, e.name}
	switch e.kind {
	case "TABLE":
		changed := false
		for _, c := range w.columns[n] {
			names := []string{ident(c[0])}
			if plain.MatchString(c[0]) {
				names = append(names, c[0])
			}
			for _, n := range names {
				line := "\n    " + n + " " + c[1]
				for _, end := range []string{" ", ",", "\n"} {
					if strings.Contains(e.sql, line+end) {
						e.sql = strings.Replace(e.sql, line+end, "\n    "+n+" bigint"+end, 1)
						changed = true
					}
				}
			}
		}
		return changed
	case "SEQUENCE":
		if w.sequences[n] {
			for _, t := range []string{"integer", "smallint"} {
				e.sql = strings.Replace(e.sql, "\n    AS "+t+"\n", "\n", 1)
			}
		}
	}
	return false
}
