package sharding

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
)

// A Raw is a value as it came: a parameter or a literal.
type Raw struct {
	// Type is the type it has there; 0 or hash.Unknown takes the column's type.
	Type   hash.OID
	Format hash.Format
	Bytes  []byte
	Null   bool
}

// A key is a value of a key column, comparable with others of the same column.
type key struct {
	class class
	i     int64
	b     []byte
	n     hash.Number
}

// A class is a family of types whose values compare with each other.
type class uint8

const (
	none    class = iota
	integer       // int2, int4, int8, oid, date, time, timestamp, timestamptz, bool
	bytewise
	decimal
)

func classOf(t hash.OID) class {
	switch t {
	case hash.Int2, hash.Int4, hash.Int8, hash.Date, hash.Time, hash.Timestamp, hash.Timestamptz:
		return integer
	case hash.Text, hash.Varchar, hash.Bpchar, hash.UUID, hash.Bytea:
		return bytewise
	case hash.Numeric:
		return decimal
	}
	return none
}

// ordered reports whether the server orders values of t as we do; not so strings, which it
// orders by collation.
func ordered(t hash.OID) bool {
	switch t {
	case hash.Text, hash.Varchar, hash.Bpchar:
		return false
	}
	return classOf(t) != none
}

func integral(t hash.OID) bool { return t == hash.Int2 || t == hash.Int4 || t == hash.Int8 }

func textual(t hash.OID) bool { return t == hash.Text || t == hash.Varchar }

// effective returns the type as which v is to be read so that it compares with a column of
// type t as the server would compare, and whether there is one.
func effective(t hash.OID, v Raw) (hash.OID, bool) {
	switch {
	case v.Type == 0, v.Type == hash.Unknown, v.Type == t:
		return t, true
	case integral(t) && integral(v.Type):
		return v.Type, true
	case textual(t) && (textual(v.Type) || v.Type == hash.Name):
		return t, true
	case t == hash.Numeric && integral(v.Type), integral(t) && v.Type == hash.Numeric:
		return v.Type, true
	}
	return 0, false
}

// parse reads v as a value to be compared with a column of type t. ok is false for a value
// that no row can be equal to, such as 1.5 for an integer.
func parse(t hash.OID, v Raw) (k key, ok bool, err error) {
	as, fits := effective(t, v)
	if !fits {
		return k, false, errUncomparable
	}
	k.class = classOf(t)
	switch {
	case integral(t) && as == hash.Numeric:
		n, err := hash.ParseNumeric(v.Bytes, v.Format)
		if err != nil {
			return k, false, err
		}
		k.i, ok = n.Int()
		return k, ok, nil
	case integral(t):
		k.i, err = hash.Int(as, v.Bytes, v.Format)
	case t == hash.Numeric && integral(as):
		var i int64
		if i, err = hash.Int(as, v.Bytes, v.Format); err == nil {
			k.n, err = hash.ParseNumeric(strconv.AppendInt(nil, i, 10), hash.TextFormat)
		}
	case t == hash.Numeric:
		k.n, err = hash.ParseNumeric(v.Bytes, v.Format)
	case k.class == integer:
		k.i, err = hash.Moment(t, v.Bytes, v.Format)
	case t == hash.UUID:
		var u [16]byte
		u, err = hash.ParseUUID(v.Bytes, v.Format)
		k.b = u[:]
	case t == hash.Bpchar:
		k.b = bytes.TrimRight(v.Bytes, " ")
	case t == hash.Bytea && v.Format == hash.TextFormat:
		return k, false, errUncomparable
	case k.class == bytewise:
		k.b = v.Bytes
	default:
		return k, false, errUncomparable
	}
	return k, err == nil, err
}

func (k key) compare(l key) int {
	switch k.class {
	case integer:
		return cmp.Compare(k.i, l.i)
	case decimal:
		return k.n.Compare(l.n)
	}
	return bytes.Compare(k.b, l.b)
}

// vector reads pgvector's text form, or its binary one: dimensions, unused, float4s.
func vector(v Raw) ([]float32, bool) {
	if v.Format == hash.BinaryFormat {
		if len(v.Bytes) < 4 || len(v.Bytes) != 4+4*int(binary.BigEndian.Uint16(v.Bytes)) {
			return nil, false
		}
		var out []float32
		for b := v.Bytes[4:]; len(b) > 0; b = b[4:] {
			out = append(out, math.Float32frombits(binary.BigEndian.Uint32(b)))
		}
		return out, true
	}
	text := strings.TrimSpace(string(v.Bytes))
	if len(text) < 2 || text[0] != '[' || text[len(text)-1] != ']' {
		return nil, false
	}
	var out []float32
	for part := range strings.SplitSeq(text[1:len(text)-1], ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(part), 32)
		if err != nil {
			return nil, false
		}
		out = append(out, float32(x))
	}
	return out, true
}
