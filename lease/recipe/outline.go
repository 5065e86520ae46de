package recipe

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Outline lists what is in a database, one thing a line: its objects with their
// definitions, and how many rows each table has.
func Outline(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	const user = `NOT IN ('pg_catalog', 'information_schema', 'pg_toast')`
	lines, err := column(ctx, conn, `
		SELECT format('%s %I.%I', c.relkind, n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname `+user+`
		UNION ALL SELECT format('column %I.%I.%I %s %s %s', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
				CASE WHEN a.attnotnull THEN 'not null' END, pg_get_expr(d.adbin, d.adrelid))
			FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
			WHERE n.nspname `+user+` AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
		UNION ALL SELECT format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(c.oid)) FROM pg_constraint c
			JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname `+user+`
		UNION ALL SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
			JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname `+user+`
		UNION ALL SELECT format('function %s %s', p.oid::regprocedure, md5(prosrc)) FROM pg_proc p
			JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname `+user+`
		UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT format('type %s %s %s', t.oid::regtype, t.typtype, (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
			FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname `+user+`
		UNION ALL SELECT format('view %s %s', c.oid::regclass, md5(pg_get_viewdef(c.oid))) FROM pg_class c
			JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname `+user+` AND c.relkind IN ('v', 'm')
		UNION ALL SELECT format('extension %s %s', extname, extversion) FROM pg_extension`)
	if err != nil {
		return nil, err
	}
	tables, err := column(ctx, conn, `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.nspname `+user)
	if err != nil {
		return nil, err
	}
	for _, name := range tables {
		var n int64
		err = errors.Join(err, conn.QueryRow(ctx, "SELECT count(*) FROM ONLY "+name).Scan(&n))
		lines = append(lines, fmt.Sprintf("%d rows in %s", n, name))
	}
	slices.Sort(lines)
	return lines, err
}

// Compare lists what is in only one of two sorted lists, as diff does: "- " is only in a.
func Compare(a, b []string) []string {
	var out []string
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			out, a = append(out, "- "+a[0]), a[1:]
		case len(a) == 0 || b[0] < a[0]:
			out, b = append(out, "+ "+b[0]), b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return out
}

// column returns the one column of a query's rows.
func column(ctx context.Context, conn *pgx.Conn, sql string) ([]string, error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
