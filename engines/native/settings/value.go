package settings

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Value is what a setting can be set to: Bool, Int, Float, Text, Names, Memory or
// Duration. String returns it as it would stand in postgresql.conf, without quotes.
type Value interface {
	fmt.Stringer
	literal() string // in SQL
}

// Values of settings. Text serves strings and enums; Names serves those that are lists of
// names, such as shared_preload_libraries, for which a Text with a comma would be one name.
type (
	Bool  bool
	Int   int64
	Float float64
	Text  string
	Names []string
	// Memory is a number of bytes.
	Memory int64
	// Duration is a time, of which the server knows microseconds at best.
	Duration time.Duration
)

// Units of memory for arithmetic: 16 * MB.
const (
	B  Memory = 1
	KB        = 1024 * B
	MB        = 1024 * KB
	GB        = 1024 * MB
	TB        = 1024 * GB
)

// The units that the server knows (guc.c, memory_unit_conversion_table and
// time_unit_conversion_table), largest first.
var (
	memoryUnits = []unit[Memory]{{"TB", TB}, {"GB", GB}, {"MB", MB}, {"kB", KB}, {"B", B}}
	timeUnits   = []unit[time.Duration]{
		{"d", 24 * time.Hour},
		{"h", time.Hour},
		{"min", time.Minute},
		{"s", time.Second},
		{"ms", time.Millisecond},
		{"us", time.Microsecond},
	}
)

type unit[T Memory | time.Duration] struct {
	name string
	size T
}

func (v Bool) String() string {
	if v {
		return "on"
	}
	return "off"
}

func (v Int) String() string   { return strconv.FormatInt(int64(v), 10) }
func (v Float) String() string { return strconv.FormatFloat(float64(v), 'g', -1, 64) }
func (v Text) String() string  { return string(v) }
func (v Names) String() string { return strings.Join(v, ", ") }

// String returns the size in the largest unit that divides it: "128MB".
func (v Memory) String() string { return format(v, memoryUnits) }

// String returns the time in the largest unit that divides it: "200ms". What is less than
// a microsecond is dropped.
func (v Duration) String() string {
	return format(time.Duration(v).Truncate(time.Microsecond), timeUnits)
}

func format[T Memory | time.Duration](v T, units []unit[T]) string {
	if v == 0 {
		return "0"
	}
	for _, u := range units {
		if v%u.size == 0 {
			return strconv.FormatInt(int64(v/u.size), 10) + u.name
		}
	}
	return "0" // not reached: the last unit divides everything
}

func (v Bool) literal() string     { return v.String() }
func (v Int) literal() string      { return v.String() }
func (v Float) literal() string    { return "'" + v.String() + "'" }
func (v Text) literal() string     { return quote(string(v)) }
func (v Memory) literal() string   { return quote(v.String()) }
func (v Duration) literal() string { return quote(v.String()) }

func (v Names) literal() string {
	quoted := make([]string, len(v))
	for i, s := range v {
		quoted[i] = quote(s)
	}
	return strings.Join(quoted, ", ")
}

// quote writes a string constant that means the same whatever standard_conforming_strings.
func quote(s string) string {
	return "E'" + strings.NewReplacer(`'`, `''`, `\`, `\\`).Replace(s) + "'"
}

// ParseMemory reads a size with a unit that the server knows: "128MB", "1.5 GB". The units
// are B, kB, MB, GB and TB, in that spelling, of 1024 each. Without a unit it is bytes.
func ParseMemory(s string) (Memory, error) {
	v, err := parseUnit(s, memoryUnits, B)
	if err != nil {
		return 0, fmt.Errorf("bad size %q: %w", s, err)
	}
	return v, nil
}

// ParseDuration reads a time with a unit that the server knows: "200ms", "1.5 h". The
// units are us, ms, s, min, h and d. Without a unit it is milliseconds.
func ParseDuration(s string) (Duration, error) {
	v, err := parseUnit(s, timeUnits, time.Millisecond)
	if err != nil {
		return 0, fmt.Errorf("bad time %q: %w", s, err)
	}
	return Duration(v), nil
}

func parseUnit[T Memory | time.Duration](s string, units []unit[T], base T) (T, error) {
	s = strings.TrimSpace(s)
	split := strings.LastIndexAny(s, "0123456789.") + 1
	number, name := s[:split], strings.TrimSpace(s[split:])
	if name != "" {
		base = 0
		var names []string
		for _, u := range units {
			names = append(names, u.name)
			if u.name == name {
				base = u.size
			}
		}
		if base == 0 {
			return 0, fmt.Errorf("unit %q is none of %s", name, strings.Join(names, ", "))
		}
	}
	// Integers exactly, as far as they go; fractions as the server does, by rounding.
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n > math.MaxInt64/int64(base) || n < math.MinInt64/int64(base) {
			return 0, strconv.ErrRange
		}
		return T(n) * base, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) || strings.ContainsAny(number, "xXpPiInN_") {
		return 0, strconv.ErrSyntax
	}
	if f = math.Round(f * float64(base)); math.Abs(f) >= math.MaxInt64 {
		return 0, strconv.ErrRange
	}
	return T(f), nil
}

// parse makes a typed value of pg_settings' columns vartype, unit and setting.
func parse(kind, unitName, text string) (Value, error) {
	bad := func(err error) (Value, error) {
		return nil, fmt.Errorf("value %q of kind %s in %q: %w", text, kind, unitName, err)
	}
	switch kind {
	case "bool":
		switch text {
		case "on":
			return Bool(true), nil
		case "off":
			return Bool(false), nil
		}
		return bad(strconv.ErrSyntax)
	case "integer", "real":
	default:
		return Text(text), nil
	}
	n, intErr := strconv.ParseInt(text, 10, 64)
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return bad(err)
	}
	switch {
	case unitName != "" && f < 0 && intErr == nil:
		return Int(n), nil
	case unitName != "":
		return parseInUnit(f, unitName)
	case kind == "integer" && intErr == nil:
		return Int(n), nil
	}
	return Float(f), nil
}

// parseInUnit scales a number by a unit of pg_settings, which may have a factor: "8kB".
func parseInUnit(f float64, name string) (Value, error) {
	digits := strings.TrimRight(name, "BTGMKkabcdefghijlmnopqrstuvwxyz")
	factor := 1.0
	if digits != "" {
		n, err := strconv.Atoi(digits)
		if err != nil {
			return nil, fmt.Errorf("unit %q: %w", name, err)
		}
		factor = float64(n)
	}
	name = strings.TrimPrefix(name, digits)
	for _, u := range memoryUnits {
		if u.name == name {
			return Memory(math.Round(f * factor * float64(u.size))), nil
		}
	}
	for _, u := range timeUnits {
		if u.name == name {
			return Duration(math.Round(f * factor * float64(u.size))), nil
		}
	}
	return nil, fmt.Errorf("unit %q is not known", name)
}
