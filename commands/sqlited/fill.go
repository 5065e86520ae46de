package sqlited

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// OIDs of what is there without anybody making it.
const (
	ownerOID      = 10 // BOOTSTRAP_SUPERUSERID
	catalogNsp    = 11 // PG_CATALOG_NAMESPACE
	publicNsp     = 2200
	infoNsp       = 13000
	databaseOID   = 5    // PostgresDbOid
	tablespaceOID = 1663 // DEFAULTTABLESPACE_OID
	heapOID       = 2
	btreeOID      = 403
	collation     = 100 // DEFAULT_COLLATION_OID
)

// A filler inserts rows, and keeps the first error.
type filler struct {
	ctx context.Context
	tx  *sql.Tx
	err error
}

func (f *filler) row(table, columns string, values ...any) {
	if f.err != nil {
		return
	}
	marks := strings.TrimSuffix(strings.Repeat("?,", len(values)), ",")
	_, f.err = f.tx.ExecContext(f.ctx, fmt.Sprintf("INSERT INTO %q (%s) VALUES (%s)", table, columns, marks), values...)
	if f.err != nil {
		f.err = fmt.Errorf("%s: %w", table, f.err)
	}
}

// fill makes the catalog's tables of what a session sees.
func (c *catalog) fill(ctx context.Context, db *sql.DB) (err error) {
	if _, err := db.ExecContext(ctx, createTables()+"PRAGMA case_sensitive_like = 1;"); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	f := &filler{ctx: ctx, tx: tx}
	c.fillFixed(f)
	for _, r := range c.relations {
		c.fillRelation(f, r)
		if r.kind == "r" || r.kind == "v" {
			c.fillColumns(f, r)
		}
		if r.kind == "r" {
			c.fillIndexes(f, r)
			c.fillKeys(f, r)
		}
	}
	if f.err != nil {
		return errors.Join(f.err, tx.Rollback())
	}
	return tx.Commit()
}

func (c *catalog) fillFixed(f *filler) {
	for oid, name := range map[int]string{catalogNsp: "pg_catalog", publicNsp: "public", infoNsp: "information_schema"} {
		f.row("pg_namespace", "oid, nspname, nspowner", oid, name, ownerOID)
		f.row("information_schema.schemata", "catalog_name, schema_name, schema_owner", c.database, name, c.user)
	}
	f.row("pg_database", "oid, datname, datdba, encoding, datlocprovider, datistemplate, datallowconn, datconnlimit, dattablespace, datcollate, datctype",
		databaseOID, c.database, ownerOID, 6, "c", 0, 1, -1, tablespaceOID, "C", "C")
	f.row("pg_roles", "oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit",
		ownerOID, c.user, 1, 1, 1, 1, 1, 0, 1, -1)
	f.row("pg_user", "usename, usesysid, usecreatedb, usesuper, userepl, usebypassrls", c.user, ownerOID, 1, 1, 0, 1)
	f.row("pg_tablespace", "oid, spcname, spcowner", tablespaceOID, "pg_default", ownerOID)
	f.row("pg_am", "oid, amname, amtype", heapOID, "heap", "t")
	f.row("pg_am", "oid, amname, amtype", btreeOID, "btree", "i")
	f.row("pg_collation", "oid, collname, collnamespace, collprovider", collation, "default", catalogNsp, "d")
	const columns = "oid, typname, typnamespace, typowner, typlen, typbyval, typtype, typcategory, typispreferred, typisdefined, typdelim, typrelid, typelem, typarray, typnotnull, typbasetype, typtypmod, typndims, typcollation, typinput, typoutput"
	for _, t := range catalogTypes() {
		coll := 0
		if t.category == "S" {
			coll = collation
		}
		f.row("pg_type", columns, t.oid, t.name, catalogNsp, ownerOID, t.length, b2i(t.length > 0 && t.length <= 8), "b", t.category, 0, 1, ",", 0, 0, t.array, 0, 0, -1, 0, coll, t.name+"in", t.name+"out")
		if t.array != 0 {
			f.row("pg_type", columns, t.array, "_"+t.name, catalogNsp, ownerOID, -1, 0, "b", "A", 0, 1, ",", 0, t.oid, 0, 0, 0, -1, 0, coll, "array_in", "array_out")
		}
	}
	for name, value := range c.settings {
		f.row("pg_settings", "name, setting, context, vartype, source", name, value, "user", "string", "session")
	}
}

func (c *catalog) fillRelation(f *filler, r *relation) {
	am, pages := 0, 0
	switch r.kind {
	case "r":
		am = heapOID
	case "i":
		am = btreeOID
	}
	f.row("pg_class", "oid, relname, relnamespace, reltype, reloftype, relowner, relam, relfilenode, reltablespace, relpages, reltuples, relallvisible, reltoastrelid, relhasindex, relisshared, relpersistence, relkind, relnatts, relchecks, relhasrules, relhastriggers, relhassubclass, relrowsecurity, relforcerowsecurity, relispopulated, relreplident, relispartition",
		r.oid, r.name, publicNsp, 0, 0, ownerOID, am, r.oid, 0, pages, -1, 0, 0, b2i(len(r.indexes) > 0), 0, "p", r.kind, len(r.columns), 0, b2i(r.kind == "v"), b2i(r.kind == "r" && c.hasKeys(r)), 0, 0, 0, 1, "d", 0)
	switch r.kind {
	case "r":
		f.row("pg_tables", "schemaname, tablename, tableowner, hasindexes, hasrules, hastriggers, rowsecurity", "public", r.name, c.user, b2i(len(r.indexes) > 0), 0, b2i(c.hasKeys(r)), 0)
		f.row("information_schema.tables", "table_catalog, table_schema, table_name, table_type, is_insertable_into, is_typed", c.database, "public", r.name, "BASE TABLE", "YES", "NO")
	case "v":
		f.row("pg_views", "schemaname, viewname, viewowner, definition", "public", r.name, c.user, r.text)
		f.row("information_schema.tables", "table_catalog, table_schema, table_name, table_type, is_insertable_into, is_typed", c.database, "public", r.name, "VIEW", "NO", "NO")
		f.row("information_schema.views", "table_catalog, table_schema, table_name, view_definition, check_option, is_updatable", c.database, "public", r.name, r.text, "NONE", "NO")
	}
}

// hasKeys says that foreign keys lead from the table or to it, which in PostgreSQL are
// triggers.
func (c *catalog) hasKeys(r *relation) bool {
	for _, other := range c.relations {
		for _, k := range other.keys {
			if other == r || strings.EqualFold(k.other, r.name) {
				return true
			}
		}
	}
	return false
}

func yes(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}

func (c *catalog) fillColumns(f *filler, r *relation) {
	for i, a := range r.columns {
		length, coll := int64(-1), 0
		typ := ""
		for _, t := range catalogTypes() {
			if t.oid == a.oid {
				length, typ = t.length, t.name
				if t.category == "S" {
					coll = collation
				}
			}
		}
		generated := ""
		if a.generated {
			generated = "s"
		}
		f.row("pg_attribute", "attrelid, attname, atttypid, attstattarget, attlen, attnum, attndims, attcacheoff, atttypmod, attbyval, attalign, attstorage, attcompression, attnotnull, atthasdef, atthasmissing, attidentity, attgenerated, attisdropped, attislocal, attinhcount, attcollation",
			r.oid, a.name, a.oid, -1, length, i+1, 0, -1, a.mod, b2i(length > 0 && length <= 8), "i", "p", "", b2i(a.notNull), b2i(a.value.Valid), 0, "", generated, 0, 1, 0, coll)
		if a.value.Valid {
			f.row("pg_attrdef", "oid, adrelid, adnum, adbin", r.oid<<8+int64(i), r.oid, i+1, a.value.String)
		}
		var maxLength, precision, scale any
		switch {
		case a.mod >= 4 && a.oid == pgtype.NumericOID:
			precision, scale = (a.mod-4)>>16, (a.mod-4)&0xffff
		case a.mod >= 4:
			maxLength = a.mod - 4
		}
		full := formatType(a.oid, -1)
		f.row("information_schema.columns", "table_catalog, table_schema, table_name, column_name, ordinal_position, column_default, is_nullable, data_type, character_maximum_length, numeric_precision, numeric_scale, udt_catalog, udt_schema, udt_name, is_identity, is_generated, is_updatable",
			c.database, "public", r.name, a.name, i+1, a.value, yes(!a.notNull), full, maxLength, precision, scale, c.database, "pg_catalog", typ, "NO",
			map[bool]string{true: "ALWAYS", false: "NEVER"}[a.generated], yes(r.kind == "r"))
	}
}

// numbers writes int2vector's text.
func numbers(list []int64) string { return strings.Trim(fmt.Sprint(list), "[]") }

// array writes an array's text.
func array(list []int64) string { return "{" + strings.ReplaceAll(numbers(list), " ", ",") + "}" }

func (c *catalog) fillIndexes(f *filler, r *relation) {
	for _, x := range r.indexes {
		zeros := make([]int64, len(x.keys))
		f.row("pg_index", "indexrelid, indrelid, indnatts, indnkeyatts, indisunique, indnullsnotdistinct, indisprimary, indisexclusion, indimmediate, indisclustered, indisvalid, indcheckxmin, indisready, indislive, indisreplident, indkey, indcollation, indclass, indoption, indpred",
			x.oid, r.oid, len(x.keys), len(x.keys), b2i(x.unique), 0, b2i(x.primary), 0, 1, 0, 1, 0, 1, 1, 0, numbers(x.keys), numbers(zeros), numbers(zeros), numbers(zeros),
			map[bool]any{true: "partial", false: nil}[x.partial])
		f.row("pg_indexes", "schemaname, tablename, indexname, indexdef", "public", r.name, x.name, x.definition(r.name))
		if !x.constraint {
			continue
		}
		kind, words := "u", "UNIQUE"
		if x.primary {
			kind, words = "p", "PRIMARY KEY"
		}
		c.constraint(f, r, x.oid+1<<31, x.name, kind, words, x.keys, x.oid)
	}
}

// constraint adds one to pg_constraint and information_schema.
func (c *catalog) constraint(f *filler, r *relation, oid int64, name, kind, words string, keys []int64, index int64) {
	f.row("pg_constraint", "oid, conname, connamespace, contype, condeferrable, condeferred, convalidated, conrelid, contypid, conindid, conparentid, confrelid, confupdtype, confdeltype, confmatchtype, conislocal, coninhcount, connoinherit, conkey",
		oid, name, publicNsp, kind, 0, 0, 1, r.oid, 0, index, 0, 0, " ", " ", " ", 1, 0, 1, array(keys))
	f.row("information_schema.table_constraints", "constraint_catalog, constraint_schema, constraint_name, table_catalog, table_schema, table_name, constraint_type, is_deferrable, initially_deferred",
		c.database, "public", name, c.database, "public", r.name, words, "NO", "NO")
	for i, k := range keys {
		if k < 1 {
			continue
		}
		column := r.columns[k-1].name
		f.row("information_schema.key_column_usage", "constraint_catalog, constraint_schema, constraint_name, table_catalog, table_schema, table_name, column_name, ordinal_position",
			c.database, "public", name, c.database, "public", r.name, column, i+1)
		if kind != "f" {
			f.row("information_schema.constraint_column_usage", "table_catalog, table_schema, table_name, column_name, constraint_catalog, constraint_schema, constraint_name",
				c.database, "public", r.name, column, c.database, "public", name)
		}
	}
}

func (c *catalog) fillKeys(f *filler, r *relation) {
	letter := func(action string) string {
		return map[string]string{"NO ACTION": "a", "RESTRICT": "r", "CASCADE": "c", "SET NULL": "n", "SET DEFAULT": "d"}[action]
	}
	for _, k := range r.keys {
		var from, to []int64
		for _, name := range k.from {
			from = append(from, r.number(name))
		}
		c.constraint(f, r, k.oid, k.name, "f", "FOREIGN KEY", from, 0)
		other := c.named(k.other)
		if other == nil {
			continue // it leads nowhere: SQLite looks when it is used
		}
		columns, unique := k.to, ""
		for _, x := range other.indexes {
			if len(columns) == 0 && x.primary {
				for _, n := range x.keys {
					columns = append(columns, other.columns[n-1].name)
				}
			}
		}
		for _, name := range columns {
			to = append(to, other.number(name))
			f.row("information_schema.constraint_column_usage", "table_catalog, table_schema, table_name, column_name, constraint_catalog, constraint_schema, constraint_name",
				c.database, "public", other.name, name, c.database, "public", k.name)
		}
		index := int64(0)
		for _, x := range other.indexes {
			if x.unique && numbers(x.keys) == numbers(to) {
				index, unique = x.oid, x.name
			}
		}
		if f.err == nil {
			_, f.err = f.tx.ExecContext(f.ctx, "UPDATE pg_constraint SET confrelid = ?, confkey = ?, conindid = ?, confupdtype = ?, confdeltype = ?, confmatchtype = 's' WHERE oid = ?",
				other.oid, array(to), index, letter(k.onUpdate), letter(k.onDelete), k.oid)
		}
		f.row("information_schema.referential_constraints", "constraint_catalog, constraint_schema, constraint_name, unique_constraint_catalog, unique_constraint_schema, unique_constraint_name, match_option, update_rule, delete_rule",
			c.database, "public", k.name, c.database, "public", unique, "NONE", k.onUpdate, k.onDelete)
	}
}

// named returns the table or view of a name.
func (c *catalog) named(name string) *relation {
	for _, r := range c.relations {
		if r.kind != "i" && strings.EqualFold(r.name, name) {
			return r
		}
	}
	return nil
}
