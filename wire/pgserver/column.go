package pgserver

import (
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Column describes a column of a result.
type Column struct {
	Name   string
	Type   uint32 // OID; 0 means text
	Mod    int32  // pg_attribute.atttypmod; 0 means none
	Table  uint32 // OID of the table it is from, or 0
	Number int16  // its number in that table, or 0
}

// Text returns a column of type text. The functions below do so for other types.
func Text(name string) Column { return Column{Name: name, Type: pgtype.TextOID} }

// Bool returns a column of type boolean.
func Bool(name string) Column { return Column{Name: name, Type: pgtype.BoolOID} }

// Int2 returns a column of type smallint.
func Int2(name string) Column { return Column{Name: name, Type: pgtype.Int2OID} }

// Int4 returns a column of type integer.
func Int4(name string) Column { return Column{Name: name, Type: pgtype.Int4OID} }

// Int8 returns a column of type bigint.
func Int8(name string) Column { return Column{Name: name, Type: pgtype.Int8OID} }

// Float4 returns a column of type real.
func Float4(name string) Column { return Column{Name: name, Type: pgtype.Float4OID} }

// Float8 returns a column of type double precision.
func Float8(name string) Column { return Column{Name: name, Type: pgtype.Float8OID} }

// Numeric returns a column of type numeric.
func Numeric(name string) Column { return Column{Name: name, Type: pgtype.NumericOID} }

// Bytea returns a column of type bytea.
func Bytea(name string) Column { return Column{Name: name, Type: pgtype.ByteaOID} }

// Date returns a column of type date.
func Date(name string) Column { return Column{Name: name, Type: pgtype.DateOID} }

// Timestamp returns a column of type timestamp without time zone.
func Timestamp(name string) Column { return Column{Name: name, Type: pgtype.TimestampOID} }

// Timestamptz returns a column of type timestamp with time zone.
func Timestamptz(name string) Column { return Column{Name: name, Type: pgtype.TimestamptzOID} }

// JSON returns a column of type json.
func JSON(name string) Column { return Column{Name: name, Type: pgtype.JSONOID} }

// UUID returns a column of type uuid.
func UUID(name string) Column { return Column{Name: name, Type: pgtype.UUIDOID} }

func (c Column) oid() uint32 {
	if c.Type == 0 {
		return pgtype.TextOID
	}
	return c.Type
}

func (c Column) field(f wire.Format) wire.Field {
	mod := c.Mod
	if mod == 0 {
		mod = -1
	}
	return wire.Field{
		Name: c.Name, TableOID: c.Table, Column: c.Number, TypeOID: c.oid(),
		TypeSize: typeSize(c.oid()), TypeMod: mod, Format: f,
	}
}

// typeSize is pg_type.typlen.
func typeSize(oid uint32) int16 {
	switch oid {
	case pgtype.BoolOID, pgtype.QCharOID:
		return 1
	case pgtype.Int2OID:
		return 2
	case pgtype.Int4OID, pgtype.Float4OID, pgtype.DateOID, pgtype.OIDOID, pgtype.XIDOID, pgtype.CIDOID, regclassOID:
		return 4
	case pgtype.TIDOID, macaddrSixOID:
		return 6
	case pgtype.Int8OID, pgtype.Float8OID, pgtype.TimeOID, pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.XID8OID:
		return 8
	case pgtype.TimetzOID:
		return 12
	case pgtype.IntervalOID, pgtype.UUIDOID, pgtype.PointOID:
		return 16
	case pgtype.NameOID:
		return 64
	case pgtype.UnknownOID:
		return -2
	}
	return -1
}

const (
	regclassOID   = 2205
	macaddrSixOID = pgtype.MacaddrOID
)

// isText reports whether a type's binary form is its text.
func isText(oid uint32) bool {
	switch oid {
	case 0, pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.NameOID, pgtype.UnknownOID,
		pgtype.JSONOID, pgtype.XMLOID:
		return true
	}
	return false
}
