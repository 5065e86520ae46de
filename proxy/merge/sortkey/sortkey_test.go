package sortkey_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/merge/numeric"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

func types() []sortkey.OID {
	list := []sortkey.OID{
		sortkey.Bool, sortkey.Bytea, sortkey.Char, sortkey.Name, sortkey.Int8, sortkey.Int2, sortkey.Int4, sortkey.Text,
		sortkey.Oid, sortkey.Float4, sortkey.Float8, sortkey.Cidr, sortkey.Macaddr8, sortkey.Macaddr, sortkey.Inet,
		sortkey.Bpchar, sortkey.Varchar, sortkey.Date, sortkey.Time, sortkey.Timestamp, sortkey.Timestamptz,
		sortkey.Interval, sortkey.Timetz, sortkey.Bit, sortkey.Varbit, sortkey.Numeric, sortkey.UUID,
	}
	for oid := sortkey.OID(600); oid < 4000; oid++ {
		if e := oid.Element(); e != 0 && e != 3802 || oid.Subtype() != 0 { // jsonb has no encoder
			list = append(list, oid)
		}
	}
	return list
}

// TestTypes has an encoder for every type that is named.
func TestTypes(t *testing.T) {
	list := types()
	if len(list) != 27+27+6 {
		t.Errorf("%d types, want 27, an array of each, and 6 ranges", len(list))
	}
	for _, oid := range list {
		for _, f := range []wire.Format{wire.Text, wire.Binary} {
			if _, err := sortkey.New(oid, f, sortkey.Settings{}); err != nil {
				t.Errorf("type %d in format %d: %v", oid, f, err)
			}
		}
	}
}

// FuzzEncoders gives arbitrary bytes to each encoder. Whatever is read must be
// self-delimiting: a string that is a proper prefix of another could not be joined or
// inverted. A failure leaves what was there before.
func FuzzEncoders(f *testing.F) {
	list := types()
	for _, seed := range []string{
		"1", "-1.50", "NaN", "{1,2,NULL}", "[0:1]={1,2}", "{{1},{2}}", `{"a\"b"}`, "[1,2)", "(,]", "empty", "2000-01-01 00:00:00.5+00",
		"0044-03-15 BC", "12:00:00+01:30", "1 year -2 days 00:00:01", "10.0.0.0/8", "::1", `\x00`, `a\\b\001`, "0101", "t",
		"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x17\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x07",
	} {
		for i := range list {
			f.Add([]byte(seed), []byte(seed+"0"), uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, a, b []byte, which uint8) {
		oid := list[int(which)%len(list)]
		for _, format := range []wire.Format{wire.Text, wire.Binary} {
			encode, err := sortkey.New(oid, format, sortkey.Settings{})
			if err != nil {
				t.Fatal(err)
			}
			x, err1 := encode([]byte("before"), a)
			y, err2 := encode([]byte("before"), b)
			if !bytes.HasPrefix(x, []byte("before")) {
				t.Fatalf("type %d: %q lost what was there", oid, x)
			}
			if err1 != nil || err2 != nil {
				continue
			}
			if !bytes.Equal(x, y) && (bytes.HasPrefix(x, y) || bytes.HasPrefix(y, x)) {
				t.Fatalf("type %d: %q gives %q, a prefix of which is that of %q, %q", oid, a, x, b, y)
			}
		}
	})
}

// FuzzNumeric compares the order of keys with that of numbers, in text and in binary.
func FuzzNumeric(f *testing.F) {
	for _, s := range []string{"0", "-0.0001", "10000", "9999.9999", "1e-20", "NaN", "-Infinity", "00012.500"} {
		f.Add(s, "-1")
		f.Add("1.5", s)
	}
	text, _ := sortkey.New(sortkey.Numeric, wire.Text, sortkey.Settings{})
	bin, _ := sortkey.New(sortkey.Numeric, wire.Binary, sortkey.Settings{})
	f.Fuzz(func(t *testing.T, s1, s2 string) {
		n1, err1 := numeric.Parse([]byte(s1))
		n2, err2 := numeric.Parse([]byte(s2))
		if err1 != nil || err2 != nil {
			return
		}
		want := n1.Cmp(n2)
		t1, err1 := text(nil, n1.AppendText(nil))
		t2, err2 := text(nil, n2.AppendText(nil))
		b1, err3 := bin(nil, n1.AppendBinary(nil))
		b2, err4 := bin(nil, n2.AppendBinary(nil))
		if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
			t.Fatal(err1, err2, err3, err4)
		}
		if !bytes.Equal(t1, b1) || !bytes.Equal(t2, b2) {
			t.Fatalf("%s, %s: text and binary differ", n1, n2)
		}
		if c := bytes.Compare(t1, t2); c != sign(want) {
			t.Fatalf("%s and %s: keys say %d, numbers %d", n1, n2, c, want)
		}
	})
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// FuzzFixed compares the order of keys of integers and floats with their own.
func FuzzFixed(f *testing.F) {
	f.Add(uint64(0), uint64(1)<<63)
	f.Add(math.Float64bits(math.NaN()), math.Float64bits(math.Inf(1)))
	ints, _ := sortkey.New(sortkey.Int8, wire.Binary, sortkey.Settings{})
	floats, _ := sortkey.New(sortkey.Float8, wire.Binary, sortkey.Settings{})
	f.Fuzz(func(t *testing.T, a, b uint64) {
		va, vb := binary.BigEndian.AppendUint64(nil, a), binary.BigEndian.AppendUint64(nil, b)
		ka, _ := ints(nil, va)
		kb, _ := ints(nil, vb)
		if c := bytes.Compare(ka, kb); c < 0 != (int64(a) < int64(b)) || c == 0 != (a == b) {
			t.Errorf("integers %d and %d: %d", int64(a), int64(b), c)
		}
		x, y := math.Float64frombits(a), math.Float64frombits(b)
		ka, _ = floats(nil, va)
		kb, _ = floats(nil, vb)
		less := x < y || x == x && y != y
		if c := bytes.Compare(ka, kb); c < 0 != less || c == 0 != (x == y || x != x && y != y) {
			t.Errorf("floats %v and %v: %d", x, y, c)
		}
	})
}
