package hash_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
)

// TestServer asks a real server, by satisfies_hash_partition, whether 100,000 random values
// of many types are where we say, read from text and from binary.
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
	for _, sql := range []string{
		"SET TimeZone = 'America/St_Johns'",
		// A string of random characters, some of several bytes, of random length.
		`CREATE FUNCTION str(n int) RETURNS text LANGUAGE sql VOLATILE AS $$
			SELECT coalesce(string_agg(chr(CASE WHEN random() < 0.8 THEN 32 + (random()*94)::int ELSE 160 + (random()*9000)::int END), ''), '')
			FROM generate_series(1, (random()*n)::int) $$`,
		`CREATE FUNCTION big() RETURNS bigint LANGUAGE sql VOLATILE AS $$
			SELECT ((random()*2-1) * 10^(random()*18.9))::bigint $$`,
		`CREATE FUNCTION num() RETURNS numeric LANGUAGE sql VOLATILE AS $$
			SELECT ((random()*2-1)*10)::numeric * (10::numeric ^ (random()*60-30)::int) $$`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, typ, value string
		n                int
	}{
		{"int2", "int2", "(random()*65535-32768)::int2", 5000},
		{"int4", "int4", "(random()*4294967295-2147483648)::int4", 8000},
		{"int8", "int8", "big()", 10000},
		{"oid", "oid", "(random()*4294967295)::bigint::oid", 2000},
		{"bool", "bool", "random() < 0.5", 50},
		{"char", `"char"`, `chr(1+(random()*126)::int)::"char"`, 500},
		{"name", "name", "str(20)::name", 2000},
		{"text", "text", "str(40)", 10000},
		{"textC", `text COLLATE "C"`, "str(60)", 1000},
		{"varchar", "varchar", "str(15)::varchar", 4000},
		{"bpchar", "bpchar", "(str(6) || '   ')::bpchar(20)", 3000},
		{"bytea", "bytea", "convert_to(str(30), 'UTF8')", 3000},
		{"uuid", "uuid", "gen_random_uuid()", 8000},
		{"date", "date", "'2000-01-01'::date + (random()*800000-400000)::int", 3000},
		{"time", "time", "'00:00'::time + random()*'24 hours'::interval", 2000},
		{"timetz", "timetz", "('00:00'::time + random()*'24 hours'::interval) AT TIME ZONE make_interval(mins => (random()*1400-700)::int)", 2000},
		{"timestamp", "timestamp", "'2000-01-01'::timestamp + (random()*2-1)*'2000 years'::interval", 4000},
		{"timestamptz", "timestamptz", "'2000-01-01'::timestamptz + (random()*2-1)*'2000 years'::interval", 4000},
		{"interval", "interval", "make_interval(years => (random()*8-4)::int, months => (random()*30-15)::int, days => (random()*90-45)::int, secs => random()*200000-100000)", 4000},
		{"numeric", "numeric", "CASE WHEN random() < 0.02 THEN (ARRAY['NaN','0','0.000','Infinity','-Infinity','1.500'])[1+(random()*5)::int]::numeric ELSE num() END", 10000},
		{"float4", "float4", "CASE WHEN random() < 0.02 THEN (ARRAY['NaN','0','-0','Infinity'])[1+(random()*3)::int]::float4 ELSE ((random()*2-1)*10^(random()*60-30))::float4 END", 4000},
		{"float8", "float8", "CASE WHEN random() < 0.02 THEN (ARRAY['NaN','0','-0','Infinity'])[1+(random()*3)::int]::float8 ELSE (random()*2-1)*10^(random()*400-200) END", 4000},
		{"inet", "inet", "CASE WHEN random() < 0.5 THEN ('10.'||(random()*255)::int||'.'||(random()*255)::int||'.7/'||8+(random()*24)::int)::inet ELSE ('2001:db8::'||to_hex((random()*65535)::int))::inet END", 2000},
		{"cidr", "cidr", "network(('10.'||(random()*255)::int||'.'||(random()*255)::int||'.0/24')::inet)", 1000},
		{"macaddr", "macaddr", "(substr(md5(random()::text), 1, 12))::macaddr", 1000},
		{"macaddr8", "macaddr8", "(substr(md5(random()::text), 1, 16))::macaddr8", 1000},
		{"int4array", "int4[]", "CASE WHEN random() < 0.1 THEN '{}' WHEN random() < 0.2 THEN '{{1,NULL},{3,4}}'::int4[] ELSE ARRAY[(random()*100)::int, NULL, (random()*1e9)::int] END", 1500},
		{"textarray", "text[]", "ARRAY[str(9), 'a,\"b', NULL, 'null', '', ' x ']", 1000},
		{"numericarray", "numeric[]", "ARRAY[num(), num()]", 1000},
		{"int4range", "int4range", "CASE WHEN random() < 0.1 THEN 'empty' WHEN random() < 0.2 THEN '(,5]' ELSE int4range((random()*100)::int, 100+(random()*100)::int, (ARRAY['[]','()','[)','(]'])[1+(random()*3)::int]) END", 1000},
		{"numrange", "numrange", "CASE WHEN random() < 0.1 THEN 'empty' WHEN random() < 0.2 THEN '[1.5,)' ELSE numrange(-abs(num()), abs(num()), (ARRAY['[]','()','[)','(]'])[1+(random()*3)::int]) END", 1000},
		{"tstzrange", "tstzrange", "tstzrange(now() - random()*'9 years'::interval, now())", 500},
		{"daterange", "daterange", "daterange('2000-01-01'::date + (random()*800)::int, '2020-01-01', '[]')", 500},
		{"jsonb", "jsonb", "CASE (random()*5)::int WHEN 0 THEN to_jsonb(num()) WHEN 1 THEN 'null' WHEN 2 THEN '[]' WHEN 3 THEN to_jsonb(random()<0.5) ELSE jsonb_build_object(str(9), num(), 'k', jsonb_build_array(1, str(5), null, true, '{}'::jsonb), 'kk', jsonb_build_object('x', big())) END", 3000},
	} {
		t.Run(tt.name, func(t *testing.T) { checkType(t, conn, tt.name, tt.typ, tt.value, tt.n) })
	}
	t.Run("composite", func(t *testing.T) { checkComposite(t, conn) })
}

// modulus is large, so that a wrong hash cannot be right by chance.
const modulus = 1 << 20

func checkType(t *testing.T, conn *pgx.Conn, name, typ, value string, n int) {
	ctx := t.Context()
	if _, err := conn.Exec(ctx, fmt.Sprintf(`CREATE TABLE p_%s (k %s) PARTITION BY HASH (k)`, name, typ)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf(`CREATE TEMP TABLE v_%s AS SELECT i, (%s) AS k FROM generate_series(1, %d) i`, name, value, n)); err != nil {
		t.Fatal(err)
	}
	remainders := make([]int32, n)
	for _, f := range []hash.Format{hash.TextFormat, hash.BinaryFormat} {
		rows, err := conn.Query(ctx, fmt.Sprintf(`SELECT i, k FROM v_%s ORDER BY i`, name),
			pgx.QueryResultFormats{pgx.BinaryFormatCode, int16(f)})
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for rows.Next() {
			raw := rows.RawValues()[1]
			oid := hash.OID(rows.FieldDescriptions()[1].DataTypeOID)
			if !hash.Known(oid) {
				t.Fatalf("%s is not known", typ)
			}
			h, err := hash.Hash(oid, raw, f, hash.Seed)
			if err != nil {
				t.Fatalf("format %d, %q: %v", f, raw, err)
			}
			r := int32(hash.Row(0, h) % modulus)
			if f == hash.BinaryFormat && remainders[i] != r {
				t.Fatalf("%q: %d in binary, %d in text", raw, r, remainders[i])
			}
			remainders[i] = r
			i++
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if i != n {
			t.Fatalf("%d rows of %d", i, n)
		}
	}
	var wrong, total int
	var example *string
	err := conn.QueryRow(ctx, fmt.Sprintf(`
		SELECT count(*) FILTER (WHERE NOT ok), count(*), min(k::text) FILTER (WHERE NOT ok)
		FROM (SELECT k, satisfies_hash_partition('p_%s'::regclass, %d, ($1::int[])[i], k) AS ok FROM v_%s) x`,
		name, modulus, name), remainders).Scan(&wrong, &total, &example)
	if err != nil {
		t.Fatal(err)
	}
	if wrong != 0 || total != n {
		t.Errorf("%d of %d are elsewhere, for instance %v", wrong, total, *example)
	}
}

// checkComposite checks keys of three columns with NULLs among them.
func checkComposite(t *testing.T, conn *pgx.Conn) {
	ctx := t.Context()
	const n = 5000
	for _, sql := range []string{
		`CREATE TABLE p3 (a bigint, b text, c uuid) PARTITION BY HASH (a, b, c)`,
		fmt.Sprintf(`CREATE TEMP TABLE v3 AS SELECT i,
			CASE WHEN random() < 0.3 THEN NULL ELSE big() END AS a,
			CASE WHEN random() < 0.3 THEN NULL ELSE str(20) END AS b,
			CASE WHEN random() < 0.3 THEN NULL ELSE gen_random_uuid() END AS c FROM generate_series(1, %d) i`, n),
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := conn.Query(ctx, `SELECT a, b, c FROM v3 ORDER BY i`, pgx.QueryResultFormats{1})
	if err != nil {
		t.Fatal(err)
	}
	remainders := make([]int32, 0, n)
	for rows.Next() {
		row := uint64(0)
		for c, raw := range rows.RawValues() {
			if raw == nil {
				continue
			}
			h, err := hash.Hash(hash.OID(rows.FieldDescriptions()[c].DataTypeOID), raw, hash.BinaryFormat, hash.Seed)
			if err != nil {
				t.Fatal(err)
			}
			row = hash.Row(row, h)
		}
		remainders = append(remainders, int32(row%modulus))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	var wrong int
	err = conn.QueryRow(ctx, fmt.Sprintf(`SELECT count(*) FROM v3
		WHERE NOT satisfies_hash_partition('p3'::regclass, %d, ($1::int[])[i], a, b, c)`, modulus), remainders).Scan(&wrong)
	if err != nil {
		t.Fatal(err)
	}
	if wrong != 0 || len(remainders) != n {
		t.Errorf("%d of %d are elsewhere", wrong, len(remainders))
	}
}
