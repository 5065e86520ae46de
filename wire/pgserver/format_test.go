package pgserver_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// What pgx decodes of PostgreSQL's binary values, our server writes again as text and binary:
// both must be PostgreSQL's, byte for byte, under every setting that changes them.
func TestFormatsAgainstPostgreSQL(t *testing.T) {
	expressions := []string{
		"true", "false", "null::bool", "1::int2", "'-32768'::int2", "2147483647", "'-9223372036854775808'::int8",
		"''::text", "'ünï\"cö\\de'::text", "'x'::varchar(5)", "'ab'::bpchar", "'n'::name",
		"0::float8", "1e15::float8", "123456789012345::float8", "1234567890123456::float8", "1e-5::float8", "0.0001::float8", "'-0'::float8",
		"0.1::float8", "1/3.0::float8", "1e308::float8", "'NaN'::float8", "'-Infinity'::float8", "5e-324::float8", "100::float8", "1e20::float8",
		"0.1::float4", "1000000::float4", "999999::float4", "1e-5::float4", "3.4e38::float4", "'Infinity'::float4", "1::float4/3",
		`'\x00ff5c41'::bytea`, "''::bytea",
		"'2024-02-29'::date", "'0044-03-15 BC'::date", "'infinity'::date", "'12345-06-07'::date", "'0099-01-02'::date",
		"'2024-02-29 13:14:15.123456'::timestamp", "'2024-12-31 00:00:00'::timestamp", "'-infinity'::timestamp", "'0044-03-15 12:00:00.5 BC'::timestamp",
		"'2024-02-29 13:14:15.1+00'::timestamptz", "'2024-07-01 00:00:00+00'::timestamptz", "'1890-01-01 00:00:00+00'::timestamptz", "'infinity'::timestamptz",
		"'13:14:15.5'::time", "'00:00:00'::time",
		"'1 year 2 mons 3 days 04:05:06.789'::interval", "'0'::interval", "'-1 year -2 mons 3 days'::interval", "'1 mon -1 day'::interval", "'-00:00:00.5'::interval",
		"'1 day -00:00:01'::interval", "'-1 day 00:00:01'::interval", "'100:00:00'::interval", "'1 year'::interval", "'-3 days'::interval", "'1 year 1 day'::interval",
		"'1 sec'::interval", "'1.5 sec'::interval", "'-1 mon'::interval", "'1 min'::interval", "'2 years 1 mon 1 day 1 hour'::interval", "'-1 day -02:03:04'::interval",
		"1.50::numeric", "'NaN'::numeric", "12345678901234567890.12345::numeric",
		"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "'10.0.0.1'::inet is null",
		"'{1,null,3}'::int4[]", "'{a,\"b c\",null,\"\",\"NULL\",\"x\\\\y\"}'::text[]", "'{{1,2},{3,4}}'::int8[]", "'{}'::int4[]",
		"array['2024-02-29'::date, null]", "array['2024-02-29 13:14:15+00'::timestamptz]", "array[0.1::float8, 1e20]", `array['\x01'::bytea]`, "array['1 day 2 hours'::interval]", "array[true,false]",
	}
	settings := [][]string{
		{},
		{"DateStyle=ISO, DMY", "IntervalStyle=sql_standard", "TimeZone=America/New_York"},
		{"DateStyle=SQL, MDY", "IntervalStyle=postgres_verbose", "TimeZone=America/New_York", "extra_float_digits=0"},
		{"DateStyle=SQL, DMY", "IntervalStyle=iso_8601", "TimeZone=Asia/Kolkata", "extra_float_digits=-3", "bytea_output=escape"},
		{"DateStyle=Postgres, MDY", "TimeZone=Europe/Paris", "extra_float_digits=3"},
		{"DateStyle=Postgres, DMY", "TimeZone=America/Sao_Paulo", "extra_float_digits=-15"},
		{"DateStyle=German", "TimeZone=Asia/Kathmandu"},
	}
	theirs := oracleConn(t)
	var value any
	var oid uint32
	url := start(t, &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if strings.HasPrefix(q.SQL, "set ") {
			name, v, _ := strings.Cut(q.SQL[4:], "=")
			if err := q.Session.SetParam(name, v); err != nil {
				return err
			}
			return w.Complete("SET")
		}
		if err := w.Columns(pgserver.Column{Name: "x", Type: oid}); err != nil {
			return err
		}
		return w.Row(value)
	})})
	ours := connect(t, url+"&default_query_exec_mode=exec")
	one := func(c *pgconn.PgConn, sql string, format int16) (*pgconn.Result, string) {
		res := c.ExecParams(t.Context(), sql, nil, nil, nil, []int16{format}).Read()
		if res.Err != nil {
			t.Fatalf("%s: %v", sql, res.Err)
		}
		if res.Rows[0][0] == nil {
			return res, "NULL"
		}
		return res, string(res.Rows[0][0])
	}
	m := pgtype.NewMap()
	for _, set := range settings {
		for _, s := range append([]string{"DateStyle=ISO, MDY", "IntervalStyle=postgres", "TimeZone=UTC", "extra_float_digits=1", "bytea_output=hex"}, set...) {
			name, v, _ := strings.Cut(s, "=")
			if _, err := theirs.Exec(t.Context(), fmt.Sprintf("set %s = '%s'", name, v)); err != nil {
				t.Fatal(err)
			}
			if err := ours.PgConn().Exec(t.Context(), "set "+s).Close(); err != nil {
				t.Fatal(err)
			}
		}
		for _, x := range expressions {
			res, binary := one(theirs.PgConn(), "select "+x, 1)
			_, text := one(theirs.PgConn(), "select "+x, 0)
			oid, value = res.FieldDescriptions[0].DataTypeOID, nil
			if res.Rows[0][0] != nil {
				typ, ok := m.TypeForOID(oid)
				if !ok {
					t.Fatalf("%s: type %d", x, oid)
				}
				var err error
				if value, err = typ.Codec.DecodeValue(m, oid, 1, res.Rows[0][0]); err != nil {
					t.Fatal(err)
				}
			}
			if strings.Contains(x, "{{") { // pgx decodes it to a flat slice
				value = [][]int64{{1, 2}, {3, 4}}
			}
			mine, got := one(ours.PgConn(), "x", 0)
			if got != text {
				t.Errorf("%v %s (%T): text\ngot  %s\nwant %s", set, x, value, got, text)
			}
			if _, got := one(ours.PgConn(), "x", 1); got != binary {
				t.Errorf("%v %s (%T): binary\ngot  %x\nwant %x", set, x, value, got, binary)
			}
			a, b := mine.FieldDescriptions[0], res.FieldDescriptions[0]
			if a.DataTypeSize != b.DataTypeSize || a.DataTypeOID != b.DataTypeOID {
				t.Errorf("%s: described as %d of %d bytes, want %d of %d", x, a.DataTypeOID, a.DataTypeSize, b.DataTypeOID, b.DataTypeSize)
			}
		}
	}
}

// Values that do not fit their column are errors, not other values.
func TestRowErrors(t *testing.T) {
	var col pgserver.Column
	var value []any
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if err := w.Columns(col); err != nil {
			return err
		}
		return w.Row(value...)
	})})))
	tests := []struct {
		col   pgserver.Column
		value []any
	}{
		{pgserver.Int2("x"), []any{40000}},
		{pgserver.Int4("x"), []any{int64(1) << 31}},
		{pgserver.Int4("x"), []any{struct{ a chan int }{}}},
		{pgserver.Int4("x"), []any{1, 2}},
		{pgserver.Int4("x"), nil},
		{pgserver.Text("x"), []any{"a\x00b"}},
		{pgserver.Text("x"), []any{"caf\xe9"}},
		{pgserver.Text("x"), []any{[]byte("\xff")}},
		{pgserver.Column{Name: "x", Type: pgtype.TextArrayOID}, []any{[]string{"\xff"}}},
		{pgserver.Date("x"), []any{7}},
		{pgserver.UUID("x"), []any{7}},
		{pgserver.Timestamp("x"), []any{time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{pgserver.Date("x"), []any{time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC)}},
	}
	for _, tt := range tests {
		col, value = tt.col, tt.value
		p.send(query("x"))
		if got := p.until('Z'); !strings.HasPrefix(got, "T ERROR:") {
			t.Errorf("%v: %s", tt.value, got)
		}
	}
}

// NULL has many forms in Go; all of them are one on the wire, in both formats.
func TestNulls(t *testing.T) {
	values := []any{
		nil, (*string)(nil), (*int64)(nil), (*float64)(nil), []byte(nil), []string(nil),
		pgtype.Text{},
		pgtype.Int8{},
		pgtype.Timestamptz{},
		pgtype.Numeric{},
		sql.NullString{},
		sql.Null[int64]{},
		map[string]any(nil),
	}
	columns := []pgserver.Column{
		pgserver.Text("a"), pgserver.Text("b"), pgserver.Int8("c"), pgserver.Float8("d"), pgserver.Bytea("e"),
		{Name: "f", Type: pgtype.TextArrayOID},
		pgserver.Text("g"),
		pgserver.Int8("h"), pgserver.Timestamptz("i"), pgserver.Numeric("j"), pgserver.Text("k"), pgserver.Int8("l"), pgserver.JSON("m"),
	}
	conn := connect(t, start(t, &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, _ *pgserver.Query) error {
		if err := w.Columns(columns...); err != nil {
			return err
		}
		return w.Row(values...)
	})}))
	for _, format := range []int16{0, 1} {
		res := conn.PgConn().ExecParams(t.Context(), "x", nil, nil, nil, []int16{format}).Read()
		if res.Err != nil {
			t.Fatal(res.Err)
		}
		for i, v := range res.Rows[0] {
			if v != nil {
				t.Errorf("format %d: %T is %q", format, values[i], v)
			}
		}
	}
}

// A string stands for the text of any type: a client that asks for binary gets that value's.
func TestTextInBinary(t *testing.T) {
	theirs := oracleConn(t)
	var text string
	var oid uint32
	ours := connect(t, start(t, &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, _ *pgserver.Query) error {
		if err := w.Columns(pgserver.Column{Name: "x", Type: oid}); err != nil {
			return err
		}
		return w.Row(text)
	})}))
	for typ, texts := range map[string][]string{
		"uuid": {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, "time": {"23:59:59.999999"}, "numeric": {"NaN", "1.50", "-12345.678", "1" + strings.Repeat("0", 1000) + ".5"},
		"date": {"2024-02-29", "infinity"}, "timestamp": {"2024-02-29 01:02:03.5", "-infinity"}, "timestamptz": {"2024-02-29 01:02:03+05:30"},
		"float8": {"-Infinity", "1e300"}, "int4": {"-7"}, "bool": {"t"}, "interval": {"1 day 02:00:00"}, "int4[]": {"{1,NULL,3}"}, "jsonb": {`{"a": 1}`}, "bytea": {`\x00ff`}, "inet": {"10.0.0.1/8"},
	} {
		for _, text = range texts {
			res := theirs.PgConn().ExecParams(t.Context(), "select $1::"+typ, [][]byte{[]byte(text)}, nil, nil, []int16{1}).Read()
			if res.Err != nil {
				t.Fatal(res.Err)
			}
			oid = res.FieldDescriptions[0].DataTypeOID
			want := string(res.Rows[0][0])
			res = ours.PgConn().ExecParams(t.Context(), "x", nil, nil, nil, []int16{1}).Read()
			if res.Err != nil {
				t.Errorf("%s %.50s: %v", typ, text, res.Err)
			} else if got := string(res.Rows[0][0]); got != want {
				t.Errorf("%s %.50s:\ngot  %x\nwant %x", typ, text, got, want)
			}
		}
	}
	text, oid = "no uuid", pgtype.UUIDOID
	if res := ours.PgConn().ExecParams(t.Context(), "x", nil, nil, nil, []int16{1}).Read(); res.Err == nil {
		t.Errorf("text that is no uuid was sent as %x", res.Rows)
	}
}
