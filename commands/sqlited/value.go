package sqlited

import (
	"database/sql/driver"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// sqliteValue makes of a client's value what SQLite stores. Dates and times are text, in the
// form that SQLite's own functions understand, whatever form the client sends; JSON is text;
// true is 1. Text that is none of its type stays as it is: SQLite lets any column hold it. What
// SQLite would store as something else (NaN as NULL, a long number as the nearest short one) is
// an error.
func sqliteValue(v pgserver.Value) (any, error) {
	switch {
	case v.IsNull():
		return nil, nil
	case v.Format == wire.Text:
		return textValue(v)
	}
	return binaryValue(v)
}

// layout is how SQLite's functions write a type of date or time; "" for other types.
func layout(oid uint32) string {
	switch oid {
	case pgtype.DateOID:
		return time.DateOnly
	case pgtype.TimestampOID:
		return "2006-01-02 15:04:05.999999"
	case pgtype.TimestamptzOID:
		return "2006-01-02 15:04:05.999999-07:00"
	}
	return ""
}

func textValue(v pgserver.Value) (any, error) {
	text := v.String()
	var convert func([]driver.Value) (driver.Value, error)
	args := []driver.Value{text}
	switch v.Type {
	case pgtype.DateOID:
		convert = toTime("date", layout(v.Type))
	case pgtype.TimestampOID:
		convert = toTime("timestamp", layout(v.Type))
	case pgtype.TimestamptzOID:
		convert = toTime("timestamp with time zone", layout(v.Type))
		args = append(args, zoneName(v.Session().Location()))
	case pgtype.BoolOID:
		convert = toBool
	case pgtype.NumericOID:
		return text, checkNumeric(text)
	case pgtype.ByteaOID, pgtype.TextArrayOID, pgtype.Int2ArrayOID, pgtype.Int4ArrayOID, pgtype.Int8ArrayOID, pgtype.Float8ArrayOID, pgtype.VarcharArrayOID, pgtype.UUIDArrayOID,
		pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID:
		return decoded(v)
	default:
		return text, nil
	}
	if out, err := convert(args); err == nil {
		return out, nil
	}
	return text, nil
}

func binaryValue(v pgserver.Value) (any, error) {
	switch v.Type {
	case pgtype.JSONOID:
		return string(v.Data), nil
	case pgtype.JSONBOID:
		if len(v.Data) > 0 && v.Data[0] == 1 { // the version of its format
			return string(v.Data[1:]), nil
		}
	}
	return decoded(v)
}

// decoded is what pgx makes of a value, as SQLite has it.
func decoded(v pgserver.Value) (any, error) {
	out, err := v.Any()
	if err != nil {
		return nil, err
	}
	switch x := out.(type) {
	case time.Time:
		if v.Type == pgtype.TimestamptzOID {
			x = x.UTC()
		}
		if x.Year() < 0 || x.Year() > 9999 {
			return nil, wire.Errorf(wire.CodeDatetimeFieldOverflow, "this is SQLite: its dates go from the year 0 to 9999")
		}
		if l := layout(v.Type); l != "" {
			return x.Format(l), nil
		}
	case pgtype.InfinityModifier:
		return x.String(), nil // the text, which is what it reads back as
	case pgtype.Numeric:
		text, err := x.Value()
		if err != nil {
			return nil, err
		}
		return text, checkNumeric(text)
	case float64:
		if math.IsNaN(x) {
			return nil, ownError(errNaN)
		}
	case float32:
		if math.IsNaN(float64(x)) {
			return nil, ownError(errNaN)
		}
	}
	return pgserver.DriverValue(out), nil
}

// checkNumeric refuses a number that SQLite would store as another one.
func checkNumeric(text driver.Value) error {
	_, err := toNumeric([]driver.Value{text})
	return ownError(err)
}

// zoneName names a time zone for the functions that convert: by its name, or a fixed one by its
// offset.
func zoneName(zone *time.Location) string {
	if _, err := time.LoadLocation(zone.String()); err == nil {
		return zone.String()
	}
	return time.Time{}.In(zone).Format("-07:00")
}
