// Package csvd serves CSV files as tables: each file is loaded into a SQLite database in
// memory, with types that its first rows suggest, and can then be queried but not changed.
package csvd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// SniffRows is how many rows the types of columns are found from.
const SniffRows = 1000

// A Table is what has been loaded.
type Table struct {
	Name    string
	Columns []string
	Types   []string
	Rows    int64
}

// TableName returns the name of the table that a file becomes: its own without directory
// and extension, in lower case, with underscores for what would need quotes.
func TableName(path string) string {
	name := strings.ToLower(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
	name = strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 0x80 {
			return r
		}
		return '_'
	}, name)
	if name == "" || name[0] >= '0' && name[0] <= '9' || strings.HasPrefix(name, "sqlite_") || strings.HasPrefix(name, "pg_") {
		name = "t_" + name
	}
	return name
}

// Load reads a file whose first line has the columns' names into a new table, in one
// transaction: a file that is not right leaves nothing behind. The separator is a comma, a
// semicolon or a tab, whichever the first line has most of; empty fields are NULL.
func Load(ctx context.Context, db *sql.DB, path, table string) (Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return Table{}, err
	}
	defer func() { _ = f.Close() }() // it is only read
	t, err := load(ctx, db, f, table)
	if err != nil {
		return Table{}, fmt.Errorf("load %s: %w", path, err)
	}
	return t, nil
}

func load(ctx context.Context, db *sql.DB, r io.Reader, table string) (Table, error) {
	in, err := newReader(r)
	if err != nil {
		return Table{}, err
	}
	header, err := in.read()
	if errors.Is(err, io.EOF) {
		return Table{}, errors.New("the file is empty: its first line should have the columns' names")
	}
	if err != nil {
		return Table{}, err
	}
	t := Table{Name: table}
	if t.Columns, err = columnNames(header); err != nil {
		return Table{}, err
	}
	ahead, err := sniff(in, &t)
	if err != nil {
		return Table{}, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return Table{}, err
	}
	defer func() { _ = tx.Rollback() }() // nothing after Commit
	var columns, marks []string
	for i, name := range t.Columns {
		columns = append(columns, quote(name)+" "+t.Types[i])
		marks = append(marks, "?")
	}
	if _, err := tx.ExecContext(ctx, "CREATE TABLE "+quote(table)+" ("+strings.Join(columns, ", ")+")"); err != nil {
		return Table{}, err
	}
	insert, err := tx.PrepareContext(ctx, "INSERT INTO "+quote(table)+" VALUES ("+strings.Join(marks, ", ")+")")
	if err != nil {
		return Table{}, err
	}
	defer func() { _ = insert.Close() }() // the transaction tells
	values := make([]any, len(t.Columns))
	for {
		var record []string
		if len(ahead) > 0 {
			record, ahead = ahead[0], ahead[1:]
		} else if record, err = in.read(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Table{}, err
		}
		for i, text := range record {
			if values[i], err = convert(t.Types[i], text); err != nil {
				return Table{}, fmt.Errorf("line %d or before, column %s: %w", in.line(), t.Columns[i], err)
			}
		}
		if _, err := insert.ExecContext(ctx, values...); err != nil {
			return Table{}, err
		}
		t.Rows++
	}
	return t, tx.Commit()
}
