package merge_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A slice is a stream of rows that are there already.
type slice struct {
	rows    [][]byte
	at      int
	buffer  []byte
	failure error // after the rows; nil is io.EOF
	stopped []error
}

func (s *slice) Next(context.Context) ([]byte, error) {
	if s.at < len(s.rows) {
		s.buffer = append(s.buffer[:0], s.rows[s.at]...)
		s.at++
		return s.buffer, nil
	}
	if s.failure != nil {
		return nil, s.failure
	}
	return nil, io.EOF
}

func (s *slice) Stop(cause error) { s.stopped = append(s.stopped, cause) }

func body(values ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		if v == nil {
			b = binary.BigEndian.AppendUint32(b, 0xFFFFFFFF)
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

// drain returns all rows of a merge.
func drain(ctx context.Context, r *merge.Rows) ([][]byte, error) {
	var out [][]byte
	for {
		row, err := r.Next(ctx)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, bytes.Clone(row))
	}
}

// A bench is a server with data, whose queries are asked as a whole and in parts.
type bench struct {
	*testing.T
	conn *pgconn.PgConn
}

func start(t *testing.T) *bench {
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
	b := &bench{t, conn.PgConn()}
	b.exec("SET TimeZone = 'America/St_Johns'; SELECT setseed(0.25)")
	return b
}

func (b *bench) exec(sql string) {
	b.Helper()
	if _, err := b.conn.Exec(b.Context(), sql).ReadAll(); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

func (b *bench) query(sql string, f wire.Format) ([]wire.Field, [][]byte) {
	b.Helper()
	r := b.conn.ExecParams(b.Context(), sql, nil, nil, nil, []int16{int16(f)})
	var rows [][]byte
	var fields []wire.Field
	for _, d := range r.FieldDescriptions() {
		fields = append(fields, wire.Field{
			Name: d.Name, TypeOID: d.DataTypeOID, TypeSize: d.DataTypeSize,
			TypeMod: d.TypeModifier, Format: wire.Format(d.Format),
		})
	}
	for r.NextRow() {
		rows = append(rows, body(r.Values()...))
	}
	if _, err := r.Close(); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return fields, rows
}

// check asks whole, and merges what partial, with %s for the condition of a part, returns
// from n parts; both answers must be the same, byte by byte.
func (b *bench) check(spec gather.Spec, w merge.Window, whole, partial string, n int, f wire.Format) {
	b.Helper()
	fields, want := b.query(whole, f)
	described := make([][]wire.Field, n)
	streams := make([]merge.Stream, n)
	for i := range n {
		var rows [][]byte
		described[i], rows = b.query(strings.ReplaceAll(partial, "%s", fmt.Sprintf("id %% %d = %d", n, i)), f)
		streams[i] = &slice{rows: rows}
	}
	agreed, err := merge.Agree(described...)
	if err != nil {
		b.Fatalf("%s: %v", whole, err)
	}
	p, err := merge.Compile(&spec, agreed, sortkey.Settings{})
	if err != nil {
		b.Errorf("%s: %v", whole, err)
		return
	}
	for i, got := range p.Fields() {
		if got.Name != fields[i].Name || got.TypeOID != fields[i].TypeOID || got.TypeSize != fields[i].TypeSize {
			b.Errorf("%s: column %d is %+v, want %+v", whole, i, got, fields[i])
		}
	}
	got, err := drain(b.Context(), p.Run(streams, w, 0))
	if err != nil {
		b.Errorf("%s: %v", whole, err)
		return
	}
	if len(got) != len(want) {
		b.Errorf("%s: %d parts: %d rows, want %d", whole, n, len(got), len(want))
		return
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			b.Errorf("%s: %d parts, format %d: row %d is\n%q, want\n%q", whole, n, f, i, got[i], want[i])
			return
		}
	}
}

// values are expressions for random values of each type, ties among them.
func values() map[string]string {
	pick := func(list string) string {
		return "(ARRAY[" + list + "])[1+floor(random()*cardinality(ARRAY[" + list + "]))::int]"
	}
	return map[string]string{
		"bool":                       "random() < 0.5",
		"int2":                       "(random()*60-30)::int2",
		"int4":                       pick("-2147483648,2147483647,0,7,-7,100,99"),
		"int8":                       pick("-9223372036854775808,9223372036854775807,0,-1,10,9,1234567890123456789"),
		"oid":                        "(random()*4294967295)::bigint::oid",
		"float4":                     pick("'NaN','0','-0','Infinity','-Infinity','1e-40','-1.5','3.25e30','1e6','123456','0.0001'") + "::float4",
		"float8":                     pick("'NaN','0','-0','Infinity','-Infinity','5e-324','-1.5','3.25e300','1e15','0.00001'") + "::float8",
		"numeric":                    "CASE WHEN random() < 0.3 THEN " + pick("'NaN','0','0.000','Infinity','-Infinity','1.500','1.5','-1.5','-1.50','10000','9999.9999','0.0001','100000000'") + "::numeric ELSE ((random()*2-1)*10)::numeric * (10::numeric ^ (random()*120-60)::int) END",
		"numeric(20,4)":              "(random()*1000-500)::numeric(20,4)",
		`text COLLATE "C"`:           pick("'','a','A','b','aa','a b','ä','€','\U0001F600','~',E'\\x01'"),
		`varchar(9) COLLATE "POSIX"`: pick("'','x','X ','x ','x'"),
		`char(5) COLLATE "C"`:        pick("'','a','a ','ab','a\tb'"),
		`"char"`:                     "chr(1+(random()*126)::int)::\"char\"",
		"bytea":                      pick(`'\x','\x00','\x0000','\x00ff','\xff','\x0100','\x01'`) + "::bytea",
		"uuid":                       pick("'00000000-0000-0000-0000-000000000000','ffffffff-ffff-ffff-ffff-ffffffffffff','7f000000-0000-0000-0000-000000000001','80000000-0000-0000-0000-000000000001'") + "::uuid",
		"date":                       "CASE WHEN random() < 0.2 THEN " + pick("'infinity','-infinity','0044-03-15 BC','12000-01-01','2000-02-29'") + "::date ELSE '2000-01-01'::date + (random()*800000-400000)::int END",
		"time":                       pick("'00:00','24:00','23:59:59.999999','12:00:00.5','12:00'") + "::time",
		"timetz":                     pick("'00:00+00','24:00-12','12:00+02','11:00+01','10:00+00','10:00:00.25-03:30','01:00+15:59:59'") + "::timetz",
		"timestamp":                  "CASE WHEN random() < 0.2 THEN " + pick("'infinity','-infinity','0044-03-15 12:00 BC','12000-01-01'") + "::timestamp ELSE '2000-01-01'::timestamp + (random()*2-1)*'2000 years'::interval END",
		"timestamptz":                "CASE WHEN random() < 0.2 THEN " + pick("'infinity','-infinity','0044-03-15 12:00 BC'") + "::timestamptz ELSE '2024-11-03 03:00+00'::timestamptz + floor(random()*16)*'30 minutes'::interval END",
		"interval":                   pick("'0','1 mon','30 days','720:00','-1 mon','1 mon -30 days','1 year 2 mons 3 days 04:05:06.7','-00:00:00.000001','1 day -00:00:01','-1 year +2 days','178000000 years','-178000000 years'") + "::interval",
		"inet":                       pick("'10.0.0.1','10.0.0.1/8','10.0.0.2/8','10.0.0.0/16','11.0.0.0/8','::1','::ffff:1.2.3.4','2001:db8::/32','0.0.0.0/0','255.255.255.255'") + "::inet",
		"cidr":                       pick("'10.0.0.0/8','10.0.0.0/16','10.1.0.0/16','::/0','2001:db8::/32','0.0.0.0/0'") + "::cidr",
		"macaddr":                    pick("'00:00:00:00:00:00','ff:00:00:00:00:01','7f:00:00:00:00:01'") + "::macaddr",
		"macaddr8":                   pick("'00:00:00:00:00:00:00:00','ff:00:00:00:00:01:02:03','7f:00:00:00:00:01:00:01'") + "::macaddr8",
		"varbit":                     pick("'','0','1','00','01','10','000000001','00000000','100000000000'") + "::varbit",
		"int4[]":                     pick("'{}','{1}','{1,2}','{NULL}','{1,NULL}','{{1,2},{3,4}}','{1,2,3,4}','[0:1]={1,2}','{-1}'") + "::int4[]",
		`text[] COLLATE "C"`:         pick("'{}',"+`'{"a,\"b"}','{null}','{"NULL"}','{"",x}','{" a"}','{"{"}','{"\\"}'`) + "::text[]",
		"numeric[]":                  pick("'{1.0}','{1.00,2}','{NaN}','{-1.5}','{1,2}'") + "::numeric[]",
		"int8range":                  pick("'empty','[1,5)','[1,6)','(,5)','[1,)','(,)','[-3,4)'") + "::int8range",
		"numrange":                   pick("'empty','[1,5)','(1,5)','[1,5]','(1,5]','(,5]','(,5)','[1.5,)','(,)'") + "::numrange",
		"tsrange":                    pick("'empty','[2020-01-01,2021-01-01)','(2020-01-01,2021-01-01]','(,2020-01-01 10:00:00.5)','[infinity,]'") + "::tsrange",
		"tstzrange":                  pick("'empty','[2020-01-01 00:00+00,2021-01-01 00:00+00)','(,2020-01-01)'") + "::tstzrange",
		"daterange":                  pick("'empty','[2020-01-01,2021-01-01)','(,2020-01-01)','[-infinity,2000-01-01)'") + "::daterange",
	}
}

// TestOrder sorts every type, in every direction, in both formats.
func TestOrder(t *testing.T) {
	b := start(t)
	for typ, value := range values() {
		b.exec("DROP TABLE IF EXISTS d; CREATE TABLE d (id int, v " + typ + ")")
		b.exec("INSERT INTO d SELECT i, CASE WHEN random() > 0.1 THEN " + value + " END FROM generate_series(1, 160) i")
		c := gather.Collation{Known: true, Name: `"C"`, Bytewise: true}
		for variant := range 4 {
			desc, first := variant&1 != 0, variant&2 != 0
			order := " ORDER BY v" + map[bool]string{true: " DESC", false: ""}[desc] + " NULLS" + map[bool]string{true: " FIRST", false: " LAST"}[first] + ", id DESC"
			spec := gather.Spec{Kind: gather.Ordered, Order: []gather.Key{
				{Column: 0, Descending: desc, NullsFirst: first, Collation: c}, {Column: -1, Descending: true, NullsFirst: true},
			}}
			for _, f := range []wire.Format{wire.Text, wire.Binary} {
				for _, n := range []int{1, 3, 5} {
					b.check(spec, merge.All(), "SELECT v, id FROM d"+order, "SELECT v, id FROM d WHERE %s"+order, n, f)
				}
				spec.Hidden = 1
				b.check(spec, merge.Window{Offset: 7, Limit: 20}, "SELECT v FROM d"+order+" LIMIT 20 OFFSET 7",
					"SELECT v, id FROM d WHERE %s"+order+" LIMIT 27", 4, f)
				spec.Hidden = 0
			}
		}
		// Which rows are equal is seen by their number alone: of 1.0 and 1.00 either may stay.
		for _, f := range []wire.Format{wire.Text, wire.Binary} {
			_, want := b.query("SELECT DISTINCT v FROM d", f)
			fields, rows := b.query("SELECT v FROM d", f)
			p, err := merge.Compile(&gather.Spec{Kind: gather.Unique, DistinctAll: true}, fields, sortkey.Settings{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := drain(t.Context(), p.Run([]merge.Stream{&slice{rows: rows[:50]}, &slice{rows: rows[50:]}}, merge.All(), 0))
			if err != nil || len(got) != len(want) {
				t.Errorf("DISTINCT of %s: %d rows and %v, want %d", typ, len(got), err, len(want))
			}
		}
	}
}

// TestDistinctOnAndTies keeps the first row of each value, and those equal to the last.
func TestDistinctOnAndTies(t *testing.T) {
	b := start(t)
	b.exec("CREATE TABLE d AS SELECT i AS id, (random()*9)::int AS g, (random()*5)::numeric(3,1) AS v FROM generate_series(1, 300) i")
	key := func(c gather.Column) gather.Key { return gather.Key{Column: c} }
	for _, f := range []wire.Format{wire.Text, wire.Binary} {
		for _, n := range []int{1, 2, 7} {
			order := " ORDER BY g, v, id"
			spec := gather.Spec{Kind: gather.Unique, Distinct: []gather.Column{0}, Order: []gather.Key{key(0), key(1), key(2)}}
			b.check(spec, merge.All(), "SELECT DISTINCT ON (g) g, v, id FROM d"+order, "SELECT DISTINCT ON (g) g, v, id FROM d WHERE %s"+order, n, f)
			// An order that does not bring equal rows together.
			spec.Order = []gather.Key{key(2)}
			b.check(spec, merge.All(), "SELECT * FROM (SELECT DISTINCT ON (g) g, v, id FROM d ORDER BY g, id) x ORDER BY id",
				"SELECT g, v, id FROM d WHERE %s ORDER BY id", n, f)
			spec = gather.Spec{Kind: gather.Ordered, WithTies: true, Order: []gather.Key{key(0)}}
			for _, limit := range []uint64{0, 1, 40, 299, 1000} {
				fetch := fmt.Sprintf(" ORDER BY g OFFSET 3 FETCH FIRST %d ROWS WITH TIES", limit)
				b.check(spec, merge.Window{Offset: 3, Limit: limit}, "SELECT g FROM d"+fetch, "SELECT g FROM d WHERE %s ORDER BY g", n, f)
			}
		}
	}
}

// TestAggregates combines partial aggregates of random groups.
func TestAggregates(t *testing.T) {
	b := start(t)
	b.exec(`CREATE TABLE d AS SELECT i AS id, CASE WHEN random() > 0.05 THEN (random()*12)::int END AS g,
		CASE WHEN random() > 0.2 THEN (random()*4e9-2e9)::int END AS i4,
		CASE WHEN random() > 0.2 THEN ((random()*2-1)*9e18)::bigint END AS i8,
		CASE WHEN random() > 0.2 THEN ((random()*2-1)*10)::numeric * 10::numeric ^ (random()*60-30)::int END AS n,
		CASE WHEN random() > 0.97 THEN 'NaN' WHEN random() > 0.95 THEN 'Infinity' WHEN random() > 0.98 THEN '-Infinity' ELSE random()::numeric(9,3) END AS s,
		(floor(random()*1000)/8)::float8 AS f8, (floor(random()*1000)/8)::float4 AS f4,
		make_interval(months => (random()*50-25)::int, days => (random()*90-45)::int, secs => floor(random()*2e9-1e9)::int) AS iv,
		random() > 0.1 AS b, (random()*65535-32768)::int2 AS i2, (random()*255)::int::bit(9) AS bits,
		now() + random() * '1 year'::interval AS ts
		FROM generate_series(1, 500) i`)
	type agg struct {
		whole, partial string
		outs           []gather.Output
	}
	one := func(c gather.Combine) []gather.Output { return []gather.Output{{Combine: c}} }
	avg := []gather.Output{{Combine: gather.Avg, Column: 0, Count: 1}}
	list := []agg{
		{"count(*)", "count(*)", one(gather.Count)},
		{"count(n)", "count(n)", one(gather.Count)},
		{"sum(i4)", "sum(i4)", one(gather.Sum)},
		{"sum(i8)", "sum(i8)", one(gather.Sum)},
		{"sum(n)", "sum(n)", one(gather.Sum)},
		{"sum(s)", "sum(s)", one(gather.Sum)},
		{"sum(f8)", "sum(f8)", one(gather.Sum)},
		{"sum(f4)", "sum(f4)", one(gather.Sum)},
		{"sum(iv)", "sum(iv)", one(gather.Sum)},
		{"avg(i4)", "sum(i4), count(i4)", avg},
		{"avg(i8)", "sum(i8), count(i8)", avg},
		{"avg(n)", "sum(n), count(n)", avg},
		{"avg(s)", "sum(s), count(s)", avg},
		{"avg(f8)", "sum(f8), count(f8)", avg},
		{"avg(iv)", "sum(iv), count(iv)", avg},
		{"bool_and(b)", "bool_and(b)", one(gather.BoolAnd)},
		{"bool_or(b)", "bool_or(b)", one(gather.BoolOr)},
	}
	for _, c := range []string{"i2", "i4", "i8", "bits"} {
		list = append(list, agg{"bit_and(" + c + ")", "bit_and(" + c + ")", one(gather.BitAnd)},
			agg{"bit_or(" + c + ")", "bit_or(" + c + ")", one(gather.BitOr)})
	}
	for _, c := range []string{"i2", "i4", "i8", "n", "s", "f8", "f4", "iv", "ts"} {
		list = append(list, agg{"min(" + c + ")", "min(" + c + ")", one(gather.Min)}, agg{"max(" + c + ")", "max(" + c + ")", one(gather.Max)})
	}
	for _, a := range list {
		name, _, _ := strings.Cut(a.whole, "(")
		for _, f := range []wire.Format{wire.Text, wire.Binary} {
			for _, n := range []int{1, 3, 5} {
				out := a.outs[0]
				out.Name = name
				grouped := gather.Spec{
					Kind:  gather.Aggregate,
					Order: []gather.Key{{Column: 0, Descending: true}},
					Local: &gather.Local{Keys: []gather.Column{-1}, Outputs: []gather.Output{{Combine: gather.Same, Column: -1, Name: "g"}, out}},
				}
				b.check(grouped, merge.All(), "SELECT g, "+a.whole+" FROM d GROUP BY g ORDER BY g DESC NULLS LAST",
					"SELECT "+a.partial+", g FROM d WHERE %s GROUP BY g", n, f)
				single := gather.Spec{Kind: gather.Aggregate, Local: &gather.Local{Outputs: []gather.Output{out}}}
				for _, where := range []string{"id > 3", "id < 3", "false"} {
					b.check(single, merge.All(), "SELECT "+a.whole+" FROM d WHERE "+where, "SELECT "+a.partial+" FROM d WHERE %s AND "+where, n, f)
				}
			}
		}
	}
}

// TestOverflow fails as the server does.
func TestOverflow(t *testing.T) {
	fields := []wire.Field{{Name: "sum", TypeOID: 20, TypeSize: 8}}
	sum := &gather.Spec{Kind: gather.Aggregate, Local: &gather.Local{Outputs: []gather.Output{{Combine: gather.Sum, Name: "sum"}}}}
	p, err := merge.Compile(sum, fields, sortkey.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	part := func(s string) merge.Stream { return &slice{rows: [][]byte{body([]byte(s))}} }
	_, err = drain(t.Context(), p.Run([]merge.Stream{part("9223372036854775807"), part("1")}, merge.All(), 0))
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != "22003" {
		t.Errorf("error %v, want 22003", err)
	}
	got, err := drain(t.Context(), p.Run([]merge.Stream{part("9223372036854775807"), part("1"), part("-5")}, merge.All(), 0))
	if err != nil || string(got[0][6:]) != "9223372036854775803" {
		t.Errorf("%q and %v, want a sum that fits in the end", got, err)
	}
}
