package sortkey

import (
	"errors"
	"fmt"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Settings are the server settings that text depends on. The zero value is what PostgreSQL
// does by default. Binary values depend on none.
type Settings struct {
	// DateStyle as the server reports it. Dates and timestamps are read in the ISO style
	// only; empty is ISO.
	DateStyle string
	// IntervalStyle as the server reports it. Intervals are read in the style "postgres"
	// only; empty is that.
	IntervalStyle string
	// LossyFloats says that extra_float_digits is below 1, so that different floats may
	// look the same.
	LossyFloats bool
	// OtherEncoding says that strings do not come in the servers' encoding: by their bytes they compare
	// in another way than at the servers, but for equality.
	OtherEncoding bool
}

// ErrUnsupported says that values of a type, in a format, cannot be compared here.
var ErrUnsupported = errors.New("cannot be compared outside the server")

// An Encoder encodes values of one type and format. It is stateless and safe for
// concurrent use.
type Encoder func(dst, value []byte) ([]byte, error)

// New returns the encoder for values of type t in format f, or an error that wraps
// [ErrUnsupported].
//
// Strings are compared as bytes: it is the caller who knows the collation.
func New(t OID, f wire.Format, set Settings) (Encoder, error) {
	if elem := t.Element(); elem != 0 {
		inner, err := New(elem, f, set)
		if err != nil {
			return nil, err
		}
		if f == wire.Binary {
			return arrayBinary(elem, inner), nil
		}
		return arrayText(inner), nil
	}
	if sub := t.Subtype(); sub != 0 {
		inner, err := New(sub, f, set)
		if err != nil {
			return nil, err
		}
		if f == wire.Binary {
			return rangeBinary(inner), nil
		}
		return rangeText(inner), nil
	}
	if f == wire.Binary {
		if e := binaryEncoder(t); e != nil {
			return e, nil
		}
		return nil, fmt.Errorf("type %d %w", t, ErrUnsupported)
	}
	if err := set.readable(t); err != nil {
		return nil, err
	}
	if e := textEncoder(t); e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("type %d %w", t, ErrUnsupported)
}

// readable returns an error if text of type t cannot be read under the settings.
func (s Settings) readable(t OID) error {
	switch t {
	case Date, Timestamp, Timestamptz:
		if len(s.DateStyle) >= 3 && s.DateStyle[:3] != "ISO" {
			return fmt.Errorf("type %d in DateStyle %q %w", t, s.DateStyle, ErrUnsupported)
		}
	case Interval:
		if s.IntervalStyle != "" && s.IntervalStyle != "postgres" {
			return fmt.Errorf("type interval in IntervalStyle %q %w", s.IntervalStyle, ErrUnsupported)
		}
	case Float4, Float8:
		if s.LossyFloats {
			return fmt.Errorf("type %d with extra_float_digits below 1 %w", t, ErrUnsupported)
		}
	}
	return nil
}

func textEncoder(t OID) Encoder {
	switch t {
	case Bool:
		return boolText
	case Int2, Int4, Int8:
		return intText
	case Oid:
		return oidText
	case Float4, Float8:
		return floatText(t)
	case Numeric:
		return numericText
	case Text, Varchar, Name:
		return stringBytes
	case Bpchar:
		return bpcharBytes
	case Char:
		return charText
	case Bytea:
		return byteaText
	case Bit, Varbit:
		return bitText
	case UUID:
		return hexText(16)
	case Macaddr:
		return hexText(6)
	case Macaddr8:
		return hexText(8)
	case Inet, Cidr:
		return inetText
	case Date, Time, Timestamp, Timestamptz:
		return momentText(t)
	case Timetz:
		return timetzText
	case Interval:
		return intervalText
	}
	return nil
}

func binaryEncoder(t OID) Encoder {
	switch t {
	case Bool:
		return fixedBytes(1)
	case Int2:
		return intBinary(2)
	case Int4, Date:
		return intBinary(4)
	case Int8, Time, Timestamp, Timestamptz:
		return intBinary(8)
	case Oid:
		return fixedBytes(4)
	case Float4, Float8:
		return floatBinary(t)
	case Numeric:
		return numericBinary
	case Text, Varchar, Name, Bytea:
		return stringBytes
	case Bpchar:
		return bpcharBytes
	case Char:
		return fixedBytes(1)
	case Bit, Varbit:
		return bitBinary
	case UUID:
		return fixedBytes(16)
	case Macaddr:
		return fixedBytes(6)
	case Macaddr8:
		return fixedBytes(8)
	case Inet, Cidr:
		return inetBinary
	case Timetz:
		return timetzBinary
	case Interval:
		return intervalBinary
	}
	return nil
}

func malformed(what string, value []byte) error {
	return fmt.Errorf("malformed %s value %.60q", what, value)
}
