package numeric_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/merge/numeric"
)

// TestServer compares arithmetic on random and on awkward numbers with a server's, in text
// and in binary.
func TestServer(t *testing.T) {
	ctx := t.Context()
	srv, err := native.New(native.DefaultConfig()).Start(ctx, engines.Spec{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(ctx, `SELECT setseed(0.5);
		CREATE TABLE n AS SELECT i, ((random()*2-1)*1000)::numeric * 10::numeric ^ (random()*80-40)::int AS x,
			round(((random()*2-1)*1000)::numeric * 10::numeric ^ (random()*30-15)::int, (random()*30)::int) AS y FROM generate_series(1, 3000) i;
		INSERT INTO n SELECT 0, a::numeric, b::numeric FROM
			unnest('{0,0.000,1,1.000,-1,9999,10000,9999.9999,0.0001,0.00009999,NaN,Infinity,-Infinity,123456789012345678901234567890}'::text[]) a,
			unnest('{0.00,1,-3,7.0,10000,99999999,0.0001,NaN,Infinity,-Infinity}'::text[]) b`); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		sql string
		op  func(x, y numeric.Numeric) (numeric.Numeric, error)
	}{
		{"x + y", numeric.Numeric.Add},
		{"x - y", numeric.Numeric.Sub},
		{"x * y", numeric.Numeric.Mul},
		{"CASE WHEN y <> 0 OR x = 'NaN' THEN x / y END", numeric.Numeric.Div},
		{"CASE WHEN x >= 0 THEN sqrt(x) END", func(x, _ numeric.Numeric) (numeric.Numeric, error) { return x.Sqrt() }},
		{"round(x, 3)", func(x, _ numeric.Numeric) (numeric.Numeric, error) { return x.Round(3), nil }},
		{"round(x, -2)", func(x, _ numeric.Numeric) (numeric.Numeric, error) { return x.Round(-2), nil }},
	} {
		sql := "SELECT v.x, v.y, r, r::text FROM n v, LATERAL (SELECT " + tt.sql + " AS r) s WHERE r IS NOT NULL"
		rows, err := conn.Query(ctx, sql, pgx.QueryResultFormats{pgx.BinaryFormatCode, pgx.BinaryFormatCode, pgx.BinaryFormatCode, pgx.TextFormatCode})
		if err != nil {
			t.Fatal(err)
		}
		count, wrong := 0, 0
		for rows.Next() && wrong < 3 {
			v := rows.RawValues()
			x, err1 := numeric.ParseBinary(v[0])
			y, err2 := numeric.ParseBinary(v[1])
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			got, err := tt.op(x, y)
			if err != nil || got.String() != string(v[3]) || !bytes.Equal(got.AppendBinary(nil), v[2]) {
				t.Errorf("%s of %s and %s: %s and %v, want %s (%x, want %x)", tt.sql, x, y, got, err, v[3], got.AppendBinary(nil), v[2])
				wrong++
			}
			count++
		}
		rows.Close()
		if err := rows.Err(); err != nil || count < 1000 {
			t.Errorf("%s: %d rows compared, %v", tt.sql, count, err)
		}
	}
}

// TestLimits refuses what the server could not store, without computing it first.
func TestLimits(t *testing.T) {
	if _, err := numeric.Parse([]byte("1e131072")); !errors.Is(err, numeric.ErrOverflow) {
		t.Errorf("1e131072: %v, want an overflow", err)
	}
	big, err := numeric.Parse([]byte("9e131071"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := big.Add(big); !errors.Is(err, numeric.ErrOverflow) {
		t.Errorf("sum: %v, want an overflow", err)
	}
	if _, err := numeric.Parse([]byte("1e999999999")); !errors.Is(err, numeric.ErrOverflow) {
		t.Errorf("1e999999999: %v, want an overflow", err)
	}
	one := numeric.FromInt(1)
	if _, err := one.Div(numeric.FromInt(0)); !errors.Is(err, numeric.ErrDivisionByZero) {
		t.Errorf("1/0: %v", err)
	}
	if _, err := numeric.FromInt(-1).Sqrt(); !errors.Is(err, numeric.ErrNegativeRoot) {
		t.Errorf("sqrt(-1): %v", err)
	}
	for _, bad := range []string{"", ".", "1e", "1.2.3", "--1", "0x1", "1 2", "1e+-1", strings.Repeat("-", 3)} {
		if n, err := numeric.Parse([]byte(bad)); err == nil {
			t.Errorf("%q is read as %s", bad, n)
		}
	}
}

// FuzzParse reads arbitrary text and bytes; what is read must survive both formats.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "-1.50", "1e-5", "1E+20", "NaN", "-inf", ".5", "5.", "123456789012345678901234567890.000001"} {
		n, err := numeric.Parse([]byte(s))
		if err != nil {
			f.Fatal(s, err)
		}
		f.Add([]byte(s))
		f.Add(n.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := numeric.Parse(b)
		if err == nil {
			again(t, n)
		}
		if n, err = numeric.ParseBinary(b); err == nil {
			again(t, n)
		}
	})
}

func again(t *testing.T, n numeric.Numeric) {
	fromText, err1 := numeric.Parse(n.AppendText(nil))
	fromBinary, err2 := numeric.ParseBinary(n.AppendBinary(nil))
	if err1 != nil || err2 != nil {
		t.Fatal(n.String(), err1, err2)
	}
	if s := n.String(); fromText.String() != s || fromBinary.String() != s || fromText.Cmp(fromBinary) != 0 {
		t.Fatalf("%s comes back as %s and %s", s, fromText, fromBinary)
	}
}
