package pgserver

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
)

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
	if text, ok := v.(string); ok && err != nil && f == wire.Binary {
		return e.reencode(dst, oid, text)
	}
	if err == nil && out != nil && f == wire.Text {
		err = checkText(out[len(dst):])
	}
	if err != nil {
		return dst, false, err
	}
	return out, out == nil, nil
}

// reencode makes the binary form of a value's text.
func (e *rowEncoder) reencode(dst []byte, oid uint32, text string) ([]byte, bool, error) {
	v, err := e.s.TextValue(oid, text).Any()
	if err != nil {
		return dst, false, err
	}
	if v == nil {
		return dst, true, nil
	}
	out, ok, err := e.binary(dst, oid, v)
	if err == nil && !ok {
		out, err = e.s.Types().Encode(oid, int16(wire.Binary), v, dst)
	}
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
