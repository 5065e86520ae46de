package shards

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// sequencesSQL makes what sharded sequences need on a shard: which one it is, a partitioned
// table by whose hash numbers are chosen, and the functions. %d are the shard and the number
// of shards. It may be run again.
//
// next_id_seq draws numbers until one hashes to the shard (PARTITION BY HASH of a bigint,
// hashint8extended), so that no two shards ever return the same one, and the one that is a
// sharding key is found where it is.
const sequencesSQL = `CREATE SCHEMA IF NOT EXISTS pgdog;
CREATE TABLE IF NOT EXISTS pgdog.shard_numbers (id bigint) PARTITION BY HASH (id);
CREATE OR REPLACE FUNCTION pgdog.shard_number() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT %[1]d';
CREATE OR REPLACE FUNCTION pgdog.shard_count() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT %[2]d';
CREATE OR REPLACE FUNCTION pgdog.next_id_seq(sequence regclass) RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $pgdog$
DECLARE
	n bigint;
BEGIN
	LOOP
		n := nextval(sequence);
		IF satisfies_hash_partition('pgdog.shard_numbers'::regclass, %[2]d, %[1]d, n) THEN
			RETURN n;
		END IF;
	END LOOP;
END
$pgdog$;
CREATE OR REPLACE FUNCTION pgdog.install_sharded_sequence(schema_name text, table_name text, column_name text, above bigint DEFAULT 0)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $pgdog$
DECLARE
	tab regclass := format('%%I.%%I', schema_name, table_name)::regclass;
	typ text := (SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = tab AND a.attname = column_name AND NOT a.attisdropped);
	identity boolean := (SELECT a.attidentity <> '' FROM pg_attribute a WHERE a.attrelid = tab AND a.attname = column_name);
	seq text;
	top bigint;
BEGIN
	IF typ IS NULL THEN
		RAISE undefined_column USING MESSAGE = format('column %%I of table %%s does not exist', column_name, tab);
	ELSIF typ <> 'bigint' THEN
		RAISE datatype_mismatch USING MESSAGE = format('column %%I of table %%s is %%s: a sharded sequence is for a bigint', column_name, tab, typ);
	END IF;
	IF identity THEN
		EXECUTE format('ALTER TABLE %%s ALTER COLUMN %%I DROP IDENTITY', tab, column_name);
	END IF;
	seq := pg_get_serial_sequence(tab::text, column_name);
	IF seq IS NULL THEN
		seq := format('%%I.%%I', schema_name, left(table_name || '_' || column_name, 56) || '_seq');
		EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %%s OWNED BY %%s.%%I', seq, tab, column_name);
	END IF;
	EXECUTE format('SELECT greatest(coalesce(max(%%I), 0), $1) FROM %%s', column_name, tab) INTO top USING above;
	EXECUTE format('SELECT setval(%%L, greatest($1, CASE WHEN is_called THEN last_value ELSE last_value - 1 END, 0) + 1, false) FROM %%s', seq, seq) USING top;
	EXECUTE format('ALTER TABLE %%s ALTER COLUMN %%I SET DEFAULT pgdog.next_id_seq(%%L::regclass)', tab, column_name, seq);
	RETURN seq;
END
$pgdog$`

// A Sequence is a sharded sequence that Sequences has installed.
type Sequence struct {
	// Table and Column take their numbers from it.
	Table, Column string
	// Least is the greatest number that was there before, on any shard.
	Least int64
}

// Sequences installs sharded sequences: the functions on every shard, and for every sharded
// table with a primary key of one bigint column a default that draws numbers which no other
// shard draws. It may be run again, and must be when the number of shards has changed. Where
// it fails, the error says on which shards it has been done.
func Sequences(ctx context.Context, layout *sharding.Layout, pick Pick) ([]Sequence, error) {
	conns := make([]*conn, layout.Shards)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	var snap *schema.Snapshot
	for shard := range conns {
		var err error
		if conns[shard], err = connect(ctx, pick, shard); err != nil {
			return nil, fmt.Errorf("shard %d: %w", shard, err)
		}
		if err := conns[shard].Query(ctx, "BEGIN; "+fmt.Sprintf(sequencesSQL, shard, layout.Shards), nil); err != nil {
			return nil, fmt.Errorf("shard %d: %w", shard, err)
		}
	}
	snap, err := schema.Load(ctx, conns[0])
	if err != nil {
		return nil, err
	}
	list := sequenced(layout, snap)
	for i := range list {
		if list[i].Least, err = greatest(ctx, conns, list[i]); err != nil {
			return nil, err
		}
	}
	for shard, c := range conns {
		for _, s := range list {
			schemaName, table, _ := strings.Cut(s.Table, "\x00")
			sql := fmt.Sprintf("SELECT pgdog.install_sharded_sequence(%s, %s, %s, %d)", literal(schemaName), literal(table), literal(s.Column), s.Least)
			if err := c.Query(ctx, sql, nil); err != nil {
				return nil, fmt.Errorf("shard %d, table %s: %w", shard, table, err)
			}
		}
	}
	var done []int
	for shard, c := range conns {
		if err := c.Query(ctx, "COMMIT", nil); err != nil {
			return nil, errors.Join(fmt.Errorf("shard %d: %w", shard, err), fmt.Errorf("it is done on shards %v, and on no other: run it again", done))
		}
		done = append(done, shard)
	}
	for i := range list {
		list[i].Table = strings.Replace(list[i].Table, "\x00", ".", 1)
	}
	return list, nil
}

// sequenced are the tables that get a sequence, in order.
func sequenced(layout *sharding.Layout, snap *schema.Snapshot) []Sequence {
	var out []Sequence
	for t := range snap.All {
		if t.Kind != 'r' && t.Kind != 'p' || t.Parent != nil || len(t.Primary) != 1 || layout.Find(t.Schema, t.Name, t.Names()).Key == nil {
			continue
		}
		if col := t.Column(t.Primary[0]); col >= 0 && t.Columns[col].Type == hash.Int8 && !t.Columns[col].Generated {
			out = append(out, Sequence{Table: t.Schema + "\x00" + t.Name, Column: t.Primary[0]})
		}
	}
	slices.SortFunc(out, func(a, b Sequence) int { return strings.Compare(a.Table, b.Table) })
	return out
}

// greatest is the greatest number that a table has on any shard.
func greatest(ctx context.Context, conns []*conn, s Sequence) (int64, error) {
	schemaName, table, _ := strings.Cut(s.Table, "\x00")
	least := int64(0)
	for shard, c := range conns {
		err := c.Query(ctx, fmt.Sprintf("SELECT coalesce(max(%s), 0) FROM %s.%s", ident(s.Column), ident(schemaName), ident(table)), func(row [][]byte) error {
			n, err := strconv.ParseInt(string(row[0]), 10, 64)
			least = max(least, n)
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("shard %d, table %s: %w", shard, table, err)
		}
	}
	return least, nil
}

func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// literal is a string as SQL has it, whatever standard_conforming_strings says.
func literal(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return "E'" + strings.ReplaceAll(s, `\`, `\\`) + "'"
	}
	return "'" + s + "'"
}
