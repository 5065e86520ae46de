// Package rows prints result sets: as psql's aligned tables, expanded records, unaligned
// fields, CSV, or JSON.
//
// The table and unaligned formats follow psql's print.c to the byte (border 1, ASCII line
// style, no pager). CSV is RFC 4180 with psql's line ends (a newline alone). CSV, JSON
// lines, JSON and unaligned output are written as rows come; a table holds all of its rows
// until Close, because the widths of its columns depend on the last one.
package rows

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// A Format is a way to print a result set.
type Format string

// The formats.
const (
	Table     Format = "table"
	Unaligned Format = "unaligned"
	CSV       Format = "csv"
	JSON      Format = "json"
	JSONL     Format = "jsonl"
)

// Formats lists every format.
func Formats() []Format { return []Format{Table, Unaligned, CSV, JSON, JSONL} }

// ParseFormat returns the format that a person named; "aligned" is psql's word for Table.
func ParseFormat(name string) (Format, error) {
	if name == "aligned" {
		return Table, nil
	}
	var known []string
	for _, f := range Formats() {
		if string(f) == name {
			return f, nil
		}
		known = append(known, string(f))
	}
	return "", fmt.Errorf("no output format %q; there are %s", name, strings.Join(known, ", "))
}

// An Expansion says when a record is printed as a block of its own, a line for each
// column.
type Expansion int

// The expansions. Auto expands a table that is wider than Options.Width.
const (
	Off Expansion = iota
	On
	Auto
)

// Options say how to print. The zero value prints as psql does when it is left alone.
type Options struct {
	Format     Format // default: Table
	Expanded   Expansion
	TuplesOnly bool   // no names of columns, titles and footers
	NoFooter   bool   // no "(n rows)"
	Null       string // what a NULL looks like in tables, unaligned and CSV output
	FieldSep   string // unaligned: between fields; default "|"
	Width      int    // columns of the terminal, for Auto; 0: unknown, Auto is Off
}

// A Column is the name of a column and the OID of its type, by which numbers are aligned
// and JSON values chosen.
type Column struct {
	Name string
	Type uint32
}

// A Set is what is known of a result set before its rows.
type Set struct {
	Columns []Column
	Title   string
}

// A Writer prints one result set. It is not safe for concurrent use.
type Writer interface {
	// Row takes a row, with nil for NULL. The values are not kept.
	Row(values [][]byte) error
	// Close prints what is left, and the footers: nil means the default one.
	Close(footers []string) error
	// Abort ends the output of a set whose last rows will never come: what was written
	// stays, and a table is not shown at all.
	Abort() error
}

// New returns a Writer that prints on w.
func New(w io.Writer, o Options, set Set) Writer {
	out := bufio.NewWriterSize(w, 32<<10)
	if o.FieldSep == "" {
		o.FieldSep = "|"
	}
	switch o.Format {
	case Unaligned:
		return &unaligned{out: out, o: o, set: set}
	case CSV:
		return &csvWriter{out: out, o: o, set: set}
	case JSON, JSONL:
		return newJSON(out, o, set)
	}
	return &table{out: out, o: o, set: set}
}

// defaultFooter is psql's "(n rows)".
func defaultFooter(n int) []string {
	if n == 1 {
		return []string{"(1 row)"}
	}
	return []string{fmt.Sprintf("(%d rows)", n)}
}

// OIDs of PostgreSQL's types (src/include/catalog/pg_type.dat).
const (
	oidBool    = 16
	oidInt8    = 20
	oidInt2    = 21
	oidInt4    = 23
	oidOID     = 26
	oidXID     = 28
	oidCID     = 29
	oidJSON    = 114
	oidFloat4  = 700
	oidFloat8  = 701
	oidMoney   = 790
	oidNumeric = 1700
	oidJSONB   = 3802
	oidXID8    = 5069
)

// rightAligned are the types that column_type_alignment in psql's print.c aligns right.
func rightAligned(oid uint32) bool {
	return isNumber(oid) || oid == oidMoney
}

func isNumber(oid uint32) bool {
	switch oid {
	case oidInt2, oidInt4, oidInt8, oidFloat4, oidFloat8, oidNumeric, oidOID, oidXID, oidXID8, oidCID:
		return true
	}
	return false
}
