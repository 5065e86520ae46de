package rows

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

func TestWidth(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "日本": 4, "é": 1, "e\u0301": 1, "ｗ": 2, "🐘": 2, "a\u200db": 2} {
		if got := Width(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestParseFormat(t *testing.T) {
	for _, f := range Formats() {
		if got, err := ParseFormat(string(f)); got != f || err != nil {
			t.Error(f, got, err)
		}
	}
	if got, err := ParseFormat("aligned"); got != Table || err != nil {
		t.Error(got, err)
	}
	if _, err := ParseFormat("xml"); err == nil {
		t.Error("xml is a format")
	}
}

func TestAuto(t *testing.T) {
	for width, want := range map[int]string{
		0:  " a |    b    \n---+---------\n x | yyyyyyy\n(1 row)\n\n",
		13: " a |    b    \n---+---------\n x | yyyyyyy\n(1 row)\n\n",
		12: "-[ RECORD 1 ]\na | x\nb | yyyyyyy\n\n",
	} {
		var out bytes.Buffer
		w := New(&out, Options{Expanded: Auto, Width: width}, Set{Columns: []Column{{Name: "a"}, {Name: "b"}}})
		if err := w.Row([][]byte{[]byte("x"), []byte("yyyyyyy")}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(nil); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("on %d columns: %q, want %q", width, out.String(), want)
		}
	}
}

// FuzzFormats gives any bytes to every format: JSON must stay JSON and say the same text.
func FuzzFormats(f *testing.F) {
	f.Add("name", "value", uint32(25))
	f.Add("a\"", "\x00\xff\n\t\\", uint32(oidJSON))
	f.Add("", "1e5", uint32(oidNumeric))
	f.Add("語\r", `{"a": [1, 2 ]}`, uint32(oidJSONB))
	f.Fuzz(func(t *testing.T, name, value string, oid uint32) {
		name = strings.ToValidUTF8(name, "")
		for _, format := range Formats() {
			for _, expanded := range []Expansion{Off, On} {
				var out bytes.Buffer
				w := New(&out, Options{Format: format, Expanded: expanded}, Set{Columns: []Column{{name, oid}, {name, 25}}})
				for range 2 {
					if err := w.Row([][]byte{[]byte(value), nil}); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Close(nil); err != nil {
					t.Fatal(err)
				}
				if format == JSON && !isNumber(oid) && oid != oidBool { // whose values are PostgreSQL's own
					var got []map[string]any
					if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got) != 2 || len(got[0]) != 2 {
						t.Fatalf("%v: %s", err, out.String())
					}
					want := strings.ToValidUTF8(value, "\ufffd")
					text, ok := got[0][name].(string)
					if oid != oidJSON && oid != oidJSONB && strings.Count(want, "\ufffd") == 0 && (!ok || text != want) {
						t.Fatalf("%q became %q", want, text)
					}
				}
			}
		}
	})
}

// BenchmarkFormats prints 10,000 rows of five columns.
func BenchmarkFormats(b *testing.B) {
	set := Set{Columns: []Column{{"id", oidInt8}, {"name", 25}, {"price", oidNumeric}, {"ok", oidBool}, {"made", 1184}}}
	row := [][]byte{[]byte("123456"), []byte("some name or other"), []byte("12.50"), []byte("t"), []byte("2026-01-01 12:00:00+00")}
	for _, f := range Formats() {
		b.Run(string(f), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := New(io.Discard, Options{Format: f}, set)
				for range 10_000 {
					if err := w.Row(row); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Close(nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
