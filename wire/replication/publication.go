package replication

import (
	"context"
	"fmt"
	"strings"
)

// A TableName names a table.
type TableName struct {
	Schema, Name string // Schema may be empty: the search path decides
}

// String returns the name quoted for SQL.
func (t TableName) String() string {
	if t.Schema == "" {
		return QuoteIdent(t.Name)
	}
	return QuoteIdent(t.Schema) + "." + QuoteIdent(t.Name)
}

// A Publication is a set of tables whose changes can be subscribed to. With neither tables
// nor schemas nor AllTables it is empty.
type Publication struct {
	Name      string
	AllTables bool
	Tables    []TableName
	Schemas   []string // all tables in them; from PostgreSQL 15 on
	// Operations are among insert, update, delete and truncate. Default: all.
	Operations []string
	// ViaRoot publishes the changes of partitions as those of the partitioned table.
	ViaRoot bool
}

// CreatePublication makes a publication, on a [Logical] connection.
func (c *Conn) CreatePublication(ctx context.Context, p Publication) error {
	sql, err := p.sql()
	if err == nil {
		_, err = c.Query(ctx, sql)
	}
	if err != nil {
		return fmt.Errorf("create publication %s: %w", p.Name, err)
	}
	return nil
}

func (p Publication) sql() (string, error) {
	sql := "CREATE PUBLICATION " + QuoteIdent(p.Name)
	var what []string
	if len(p.Tables) > 0 {
		names := make([]string, len(p.Tables))
		for i, t := range p.Tables {
			names[i] = t.String()
		}
		what = append(what, "TABLE "+strings.Join(names, ", "))
	}
	if len(p.Schemas) > 0 {
		names := make([]string, len(p.Schemas))
		for i, s := range p.Schemas {
			names[i] = QuoteIdent(s)
		}
		what = append(what, "TABLES IN SCHEMA "+strings.Join(names, ", "))
	}
	switch {
	case p.AllTables && len(what) > 0:
		return "", fmt.Errorf("all tables and some tables at once")
	case p.AllTables:
		sql += " FOR ALL TABLES"
	case len(what) > 0:
		sql += " FOR " + strings.Join(what, ", ")
	}
	var with []string
	if len(p.Operations) > 0 {
		with = append(with, "publish = "+QuoteLiteral(strings.Join(p.Operations, ", ")))
	}
	if p.ViaRoot {
		with = append(with, "publish_via_partition_root = true")
	}
	if len(with) > 0 {
		sql += " WITH (" + strings.Join(with, ", ") + ")"
	}
	return sql, nil
}

// DropPublication drops a publication, on a [Logical] connection.
func (c *Conn) DropPublication(ctx context.Context, name string) error {
	if _, err := c.Query(ctx, "DROP PUBLICATION "+QuoteIdent(name)); err != nil {
		return fmt.Errorf("drop publication %s: %w", name, err)
	}
	return nil
}

// PublicationTables lists the tables that publications have, on a [Logical] connection.
func (c *Conn) PublicationTables(ctx context.Context, publications ...string) ([]TableName, error) {
	names := make([]string, len(publications))
	for i, p := range publications {
		names[i] = QuoteLiteral(p)
	}
	if len(names) == 0 {
		return nil, nil
	}
	results, err := c.Query(ctx, "SELECT DISTINCT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname IN ("+
		strings.Join(names, ", ")+") ORDER BY 1, 2")
	if err != nil {
		return nil, fmt.Errorf("list published tables: %w", err)
	}
	var tables []TableName
	for _, row := range results[0].Rows {
		tables = append(tables, TableName{Schema: string(row[0]), Name: string(row[1])})
	}
	return tables, nil
}
