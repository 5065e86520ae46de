package shell

import (
	"context"
	"fmt"
	"strings"
)

// A section is a part of what stands below a relation's columns.
type section func(context.Context) ([]string, error)

// footers returns what \d shows below the columns, in psql's order.
func (r relation) footers(ctx context.Context) ([]string, error) {
	var sections []section
	switch {
	case r.kind == "i" || r.kind == "I":
		sections = []section{r.indexFooter}
	case r.isTable:
		sections = []section{
			r.partitionFooters, r.indexes, r.checks, r.foreignKeys, r.referencedBy, r.policies,
			r.rules, r.triggers, r.foreignServer, r.inherits, r.children,
		}
	case r.kind == "m":
		sections = []section{r.indexes}
	case r.kind == "v":
		sections = []section{r.triggers}
	}
	var out []string
	for _, f := range sections {
		lines, err := f(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, lines...)
	}
	return out, nil
}

// titled returns the first column of a query's rows under a title, each indented.
func (r relation) titled(ctx context.Context, title, sql string) ([]string, error) {
	set, err := r.l.s.ask(ctx, sql)
	if err != nil || len(set.rows) == 0 {
		return nil, err
	}
	out := []string{title}
	for i := range set.rows {
		out = append(out, "    "+set.cell(i, 0))
	}
	return out, nil
}

func (r relation) partitionFooters(ctx context.Context) ([]string, error) {
	var out []string
	if r.partition {
		set, err := r.l.s.ask(ctx, `
SELECT i.inhparent::pg_catalog.regclass, pg_catalog.pg_get_expr(c.relpartbound, c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
WHERE c.oid = `+r.oid)
		if err != nil {
			return nil, err
		}
		for i := range set.rows {
			out = append(out, fmt.Sprintf("Partition of: %s %s", set.cell(i, 0), set.cell(i, 1)))
		}
	}
	if r.kind == "p" {
		set, err := r.l.s.ask(ctx, "SELECT pg_catalog.pg_get_partkeydef("+r.oid+")")
		if err != nil {
			return nil, err
		}
		out = append(out, "Partition key: "+set.cell(0, 0))
	}
	return out, nil
}

func (r relation) indexFooter(ctx context.Context) ([]string, error) {
	nulls := "false"
	if r.l.s.serverVersion() >= 150000 {
		nulls = "i.indnullsnotdistinct"
	}
	set, err := r.l.s.ask(ctx, `
SELECT CASE WHEN i.indisprimary THEN 'primary key, ' WHEN i.indisunique THEN 'unique, ' || CASE WHEN `+nulls+` THEN 'nulls not distinct, ' ELSE '' END ELSE '' END
  || am.amname || ', for table "' || n.nspname || '.' || t.relname || '"'
  || COALESCE(', predicate (' || pg_catalog.pg_get_expr(i.indpred, i.indrelid, true) || ')', '')
  || CASE WHEN i.indisclustered THEN ', clustered' ELSE '' END || CASE WHEN i.indisvalid THEN '' ELSE ', invalid' END
  || CASE WHEN NOT i.indimmediate THEN ', deferrable' ELSE '' END
  || CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.condeferred)
    THEN ', initially deferred' ELSE '' END || CASE WHEN i.indisreplident THEN ', replica identity' ELSE '' END
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am am ON am.oid = x.relam
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE i.indexrelid = `+r.oid)
	if err != nil || len(set.rows) == 0 {
		return nil, err
	}
	return []string{set.cell(0, 0)}, nil
}

func (r relation) indexes(ctx context.Context) ([]string, error) {
	return r.titled(ctx, "Indexes:", `
SELECT '"' || x.relname || '"' || CASE WHEN k.contype = 'x' THEN ' ' || pg_catalog.pg_get_constraintdef(k.oid, true)
  ELSE CASE WHEN i.indisprimary THEN ' PRIMARY KEY,' WHEN i.indisunique AND k.contype = 'u' THEN ' UNIQUE CONSTRAINT,'
      WHEN i.indisunique THEN ' UNIQUE,' ELSE '' END
    || ' ' || pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(x.oid, 0, true), '^.*? USING ', '')
    || CASE WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END || CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END
  END
  || CASE WHEN i.indisclustered THEN ' CLUSTER' ELSE '' END || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
  || CASE WHEN i.indisreplident THEN ' REPLICA IDENTITY' ELSE '' END
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = i.indrelid AND k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
WHERE i.indrelid = `+r.oid+`
ORDER BY i.indisprimary DESC, x.relname`)
}

func (r relation) checks(ctx context.Context) ([]string, error) {
	return r.titled(ctx, "Check constraints:", `
SELECT '"' || k.conname || '" ' || pg_catalog.pg_get_constraintdef(k.oid, true)
FROM pg_catalog.pg_constraint k WHERE k.conrelid = `+r.oid+` AND k.contype = 'c' ORDER BY k.conname`)
}

// family is a condition for the constraints of this relation and of those it is a
// partition of; a partition's own copies are left out.
func (r relation) family(column string) string {
	version := r.l.s.serverVersion()
	switch {
	case version >= 120000:
		return fmt.Sprintf(`k.conparentid = 0 AND (k.%[1]s = %[2]s OR k.%[1]s IN (SELECT relid FROM pg_catalog.pg_partition_ancestors(%[2]s)))`, column, r.oid)
	case version >= 110000:
		return fmt.Sprintf("k.%s = %s AND (k.conparentid = 0 OR k.contype = 'f')", column, r.oid)
	}
	return fmt.Sprintf("k.%s = %s", column, r.oid)
}

func (r relation) foreignKeys(ctx context.Context) ([]string, error) {
	return r.titled(ctx, "Foreign-key constraints:", `
SELECT CASE WHEN k.conrelid = `+r.oid+` THEN '' ELSE 'TABLE "' || k.conrelid::pg_catalog.regclass || '" CONSTRAINT ' END
  || '"' || k.conname || '" ' || pg_catalog.pg_get_constraintdef(k.oid, true)
FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND `+r.family("conrelid")+`
ORDER BY k.conrelid = `+r.oid+` DESC, k.conname`)
}

func (r relation) referencedBy(ctx context.Context) ([]string, error) {
	return r.titled(ctx, "Referenced by:", `
SELECT 'TABLE "' || k.conrelid::pg_catalog.regclass || '" CONSTRAINT "' || k.conname || '" ' || pg_catalog.pg_get_constraintdef(k.oid, true)
FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND `+r.family("confrelid")+`
ORDER BY k.conname`)
}

func (r relation) policies(ctx context.Context) ([]string, error) {
	permissive := "p.polpermissive"
	if r.l.s.serverVersion() < 100000 {
		permissive = "true"
	}
	lines, err := r.titled(ctx, "Policies:", `
SELECT 'POLICY "' || p.polname || '"' || CASE WHEN `+permissive+` THEN '' ELSE ' AS RESTRICTIVE' END
  || CASE p.polcmd WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT' WHEN 'w' THEN ' FOR UPDATE' WHEN 'd' THEN ' FOR DELETE' ELSE '' END
  || COALESCE(E'\n      TO ' || CASE WHEN p.polroles <> '{0}' THEN pg_catalog.array_to_string(ARRAY(
       SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.oid = ANY (p.polroles) ORDER BY 1), ',') END, '')
  || COALESCE(E'\n      USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')', '')
  || COALESCE(E'\n      WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
FROM pg_catalog.pg_policy p WHERE p.polrelid = `+r.oid+` ORDER BY p.polname`)
	if err != nil {
		return nil, err
	}
	state := ""
	switch {
	case r.rowSecurity && r.forceSecurity:
		state = "forced row security enabled"
	case r.rowSecurity:
		state = "row security enabled"
	case len(lines) > 0:
		state = "row security disabled"
	}
	switch {
	case len(lines) == 0 && r.rowSecurity:
		return []string{"Policies (" + state + "): (none)"}, nil
	case len(lines) > 0 && state != "row security enabled":
		lines[0] = "Policies (" + state + "):"
	}
	return lines, nil
}

func (r relation) rules(ctx context.Context) ([]string, error) {
	if r.kind != "r" && r.kind != "p" {
		return nil, nil
	}
	return r.grouped(ctx, `
SELECT r.ev_enabled, pg_catalog.substr(pg_catalog.pg_get_ruledef(r.oid, true), 13)
FROM pg_catalog.pg_rewrite r WHERE r.ev_class = `+r.oid+` ORDER BY r.rulename`,
		"Rules:", "Disabled rules:", "Rules firing always:", "Rules firing on replica only:")
}

func (r relation) triggers(ctx context.Context) ([]string, error) {
	return r.grouped(ctx, `
SELECT t.tgenabled, pg_catalog.regexp_replace(pg_catalog.pg_get_triggerdef(t.oid, true), '^.*? TRIGGER ', '')
FROM pg_catalog.pg_trigger t WHERE t.tgrelid = `+r.oid+` AND NOT t.tgisinternal ORDER BY t.tgname`,
		"Triggers:", "Disabled user triggers:", "Triggers firing always:", "Triggers firing on replica only:")
}

// grouped sorts rules or triggers by when they fire: O, D, A and R in the first column.
func (r relation) grouped(ctx context.Context, sql string, titles ...string) ([]string, error) {
	set, err := r.l.s.ask(ctx, sql)
	if err != nil {
		return nil, err
	}
	var out []string
	for i, state := range []string{"O", "D", "A", "R"} {
		title := titles[i]
		for n := range set.rows {
			if set.cell(n, 0) != state {
				continue
			}
			if title != "" {
				out = append(out, title)
				title = ""
			}
			out = append(out, "    "+set.cell(n, 1))
		}
	}
	return out, nil
}

func (r relation) foreignServer(ctx context.Context) ([]string, error) {
	if r.kind != "f" {
		return nil, nil
	}
	set, err := r.l.s.ask(ctx, `
SELECT s.srvname, pg_catalog.array_to_string(ARRAY(
  SELECT pg_catalog.quote_ident(option_name) || ' ' || pg_catalog.quote_literal(option_value)
  FROM pg_catalog.pg_options_to_table(f.ftoptions)), ', ')
FROM pg_catalog.pg_foreign_table f JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver
WHERE f.ftrelid = `+r.oid)
	if err != nil || len(set.rows) == 0 {
		return nil, err
	}
	out := []string{"Server: " + set.cell(0, 0)}
	if options := set.cell(0, 1); options != "" {
		out = append(out, "FDW options: ("+options+")")
	}
	return out, nil
}

func (r relation) inherits(ctx context.Context) ([]string, error) {
	if r.partition {
		return nil, nil
	}
	return r.joined(ctx, "Inherits: ", `
SELECT i.inhparent::pg_catalog.regclass::pg_catalog.text FROM pg_catalog.pg_inherits i WHERE i.inhrelid = `+r.oid+` ORDER BY i.inhseqno`)
}

func (r relation) children(ctx context.Context) ([]string, error) {
	if !r.hasChildren {
		return nil, nil
	}
	bound, title := "''", "Child tables: "
	if r.kind == "p" {
		bound, title = "' ' || pg_catalog.pg_get_expr(c.relpartbound, c.oid)", "Partitions: "
	}
	return r.joined(ctx, title, `
SELECT c.oid::pg_catalog.regclass::pg_catalog.text || `+bound+`
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
WHERE i.inhparent = `+r.oid+` ORDER BY c.oid::pg_catalog.regclass::pg_catalog.text`)
}

// joined puts a title before the first row, and rows below each other with a comma.
func (r relation) joined(ctx context.Context, title, sql string) ([]string, error) {
	set, err := r.l.s.ask(ctx, sql)
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range set.rows {
		line := strings.Repeat(" ", len(title)) + set.cell(i, 0)
		if i == 0 {
			line = title + set.cell(i, 0)
		}
		if i < len(set.rows)-1 {
			line += ","
		}
		out = append(out, line)
	}
	return out, nil
}
