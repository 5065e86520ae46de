package merge_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

func int4(name string) wire.Field {
	return wire.Field{Name: name, TypeOID: 23, TypeSize: 4, TypeMod: -1}
}

func text(values ...string) *slice {
	s := &slice{}
	for _, v := range values {
		s.rows = append(s.rows, body([]byte(v)))
	}
	return s
}

func compile(t testing.TB, spec gather.Spec, fields ...wire.Field) *merge.Program {
	t.Helper()
	p, err := merge.Compile(&spec, fields, sortkey.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var byFirst = []gather.Key{{Column: 0}}

// TestTurns takes rows from the streams whose turn it is.
func TestTurns(t *testing.T) {
	for _, tt := range []struct {
		name  string
		turns []int
		want  string
	}{
		{"none", nil, "abcxyz"},
		{"all", []int{1, 0, 0, 1, 1, 0}, "xabyzc"},
		{"a stream ends early", []int{0, 0, 0, 0, 1, 1, 1}, "abcxyz"},
		{"too few", []int{1}, "xabcyz"},
		{"a stream that is not there", []int{2, 1, -1, 0}, "xabcyz"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := compile(t, gather.Spec{Turns: tt.turns}, int4("c"))
			rows, err := drain(t.Context(), p.Run([]merge.Stream{text("a", "b", "c"), text("x", "y", "z")}, merge.All(), 0))
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for _, r := range rows {
				got = append(got, r[len(r)-1])
			}
			if string(got) != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestRefused leaves to a server what only a server can do.
func TestRefused(t *testing.T) {
	column := func(oid uint32) []wire.Field { return []wire.Field{{Name: "c", TypeOID: oid}} }
	local := func(c gather.Combine) gather.Spec {
		return gather.Spec{Kind: gather.Aggregate, Local: &gather.Local{Outputs: []gather.Output{{Combine: c}}}}
	}
	ordered := gather.Spec{Kind: gather.Ordered, Order: byFirst}
	collated := gather.Spec{Kind: gather.Ordered, Order: []gather.Key{{Collation: gather.Collation{Known: true, Name: "de_DE"}}}}
	for _, tt := range []struct {
		name   string
		spec   gather.Spec
		fields []wire.Field
		set    sortkey.Settings
	}{
		{"jsonb", ordered, column(3802), sortkey.Settings{}},
		{"money", ordered, column(790), sortkey.Settings{}},
		{"an enum", ordered, column(16400), sortkey.Settings{}},
		{"a multirange", ordered, column(4451), sortkey.Settings{}},
		{"an unknown collation", ordered, column(25), sortkey.Settings{}},
		{"a collation", collated, column(25), sortkey.Settings{}},
		{"a collation in arrays", collated, column(1009), sortkey.Settings{}},
		{"German dates", ordered, column(1082), sortkey.Settings{DateStyle: "German, DMY"}},
		{"ISO 8601 intervals", ordered, column(1186), sortkey.Settings{IntervalStyle: "iso_8601"}},
		{"rounded floats", ordered, column(701), sortkey.Settings{LossyFloats: true}},
		{"sum of money", local(gather.Sum), column(790), sortkey.Settings{}},
		{"sum of rounded floats", local(gather.Sum), column(701), sortkey.Settings{LossyFloats: true}},
		{"min of text", local(gather.Min), column(25), sortkey.Settings{}},
		{"average of floats of 4 bytes", local(gather.Avg), column(700), sortkey.Settings{}},
		{"average by the wrong count", local(gather.Avg), column(1700), sortkey.Settings{}},
		{"no local combination", gather.Spec{Kind: gather.Aggregate}, column(23), sortkey.Settings{}},
		{"pull", gather.Spec{Kind: gather.Pull}, column(23), sortkey.Settings{}},
	} {
		if _, err := merge.Compile(&tt.spec, tt.fields, tt.set); !errors.Is(err, merge.ErrNeedsServer) {
			t.Errorf("%s: %v, want that it needs a server", tt.name, err)
		}
	}
	for _, spec := range []gather.Spec{
		{Hidden: 2},
		{Kind: gather.Ordered, Order: []gather.Key{{Column: 1}}},
		{WithTies: true},
		{Kind: gather.Unique, Distinct: []gather.Column{-2}},
	} {
		_, err := merge.Compile(&spec, column(23), sortkey.Settings{})
		if err == nil || errors.Is(err, merge.ErrNeedsServer) {
			t.Errorf("%+v: %v, want an error about the specification", spec, err)
		}
	}
}

// TestAgree compares what shards describe.
func TestAgree(t *testing.T) {
	a, b := int4("x"), int4("x")
	b.TypeMod = 7
	got, err := merge.Agree([]wire.Field{a}, []wire.Field{b})
	if err != nil || got[0].TypeMod != -1 {
		t.Errorf("%+v and %v, want no type modifier", got, err)
	}
	b.TypeOID = 20
	var e *wire.Error
	for _, other := range [][]wire.Field{{b}, {}, {{TypeOID: 23, Format: wire.Binary}}} {
		if _, err := merge.Agree([]wire.Field{a}, other); !errors.As(err, &e) || e.Code != "42804" || e.Hint == "" || e.Detail == "" {
			t.Errorf("%v for %+v, want 42804 with detail and hint", err, other)
		}
	}
}

// TestStop tells streams, once, when nothing more is wanted of them.
func TestStop(t *testing.T) {
	p := compile(t, gather.Spec{Kind: gather.Ordered, Order: byFirst}, int4("n"))
	a, b := text("1", "3"), text("2", "4", "6")
	got, err := drain(t.Context(), p.Run([]merge.Stream{a, b}, merge.Window{Offset: 1, Limit: 2}, 0))
	if err != nil || len(got) != 2 || string(got[0][6:]) != "2" || string(got[1][6:]) != "3" {
		t.Errorf("rows %q and %v, want 2 and 3", got, err)
	}
	if len(a.stopped) != 1 || len(b.stopped) != 1 || a.stopped[0] != nil {
		t.Errorf("stopped %v and %v, want once each without a cause", a.stopped, b.stopped)
	}
	// The error of one ends all, and is the merge's.
	broken := errors.New("shard 1 is gone")
	a, b = text("1"), text("2", "4", "6")
	a.failure = broken
	r := p.Run([]merge.Stream{a, b}, merge.All(), 0)
	got, err = drain(t.Context(), r)
	if err != broken || len(got) != 1 {
		t.Errorf("%d rows and error %v, want 1 and the stream's", len(got), err)
	}
	if len(a.stopped) != 0 || len(b.stopped) != 1 || b.stopped[0] != broken {
		t.Errorf("stopped %v and %v, want only the other one, for that error", a.stopped, b.stopped)
	}
	r.Close(nil)
	if _, err := r.Next(t.Context()); err != broken || len(b.stopped) != 1 {
		t.Errorf("error %v after the end and %d stops, want the same and 1", err, len(b.stopped))
	}
	// Cancelled, or closed, half way.
	ctx, cancel := context.WithCancel(t.Context())
	a, b = text("1"), text("2")
	r = p.Run([]merge.Stream{a, b}, merge.All(), 0)
	if _, err := r.Next(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Next(ctx); err != context.Canceled || len(b.stopped) != 1 {
		t.Errorf("error %v and %d stops, want cancellation", err, len(b.stopped))
	}
	a = text("1")
	r = p.Run([]merge.Stream{a}, merge.All(), 0)
	r.Close(broken)
	if _, err := r.Next(t.Context()); err != broken || len(a.stopped) != 1 {
		t.Errorf("error %v and %d stops, want the cause", err, len(a.stopped))
	}
}

// TestBadRows gets rows that no server would send.
func TestBadRows(t *testing.T) {
	p := compile(t, gather.Spec{Kind: gather.Ordered, Order: byFirst}, int4("n"))
	for name, rows := range map[string][][]byte{
		"empty":      {{}},
		"cut":        {body([]byte("12"))[:7]},
		"no columns": {{0, 0}},
		"too many":   {body([]byte("1"), []byte("2"))},
		"no number":  {body([]byte("x"))},
		"unsorted":   {body([]byte("2")), body([]byte("1"))},
	} {
		var e *wire.Error
		if _, err := drain(t.Context(), p.Run([]merge.Stream{&slice{rows: rows}}, merge.All(), 0)); !errors.As(err, &e) {
			t.Errorf("%s: %v, want an SQL error", name, err)
		}
	}
	if got, err := drain(t.Context(), p.Run(nil, merge.All(), 0)); err != nil || len(got) != 0 {
		t.Errorf("no streams: %d rows and %v", len(got), err)
	}
}

// TestMemory refuses beyond the limit, and only what has to be kept counts.
func TestMemory(t *testing.T) {
	many := func() []merge.Stream {
		s := &slice{}
		for i := range 10_000 {
			s.rows = append(s.rows, body([]byte(strconv.Itoa(i))))
		}
		return []merge.Stream{s}
	}
	group := &gather.Local{Keys: []gather.Column{0}, Outputs: []gather.Output{{Combine: gather.Same}}}
	for _, tt := range []struct {
		spec gather.Spec
		fits bool
	}{
		{gather.Spec{Kind: gather.Unique, DistinctAll: true, Order: byFirst}, true},
		{gather.Spec{Kind: gather.Unique, DistinctAll: true}, false},
		{gather.Spec{Kind: gather.Aggregate, Local: group}, false},
	} {
		p := compile(t, tt.spec, int4("n"))
		_, err := drain(t.Context(), p.Run(many(), merge.All(), 100_000))
		var e *wire.Error
		if tt.fits != (err == nil) || err != nil && (!errors.As(err, &e) || e.Code != "54000" || e.Hint == "") {
			t.Errorf("%v: %v, fits should be %v", tt.spec.Kind, err, tt.fits)
		}
		if got, err := drain(t.Context(), p.Run(many(), merge.All(), 0)); err != nil || len(got) != 10_000 {
			t.Errorf("%v: %d rows and %v by default", tt.spec.Kind, len(got), err)
		}
	}
}

// FuzzRows merges arbitrary bytes as rows: it must end with rows or an error.
func FuzzRows(f *testing.F) {
	f.Add(body([]byte("1"), nil), body([]byte("{1,2}"), []byte("1")), uint8(1))
	f.Add([]byte{0, 2, 0xFF, 0xFF, 0xFF, 0xFE}, []byte{}, uint8(2))
	fields := []wire.Field{{TypeOID: 1007}, int4("n")}
	group := &gather.Local{Keys: []gather.Column{0}, Outputs: []gather.Output{{Combine: gather.Same}, {Combine: gather.Max, Column: 1}}}
	programs := []*merge.Program{
		compile(f, gather.Spec{Hidden: 1}, fields...),
		compile(f, gather.Spec{Kind: gather.Ordered, Order: []gather.Key{{Column: 1}, {Column: 0, Descending: true}}}, fields...),
		compile(f, gather.Spec{Kind: gather.Unique, DistinctAll: true}, fields...),
		compile(f, gather.Spec{Kind: gather.Aggregate, Local: group}, fields...),
	}
	f.Fuzz(func(t *testing.T, a, b []byte, which uint8) {
		r := programs[int(which)%len(programs)].Run([]merge.Stream{&slice{rows: [][]byte{a, b}}, &slice{rows: [][]byte{b}}}, merge.All(), 0)
		rows, err := drain(t.Context(), r)
		if len(rows) > 3 || err == io.EOF {
			t.Fatalf("%d rows and %v", len(rows), err)
		}
	})
}

// looped yields the same rows again and again, up to a number, without copying.
type looped struct {
	rows []*[]byte
	at   int
}

func (l *looped) Next(context.Context) ([]byte, error) {
	if l.at == len(l.rows) {
		return nil, io.EOF
	}
	l.at++
	return *l.rows[l.at-1], nil
}

func (l *looped) Stop(error) {}

// BenchmarkMerge merges 3 × 333,000 rows; forward is the same rows without looking at them.
func BenchmarkMerge(b *testing.B) {
	const n = 333_000
	c := gather.Collation{Known: true, Bytewise: true}
	make3 := func(value func(i int) []byte) [3][]*[]byte {
		var out [3][]*[]byte
		for i := range 3 * n {
			row := body(value(i), []byte("some payload of a usual length"))
			out[i*7%3] = append(out[i*7%3], &row)
		}
		return out
	}
	run := func(name string, oid uint32, f wire.Format, spec gather.Spec, value func(i int) []byte) {
		b.Run(name, func(b *testing.B) {
			rows := make3(value)
			p := compile(b, spec, wire.Field{Name: "k", TypeOID: oid, Format: f}, wire.Field{Name: "p", TypeOID: 25, Format: f})
			b.ReportAllocs()
			for b.Loop() {
				r := p.Run([]merge.Stream{&looped{rows: rows[0]}, &looped{rows: rows[1]}, &looped{rows: rows[2]}}, merge.All(), 0)
				for {
					if _, err := r.Next(b.Context()); err != nil {
						if err != io.EOF || r.Count() != 3*n {
							b.Fatal(r.Count(), err)
						}
						break
					}
				}
			}
			b.ReportMetric(float64(3*n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	number := func(i int) []byte { return strconv.AppendInt(nil, int64(i), 10) }
	word := func(i int) []byte { return strconv.AppendInt([]byte("customer-"), int64(i+1_000_000), 10) }
	ordered := gather.Spec{Kind: gather.Ordered, Order: []gather.Key{{Collation: c}}}
	run("forward", 23, wire.Text, gather.Spec{}, number)
	run("int", 23, wire.Text, ordered, number)
	run("int/binary", 20, wire.Binary, ordered, func(i int) []byte { return []byte{0, 0, 0, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)} })
	run("text", 25, wire.Text, ordered, word)
	run("numeric", 1700, wire.Text, ordered, number)
	run("timestamptz", 1184, wire.Text, gather.Spec{Kind: gather.Ordered, Order: byFirst}, func(i int) []byte {
		return []byte("2024-01-" + strconv.Itoa(100 + i/86400 + 1)[1:] + " " + clock(i%86400) + "+00")
	})
}

func clock(s int) string {
	two := func(n int) string { return strconv.Itoa(100 + n)[1:] }
	return two(s/3600) + ":" + two(s/60%60) + ":" + two(s%60)
}
