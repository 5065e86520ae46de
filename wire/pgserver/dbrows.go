package pgserver

import (
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// rowSource reads the rows of a database/sql result. The first one is read ahead where the
// driver does not tell a column's type.
type rowSource struct {
	rows    *sql.Rows
	columns []Column
	values  []any
	ptrs    []any
	ahead   bool
	first   bool // the row read ahead is there
}

func (h *SQLHandler) source(rows *sql.Rows) (*rowSource, error) {
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	s := &rowSource{rows: rows, values: make([]any, len(names)), ptrs: make([]any, len(names))}
	guess := false
	for i, name := range names {
		s.ptrs[i] = &s.values[i]
		c := Column{Name: name, Type: h.typeOf(types[i].DatabaseTypeName())}
		guess = guess || c.Type == 0
		s.columns = append(s.columns, c)
	}
	if guess {
		s.ahead = true
		if s.first = rows.Next(); s.first {
			if err := rows.Scan(s.ptrs...); err != nil {
				return nil, err
			}
		}
	}
	for i := range s.columns {
		if s.columns[i].Type == 0 {
			s.columns[i].Type = goType(s.values[i])
			if s.values[i] == nil {
				s.columns[i].Type = aggregateType(s.columns[i].Name)
			}
		}
	}
	return s, rows.Err()
}

// next reads a row into s.values.
func (s *rowSource) next() (bool, error) {
	if s.ahead {
		s.ahead = false
		return s.first, s.rows.Err()
	}
	if !s.rows.Next() {
		return false, s.rows.Err()
	}
	return true, s.rows.Scan(s.ptrs...)
}

// send sends a result. Columns that Describe told stay what they were.
func (h *SQLHandler) send(w ResponseWriter, q *Query, rows *sql.Rows, kind statementKind, columns []Column) error {
	s, err := h.source(rows)
	if err != nil {
		return err
	}
	if columns == nil {
		columns = s.columns
		if err := h.describe(q.Context(), q.Session, q.SQL, columns); err != nil {
			return err
		}
	}
	if err := w.Columns(columns...); err != nil {
		return err
	}
	n := int64(0)
	for {
		ok, err := s.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		for i, v := range s.values {
			s.values[i] = columnValue(columns[i].Type, v)
		}
		if err := w.Row(s.values...); err != nil {
			return err
		}
		n++
	}
	if kind.reads {
		return nil // SELECT and the number of rows since the last fetch
	}
	return w.Complete(kind.complete(n))
}

// columnValue brings a driver's value in line with the type that the client was told; dynamic
// typing may bring anything.
func columnValue(oid uint32, v any) any {
	switch x := v.(type) {
	case []byte:
		if oid != pgtype.ByteaOID {
			return string(x)
		}
		if x == nil {
			return []byte{} // NULL comes as nil of no type
		}
	case string:
		if oid == pgtype.ByteaOID {
			return []byte(x)
		}
		switch oid {
		case pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.DateOID:
			for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999-07:00", "2006-01-02 15:04:05.999999999", time.DateOnly} {
				if t, err := time.Parse(layout, x); err == nil {
					return t
				}
			}
		}
	case int64:
		switch oid {
		case pgtype.BoolOID:
			return x != 0
		case pgtype.Float8OID:
			return float64(x)
		}
	case float64:
		if oid == pgtype.Int8OID {
			return fmt.Sprint(x)
		}
	}
	return v
}

// aggregateType guesses the type of a column without a value by its name, which for
// expressions is their text in most databases.
func aggregateType(name string) uint32 {
	call, _, _ := strings.Cut(strings.ToLower(name), "(")
	switch strings.TrimSpace(call) {
	case "count", "length":
		return pgtype.Int8OID
	case "sum", "avg", "total":
		return pgtype.NumericOID
	}
	return pgtype.TextOID
}

func goType(v any) uint32 {
	switch v.(type) {
	case int64:
		return pgtype.Int8OID
	case float64:
		return pgtype.Float8OID
	case bool:
		return pgtype.BoolOID
	case []byte:
		return pgtype.ByteaOID
	case time.Time:
		return pgtype.TimestamptzOID
	}
	return pgtype.TextOID
}

// TypeOf names the PostgreSQL type of a driver's type; 0 is unknown.
func (h *SQLHandler) TypeOf(databaseType string) uint32 { return h.typeOf(databaseType) }

// typeOf names the PostgreSQL type for a driver's; 0 is unknown.
func (h *SQLHandler) typeOf(name string) uint32 {
	if h.Types != nil {
		if oid := h.Types(name); oid != 0 {
			return oid
		}
	}
	name, _, _ = strings.Cut(strings.ToUpper(strings.TrimSpace(name)), "(")
	switch strings.TrimSpace(name) {
	case "INT", "INTEGER", "BIGINT", "INT8", "MEDIUMINT", "UNSIGNED INT":
		return pgtype.Int8OID
	case "INT4", "SERIAL":
		return pgtype.Int4OID
	case "SMALLINT", "INT2", "TINYINT":
		return pgtype.Int2OID
	case "TEXT", "CLOB", "STRING", "NTEXT":
		return pgtype.TextOID
	case "VARCHAR", "CHARACTER VARYING", "NVARCHAR":
		return pgtype.VarcharOID
	case "CHAR", "CHARACTER", "NCHAR", "BPCHAR":
		return pgtype.BPCharOID
	case "REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT", "FLOAT8":
		return pgtype.Float8OID
	case "FLOAT4":
		return pgtype.Float4OID
	case "BLOB", "BYTEA", "VARBINARY", "BINARY", "LONGBLOB":
		return pgtype.ByteaOID
	case "BOOL", "BOOLEAN", "BIT":
		return pgtype.BoolOID
	case "NUMERIC", "DECIMAL":
		return pgtype.NumericOID
	case "DATE":
		return pgtype.DateOID
	case "TIMESTAMP", "DATETIME", "DATETIME2":
		return pgtype.TimestampOID
	case "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", "DATETIMEOFFSET":
		return pgtype.TimestamptzOID
	case "TIME":
		return pgtype.TimeOID
	case "UUID", "UNIQUEIDENTIFIER":
		return pgtype.UUIDOID
	case "JSON":
		return pgtype.JSONOID
	case "JSONB":
		return pgtype.JSONBOID
	}
	return 0
}
