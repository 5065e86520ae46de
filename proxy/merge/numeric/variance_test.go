package numeric_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/merge/numeric"
)

// TestVariance adds up the moments of parts, which a server computes, and compares with
// the server's variances of the whole.
func TestVariance(t *testing.T) {
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
	if _, err := conn.Exec(ctx, `SELECT setseed(0.75);
		CREATE TABLE n AS SELECT i, (random()*40)::int AS g, ((random()*2-1)*1000)::numeric * 10::numeric ^ (random()*20-10)::int AS num,
			(random()*2e9-1e9)::int AS i4, 1.50::numeric AS same,
			CASE WHEN random() < 0.01 THEN 'NaN' ELSE (random()*5)::numeric(4,2) END AS nan FROM generate_series(1, 400) i`); err != nil {
		t.Fatal(err)
	}
	for _, col := range []string{"num", "i4", "same", "nan"} {
		rows, err := conn.Query(ctx, fmt.Sprintf(`SELECT var_samp(%[1]s), var_pop(%[1]s), stddev_samp(%[1]s), stddev_pop(%[1]s),
			count(*) FILTER (WHERE i %% 2 = 0), coalesce(sum(%[1]s::numeric) FILTER (WHERE i %% 2 = 0), 0), coalesce(sum(%[1]s::numeric * %[1]s) FILTER (WHERE i %% 2 = 0), 0),
			count(*) FILTER (WHERE i %% 2 = 1), coalesce(sum(%[1]s::numeric) FILTER (WHERE i %% 2 = 1), 0), coalesce(sum(%[1]s::numeric * %[1]s) FILTER (WHERE i %% 2 = 1), 0)
			FROM n GROUP BY g UNION ALL SELECT var_samp(%[1]s), var_pop(%[1]s), stddev_samp(%[1]s), stddev_pop(%[1]s), count(*), sum(%[1]s), sum(%[1]s::numeric * %[1]s), 0, 0, 0
			FROM n WHERE i = 1`, col), pgx.QueryResultFormats{pgx.TextFormatCode})
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for rows.Next() {
			v := rows.RawValues()
			count++
			var part [2]numeric.Moments
			for i := range part {
				if _, err := fmt.Sscan(string(v[4+3*i]), &part[i].Count); err != nil {
					t.Fatal(err)
				}
				part[i].Sum, part[i].Squares = parse(t, v[5+3*i]), parse(t, v[6+3*i])
			}
			m, err := part[0].Add(part[1])
			if err != nil {
				t.Fatal(err)
			}
			for i, compute := range []func(bool) (numeric.Numeric, bool, error){m.Variance, m.Variance, m.Deviation, m.Deviation} {
				got, ok, err := compute(i%2 == 0)
				if err != nil || ok != (v[i] != nil) || ok && got.String() != string(v[i]) {
					t.Errorf("%s, function %d of %+v: %s, %v and %v, want %s", col, i, m, got, ok, err, v[i])
				}
			}
		}
		if err := rows.Err(); err != nil || count < 20 {
			t.Errorf("%s: %d groups compared, %v", col, count, err)
		}
	}
}

func parse(t *testing.T, v []byte) numeric.Numeric {
	t.Helper()
	n, err := numeric.Parse(v)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
