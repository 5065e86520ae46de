package hash

// An OID is the object identifier of a type, as in pg_type.dat.
type OID uint32

// The types whose values can be read here.
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
	Float4      OID = 700
	Float8      OID = 701
	Unknown     OID = 705
	Cidr        OID = 650
	Macaddr8    OID = 774
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
	Numeric     OID = 1700
	UUID        OID = 2950
	Jsonb       OID = 3802
)

// element returns the type of the elements of an array type, or 0.
func element(t OID) OID {
	switch t {
	case 1000:
		return Bool
	case 1001:
		return Bytea
	case 1002:
		return Char
	case 1003:
		return Name
	case 1016:
		return Int8
	case 1005:
		return Int2
	case 1007:
		return Int4
	case 1009:
		return Text
	case 1028:
		return Oid
	case 1021:
		return Float4
	case 1022:
		return Float8
	case 651:
		return Cidr
	case 775:
		return Macaddr8
	case 1040:
		return Macaddr
	case 1041:
		return Inet
	case 1014:
		return Bpchar
	case 1015:
		return Varchar
	case 1182:
		return Date
	case 1183:
		return Time
	case 1115:
		return Timestamp
	case 1185:
		return Timestamptz
	case 1187:
		return Interval
	case 1270:
		return Timetz
	case 1231:
		return Numeric
	case 2951:
		return UUID
	case 3807:
		return Jsonb
	}
	return 0
}

// Element returns the type of the elements of the array type t, and 0 if t is none that is
// known here.
func Element(t OID) OID { return element(t) }

// ArrayOf returns the array type with elements of type t, and 0 if there is none known.
func ArrayOf(t OID) OID {
	for a := OID(600); a < 4000; a++ {
		if element(a) == t {
			return a
		}
	}
	return 0
}

// subtype returns the type of the bounds of a range type, or 0.
func subtype(t OID) OID {
	switch t {
	case 3904:
		return Int4
	case 3926:
		return Int8
	case 3906:
		return Numeric
	case 3908:
		return Timestamp
	case 3910:
		return Timestamptz
	case 3912:
		return Date
	}
	return 0
}

// Known reports whether values of type t can be hashed.
func Known(t OID) bool {
	switch t {
	case Bool, Bytea, Char, Name, Int8, Int2, Int4, Text, Oid, Float4, Float8, Cidr, Macaddr8,
		Macaddr, Inet, Bpchar, Varchar, Date, Time, Timestamp, Timestamptz, Interval, Timetz,
		Numeric, UUID, Jsonb:
		return true
	}
	return element(t) != 0 || subtype(t) != 0
}
