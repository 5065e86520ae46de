// Package oid has the numbers of PostgreSQL's built-in types.
package oid

// An OID is the object identifier of a type, as in pg_type.dat.
type OID uint32

// The built-in types that the proxy knows something of.
const (
	Bool        OID = 16
	Bytea       OID = 17
	Char        OID = 18 // "char"
	Name        OID = 19
	Int8        OID = 20
	Int2        OID = 21
	Int4        OID = 23
	Text        OID = 25
	Oid         OID = 26
	JSON        OID = 114
	Cidr        OID = 650
	Float4      OID = 700
	Float8      OID = 701
	Unknown     OID = 705
	Macaddr8    OID = 774
	Money       OID = 790
	Macaddr     OID = 829
	Inet        OID = 869
	Bpchar      OID = 1042
	Varchar     OID = 1043
	Date        OID = 1082
	Time        OID = 1083
	Timestamp   OID = 1114
	Timestamptz OID = 1184
	Interval    OID = 1186
	Timetz      OID = 1266
	Bit         OID = 1560
	Varbit      OID = 1562
	Numeric     OID = 1700
	UUID        OID = 2950
	Jsonb       OID = 3802
)

// Element returns the type of the elements of the array type t, or 0.
func (t OID) Element() OID {
	switch t {
	case 651:
		return Cidr
	case 775:
		return Macaddr8
	case 1000:
		return Bool
	case 1001:
		return Bytea
	case 1002:
		return Char
	case 1003:
		return Name
	case 1005:
		return Int2
	case 1007:
		return Int4
	case 1009:
		return Text
	case 1014:
		return Bpchar
	case 1015:
		return Varchar
	case 1016:
		return Int8
	case 1021:
		return Float4
	case 1022:
		return Float8
	case 1028:
		return Oid
	case 1040:
		return Macaddr
	case 1041:
		return Inet
	case 1115:
		return Timestamp
	case 1182:
		return Date
	case 1183:
		return Time
	case 1185:
		return Timestamptz
	case 1187:
		return Interval
	case 1231:
		return Numeric
	case 1270:
		return Timetz
	case 1561:
		return Bit
	case 1563:
		return Varbit
	case 2951:
		return UUID
	case 3807:
		return Jsonb
	}
	return 0
}

// Array returns the array type with elements of type t, and 0 if there is none known.
func (t OID) Array() OID {
	if t == 0 {
		return 0
	}
	for a := OID(600); a < 4000; a++ {
		if a.Element() == t {
			return a
		}
	}
	return 0
}

// Subtype returns the type of the bounds of the range type t, or 0.
func (t OID) Subtype() OID {
	switch t {
	case 3904:
		return Int4
	case 3906:
		return Numeric
	case 3908:
		return Timestamp
	case 3910:
		return Timestamptz
	case 3912:
		return Date
	case 3926:
		return Int8
	}
	return 0
}

// Collatable reports whether values of type t are compared by a collation.
func (t OID) Collatable() bool {
	switch t {
	case Text, Varchar, Bpchar, Name:
		return true
	}
	return t.Element() != 0 && t.Element().Collatable()
}
