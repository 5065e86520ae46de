package sqlited

import (
	"database/sql/driver"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// sqliteValue makes of a client's value what SQLite stores. Dates and times are text, in the
// form that SQLite's own functions understand, whatever form the client sends; JSON is text;
// true is 1. Text that is none of its type stays as it is: SQLite lets any column hold it.
func sqliteValue(v pgserver.Value) (any, error) {
	if v.IsNull() {
		return nil, nil
	}
	layouts := map[uint32]string{
		pgtype.DateOID: time.DateOnly, pgtype.TimestampOID: "2006-01-02 15:04:05.999999",
		pgtype.TimestamptzOID: "2006-01-02 15:04:05.999999-07:00",
	}
	if v.Format == wire.Text {
		text := v.String()
		var convert func([]driver.Value) (driver.Value, error)
		switch v.Type {
		case pgtype.DateOID:
			convert = toTime("date", layouts[v.Type])
		case pgtype.TimestampOID:
			convert = toTime("timestamp", layouts[v.Type])
		case pgtype.TimestamptzOID:
			convert = toTime("timestamp with time zone", layouts[v.Type])
		case pgtype.BoolOID:
			convert = toBool
		case pgtype.ByteaOID, pgtype.TextArrayOID, pgtype.Int2ArrayOID, pgtype.Int4ArrayOID, pgtype.Int8ArrayOID, pgtype.Float8ArrayOID, pgtype.VarcharArrayOID, pgtype.UUIDArrayOID,
			pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID:
			out, err := v.Any()
			return pgserver.DriverValue(out), err
		default:
			return text, nil
		}
		if out, err := convert([]driver.Value{text}); err == nil {
			return out, nil
		}
		return text, nil
	}
	switch v.Type {
	case pgtype.JSONOID:
		return string(v.Data), nil
	case pgtype.JSONBOID:
		if len(v.Data) > 0 && v.Data[0] == 1 { // the version of its format
			return string(v.Data[1:]), nil
		}
	}
	out, err := v.Any()
	if err != nil {
		return nil, err
	}
	if at, ok := out.(time.Time); ok {
		if v.Type == pgtype.TimestamptzOID {
			at = at.UTC()
		}
		if layout, ok := layouts[v.Type]; ok {
			return at.Format(layout), nil
		}
	}
	return pgserver.DriverValue(out), nil
}
