package sharding

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
)

func TestCompileReportsAll(t *testing.T) {
	_, err := Compile(Config{Shards: 2, Tables: []Table{
		{Name: "a"},
		{Name: "b", Columns: []string{"id"}, Rules: []Rule{
			{Kind: Range, Start: new("0"), End: new("10"), Shard: 0},
			{Kind: Range, Start: new("5"), End: new("20"), Shard: 1},
			{Kind: Range, Start: new("30"), End: new("40"), Shard: 1},
			{Kind: Range, Start: new("50"), End: new("50"), Shard: 1},
			{Kind: List, Values: []string{"7", "07", "x"}, Shard: 1},
			{Kind: List, Values: []string{"8"}, Shard: 2},
		}},
		{Name: "c", Columns: []string{"x", "y"}, Function: Sha1},
		{Name: "d", Columns: []string{"v"}, Centroids: [][]float32{{1, 2}, {1}}, Probes: 3},
		{Name: "a", Columns: []string{"id"}, Types: []hash.OID{600}},
	}, Schemas: []Schema{{Name: "s", Shard: 9}}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"sharded table a: name the column",
		"ranges [0, 10) and [5, 20) overlap",
		"gap between the ranges [5, 20) and [30, 40)",
		"range [50, 50) is empty",
		"07 is listed twice",
		`"x" is no value of type bigint`,
		"there is no shard 2; they are 0 to 1",
		"several columns can only be hashed",
		"centroid 1 has 1 dimensions",
		"3 probes, but only 2 centroids",
		"sharded table a: there is more than one entry",
		"oid 600 cannot be hashed",
		`schema "s": there is no shard 9`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

func one(t *testing.T, tab Table, shards int) *Key {
	t.Helper()
	l, err := Compile(Config{Shards: shards, Tables: []Table{tab}})
	if err != nil {
		t.Fatal(err)
	}
	return l.Keys()[0]
}

func text(s string) []Raw { return []Raw{{Bytes: []byte(s)}} }

func TestMapped(t *testing.T) {
	k := one(t, Table{Name: "t", Columns: []string{"id"}, Rules: []Rule{
		{Kind: List, Values: []string{"5", "105"}, Shard: 3},
		{Kind: Range, End: new("100"), Shard: 0},
		{Kind: Range, Start: new("100"), End: new("200"), Shard: 1},
		{Kind: Default, Shard: 2},
	}}, 4)
	for value, want := range map[string]int{"5": 3, "105": 3, "-7": 0, "99": 0, "100": 1, "199": 1, "200": 2} {
		if got, err := k.Place(text(value), nil); got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", value, got, err, want)
		}
	}
	if got, err := k.Place([]Raw{{Null: true}}, nil); got != 2 || err != nil {
		t.Errorf("NULL: %d, %v", got, err)
	}
	between := func(low, high string) string {
		var lo, hi *Raw
		if low != "" {
			lo = &Raw{Bytes: []byte(low)}
		}
		if high != "" {
			hi = &Raw{Bytes: []byte(high)}
		}
		return k.Between(lo, hi, false).String()
	}
	for _, tt := range [][3]string{{"", "4", "0, 2"}, {"6", "99", "0, 2"}, {"100", "104", "1, 2"}, {"90", "110", "0, 1, 2, 3"}, {"", "", "0, 1, 2, 3"}, {"x", "", "0, 1, 2, 3"}} {
		if got := between(tt[0], tt[1]); got != tt[2] {
			t.Errorf("between %s and %s: %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
	if got := k.Between(nil, &Raw{Bytes: []byte("100")}, true).String(); got != "0, 2, 3" {
		t.Errorf("below 100: %s", got)
	}
	narrow := one(t, Table{Name: "t", Columns: []string{"id"}, Rules: []Rule{{Kind: List, Values: []string{"1"}, Shard: 0}}}, 2)
	if _, err := narrow.Place(text("2"), nil); !errors.Is(err, ErrUnmapped) {
		t.Errorf("an unmapped key: %v", err)
	}
	if set, err := narrow.Equal(text("2"), nil); err != nil || set.Len() != 2 {
		t.Errorf("reading an unmapped key: %v, %v", set, err)
	}
}

// TestTypes reads the same value in the ways in which it may arrive.
func TestTypes(t *testing.T) {
	k := one(t, Table{Name: "t", Columns: []string{"id"}}, 5)
	want, err := k.Place(text("77"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []Raw{
		{Type: hash.Int2, Format: hash.BinaryFormat, Bytes: []byte{0, 77}},
		{Type: hash.Int4, Format: hash.BinaryFormat, Bytes: []byte{0, 0, 0, 77}},
		{Type: hash.Int8, Format: hash.BinaryFormat, Bytes: []byte{0, 0, 0, 0, 0, 0, 0, 77}},
		{Type: hash.Unknown, Bytes: []byte(" 77 ")},
		{Type: hash.Numeric, Bytes: []byte("77.00")},
		{Type: hash.Numeric, Bytes: []byte("770e-1")},
	} {
		if got, err := k.Place([]Raw{raw}, nil); got != want || err != nil {
			t.Errorf("%+v: %d, %v; want %d", raw, got, err, want)
		}
	}
	if set, _ := k.Equal([]Raw{{Type: hash.Numeric, Bytes: []byte("77.5")}}, nil); set.Len() != 0 {
		t.Errorf("77.5: %v", set)
	}
	if set, _ := k.Equal([]Raw{{Type: hash.Text, Bytes: []byte("77")}}, nil); set.Len() != 5 {
		t.Errorf("text: %v", set)
	}
	if set, _ := k.Equal(text("x"), nil); set.Len() != 5 {
		t.Errorf("x: %v", set)
	}
}

type found map[string]string

func (f found) Lookup(_ string, value []byte) ([]byte, bool) {
	v, ok := f[string(value)]
	if ok && v == "" {
		return nil, true
	}
	return []byte(v), ok
}

func TestLookup(t *testing.T) {
	k := one(t, Table{Name: "t", Columns: []string{"tenant"}, Types: []hash.OID{hash.Text}, LookupQuery: "SELECT s FROM l WHERE t = $1"}, 3)
	var need *NeedLookup
	if _, err := k.Equal(text("a"), found{}); !errors.As(err, &need) || string(need.Value) != "a" {
		t.Errorf("unknown: %v", err)
	}
	if set, err := k.Equal(text("a"), found{"a": "2"}); err != nil || set != One(2) {
		t.Errorf("known: %v, %v", set, err)
	}
	if _, err := k.Place(text("a"), found{"a": ""}); !errors.Is(err, ErrUnmapped) {
		t.Errorf("missing: %v", err)
	}
	if _, err := k.Place(text("a"), found{"a": "3"}); err == nil {
		t.Error("no such shard: no error")
	}
}

func TestCentroids(t *testing.T) {
	k := one(t, Table{Name: "t", Columns: []string{"v"}, Centroids: [][]float32{{0, 0}, {10, 0}, {0, 10}, {9, 9}}, Probes: 2}, 2)
	for v, want := range map[string]int{"[1,1]": 0, "[9, 1]": 1, "[1,9]": 0, "[10,10]": 1} {
		if got, err := k.Place(text(v), nil); got != want || err != nil {
			t.Errorf("%s: %d, %v", v, got, err)
		}
	}
	if got := k.Nearest(Raw{Bytes: []byte("[10,10]")}).String(); got != "0, 1" && got != "1" {
		t.Errorf("probes: %s", got)
	}
	if _, err := k.Place(text("[1]"), nil); err == nil {
		t.Error("another dimension: no error")
	}
}

func TestFind(t *testing.T) {
	l, err := Compile(Config{Shards: 2, Tables: []Table{
		{Name: "users", Columns: []string{"id"}},
		{Columns: []string{"tenant_id"}},
		{Schema: "s", Name: "users", Columns: []string{"uid"}},
	}, Schemas: []Schema{{Name: "one", Shard: 1}, {Name: "both", All: true}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		schema, table string
		columns       []string
		want          string
	}{
		{"public", "users", nil, "id"},
		{"s", "users", nil, "uid"},
		{"public", "x", []string{"a", "tenant_id"}, "tenant_id"},
		{"public", "x", []string{"a"}, "omni"},
		{"one", "x", []string{"a"}, "shard 1"},
		{"both", "x", []string{"a"}, "omni"},
	} {
		p := l.Find(tt.schema, tt.table, tt.columns)
		got := "omni"
		if p.Key != nil {
			got = p.Key.Columns[0]
		} else if p.Pinned {
			got = "shard " + strconv.Itoa(p.Shard)
		}
		if got != tt.want {
			t.Errorf("%s.%s: %s, want %s", tt.schema, tt.table, got, tt.want)
		}
	}
}

func BenchmarkEqual(b *testing.B) {
	l, err := Compile(Config{Shards: 3, Tables: []Table{{Name: "t", Columns: []string{"id"}}}})
	if err != nil {
		b.Fatal(err)
	}
	values := text("123456")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Keys()[0].Equal(values, nil); err != nil {
			b.Fatal(err)
		}
	}
}
