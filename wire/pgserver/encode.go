package pgserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
)

// rowEncoder encodes Go values for the columns of a result: basic types and those whose text
// depends on the session's settings by itself, the others through pgx's type map.
type rowEncoder struct {
	s       *Session
	oids    []uint32
	formats []wire.Format
}

func (e *rowEncoder) init(s *Session, cols []Column, formats []wire.Format) {
	e.s, e.formats = s, formats
	e.oids = make([]uint32, len(cols))
	for i, c := range cols {
		e.oids[i] = c.oid()
	}
}

// append appends the value of column i.
func (e *rowEncoder) append(dst []byte, i int, v any) (out []byte, null bool, err error) {
	if v == nil {
		return dst, true, nil
	}
	ok := false
	if e.formats[i] == wire.Binary {
		out, ok, err = e.binary(dst, e.oids[i], v)
	} else {
		out, ok, err = e.text(dst, e.oids[i], v)
	}
	if err == nil && !ok {
		out, null, err = e.mapped(dst, e.oids[i], e.formats[i], v)
	}
	if err != nil {
		if coded, ok := errors.AsType[*wire.Error](err); ok {
			return dst, false, coded
		}
		return dst, false, wire.Errorf(wire.CodeDatatypeMismatch, "column %d: %w", i+1, err)
	}
	if null {
		return dst, true, nil // of pgx there is no slice then
	}
	return out, false, nil
}

// text encodes the types that need no type map.
func (e *rowEncoder) text(dst []byte, oid uint32, v any) (out []byte, ok bool, err error) {
	switch x := v.(type) {
	case string:
		return append(dst, x...), true, checkText(x)
	case []byte:
		if x == nil {
			return dst, false, nil
		}
		if oid == pgtype.ByteaOID {
			return appendBytea(dst, x, e.s.styles().byteaEscape), true, nil
		}
		if isText(oid) {
			return append(dst, x...), true, checkText(x)
		}
	case int:
		return appendInt(dst, oid, int64(x))
	case int64:
		return appendInt(dst, oid, x)
	case int32:
		return appendInt(dst, oid, int64(x))
	case int16:
		return appendInt(dst, oid, int64(x))
	case uint32:
		return appendInt(dst, oid, int64(x))
	case *int64:
		if x != nil {
			return appendInt(dst, oid, *x)
		}
	case *int32:
		if x != nil {
			return appendInt(dst, oid, int64(*x))
		}
	case *string:
		if x != nil {
			return append(dst, *x...), true, checkText(*x)
		}
	case bool:
		if oid == pgtype.BoolOID {
			if x {
				return append(dst, 't'), true, nil
			}
			return append(dst, 'f'), true, nil
		}
		return strconv.AppendBool(dst, x), isText(oid), nil
	case float64:
		if oid == pgtype.Float8OID || oid == pgtype.Float4OID || isText(oid) {
			return appendFloat(dst, x, floatBits(oid), e.s.styles().floatDigits), true, nil
		}
	case float32:
		if oid == pgtype.Float8OID || oid == pgtype.Float4OID || isText(oid) {
			return appendFloat(dst, float64(x), 32, e.s.styles().floatDigits), true, nil
		}
	case time.Time:
		switch oid {
		case pgtype.DateOID, pgtype.TimestampOID, pgtype.TimestamptzOID:
			if err := checkTime(oid, x); err != nil {
				return dst, false, err
			}
			return appendTime(dst, oid, x, e.s.styles()), true, nil
		case pgtype.TimeOID:
			return x.AppendFormat(dst, "15:04:05.999999"), true, nil
		case pgtype.TimetzOID:
			dst = x.AppendFormat(dst, "15:04:05.999999")
			_, offset := x.Zone()
			return appendOffset(dst, offset), true, nil
		}
		if isText(oid) {
			return appendTime(dst, pgtype.TimestamptzOID, x, e.s.styles()), true, nil
		}
	case time.Duration:
		if oid == pgtype.IntervalOID || isText(oid) {
			return appendInterval(dst, interval{micros: x.Microseconds()}, e.s.styles().interval), true, nil
		}
	}
	return dst, false, nil
}

func appendInt(dst []byte, oid uint32, n int64) ([]byte, bool, error) {
	if err := fits(oid, n); err != nil {
		return dst, false, err
	}
	switch oid {
	case pgtype.BoolOID, pgtype.DateOID, pgtype.TimeOID, pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.IntervalOID, pgtype.UUIDOID, pgtype.ByteaOID:
		return dst, false, nil // no number is one
	}
	return strconv.AppendInt(dst, n, 10), true, nil
}

// fits checks a number against the column's type: what is sent as int4 must be one.
func fits(oid uint32, n int64) error {
	switch {
	case oid == pgtype.Int2OID && n != int64(int16(n)):
		return fmt.Errorf("%d is out of range for smallint", n)
	case oid == pgtype.Int4OID && n != int64(int32(n)):
		return fmt.Errorf("%d is out of range for integer", n)
	case oid == pgtype.OIDOID && n != int64(uint32(n)):
		return fmt.Errorf("%d is out of range for oid", n)
	}
	return nil
}

func floatBits(oid uint32) int {
	if oid == pgtype.Float4OID {
		return 32
	}
	return 64
}

// binary encodes the types that need no type map.
func (e *rowEncoder) binary(dst []byte, oid uint32, v any) (out []byte, ok bool, err error) {
	if isText(oid) || oid == pgtype.ByteaOID {
		switch x := v.(type) {
		case []byte:
			if x == nil {
				return dst, false, nil
			}
			if oid != pgtype.ByteaOID {
				err = checkText(x)
			}
			return append(dst, x...), true, err
		case string:
			if oid != pgtype.ByteaOID {
				return append(dst, x...), true, checkText(x)
			}
		case *string:
			if x != nil && oid != pgtype.ByteaOID {
				return append(dst, *x...), true, checkText(*x)
			}
		}
		if oid != pgtype.ByteaOID {
			return e.text(dst, oid, v)
		}
		return dst, false, nil
	}
	switch oid {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID:
		n, isInt := integer(v)
		if !isInt {
			return dst, false, nil
		}
		if err := fits(oid, n); err != nil {
			return dst, false, err
		}
		switch oid {
		case pgtype.Int2OID:
			return binary.BigEndian.AppendUint16(dst, uint16(n)), true, nil
		case pgtype.Int8OID:
			return binary.BigEndian.AppendUint64(dst, uint64(n)), true, nil
		}
		return binary.BigEndian.AppendUint32(dst, uint32(n)), true, nil
	case pgtype.DateOID:
		if t, isTime := v.(time.Time); isTime {
			return dst, false, checkTime(oid, t)
		}
		if x, isInf := v.(pgtype.InfinityModifier); isInf {
			return binary.BigEndian.AppendUint32(dst, uint32(infinite(x, math.MinInt32, math.MaxInt32))), true, nil
		}
	case pgtype.TimestampOID, pgtype.TimestamptzOID:
		if t, isTime := v.(time.Time); isTime {
			return dst, false, checkTime(oid, t)
		}
		if x, isInf := v.(pgtype.InfinityModifier); isInf {
			return binary.BigEndian.AppendUint64(dst, uint64(infinite(x, math.MinInt64, math.MaxInt64))), true, nil
		}
	case pgtype.Float8OID:
		if x, isFloat := v.(float64); isFloat {
			return binary.BigEndian.AppendUint64(dst, math.Float64bits(x)), true, nil
		}
	case pgtype.Float4OID:
		if x, isFloat := v.(float32); isFloat {
			return binary.BigEndian.AppendUint32(dst, math.Float32bits(x)), true, nil
		}
	case pgtype.BoolOID:
		if x, isBool := v.(bool); isBool {
			if x {
				return append(dst, 1), true, nil
			}
			return append(dst, 0), true, nil
		}
	}
	return dst, false, nil
}

// infinite returns DATEVAL_NOBEGIN or DATEVAL_NOEND (datatype/timestamp.h), or their kin.
func infinite(m pgtype.InfinityModifier, low, high int64) int64 {
	if m == pgtype.NegativeInfinity {
		return low
	}
	return high
}

func integer(v any) (int64, bool) {
	switch x := v.(type) {
	case int:
		return int64(x), true
	case int64:
		return x, true
	case int32:
		return int64(x), true
	case int16:
		return int64(x), true
	case uint32:
		return int64(x), true
	case *int64:
		if x != nil {
			return *x, true
		}
	case *int32:
		if x != nil {
			return int64(*x), true
		}
	}
	return 0, false
}
