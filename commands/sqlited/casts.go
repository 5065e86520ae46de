package sqlited

import (
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
	"modernc.org/sqlite"
)

// castFunctions are the functions for the types that a value can be cast to.
func castFunctions() map[string]string {
	return map[string]string{
		"int2": "pg_int2", "smallint": "pg_int2", "int4": "pg_int4", "int": "pg_int4", "integer": "pg_int4",
		"int8": "pg_int8", "bigint": "pg_int8", "oid": "pg_oid", "float4": "pg_float4", "real": "pg_float4",
		"float8": "pg_float8", "float": "pg_float8", "double precision": "pg_float8", "numeric": "pg_numeric", "decimal": "pg_numeric",
		"text": "pg_text", "unknown": "pg_text", "varchar": "pg_varchar", "character varying": "pg_varchar",
		"bpchar": "pg_bpchar", "char": "pg_bpchar", "character": "pg_bpchar", "name": "pg_name", `"char"`: "pg_qchar",
		"bool": "pg_bool", "boolean": "pg_bool", "date": "pg_date", "time": "pg_time",
		"timestamp": "pg_timestamp", "timestamptz": "pg_timestamptz", "bytea": "pg_bytea", "json": "pg_json", "jsonb": "pg_jsonb",
		"uuid": "pg_uuid", "int2vector": "pg_text", "oidvector": "pg_text",
	}
}

// castType returns the type that a cast function's result has, and its name.
func castType(function string) (oid uint32, name string, ok bool) {
	switch function {
	case "pg_int2":
		return pgtype.Int2OID, "int2", true
	case "pg_int4":
		return pgtype.Int4OID, "int4", true
	case "pg_int8":
		return pgtype.Int8OID, "int8", true
	case "pg_oid":
		return pgtype.OIDOID, "oid", true
	case "pg_float4":
		return pgtype.Float4OID, "float4", true
	case "pg_float8":
		return pgtype.Float8OID, "float8", true
	case "pg_numeric":
		return pgtype.NumericOID, "numeric", true
	case "pg_text":
		return pgtype.TextOID, "text", true
	case "pg_varchar":
		return pgtype.VarcharOID, "varchar", true
	case "pg_bpchar":
		return pgtype.BPCharOID, "bpchar", true
	case "pg_name":
		return pgtype.NameOID, "name", true
	case "pg_bool":
		return pgtype.BoolOID, "bool", true
	case "pg_date":
		return pgtype.DateOID, "date", true
	case "pg_time":
		return pgtype.TimeOID, "time", true
	case "pg_timestamp":
		return pgtype.TimestampOID, "timestamp", true
	case "pg_timestamptz":
		return pgtype.TimestamptzOID, "timestamptz", true
	case "pg_bytea":
		return pgtype.ByteaOID, "bytea", true
	case "pg_json":
		return pgtype.JSONOID, "json", true
	case "pg_jsonb":
		return pgtype.JSONBOID, "jsonb", true
	case "pg_uuid":
		return pgtype.UUIDOID, "uuid", true
	}
	return 0, "", false
}

// stateError is the error of one of our functions; translate finds the SQLSTATE in it.
func stateError(code, format string, args ...any) error {
	return fmt.Errorf("SQLSTATE %s: %s", code, fmt.Sprintf(format, args...))
}

func badInput(typ string, v driver.Value) error {
	return stateError("22P02", "invalid input syntax for type %s: \"%s\"", typ, textOf(v))
}

// textOf returns a value as text.
func textOf(v driver.Value) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case []byte:
		return string(x)
	case int64:
		return strconv.FormatInt(x, 10)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(x)
	}
	return fmt.Sprint(v)
}

// registerCasts adds the functions that convert as PostgreSQL's casts do: what is no value
// of the type is an error, where SQLite's own CAST makes a 0 of it.
func registerCasts(d *sqlite.Driver) error {
	for name, convert := range map[string]func(args []driver.Value) (driver.Value, error){
		"pg_int2": toInt("smallint", math.MinInt16, math.MaxInt16), "pg_int4": toInt("integer", math.MinInt32, math.MaxInt32),
		"pg_int8": toInt("bigint", math.MinInt64, math.MaxInt64), "pg_oid": toInt("oid", 0, math.MaxUint32),
		"pg_float4": toFloat("real"), "pg_float8": toFloat("double precision"), "pg_numeric": toNumeric,
		"pg_text": toText, "pg_varchar": toText, "pg_bpchar": toText,
		"pg_name":  func(args []driver.Value) (driver.Value, error) { return toText([]driver.Value{args[0], int64(63)}) },
		"pg_qchar": func(args []driver.Value) (driver.Value, error) { return toText([]driver.Value{args[0], int64(1)}) },
		"pg_bool":  toBool, "pg_json": toJSON, "pg_jsonb": toJSON, "pg_uuid": toUUID, "pg_bytea": toBytea,
		"pg_date":        toTime("date", time.DateOnly),
		"pg_time":        toTime("time", "15:04:05.999999"),
		"pg_timestamp":   toTime("timestamp", "2006-01-02 15:04:05.999999"),
		"pg_timestamptz": toTime("timestamp with time zone", "2006-01-02 15:04:05.999999-07:00"),
	} {
		err := d.RegisterDeterministicScalarFunction(name, -1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
			if len(args) == 0 || len(args) > 3 {
				return nil, stateError("42883", "%s takes a value", name)
			}
			if args[0] == nil {
				return nil, nil
			}
			return guarded(name, convert, args)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func toInt(typ string, low, high int64) func([]driver.Value) (driver.Value, error) {
	return func(args []driver.Value) (driver.Value, error) {
		var n int64
		switch x := args[0].(type) {
		case int64:
			n = x
		case bool:
			if x {
				n = 1
			}
		case float64:
			x = math.RoundToEven(x)
			if math.IsNaN(x) || x < -(1<<63) || x >= 1<<63 {
				return nil, stateError("22003", "%s out of range", typ)
			}
			n = int64(x)
		default:
			var err error
			if n, err = strconv.ParseInt(strings.TrimSpace(textOf(x)), 10, 64); err != nil {
				if e, ok := err.(*strconv.NumError); ok && e.Err == strconv.ErrRange { //nolint:errorlint // strconv's own
					return nil, stateError("22003", "value \"%s\" is out of range for type %s", textOf(x), typ)
				}
				return nil, badInput(typ, x)
			}
		}
		if n < low || n > high {
			return nil, stateError("22003", "%s out of range", typ)
		}
		return n, nil
	}
}

func toFloat(typ string) func([]driver.Value) (driver.Value, error) {
	return func(args []driver.Value) (driver.Value, error) {
		switch x := args[0].(type) {
		case float64:
			return x, nil
		case int64:
			return float64(x), nil
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(textOf(args[0])), 64)
		switch {
		case errors.Is(err, strconv.ErrRange):
			return nil, stateError("22003", "\"%s\" is out of range for type %s", textOf(args[0]), typ)
		case err != nil:
			return nil, badInput(typ, args[0])
		case math.IsNaN(f):
			return nil, errNaN
		}
		return f, nil
	}
}

// errNaN refuses what SQLite would silently store as NULL.
var errNaN = stateError("22003", "this is SQLite: its numbers cannot hold NaN")

// special are numeric's values that are no numbers.
var special = regexp.MustCompile(`(?i)^([+-]?inf(inity)?|nan)$`)

var decimal = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?$`)

// toNumeric makes a number of SQLite's. What that cannot hold is an error, not another number.
func toNumeric(args []driver.Value) (driver.Value, error) {
	text := strings.TrimSpace(textOf(args[0]))
	r, ok := new(big.Rat), decimal.MatchString(text)
	if ok {
		_, ok = r.SetString(text)
	}
	if special.MatchString(text) {
		return nil, stateError("22003", "this is SQLite: its numbers cannot hold %s", text)
	}
	if !ok {
		return nil, badInput("numeric", args[0])
	}
	if len(args) > 1 {
		precision, scale := args[1].(int64), int64(0)
		if len(args) > 2 {
			scale = args[2].(int64)
		}
		text = r.FloatString(int(min(scale, 1000)))
		if digits := strings.Trim(strings.ReplaceAll(text, ".", ""), "-0"); int64(len(digits)) > precision {
			return nil, stateError("22003", "numeric field overflow")
		}
		r.SetString(text)
	}
	if r.IsInt() && r.Num().IsInt64() {
		return r.Num().Int64(), nil
	}
	f, _ := r.Float64()
	if back, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64)); !ok || back.Cmp(r) != 0 {
		return nil, stateError("22003", "this is SQLite: its numbers cannot hold %s exactly", text)
	}
	return f, nil
}

// toText also cuts to a length in characters.
func toText(args []driver.Value) (driver.Value, error) {
	text := textOf(args[0])
	if !utf8.ValidString(text) {
		return nil, stateError("22021", "invalid byte sequence for encoding \"UTF8\"")
	}
	if len(args) > 1 {
		n, ok := args[1].(int64)
		if !ok || n < 1 {
			return nil, stateError("22023", "length for type varchar must be at least 1")
		}
		if r := []rune(text); int64(len(r)) > n {
			return string(r[:n]), nil
		}
	}
	return text, nil
}

// toBool takes what boolin takes, prefixes of the words included.
func toBool(args []driver.Value) (driver.Value, error) {
	if n, ok := args[0].(int64); ok {
		return b2i(n != 0), nil
	}
	text := strings.ToLower(strings.TrimSpace(textOf(args[0])))
	for _, word := range []string{"true", "yes", "on", "1"} {
		if text != "" && strings.HasPrefix(word, text) && text != "o" {
			return int64(1), nil
		}
	}
	for _, word := range []string{"false", "no", "off", "0"} {
		if text != "" && strings.HasPrefix(word, text) && text != "o" {
			return int64(0), nil
		}
	}
	return nil, badInput("boolean", args[0])
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func toJSON(args []driver.Value) (driver.Value, error) {
	text := textOf(args[0])
	if !json.Valid([]byte(text)) {
		return nil, stateError("22P02", "invalid input syntax for type json")
	}
	return text, nil
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$`)

func toUUID(args []driver.Value) (driver.Value, error) {
	text := strings.Trim(strings.ToLower(textOf(args[0])), "{}")
	if !uuidPattern.MatchString(text) {
		return nil, badInput("uuid", args[0])
	}
	x := strings.ReplaceAll(text, "-", "")
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:], nil
}

// toBytea reads the hex format; other text stands for its own bytes.
func toBytea(args []driver.Value) (driver.Value, error) {
	if b, ok := args[0].([]byte); ok {
		return b, nil
	}
	text := textOf(args[0])
	if digits, ok := strings.CutPrefix(text, `\x`); ok {
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, badInput("bytea", text)
		}
		return b, nil
	}
	if strings.Contains(text, `\`) {
		return nil, stateError("0A000", "bytea is taken in hex format only")
	}
	return []byte(text), nil
}

func toTime(typ, format string) func([]driver.Value) (driver.Value, error) {
	return func(args []driver.Value) (driver.Value, error) {
		zone := time.UTC
		if len(args) > 1 {
			zone = zoneOf(textOf(args[1]))
		}
		at, ok := args[0].(time.Time)
		text := strings.TrimSpace(textOf(args[0]))
		for _, layout := range []string{
			"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07", "2006-01-02T15:04:05.999999999Z07:00",
			"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", time.DateOnly, "15:04:05.999999999", "15:04",
		} {
			if ok {
				break
			}
			t, err := time.ParseInLocation(layout, text, zone)
			if ok = err == nil && (typ == "time" || strings.HasPrefix(layout, "2006")); ok {
				at = t
			}
		}
		if !ok {
			return nil, stateError("22007", "invalid input syntax for type %s: \"%s\"", typ, text)
		}
		if strings.Contains(typ, "zone") {
			at = at.UTC()
		}
		return at.Format(format), nil
	}
}

// zoneOf is the way back from zoneName.
func zoneOf(name string) *time.Location {
	if zone, err := time.LoadLocation(name); err == nil {
		return zone
	}
	if t, err := time.Parse("-07:00", name); err == nil {
		return t.Location()
	}
	return time.UTC
}
