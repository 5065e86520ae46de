package hash

import "github.com/pgx-dev/pgx-dev/proxy/oid"

// An OID is the object identifier of a type.
type OID = oid.OID

// The types whose values can be read here.
const (
	Bool        = oid.Bool
	Bytea       = oid.Bytea
	Char        = oid.Char
	Name        = oid.Name
	Int8        = oid.Int8
	Int2        = oid.Int2
	Int4        = oid.Int4
	Text        = oid.Text
	Oid         = oid.Oid
	JSON        = oid.JSON
	Float4      = oid.Float4
	Float8      = oid.Float8
	Unknown     = oid.Unknown
	Cidr        = oid.Cidr
	Macaddr8    = oid.Macaddr8
	Macaddr     = oid.Macaddr
	Inet        = oid.Inet
	Bpchar      = oid.Bpchar
	Varchar     = oid.Varchar
	Date        = oid.Date
	Time        = oid.Time
	Timestamp   = oid.Timestamp
	Timestamptz = oid.Timestamptz
	Interval    = oid.Interval
	Timetz      = oid.Timetz
	Numeric     = oid.Numeric
	UUID        = oid.UUID
	Jsonb       = oid.Jsonb
)

// Element returns the type of the elements of the array type t, and 0 if t is none that is
// known here.
func Element(t OID) OID { return t.Element() }

// ArrayOf returns the array type with elements of type t, and 0 if there is none known.
func ArrayOf(t OID) OID { return t.Array() }

// Known reports whether values of type t can be hashed.
func Known(t OID) bool {
	switch t {
	case Bool, Bytea, Char, Name, Int8, Int2, Int4, Text, Oid, Float4, Float8, Cidr, Macaddr8,
		Macaddr, Inet, Bpchar, Varchar, Date, Time, Timestamp, Timestamptz, Interval, Timetz,
		Numeric, UUID, Jsonb:
		return true
	}
	return t.Element() != 0 && Known(t.Element()) || t.Subtype() != 0
}
