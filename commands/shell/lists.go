package shell

import (
	"context"
	"fmt"
	"strings"
)

// notSystem leaves out what initdb made, unless it was asked for.
func (l lister) notSystem(schema string) string {
	if l.system {
		return ""
	}
	return fmt.Sprintf("\n  AND %[1]s <> 'pg_catalog' AND %[1]s !~ '^pg_toast' AND %[1]s <> 'information_schema'", schema)
}

func (l lister) databases(ctx context.Context) error {
	return l.list(ctx, "List of databases", `
SELECT d.datname AS "Name", pg_catalog.pg_get_userbyid(d.datdba) AS "Owner",
  pg_catalog.pg_encoding_to_char(d.encoding) AS "Encoding",
  d.datcollate AS "Collate", d.datctype AS "Ctype",
  pg_catalog.array_to_string(d.datacl, E'\n') AS "Access privileges"
FROM pg_catalog.pg_database d
WHERE true`+l.pattern.where("", "", "d.datname")+`
ORDER BY 1`)
}

// relkinds are what a letter of \d lists, as in pg_class.relkind.
func relkinds(letter rune) string {
	switch letter {
	case 't':
		return `'r','p'`
	case 'v':
		return `'v'`
	case 'm':
		return `'m'`
	case 'i':
		return `'i','I'`
	case 's':
		return `'S'`
	}
	return `'f'` // E
}

// relationList is \d without a name, \dt and its like.
func (l lister) relationList(ctx context.Context, letters string) error {
	var kinds []string
	for _, c := range letters {
		kinds = append(kinds, relkinds(c))
	}
	if l.system && strings.Contains(letters, "t") && l.named {
		kinds = append(kinds, "'t'")
	}
	table := ""
	join := ""
	if strings.Contains(letters, "i") {
		table = `, c2.relname AS "Table"`
		join = `
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
LEFT JOIN pg_catalog.pg_class c2 ON i.indrelid = c2.oid`
	}
	r, err := l.s.ask(ctx, `
SELECT n.nspname AS "Schema", c.relname AS "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index'
    WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table'
    WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END AS "Type",
  pg_catalog.pg_get_userbyid(c.relowner) AS "Owner"`+table+`
FROM pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`+join+`
WHERE c.relkind IN (`+strings.Join(kinds, ",")+`)`+l.notSystem("n.nspname")+
		l.pattern.where("n.nspname", "pg_catalog.pg_table_is_visible(c.oid)", "c.relname")+`
ORDER BY 1, 2`)
	if err != nil {
		return err
	}
	if len(r.rows) > 0 {
		return l.s.show(r, "List of relations", nil)
	}
	// As in psql, an empty list is no failure.
	text := "Did not find any relations."
	if l.named {
		text = fmt.Sprintf("Did not find any relation named \"%s\".", l.arg)
	}
	_, err = fmt.Fprintln(l.s.Stderr, text)
	return err
}

func (l lister) functions(ctx context.Context, aggregates bool) error {
	version := l.s.serverVersion()
	kind := `CASE p.prokind WHEN 'a' THEN 'agg' WHEN 'w' THEN 'window' WHEN 'p' THEN 'proc' ELSE 'func' END`
	isAggregate := "p.prokind = 'a'"
	if version < 110000 {
		kind = `CASE WHEN p.proisagg THEN 'agg' WHEN p.proiswindow THEN 'window'
    WHEN p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype THEN 'trigger' ELSE 'func' END`
		isAggregate = "p.proisagg"
	}
	from := `
FROM pg_catalog.pg_proc p
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE `
	tail := l.notSystem("n.nspname") + l.pattern.where("n.nspname", "pg_catalog.pg_function_is_visible(p.oid)", "p.proname")
	if aggregates {
		return l.list(ctx, "List of aggregate functions", `
SELECT n.nspname AS "Schema", p.proname AS "Name", pg_catalog.format_type(p.prorettype, NULL) AS "Result data type",
  CASE WHEN p.pronargs = 0 THEN '*' ELSE pg_catalog.pg_get_function_arguments(p.oid) END AS "Argument data types",
  pg_catalog.obj_description(p.oid, 'pg_proc') AS "Description"`+from+isAggregate+tail+`
ORDER BY 1, 2, 4`)
	}
	return l.list(ctx, "List of functions", `
SELECT n.nspname AS "Schema", p.proname AS "Name", pg_catalog.pg_get_function_result(p.oid) AS "Result data type",
  pg_catalog.pg_get_function_arguments(p.oid) AS "Argument data types", `+kind+` AS "Type"`+from+"true"+tail+`
ORDER BY 1, 2, 4`)
}

func (l lister) schemas(ctx context.Context) error {
	where := "true"
	if !l.system {
		where = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
	}
	return l.list(ctx, "List of schemas", `
SELECT n.nspname AS "Name", pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner"
FROM pg_catalog.pg_namespace n
WHERE `+where+l.pattern.where("", "", "n.nspname")+`
ORDER BY 1`)
}

// types leaves out the row types of tables and the array types of others.
func (l lister) types(ctx context.Context) error {
	array := ` AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_type el WHERE el.oid = t.typelem AND el.typarray = t.oid)`
	if strings.Contains(l.arg, "[]") {
		array = ""
	}
	return l.list(ctx, "List of data types", `
SELECT n.nspname AS "Schema", pg_catalog.format_type(t.oid, NULL) AS "Name",
  pg_catalog.obj_description(t.oid, 'pg_type') AS "Description"
FROM pg_catalog.pg_type t
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE (t.typrelid = 0 OR (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid))`+array+l.notSystem("n.nspname")+
		l.pattern.where("n.nspname", "pg_catalog.pg_type_is_visible(t.oid)", "t.typname", "pg_catalog.format_type(t.oid, NULL)")+`
ORDER BY 1, 2`)
}

func (l lister) extensions(ctx context.Context) error {
	return l.list(ctx, "List of installed extensions", `
SELECT e.extname AS "Name", e.extversion AS "Version", n.nspname AS "Schema", c.description AS "Description"
FROM pg_catalog.pg_extension e
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
LEFT JOIN pg_catalog.pg_description c ON c.objoid = e.oid AND c.classoid = 'pg_catalog.pg_extension'::pg_catalog.regclass
WHERE true`+l.pattern.where("", "", "e.extname")+`
ORDER BY 1`)
}

func (l lister) roles(ctx context.Context) error {
	where := "true"
	if !l.system {
		where = "r.rolname !~ '^pg_'"
	}
	set, err := l.s.ask(ctx, `
SELECT r.rolname AS "Role name",
  pg_catalog.concat_ws(', ',
    CASE WHEN r.rolsuper THEN 'Superuser' END, CASE WHEN NOT r.rolinherit THEN 'No inheritance' END,
    CASE WHEN r.rolcreaterole THEN 'Create role' END, CASE WHEN r.rolcreatedb THEN 'Create DB' END,
    CASE WHEN NOT r.rolcanlogin THEN 'Cannot login' END, CASE WHEN r.rolreplication THEN 'Replication' END,
    CASE WHEN r.rolbypassrls THEN 'Bypass RLS' END)
  || CASE WHEN r.rolconnlimit = 0 THEN E'\nNo connections' WHEN r.rolconnlimit = 1 THEN E'\n1 connection'
    WHEN r.rolconnlimit > 0 THEN E'\n' || r.rolconnlimit || ' connections' ELSE '' END
  || CASE WHEN r.rolvaliduntil IS NOT NULL THEN E'\nPassword valid until ' || r.rolvaliduntil ELSE '' END AS "Attributes",
  ARRAY(SELECT b.rolname FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles b ON m.roleid = b.oid
    WHERE m.member = r.oid ORDER BY 1) AS "Member of"
FROM pg_catalog.pg_roles r
WHERE `+where+l.pattern.where("", "", "r.rolname")+`
ORDER BY 1`)
	if err != nil {
		return err
	}
	return l.s.show(set, "List of roles", []string{})
}
