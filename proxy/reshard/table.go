package reshard

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// A column of a table that is moved.
type column struct {
	name     string
	oid      hash.OID
	typ      string // format_type's
	length   int    // of a varchar, 0 for any
	always   bool   // GENERATED ALWAYS AS IDENTITY
	cast     string // the destination's type where it is another one
	key      bool   // part of the replica identity
	collates bool   // by a collation that calls different strings equal
	domain   bool
}

// A table is one of the publication, as the source has it.
type table struct {
	name
	root        name // the topmost table that it is a partition of; itself
	partitioned bool
	filter      string // of the publication
	columns     []column
	identity    pgoutput.ReplicaIdentity
	primary     []string

	placement sharding.Placement
	key       *sharding.Key
	keyAt     []int // positions of the key's columns
	fit       route.Fit
}

// tablesSQL are the columns of the publication's tables, in their order. What servers before 15 have not
// stands in the two places.
const tablesSQL = `SELECT p.schemaname, p.tablename, c.relkind = 'p', %s, rn.nspname, r.relname, c.relreplident,
	a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod), CASE WHEN a.atttypid = 1043 AND a.atttypmod > 4 THEN a.atttypmod - 4 ELSE 0 END,
	a.attidentity = 'a', coalesce(a.attnum = ANY (i.indkey[0:i.indnkeyatts-1]), false), coalesce(a.attnum = ANY (pk.indkey[0:pk.indnkeyatts-1]), false),
	NOT coalesce(co.collisdeterministic, true), coalesce(b.typbasetype, 0)
FROM pg_catalog.pg_publication_tables p
JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
JOIN pg_catalog.pg_class r ON r.oid = coalesce(CASE WHEN c.relispartition THEN (SELECT max(x) FROM pg_catalog.pg_partition_root(c.oid) x) END, c.oid)
JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' %s
JOIN pg_catalog.pg_type b ON b.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_catalog.pg_index pk ON pk.indrelid = c.oid AND pk.indisprimary
LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
WHERE p.pubname = $1 AND n.nspname <> '` + Schema + `'
ORDER BY c.oid, a.attnum`

// publicationSQL: does it publish everything.
const publicationSQL = `SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_catalog.pg_publication WHERE pubname = $1`

// published reads the tables of a publication. With them the error is one of several that they may have.
func published(ctx context.Context, conn *pgconn.PgConn, publication string) ([]*table, error) {
	all, err := query(ctx, conn, publicationSQL, publication)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look for the publication: %w", err)
	case len(all) == 0:
		return nil, finalf("there is no publication %q; make it by CREATE PUBLICATION %s FOR ALL TABLES", publication, ident(publication))
	case !all[0].bool(0):
		return nil, finalf("the publication %q leaves operations out: rows would differ; ALTER PUBLICATION %s SET (publish = 'insert, update, delete, truncate')", publication, ident(publication))
	}
	version, err := one(ctx, conn, "SELECT current_setting('server_version_num')")
	if err != nil {
		return nil, err
	}
	filter, columns := "NULL", ""
	if version >= "150000" {
		filter, columns = "p.rowfilter", "AND a.attname = ANY (p.attnames)"
	}
	rows, err := query(ctx, conn, fmt.Sprintf(tablesSQL, filter, columns), publication)
	if err != nil {
		return nil, fmt.Errorf("read the tables of the publication %q: %w", publication, err)
	}
	var out []*table
	var t *table
	for _, r := range rows {
		if t == nil || t.schema != r.str(0) || t.name.table != r.str(1) {
			t = &table{name: name{r.str(0), r.str(1)}, partitioned: r.bool(2), filter: r.str(3), root: name{r.str(4), r.str(5)}, identity: pgoutput.ReplicaIdentity(r[6][0])}
			out = append(out, t)
		}
		c := column{name: r.str(7), oid: hash.OID(r.int(8)), typ: r.str(9), length: int(r.int(10)), always: r.bool(11), key: r.bool(12), collates: r.bool(14)}
		if r.bool(13) {
			t.primary = append(t.primary, c.name)
		}
		if base := hash.OID(r.int(15)); base != 0 {
			c.oid, c.domain = base, true
		}
		t.columns = append(t.columns, c)
	}
	if len(out) == 0 {
		return nil, finalf("the publication %q has no tables", publication)
	}
	err = alwaysFires(ctx, conn, out)
	if version >= "150000" {
		err = errors.Join(err, listed(ctx, conn, publication, version >= "180000"))
	}
	return out, err
}

// listedSQL are the columns that a publication leaves out, or, if they are generated, has.
const listedSQL = `SELECT p.schemaname, p.tablename, a.attname, a.attgenerated <> '' FROM pg_catalog.pg_publication_tables p
JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE p.pubname = $1 AND CASE WHEN a.attgenerated = '' THEN a.attname <> ALL (p.attnames) ELSE $2::bool AND a.attname = ANY (p.attnames) END ORDER BY 1, 2, 3`

// listed refuses a publication of some columns only: the others would be lost. Generated ones, which servers
// from 18 on may publish, are generated on the destination, too.
func listed(ctx context.Context, conn *pgconn.PgConn, publication string, generated bool) error {
	rows, err := query(ctx, conn, listedSQL, publication, strconv.FormatBool(generated))
	if err != nil {
		return fmt.Errorf("read the columns of the publication %q: %w", publication, err)
	}
	var errs []error
	for _, r := range rows {
		t := name{r.str(0), r.str(1)}
		if r.bool(3) {
			errs = append(errs, finalf("the publication %q has the generated column %q of table %s, which nothing can be written to: publish_generated_columns has to be none, and no list of columns may name it", publication, r.str(2), t))
			continue
		}
		errs = append(errs, finalf("the publication %q leaves out the column %q of table %s, whose values would be lost: publish the table without a list of columns", publication, r.str(2), t))
	}
	return errors.Join(errs...)
}

// alwaysSQL are the triggers and rules that take effect though session_replication_role is replica, with the
// topmost partitioned table of their own.
const alwaysSQL = `SELECT n.nspname, c.relname, rn.nspname, r.relname, x.kind, x.name FROM (
	SELECT tgrelid AS of, 'trigger' AS kind, tgname AS name FROM pg_catalog.pg_trigger WHERE tgenabled IN ('A', 'R') AND NOT tgisinternal
	UNION ALL SELECT ev_class, 'rule', rulename FROM pg_catalog.pg_rewrite WHERE ev_enabled IN ('A', 'R')) x
JOIN pg_catalog.pg_class c ON c.oid = x.of JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class r ON r.oid = coalesce(CASE WHEN c.relispartition THEN (SELECT max(y) FROM pg_catalog.pg_partition_root(c.oid) y) END, c.oid)
JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace ORDER BY 1, 2, 6`

// alwaysFires refuses tables on a server with triggers or rules that would take effect once more for what
// has happened already.
func alwaysFires(ctx context.Context, conn *pgconn.PgConn, tables []*table) error {
	rows, err := query(ctx, conn, alwaysSQL)
	if err != nil {
		return fmt.Errorf("look for triggers: %w", err)
	}
	var errs []error
	for _, r := range rows {
		own, root := name{r.str(0), r.str(1)}, name{r.str(2), r.str(3)}
		if slices.ContainsFunc(tables, func(t *table) bool { return t.name == own || t.root == root }) {
			errs = append(errs, finalf("the %s %q of table %s is enabled always, or for replicas: it would take effect again for every row that is moved; ALTER TABLE %s ENABLE %s %s, or DISABLE it, until the move is over", r.str(4), r.str(5), own, own, strings.ToUpper(r.str(4)), ident(r.str(5))))
		}
	}
	return errors.Join(errs...)
}

// identityColumns are the positions of the columns that identify a row.
func (t *table) identityColumns() []int {
	var out []int
	for i, c := range t.columns {
		if t.identity == pgoutput.IdentityFull || c.key {
			out = append(out, i)
		}
	}
	return out
}

// place finds where the rows of a table are to be, and says why they cannot be moved.
func (t *table) place(layout *sharding.Layout, sources int) error {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	if t.identity == pgoutput.IdentityNothing || len(t.identityColumns()) == 0 {
		return finalf("table %s has no replica identity, so that updates and deletes cannot be followed: give it a primary key, or ALTER TABLE %s REPLICA IDENTITY FULL", t, t)
	}
	t.placement = layout.Find(t.root.schema, t.root.table, names)
	key := t.placement.Key
	if key == nil || layout.Shards == 1 {
		if layout.Shards == 1 {
			t.placement = sharding.Placement{Pinned: true}
		}
		return nil
	}
	if key.Function == sharding.Lookup {
		return finalf("table %s is divided by a lookup, which cannot be resharded: the query has to be asked of a database that clients use meanwhile", t)
	}
	var types []hash.OID
	for _, c := range key.Columns {
		i := slices.IndexFunc(t.columns, func(col column) bool { return col.name == c })
		if i < 0 {
			return finalf("the publication leaves out the column %q, by which the table %s is divided", c, t)
		}
		if t.columns[i].collates {
			return finalf("the column %q of table %s has a collation by which different strings are equal: its hash is not known", c, t)
		}
		if t.columns[i].domain {
			return finalf("the column %q of table %s, by which it is divided, is of the domain %s, of which the proxy does not divide statements: clients could not use the table; give it the domain's own type", c, t, t.columns[i].typ)
		}
		t.keyAt, types, t.fit = append(t.keyAt, i), append(types, t.columns[i].oid), append(t.fit, t.columns[i].length)
	}
	var err error
	if t.key, err = key.WithTypes(types); err != nil {
		return finalf("table %s: %w", t, err)
	}
	if sources > 1 && !t.identified() {
		return finalf("the replica identity of table %s lacks its sharding key (%s): a row of one of several source shards could not be told from another's with the same identity; ALTER TABLE %s REPLICA IDENTITY FULL on the source", t, strings.Join(key.Columns, ", "), t)
	}
	return nil
}

// identified reports whether the replica identity says where a row is.
func (t *table) identified() bool {
	if t.key == nil || t.identity == pgoutput.IdentityFull {
		return true
	}
	for _, i := range t.keyAt {
		if !t.columns[i].key {
			return false
		}
	}
	return true
}

// shardOf places a row by the values of its key.
func (t *table) shardOf(values []sharding.Raw) (int, error) {
	t.fit.Apply(values)
	shard, err := t.key.Place(values, nil)
	if err == nil {
		return shard, nil
	}
	var key []string
	for i, v := range values {
		text := "NULL"
		if !v.Null {
			text = fmt.Sprintf("%q", v.Bytes)
		}
		key = append(key, t.key.Columns[i]+" = "+text)
	}
	return 0, fmt.Errorf("a row of table %s with %s has no shard: %w", t, strings.Join(key, ", "), err)
}

// division says which rows of the table a shard has, the same for divisions that give it the same ones.
func (t *table) division(shard, shards int) string {
	at := fmt.Sprintf("shard %d of %d: ", shard, shards)
	switch {
	case t.key != nil:
		sum := sha256.Sum256([]byte(t.key.Identity()))
		return at + strings.Join(t.key.Columns, ", ") + fmt.Sprintf(" %x", sum[:8])
	case t.placement.Pinned:
		return at + "all, here only"
	}
	return at + "all"
}

// alike refuses a table that was copied to a shard when the configuration divided it in another way.
func (m *Move) alike(t *table, was mark, shard int) error {
	if now := t.division(shard, len(m.Destination.Shards)); was.division != now {
		return finalf("table %s was copied to shard %d of %s divided in another way than the configuration has now (%q, now %q): configure what was, or begin again with another slot", t, shard, m.Destination.Name, was.division, now)
	}
	return nil
}

// only names the table in a statement that is to leave alone the tables that inherit from it, whose rows
// are their own.
func (t *table) only() string {
	if t.partitioned {
		return t.String()
	}
	return "ONLY " + t.String()
}

// targets are the shards that may have rows of the table.
func (t *table) targets(shards int) []int {
	if t.placement.Pinned {
		return []int{t.placement.Shard}
	}
	out := make([]int, shards)
	for i := range out {
		out[i] = i
	}
	return out
}

// once says that only the first source shard's rows count, since all have the same ones.
func (t *table) once(source *sharding.Layout) bool {
	return source.Shards == 1 || t.sourcePlacement(source).Omni()
}

// sourcePlacement is where the table's rows are on the source.
func (t *table) sourcePlacement(source *sharding.Layout) sharding.Placement {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return source.Find(t.root.schema, t.root.table, names)
}

// destinationSQL are the columns of a table.
const destinationSQL = `SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''`

// widened is what types become on the destination.
func widened(from, to string) bool {
	return to == "bigint" && (from == "integer" || from == "smallint") || from == "bigint" && (to == "integer" || to == "smallint")
}

// matches compares a table with the destination's, and takes down which columns have another type there.
func (t *table) matches(ctx context.Context, conn *pgconn.PgConn) error {
	rows, err := query(ctx, conn, destinationSQL, t.schema, t.name.table)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return finalf("there is no table %s; the schema has to be synchronized first (SCHEMA_SYNC pre)", t)
	}
	var errs []error
	for i := range t.columns {
		c := &t.columns[i]
		at := slices.IndexFunc(rows, func(r row) bool { return r.str(0) == c.name })
		switch {
		case at < 0:
			errs = append(errs, finalf("table %s has no column %q", t, c.name))
		case rows[at].str(1) == c.typ:
		case widened(c.typ, rows[at].str(1)):
			c.cast = rows[at].str(1)
		default:
			errs = append(errs, finalf("column %q of table %s is %s, and not %s as on the source", c.name, t, rows[at].str(1), c.typ))
		}
	}
	return errors.Join(errs...)
}

// unpublishedSQL are the tables with rows of their own that a publication does not have.
const unpublishedSQL = `SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '` + Schema + `')
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_tables p WHERE p.pubname = $1 AND p.schemaname = n.nspname AND p.tablename = c.relname)
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_tables p WHERE p.pubname = $1 AND c.relispartition
		AND (pg_catalog.quote_ident(p.schemaname) || '.' || pg_catalog.quote_ident(p.tablename))::regclass = ANY (SELECT x FROM pg_catalog.pg_partition_ancestors(c.oid) x))
ORDER BY 1, 2`

// unpublished names them.
func unpublished(ctx context.Context, s *Server, publication string) ([]string, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer shut(ctx, conn)
	rows, err := query(ctx, conn, unpublishedSQL, publication)
	if err != nil {
		return nil, fmt.Errorf("look for tables that are not published: %w", err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, name{r.str(0), r.str(1)}.String())
	}
	return out, nil
}
