package reshard

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Schema is the schema of ours on destination shards. It has the positions of what is there already, and
// goes when the move is over.
const Schema = "pgx_dev_reshard"

// progressSQL makes the tables. applied: how far the changes of a slot have been applied here. copied: the
// snapshot of a table that was copied here, and how its rows were divided. moved: large values of rows that a change took away from here
// to another shard, which is told no value of them.
const progressSQL = `CREATE SCHEMA IF NOT EXISTS ` + Schema + `;
CREATE TABLE IF NOT EXISTS ` + Schema + `.applied (slot text PRIMARY KEY, lsn pg_lsn NOT NULL);
CREATE TABLE IF NOT EXISTS ` + Schema + `.copied (slot text, schema_name text, table_name text, lsn pg_lsn NOT NULL, rows bigint NOT NULL, division text NOT NULL, PRIMARY KEY (slot, schema_name, table_name));
CREATE TABLE IF NOT EXISTS ` + Schema + `.moved (slot text, lsn pg_lsn, change bigint, columns text[], PRIMARY KEY (slot, lsn, change))`

// prepareProgress makes the tables on a destination shard.
func prepareProgress(ctx context.Context, conn *pgconn.PgConn) error {
	if err := do(ctx, conn, "SET client_min_messages = warning; "+progressSQL); err != nil {
		return fmt.Errorf("make the tables that keep the progress: %w", err)
	}
	return nil
}

// A name is a table's.
type name struct{ schema, table string }

func (n name) String() string { return ident(n.schema) + "." + ident(n.table) }

// A mark says that a table was copied: at which snapshot, and divided how.
type mark struct {
	at       wire.LSN
	division string
}

// copied reads which tables a slot's snapshots have been copied of to a destination shard.
func copied(ctx context.Context, conn *pgconn.PgConn, slot string) (map[name]mark, error) {
	rows, err := query(ctx, conn, "SELECT schema_name, table_name, lsn, division FROM "+Schema+".copied WHERE slot = $1", slot)
	if err != nil {
		return nil, fmt.Errorf("read what has been copied: %w", err)
	}
	out := map[name]mark{}
	for _, r := range rows {
		lsn, err := wire.ParseLSN(r.str(2))
		if err != nil {
			return nil, fmt.Errorf("read what has been copied: %w", err)
		}
		out[name{r.str(0), r.str(1)}] = mark{lsn, r.str(3)}
	}
	return out, nil
}

// applied reads how far a slot's changes have been applied on a destination shard; 0 if none has.
func applied(ctx context.Context, conn *pgconn.PgConn, slot string) (wire.LSN, error) {
	text, err := one(ctx, conn, "SELECT lsn FROM "+Schema+".applied WHERE slot = $1", slot)
	if err != nil || text == "" {
		return 0, err
	}
	return wire.ParseLSN(text)
}

// forget drops the schema of ours on a shard.
func forget(ctx context.Context, conn *pgconn.PgConn) error {
	return do(ctx, conn, "SET client_min_messages = warning; DROP SCHEMA IF EXISTS "+Schema+" CASCADE")
}

// slots are those that have progress on a shard.
func slots(ctx context.Context, conn *pgconn.PgConn) (map[string]bool, error) {
	rows, err := query(ctx, conn, "SELECT slot FROM "+Schema+".copied UNION SELECT slot FROM "+Schema+".applied")
	if err != nil {
		return nil, fmt.Errorf("read what has been copied and applied: %w", err)
	}
	out := map[string]bool{}
	for _, r := range rows {
		out[r.str(0)] = true
	}
	return out, nil
}

// forgetSlot drops the progress of a slot.
func forgetSlot(ctx context.Context, conn *pgconn.PgConn, slot string) error {
	if err := prepareProgress(ctx, conn); err != nil {
		return err
	}
	text := literal(slot)
	return do(ctx, conn, "DELETE FROM "+Schema+".copied WHERE slot = "+text+"; DELETE FROM "+Schema+".applied WHERE slot = "+text+"; DELETE FROM "+Schema+".moved WHERE slot = "+text)
}
