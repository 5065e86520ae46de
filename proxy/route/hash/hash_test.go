package hash

import (
	"encoding/csv"
	"os"
	"strconv"
	"testing"
)

// TestVectors checks partitions that a server chose for real rows.
func TestVectors(t *testing.T) {
	file, err := os.Open("testdata/hash_vectors.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]OID{"bigint": Int8, "int4": Int4, "text": Text, "uuid": UUID}
	for _, row := range rows[1:] {
		modulus, _ := strconv.ParseUint(row[2], 10, 64)
		h, err := Hash(types[row[0]], []byte(row[1]), TextFormat, Seed)
		if err != nil {
			t.Errorf("%s %q: %v", row[0], row[1], err)
			continue
		}
		if got := strconv.FormatUint(Row(0, h)%modulus, 10); got != row[3] {
			t.Errorf("%s %q: partition %s, the server chose %s", row[0], row[1], got, row[3])
		}
	}
	if len(rows) != 201 {
		t.Errorf("%d rows", len(rows))
	}
}

// TestSha1 checks remainders modulo 12 that PgDog's own tests state.
func TestSha1(t *testing.T) {
	for id, want := range []uint64{4, 7, 8, 3, 6, 0, 0, 10, 3, 11, 1, 7, 4, 4, 11, 2, 5, 0, 8, 3} {
		h, err := Sha1(Int8, []byte(strconv.Itoa(id)), TextFormat)
		if err != nil || h%12 != want {
			t.Errorf("sha1 of %d: %d, %v; want %d", id, h%12, err, want)
		}
	}
}

func TestHashErrors(t *testing.T) {
	for _, tt := range []struct {
		t     OID
		value string
		f     Format
	}{
		{Int4, "2147483648", TextFormat},
		{Int8, "", TextFormat},
		{Int8, "9223372036854775808", TextFormat},
		{Int8, "0x10", TextFormat},
		{Int8, "abc", BinaryFormat},
		{UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", TextFormat},
		{UUID, "short", BinaryFormat},
		{Numeric, "1.2.3", TextFormat},
		{Numeric, "1e", TextFormat},
		{Numeric, "\x00\x05", BinaryFormat},
		{Date, "01/02/2020", TextFormat},
		{Date, "2020-02-30", TextFormat},
		{Timestamptz, "2020-01-01 00:00:00", TextFormat},
		{Timestamptz, "2020-01-01 00:00:00 Europe/Paris", TextFormat},
		{Interval, "a week", TextFormat},
		{1007, "{1,2", TextFormat},
		{1007, "{1,,2}", TextFormat},
		{1007, "[0:1]={1,2}", TextFormat},
		{3904, "[5,1]", TextFormat},
		{Jsonb, "{\"a\":", TextFormat},
		{Jsonb, "1 2", TextFormat},
		{JSON, "{}", TextFormat},
		{600, "(1,2)", TextFormat},
	} {
		if _, err := Hash(tt.t, []byte(tt.value), tt.f, Seed); err == nil {
			t.Errorf("%s %q: no error", TypeName(tt.t), tt.value)
		}
	}
}

func FuzzHash(f *testing.F) {
	f.Add(uint32(Int8), []byte("42"), false)
	f.Add(uint32(Numeric), []byte("-12.50e3"), false)
	f.Add(uint32(1007), []byte("{1,NULL,{2}}"), false)
	f.Add(uint32(3904), []byte("[1,3)"), false)
	f.Add(uint32(Jsonb), []byte(`{"a":[1,true,null,"x"]}`), false)
	f.Add(uint32(Timestamptz), []byte("2020-01-01 10:00:00.5+02"), false)
	f.Add(uint32(1231), []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 6, 164, 0, 0, 0, 1, 0, 0, 0, 1, 255, 255, 255, 255}, true)
	f.Fuzz(func(t *testing.T, oid uint32, value []byte, bin bool) {
		format := TextFormat
		if bin {
			format = BinaryFormat
		}
		a, err := Hash(OID(oid), value, format, Seed)
		b, err2 := Hash(OID(oid), value, format, Seed)
		if a != b || (err == nil) != (err2 == nil) {
			t.Fatalf("not a function: %d %v, %d %v", a, err, b, err2)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	for name, c := range map[string]struct {
		t OID
		v string
	}{
		"bigint": {Int8, "1234567890123"},
		"uuid":   {UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		"text":   {Text, "somebody@example.org"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			value := []byte(c.v)
			for b.Loop() {
				if _, err := Hash(c.t, value, TextFormat, Seed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
