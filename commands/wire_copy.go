package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire/replication"
	"github.com/pgx-dev/pgx-dev/wire/replication/jsonl"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// copyTables writes the rows that the publications' tables had when the slot was made, by
// the snapshot that the slot has exported. conn must rest meanwhile: its next command ends
// the snapshot.
func copyTables(ctx context.Context, to *wireTarget, conn *replication.Conn, publications []string, slot replication.Slot, out *changeSink) error {
	reader, err := pgconn.ConnectConfig(ctx, to.config)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close(context.WithoutCancel(ctx)) }() // it has only read
	if err := execAll(ctx, reader,
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		"SET TRANSACTION SNAPSHOT "+replication.QuoteLiteral(slot.Snapshot),
		"SET LOCAL search_path TO pg_catalog", "SET LOCAL DateStyle TO ISO", "SET LOCAL IntervalStyle TO postgres",
		"SET LOCAL extra_float_digits TO 3",
	); err != nil {
		return err
	}
	quoted := make([]string, len(publications))
	for i, p := range publications {
		quoted[i] = replication.QuoteLiteral(p)
	}
	tables := reader.ExecParams(ctx, tablesQuery(conn.Version(), strings.Join(quoted, ", ")), nil, nil, nil, nil).Read()
	if tables.Err != nil {
		return tables.Err
	}
	for _, t := range tables.Rows {
		if err := copyTable(ctx, reader, slot, string(t[0]), string(t[1]), string(t[2]), out); err != nil {
			return fmt.Errorf("table %s.%s: %w", t[0], t[1], err)
		}
	}
	if err := execAll(ctx, reader, "COMMIT"); err != nil {
		return err
	}
	if _, err := out.w.Write(jsonl.AppendCopied(nil, slot.ConsistentPoint)); err != nil {
		return err
	}
	if err := out.flush(); err != nil {
		return err
	}
	out.acked = slot.ConsistentPoint
	return nil
}

// tablesQuery returns a query for the schema and name of each table of some publications, and
// the query for its published rows and columns. Since version 15 publications may leave out
// columns, and rows by a filter; a table in two of them has the rows of both.
func tablesQuery(version int, publications string) string {
	columns, filter := "'*'", "''"
	if version >= 150000 {
		columns = "min((SELECT string_agg(quote_ident(a), ', ') FROM unnest(p.attnames) a))"
		filter = "CASE WHEN bool_or(p.rowfilter IS NULL) THEN '' ELSE ' WHERE ' || string_agg('(' || p.rowfilter || ')', ' OR ') END"
	}
	// What inherits from a table is in the publication by itself; a partitioned table has
	// no rows of its own.
	return "SELECT p.schemaname, p.tablename, 'SELECT ' || " + columns + " || ' FROM '" +
		" || CASE WHEN min(c.relkind::text) = 'p' THEN '' ELSE 'ONLY ' END" +
		" || quote_ident(p.schemaname) || '.' || quote_ident(p.tablename) || " + filter +
		" FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname" +
		" JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename" +
		" WHERE p.pubname IN (" + publications + ") GROUP BY p.schemaname, p.tablename ORDER BY 1, 2"
}

func execAll(ctx context.Context, conn *pgconn.PgConn, statements ...string) error {
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// copyTable writes a table's rows as they come.
func copyTable(ctx context.Context, conn *pgconn.PgConn, slot replication.Slot, schema, table, query string, out *changeSink) error {
	rows := conn.ExecParams(ctx, query, nil, nil, nil, nil)
	var columns []pgoutput.Column
	for _, f := range rows.FieldDescriptions() {
		columns = append(columns, pgoutput.Column{Name: f.Name, TypeOID: f.DataTypeOID})
	}
	var failed error
	for failed == nil && rows.NextRow() {
		out.line = jsonl.AppendRow(out.line[:0], slot.ConsistentPoint, schema, table, columns, rows.Values())
		_, failed = out.w.Write(out.line)
	}
	_, err := rows.Close()
	return errors.Join(failed, err)
}
