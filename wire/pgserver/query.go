package pgserver

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Query is one statement to be answered.
type Query struct {
	SQL     string
	Args    []Value // of $1, $2, …; empty by the simple protocol
	Session *Session

	// Simple says that the statement came by the simple protocol, in a Query message.
	Simple bool
	// More says that it stands in a simple query string with statements after it.
	More bool
	// Name is the name of the prepared statement; "" for the unnamed and for Simple.
	Name string
	// MaxRows is how many rows the client wants for now; 0 is all. The handler need not
	// care: Row waits for the next fetch.
	MaxRows int
	// DescribeOnly says that the client wants to know the columns and nothing is to be done:
	// the handler calls Columns, if the statement has any, and returns its error
	// ErrDescribeOnly. There are no arguments. It happens only to handlers that are no
	// Preparer.
	DescribeOnly bool

	run *running
}

// Context returns the query's context. It ends when the client cancels the query or goes
// away, when the server is closed, and when ServeQuery returns. context.Cause tells why.
func (q *Query) Context() context.Context { return q.run.context() }

// Scan decodes the arguments into Go variables, as pgx scans columns.
func (q *Query) Scan(dst ...any) error {
	if len(dst) != len(q.Args) {
		return wire.Errorf(wire.CodeProtocolViolation, "the statement has %d parameters, %d were given", len(dst), len(q.Args))
	}
	for i := range dst {
		if err := q.Args[i].Scan(dst[i]); err != nil {
			return err
		}
	}
	return nil
}

// A Value is an encoded value that came from the client: an argument, or a field of a COPY.
type Value struct {
	Type   uint32 // OID; 0 is unknown
	Format wire.Format
	Data   []byte // nil is NULL

	index   int
	session *Session
}

// Session returns the session that the value belongs to, whose settings say how text without a
// time zone, for instance, is meant.
func (v Value) Session() *Session { return v.session }

// IsNull reports whether the value is NULL.
func (v Value) IsNull() bool { return v.Data == nil }

// String returns the bytes as they came.
func (v Value) String() string { return string(v.Data) }

// Scan decodes the value into a Go variable by pgx's rules. A value that does not fit is an
// error with code 22P02 or 22P03.
func (v Value) Scan(dst any) error {
	if err := v.check(); err != nil {
		return err
	}
	if s, ok := dst.(*string); ok && v.Data != nil && (v.Format == wire.Text || isText(v.Type)) {
		*s = string(v.Data)
		return nil
	}
	if err := v.session.Types().Scan(v.oid(), int16(v.Format), v.Data, dst); err != nil {
		return v.invalid(err)
	}
	return nil
}

// Any decodes the value to the Go type that pgx has for it: nil, bool, int16, int32, int64,
// float32, float64, string, []byte, time.Time, pgtype.Numeric and so on. Text of an unknown
// type is a string.
func (v Value) Any() (any, error) {
	if v.Data == nil {
		return nil, nil
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	m := v.session.Types()
	t, ok := m.TypeForOID(v.oid())
	if !ok {
		if v.Format == wire.Text {
			return string(v.Data), nil
		}
		return append([]byte(nil), v.Data...), nil
	}
	out, err := t.Codec.DecodeValue(m, v.oid(), int16(v.Format), v.Data)
	if err != nil {
		return nil, v.invalid(err)
	}
	return out, nil
}

// check refuses text that is none in UTF-8.
func (v Value) check() error {
	if v.Format == wire.Text || v.Type != 0 && isText(v.Type) {
		return checkText(v.Data)
	}
	return nil
}

func (v Value) oid() uint32 {
	if v.Type == 0 {
		return pgtype.TextOID
	}
	return v.Type
}

// invalid says what PostgreSQL's input functions say.
func (v Value) invalid(err error) error {
	if v.Format == wire.Binary {
		return wire.Errorf(wire.CodeInvalidBinaryRepresentation, "value %d: %w", v.index+1, err)
	}
	name := v.typeName()
	if errors.Is(err, strconv.ErrRange) {
		return wire.Errorf(wire.CodeNumericValueOutOfRange, "value \"%s\" is out of range for type %s", v.Data, name)
	}
	code := wire.CodeInvalidTextRepresentation
	switch v.Type {
	case pgtype.DateOID, pgtype.TimeOID, pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.IntervalOID:
		code = wire.CodeInvalidDatetimeFormat
	}
	return wire.Errorf(code, "invalid input syntax for type %s: \"%s\"", name, v.Data)
}

// typeName names the value's type as PostgreSQL's messages do.
func (v Value) typeName() string {
	switch v.Type {
	case pgtype.Int2OID:
		return "smallint"
	case pgtype.Int4OID:
		return "integer"
	case pgtype.Int8OID:
		return "bigint"
	case pgtype.Float4OID:
		return "real"
	case pgtype.Float8OID:
		return "double precision"
	case pgtype.BoolOID:
		return "boolean"
	case pgtype.TimestamptzOID:
		return "timestamp with time zone"
	}
	if t, ok := v.session.Types().TypeForOID(v.oid()); ok {
		return t.Name
	}
	return strconv.FormatUint(uint64(v.Type), 10)
}

// args makes Values of a Bind's parameters, in memory of their own.
func args(raw [][]byte, formats []wire.Format, types []uint32, s *Session) ([]Value, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	size := 0
	for _, p := range raw {
		size += len(p)
	}
	mem := make([]byte, 0, size)
	out := make([]Value, len(raw))
	for i, p := range raw {
		out[i] = Value{Type: types[i], Format: wire.FormatAt(formats, i), index: i, session: s}
		if err := checkFormat(out[i].Format); err != nil {
			return nil, err
		}
		if p != nil {
			at := len(mem)
			mem = append(mem, p...)
			out[i].Data = mem[at:len(mem):len(mem)]
			if err := out[i].check(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func checkFormat(f wire.Format) error {
	if f != wire.Text && f != wire.Binary {
		return wire.Errorf(wire.CodeInvalidParameterValue, "unsupported format code: %d", int16(f))
	}
	return nil
}

// NewQuery makes a query for handlers that are called without a server, in tests and in
// middleware that runs statements of its own. It has the session and the context of parent.
func NewQuery(parent *Query, sql string, args ...Value) *Query {
	return &Query{SQL: sql, Args: args, Session: parent.Session, run: parent.run}
}

// TextValue makes a text argument.
func (s *Session) TextValue(typ uint32, text string) Value {
	return Value{Type: typ, Data: []byte(text), session: s}
}

func (v Value) GoString() string { return fmt.Sprintf("Value{%d, %s, %q}", v.Type, v.Format, v.Data) }

// With returns the value with other data in a format, for values that a handler makes.
func (v Value) With(f wire.Format, data []byte) Value {
	v.Format, v.Data = f, data
	return v
}
