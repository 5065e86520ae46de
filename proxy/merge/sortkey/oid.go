package sortkey

import "github.com/pgx-dev/pgx-dev/proxy/oid"

// An OID is the object identifier of a type.
type OID = oid.OID

// The types that have an encoder, besides arrays and ranges of these.
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
	Float4      = oid.Float4
	Float8      = oid.Float8
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
	Bit         = oid.Bit
	Varbit      = oid.Varbit
	Numeric     = oid.Numeric
	UUID        = oid.UUID
)

// Money is a type that is named in errors only: its text depends on lc_monetary.
const Money = oid.Money
