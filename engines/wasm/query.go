package wasm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// A Column is one column of a result, or a parameter of a statement.
type Column struct {
	Name string `json:"name,omitempty"`
	Type uint32 `json:"type"` // OID of its data type
}

// A Result is what one statement gave back.
type Result struct {
	Tag      string // command tag: "INSERT 0 1"
	Affected int64  // rows that the command tag counts
	Columns  []Column
	Rows     [][]any // Go values as pgx gives them; nil is NULL
}

// Objects returns the rows as maps from column names.
func (r Result) Objects() []map[string]any {
	out := make([]map[string]any, len(r.Rows))
	for i, row := range r.Rows {
		out[i] = make(map[string]any, len(row))
		for j, v := range row {
			out[i][r.Columns[j].Name] = v
		}
	}
	return out
}

// JSON returns the rows as a JSON array of objects, with the columns in their order.
func (r Result) JSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, row := range r.Rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('{')
		for j, v := range row {
			if j > 0 {
				b.WriteByte(',')
			}
			name, err := json.Marshal(r.Columns[j].Name)
			if err != nil {
				return nil, err
			}
			value, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			b.Write(name)
			b.WriteByte(':')
			b.Write(value)
		}
		b.WriteByte('}')
	}
	b.WriteByte(']')
	return b.Bytes(), nil
}

func columns(fields []pgconn.FieldDescription) []Column {
	out := make([]Column, len(fields))
	for i, f := range fields {
		out[i] = Column{f.Name, f.DataTypeOID}
	}
	return out
}

// Exec runs one or more statements, separated by semicolons, in one transaction unless
// they say otherwise, and returns a result for each. When one fails, the results of those
// before it are returned with the error.
func (d *DB) Exec(ctx context.Context, sql string) (results []Result, err error) {
	err = d.with(ctx, func(conn *pgx.Conn) error {
		results, err = execAll(ctx, conn, sql)
		return err
	})
	return results, err
}

func execAll(ctx context.Context, conn *pgx.Conn, sql string) ([]Result, error) {
	var results []Result
	mrr := conn.PgConn().Exec(ctx, sql)
	for mrr.NextResult() {
		rr := mrr.ResultReader()
		r := Result{Columns: columns(rr.FieldDescriptions())}
		for rr.NextRow() {
			row := make([]any, len(r.Columns))
			for i, raw := range rr.Values() {
				v, err := decode(conn.TypeMap(), r.Columns[i].Type, raw)
				if err != nil {
					return results, errors.Join(err, mrr.Close())
				}
				row[i] = v
			}
			r.Rows = append(r.Rows, row)
		}
		tag, err := rr.Close()
		if err != nil {
			break // mrr.Close says why
		}
		r.Tag, r.Affected = tag.String(), tag.RowsAffected()
		results = append(results, r)
	}
	return results, mrr.Close()
}

// decode makes a Go value of a text value; text where the type is not known.
func decode(m *pgtype.Map, oid uint32, raw []byte) (any, error) {
	if raw == nil {
		return nil, nil
	}
	if t, ok := m.TypeForOID(oid); ok {
		return t.Codec.DecodeValue(m, oid, pgtype.TextFormatCode, raw)
	}
	return string(raw), nil
}

// A querier is what DB and Tx run single statements on.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Query runs one statement with parameters $1, $2, … and returns its result. Arguments
// are Go values as pgx takes them; what implements json.Marshaler, a map or a struct is
// good for parameters of type json and jsonb.
func (d *DB) Query(ctx context.Context, sql string, args ...any) (r Result, err error) {
	err = d.with(ctx, func(conn *pgx.Conn) error {
		r, err = queryOne(ctx, conn, sql, args)
		return err
	})
	return r, err
}

func queryOne(ctx context.Context, q querier, sql string, args []any) (Result, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return Result{}, err
	}
	r := Result{Columns: columns(rows.FieldDescriptions())}
	for rows.Next() {
		row, err := rows.Values()
		if err != nil {
			rows.Close()
			return r, err
		}
		r.Rows = append(r.Rows, row)
	}
	r.Columns = columns(rows.FieldDescriptions())
	r.Tag, r.Affected = rows.CommandTag().String(), rows.CommandTag().RowsAffected()
	return r, rows.Err()
}

// A Description says what a statement takes and gives.
type Description struct {
	Params  []Column
	Columns []Column
}

// Describe parses a statement without running it.
func (d *DB) Describe(ctx context.Context, sql string) (desc Description, err error) {
	err = d.with(ctx, func(conn *pgx.Conn) error {
		sd, err := conn.PgConn().Prepare(ctx, "", sql, nil)
		if err != nil {
			return err
		}
		for _, oid := range sd.ParamOIDs {
			desc.Params = append(desc.Params, Column{Type: oid})
		}
		desc.Columns = columns(sd.Fields)
		return nil
	})
	return desc, err
}

// A Tx is a transaction of Transaction.
type Tx struct{ tx pgx.Tx }

// Query is DB.Query inside the transaction.
func (t Tx) Query(ctx context.Context, sql string, args ...any) (Result, error) {
	return queryOne(ctx, t.tx, sql, args)
}

// Exec is DB.Exec inside the transaction.
func (t Tx) Exec(ctx context.Context, sql string) ([]Result, error) {
	return execAll(ctx, t.tx.Conn(), sql)
}

// Transaction runs f in a transaction of its own (a savepoint, when called on a Tx) that
// is rolled back when f returns an error or panics, and committed otherwise.
func (t Tx) Transaction(ctx context.Context, f func(tx Tx) error) error {
	return pgx.BeginFunc(ctx, t.tx, func(tx pgx.Tx) error { return f(Tx{tx}) })
}

// Pgx returns the transaction as pgx has it.
func (t Tx) Pgx() pgx.Tx { return t.tx }

// Transaction runs f in a transaction, which is rolled back when f returns an error or
// panics, and committed otherwise. The DB's other methods wait meanwhile: use tx.
func (d *DB) Transaction(ctx context.Context, f func(tx Tx) error) error {
	return d.with(ctx, func(conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return f(Tx{tx}) })
	})
}

func sqlState(err error) string {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Code
	}
	return ""
}
