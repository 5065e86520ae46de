package pgserver

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
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
		return dst, false, wire.Errorf(wire.CodeDatatypeMismatch, "column %d: %w", i+1, err)
	}
	return out, null, nil
}

// mapped encodes by the type map.
func (e *rowEncoder) mapped(dst []byte, oid uint32, f wire.Format, v any) ([]byte, bool, error) {
	if f == wire.Text {
		if out, ok, null, err := e.indirect(dst, oid, v); ok || err != nil {
			return out, null, err
		}
	}
	m := e.s.Types()
	if _, known := m.TypeForOID(oid); !known {
		// A type of the handler's own: only its text can be known.
		if f == wire.Binary {
			return dst, false, fmt.Errorf("type %d has no binary format here", oid)
		}
		return fmt.Append(dst, v), false, nil
	}
	if f == wire.Binary {
		if ac, ok := arrayOf(m, oid); ok {
			if rv := reflect.ValueOf(v); rv.Kind() == reflect.Slice && !rv.IsNil() && rv.Len() == 0 {
				// No dimensions, as array_send does; pgx would send one of no elements.
				dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
				return binary.BigEndian.AppendUint32(dst, ac.ElementType.OID), false, nil
			}
		}
	}
	out, err := m.Encode(oid, int16(f), v, dst)
	if err != nil {
		return dst, false, err
	}
	return out, out == nil, nil
}

// indirect takes pointers, pgtype's date and time types, and slices apart, whose text must
// follow the session's settings inside, too.
func (e *rowEncoder) indirect(dst []byte, oid uint32, v any) (out []byte, ok, null bool, err error) {
	switch x := v.(type) {
	case pgtype.InfinityModifier:
		return e.pgTime(dst, oid, time.Time{}, x, true)
	case pgtype.Date:
		return e.pgTime(dst, oid, x.Time, x.InfinityModifier, x.Valid)
	case pgtype.Timestamp:
		return e.pgTime(dst, oid, x.Time, x.InfinityModifier, x.Valid)
	case pgtype.Timestamptz:
		return e.pgTime(dst, oid, x.Time, x.InfinityModifier, x.Valid)
	case pgtype.Time:
		if !x.Valid {
			return dst, true, true, nil
		}
		us := x.Microseconds
		p := intervalParts{hour: us / 3_600_000_000, minute: us / 60_000_000 % 60, sec: us / 1_000_000 % 60, usec: us % 1_000_000}
		return p.clock(dst, true), true, false, nil
	case pgtype.Interval:
		if !x.Valid {
			return dst, true, true, nil
		}
		return appendInterval(dst, interval{x.Months, x.Days, x.Microseconds}, e.s.styles().interval), true, false, nil
	case pgtype.Float8:
		if x.Valid {
			return appendFloat(dst, x.Float64, floatBits(oid), e.s.styles().floatDigits), true, false, nil
		}
		return dst, true, true, nil
	case pgtype.Float4:
		if x.Valid {
			return appendFloat(dst, float64(x.Float32), 32, e.s.styles().floatDigits), true, false, nil
		}
		return dst, true, true, nil
	}
	if ac, isArray := arrayOf(e.s.Types(), oid); isArray {
		rv := reflect.ValueOf(v)
		if rv.Kind() == reflect.Slice && styled(ac.ElementType.OID) {
			out, err = e.array(dst, ac.ElementType.OID, rv)
			return out, true, false, err
		}
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer {
		return dst, false, false, nil
	}
	if rv.IsNil() {
		return dst, true, true, nil
	}
	inner := rv.Elem().Interface()
	if out, ok, err = e.text(dst, oid, inner); ok || err != nil {
		return out, ok, false, err
	}
	return e.indirect(dst, oid, inner)
}

func arrayOf(m *pgtype.Map, oid uint32) (*pgtype.ArrayCodec, bool) {
	t, ok := m.TypeForOID(oid)
	if !ok {
		return nil, false
	}
	ac, ok := t.Codec.(*pgtype.ArrayCodec)
	return ac, ok
}

func (e *rowEncoder) pgTime(dst []byte, oid uint32, t time.Time, inf pgtype.InfinityModifier, valid bool) ([]byte, bool, bool, error) {
	switch {
	case !valid:
		return dst, true, true, nil
	case inf == pgtype.Infinity:
		return append(dst, "infinity"...), true, false, nil
	case inf == pgtype.NegativeInfinity:
		return append(dst, "-infinity"...), true, false, nil
	}
	return appendTime(dst, oid, t, e.s.styles()), true, false, nil
}

// styled reports types whose text depends on settings.
func styled(oid uint32) bool {
	switch oid {
	case pgtype.DateOID, pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.IntervalOID,
		pgtype.Float4OID, pgtype.Float8OID, pgtype.ByteaOID:
		return true
	}
	return false
}

// array writes a slice, of slices too, as PostgreSQL's array_out.
func (e *rowEncoder) array(dst []byte, oid uint32, rv reflect.Value) ([]byte, error) {
	dst = append(dst, '{')
	for i := range rv.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		el := rv.Index(i)
		if el.Kind() == reflect.Slice && el.Type().Elem().Kind() != reflect.Uint8 {
			var err error
			if dst, err = e.array(dst, oid, el); err != nil {
				return dst, err
			}
			continue
		}
		one := rowEncoder{s: e.s, oids: []uint32{oid}, formats: []wire.Format{wire.Text}}
		text, null, err := one.append(nil, 0, el.Interface())
		switch {
		case err != nil:
			return dst, err
		case null:
			dst = append(dst, "NULL"...)
		default:
			dst = appendArrayElement(dst, text)
		}
	}
	return append(dst, '}'), nil
}

func appendArrayElement(dst, text []byte) []byte {
	plain := len(text) > 0 && string(text) != "NULL" && string(text) != "null"
	for _, c := range text {
		if c == '"' || c == '\\' || c == '{' || c == '}' || c == ',' || isSpace(c) {
			plain = false
		}
	}
	if plain {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// text encodes the types that need no type map.
func (e *rowEncoder) text(dst []byte, oid uint32, v any) (out []byte, ok bool, err error) {
	switch x := v.(type) {
	case string:
		return append(dst, x...), true, nil
	case []byte:
		if x == nil {
			return dst, false, nil
		}
		if oid == pgtype.ByteaOID {
			return appendBytea(dst, x, e.s.styles().byteaEscape), true, nil
		}
		if isText(oid) {
			return append(dst, x...), true, nil
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
			return append(dst, *x...), true, nil
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
	if oid == pgtype.BoolOID {
		return dst, false, nil
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
			return append(dst, x...), true, nil
		case string:
			if oid != pgtype.ByteaOID {
				return append(dst, x...), true, nil
			}
		case *string:
			if x != nil && oid != pgtype.ByteaOID {
				return append(dst, *x...), true, nil
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
		if x, isInf := v.(pgtype.InfinityModifier); isInf {
			return binary.BigEndian.AppendUint32(dst, uint32(infinite(x, math.MinInt32, math.MaxInt32))), true, nil
		}
	case pgtype.TimestampOID, pgtype.TimestamptzOID:
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
