package hash

import (
	"crypto/sha1" // PgDog's choice; nothing depends on its secrecy
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// A Format is the format of a value, by the number that Bind gives it.
type Format int16

// The formats.
const (
	TextFormat   Format = 0
	BinaryFormat Format = 1
)

// A ValueError reports a value that cannot be read as its type.
type ValueError struct {
	Type  OID
	Value string // shortened
	// Malformed says that the server would refuse the value too. Else it would know more
	// (a time zone, a DateStyle) than can be known here.
	Malformed bool
}

// Error says which value it was.
func (e *ValueError) Error() string {
	if e.Malformed {
		return fmt.Sprintf("invalid input syntax for type %s: \"%s\"", TypeName(e.Type), e.Value)
	}
	return fmt.Sprintf("the meaning of %q as %s depends on settings of the server", e.Value, TypeName(e.Type))
}

func malformed(t OID, value []byte) error {
	return &ValueError{Type: t, Value: short(value), Malformed: true}
}

func unclear(t OID, value []byte) error { return &ValueError{Type: t, Value: short(value)} }

func short(value []byte) string {
	if len(value) > 64 {
		value = value[:64]
	}
	return string(value)
}

// Hash is the extended hash support function of t's default hash operator class, over a
// value that is not NULL. A text or varchar must be of a deterministic collation. The error
// is a [*ValueError]; a type that is not [Known] is an error, too.
func Hash(t OID, value []byte, f Format, seed uint64) (uint64, error) {
	switch t {
	case Int2, Int4, Int8:
		v, err := Int(t, value, f)
		return Int64(v, seed), err
	case Text, Varchar, Name:
		return Bytes(value, seed), nil
	case Bpchar:
		return Bytes(trimBlanks(value), seed), nil
	case UUID:
		u, err := ParseUUID(value, f)
		if err != nil {
			return 0, err
		}
		return Bytes(u[:], seed), nil
	case Bool:
		v, err := ParseBool(value, f)
		if v {
			return Uint32(1, seed), err
		}
		return Uint32(0, seed), err
	case Oid:
		v, err := parseOid(value, f)
		return Uint32(v, seed), err
	case Char:
		v, err := parseChar(value, f)
		return Uint32(uint32(int32(v)), seed), err
	case Bytea:
		b, err := parseBytea(value, f)
		return Bytes(b, seed), err
	case Float4, Float8:
		v, err := Float(t, value, f)
		return hashFloat(v, seed), err
	case Numeric:
		n, err := ParseNumeric(value, f)
		return n.hash(seed), err
	case Date, Time, Timestamp, Timestamptz:
		v, err := Moment(t, value, f)
		return Int64(v, seed), err
	case Timetz:
		us, zone, err := parseTimetz(value, f)
		return Int64(us, seed) ^ Uint32(uint32(zone), seed), err
	case Interval:
		v, err := parseInterval(value, f)
		return Int64(v, seed), err
	case Inet, Cidr:
		b, err := parseInet(t, value, f)
		return Bytes(b, seed), err
	case Macaddr, Macaddr8:
		b, err := parseMac(t, value, f)
		return Bytes(b, seed), err
	case Jsonb:
		return hashJsonb(value, f, seed)
	}
	if e := t.Element(); e != 0 && Known(e) {
		return hashArray(t, e, value, f, seed)
	}
	if s := t.Subtype(); s != 0 {
		return hashRange(t, s, value, f, seed)
	}
	return 0, fmt.Errorf("values of type %s cannot be hashed here", TypeName(t))
}

// Row combines the hash of a row's next key column with that of those before it, which is 0
// before the first. A NULL column is left out. The remainder of the last result divided by
// the modulus is the partition (compute_partition_hash_value in partbounds.c).
func Row(row, column uint64) uint64 { return Combine(row, column) }

// Sha1 is PgDog's sha1 function: the last four bytes of the digest, as a big-endian number.
// What it digests is an integer's decimal text, a uuid's 16 bytes, or a string's bytes.
func Sha1(t OID, value []byte, f Format) (uint64, error) {
	var b []byte
	switch t {
	case Int2, Int4, Int8:
		v, err := Int(t, value, f)
		if err != nil {
			return 0, err
		}
		b = strconv.AppendInt(nil, v, 10)
	case UUID:
		u, err := ParseUUID(value, f)
		if err != nil {
			return 0, err
		}
		b = u[:]
	case Text, Varchar:
		b = value
	default:
		return 0, fmt.Errorf("the sha1 function takes integers, uuids and strings, not %s", TypeName(t))
	}
	digest := sha1.Sum(b)
	return uint64(binary.BigEndian.Uint32(digest[16:])), nil
}

// hashFloat is hashfloat8extended: both zeros hash alike, and all NaNs.
func hashFloat(v float64, seed uint64) uint64 {
	if v == 0 {
		return seed
	}
	if v != v {
		v = math.Float64frombits(0x7ff8000000000000)
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], math.Float64bits(v))
	return Bytes(b[:], seed)
}

func trimBlanks(value []byte) []byte {
	for len(value) > 0 && value[len(value)-1] == ' ' {
		value = value[:len(value)-1]
	}
	return value
}

// TypeName is t's name, or its number.
func TypeName(t OID) string {
	switch t {
	case Bool:
		return "boolean"
	case Bytea:
		return "bytea"
	case Char:
		return `"char"`
	case Name:
		return "name"
	case Int8:
		return "bigint"
	case Int2:
		return "smallint"
	case Int4:
		return "integer"
	case Text:
		return "text"
	case Oid:
		return "oid"
	case JSON:
		return "json"
	case Float4:
		return "real"
	case Float8:
		return "double precision"
	case Unknown:
		return "unknown"
	case Cidr:
		return "cidr"
	case Macaddr8:
		return "macaddr8"
	case Macaddr:
		return "macaddr"
	case Inet:
		return "inet"
	case Bpchar:
		return "character"
	case Varchar:
		return "character varying"
	case Date:
		return "date"
	case Time:
		return "time without time zone"
	case Timestamp:
		return "timestamp without time zone"
	case Timestamptz:
		return "timestamp with time zone"
	case Interval:
		return "interval"
	case Timetz:
		return "time with time zone"
	case Numeric:
		return "numeric"
	case UUID:
		return "uuid"
	case Jsonb:
		return "jsonb"
	}
	if e := t.Element(); e != 0 {
		return TypeName(e) + "[]"
	}
	return "oid " + strconv.FormatUint(uint64(t), 10)
}
