package settings

import (
	"errors"
	"math"
	"strconv"
	"testing"
	"time"
)

func TestParseMemory(t *testing.T) {
	tests := []struct {
		in   string
		want Memory
		text string
	}{
		{"128MB", 128 * MB, "128MB"},
		{"8192kB", 8 * MB, "8MB"},
		{" 1.5 GB ", 1536 * MB, "1536MB"},
		{"1000", 1000, "1000B"},
		{"0", 0, "0"},
		{"-1kB", -KB, "-1kB"},
		{"1024TB", 1024 * TB, "1024TB"},
		{"0.5kB", 512, "512B"},
	}
	for _, tt := range tests {
		got, err := ParseMemory(tt.in)
		if err != nil || got != tt.want || got.String() != tt.text {
			t.Errorf("%q: got %d = %s, %v", tt.in, got, got, err)
		}
	}
	for _, bad := range []string{"", "MB", "1mb", "1 KB", "1MiB", "x", "0x10kB", "NaNkB", "1_000", "99999999999TB", "9e999MB", "1.2.3kB", "--1kB"} {
		if got, err := ParseMemory(bad); err == nil {
			t.Errorf("%q is taken for %s", bad, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
		text string
	}{
		{"200ms", 200 * time.Millisecond, "200ms"},
		{"90s", 90 * time.Second, "90s"},
		{"5min", 5 * time.Minute, "5min"},
		{"60min", time.Hour, "1h"},
		{"1d", 24 * time.Hour, "1d"},
		{"1.5 h", 90 * time.Minute, "90min"},
		{"250us", 250 * time.Microsecond, "250us"},
		{"1500", 1500 * time.Millisecond, "1500ms"},
		{"0", 0, "0"},
	}
	for _, tt := range tests {
		got, err := ParseDuration(tt.in)
		if err != nil || time.Duration(got) != tt.want || got.String() != tt.text {
			t.Errorf("%q: got %s, %v", tt.in, got, err)
		}
	}
	for _, bad := range []string{"", "1m", "1 hour", "soon", "1S", "9999999d"} {
		if got, err := ParseDuration(bad); err == nil {
			t.Errorf("%q is taken for %s", bad, got)
		}
	}
	if got := Duration(1500 * time.Nanosecond).String(); got != "1us" {
		t.Errorf("1.5 us is written %s", got)
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		kind, unit, text string
		want             Value
	}{
		{"bool", "", "on", Bool(true)},
		{"bool", "", "off", Bool(false)},
		{"integer", "", "100", Int(100)},
		{"integer", "", "-1", Int(-1)},
		{"real", "", "1.1", Float(1.1)},
		{"integer", "8kB", "16384", 128 * MB},
		{"integer", "kB", "4096", 4 * MB},
		{"integer", "MB", "80", 80 * MB},
		{"integer", "16MB", "5", 80 * MB},
		{"integer", "B", "16777216", 16 * MB},
		{"integer", "8kB", "-1", Int(-1)},
		{"integer", "ms", "200", Duration(200 * time.Millisecond)},
		{"integer", "s", "300", Duration(5 * time.Minute)},
		{"integer", "min", "1440", Duration(24 * time.Hour)},
		{"integer", "ms", "-1", Int(-1)},
		{"real", "ms", "2.5", Duration(2500 * time.Microsecond)},
		{"string", "", "a, b", Text("a, b")},
		{"enum", "", "replica", Text("replica")},
	}
	for _, tt := range tests {
		got, err := parse(tt.kind, tt.unit, tt.text)
		if err != nil || got != tt.want {
			t.Errorf("%s %q in %q: got %#v, %v", tt.kind, tt.text, tt.unit, got, err)
		}
	}
	for _, bad := range [][3]string{{"bool", "", "maybe"}, {"integer", "", "x"}, {"integer", "parsec", "1"}, {"real", "", ""}} {
		if got, err := parse(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%q is taken for %#v", bad, got)
		}
	}
}

func TestLiteral(t *testing.T) {
	for want, v := range map[string]Value{
		"on": Bool(true), "-1": Int(-1), "'1.5'": Float(1.5), "E'8MB'": 8 * MB, "E'5min'": Duration(5 * time.Minute),
		`E'it''s \\ x'`: Text(`it's \ x`), `E'a', E'b c'`: Names{"a", "b c"}, "'1e+300'": Float(1e300),
	} {
		if got := v.literal(); got != want {
			t.Errorf("%#v: got %s, want %s", v, got, want)
		}
	}
}

func FuzzUnits(f *testing.F) {
	f.Add("128MB")
	f.Add("1.5 h")
	f.Add("-9223372036854775808")
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := ParseMemory(s); err == nil {
			if again, err := ParseMemory(m.String()); err != nil || again != m {
				t.Errorf("%q is %d, written %s, which is %d (%v)", s, m, m, again, err)
			}
		}
		if d, err := ParseDuration(s); err == nil {
			again, err := ParseDuration(d.String())
			if err != nil || again != Duration(time.Duration(d).Truncate(time.Microsecond)) {
				t.Errorf("%q is %d, written %s, which is %d (%v)", s, d, d, again, err)
			}
		}
	})
}

func TestRange(t *testing.T) {
	if _, err := ParseMemory(strconv.Itoa(math.MaxInt64) + "kB"); !errors.Is(err, strconv.ErrRange) {
		t.Errorf("error is %v", err)
	}
}
