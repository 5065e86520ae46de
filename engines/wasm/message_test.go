package wasm

import (
	"reflect"
	"testing"
)

func TestParseOptions(t *testing.T) {
	for in, want := range map[string][][2]string{
		"":                             nil,
		"-c a=b":                       {{"a", "b"}},
		" -ca=b  --my-own.x=1\t":       {{"a", "b"}, {"my_own.x", "1"}},
		`-c search_path=a\ b\\,c --x=`: {{"search_path", `a b\,c`}, {"x", ""}},
	} {
		got, err := parseOptions(in)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	for _, bad := range []string{"x", "-c", "-c a", "--a", "-d 5"} {
		if got, err := parseOptions(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func FuzzParseStartup(f *testing.F) {
	f.Add([]byte("\x00\x03\x00\x00user\x00me\x00database\x00db\x00options\x00-c a=b\x00\x00"))
	f.Add([]byte("\x00\x03\x00\x02user\x00me\x00_pq_.x\x001\x00\x00"))
	f.Add([]byte("\x00\x03\x00\x00user\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStartup(b)
		if err == nil && (s.user == "" || s.database == "") {
			t.Errorf("no user or database: %+v", s)
		}
	})
}

// FuzzReceive feeds a client's bytes in two pieces and checks that whole messages come
// out as they went in.
func FuzzReceive(f *testing.F) {
	start := append([]byte{0, 0, 0, 17}, "\x00\x03\x00\x00user\x00me\x00\x00"...)
	f.Add(append(append([]byte{}, start...), query("select 1")...), 3)
	f.Add(append(append([]byte{0, 0, 0, 8, 4, 210, 22, 47}, start...), message('X', nil)...), 20)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		be := &backend{clients: map[uint32]*client{}, wake: make(chan struct{}, 1), limits: limits{maxClients: 1, wait: 1 << 40}}
		c := be.add()
		if cut < 0 || cut > len(b) {
			cut = 0
		}
		c.receive(b[:cut])
		c.receive(b[cut:])
		total := 0
		for {
			m, _, _ := c.next()
			if m == nil {
				break
			}
			total += len(m)
			if len(m) < headerLen {
				t.Fatalf("a message of %d bytes", len(m))
			}
		}
		if total > len(b) {
			t.Errorf("%d bytes came out of %d", total, len(b))
		}
	})
}
