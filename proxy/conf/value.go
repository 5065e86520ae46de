package conf

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// A Value is a sharding key: a number or a string in the file, its text here.
type Value string

// UnmarshalTOML takes a number or a string.
func (v *Value) UnmarshalTOML(value any) error {
	switch value := value.(type) {
	case int64:
		*v = Value(strconv.FormatInt(value, 10))
	case string:
		*v = Value(value)
	default:
		return fmt.Errorf("want a number or a string, have %v", value)
	}
	return nil
}

// Seconds is a duration that PgDog counts in seconds where all others are in milliseconds.
type Seconds time.Duration

// UnmarshalTOML takes a number of seconds, or a duration such as "90s".
func (s *Seconds) UnmarshalTOML(value any) error {
	switch value := value.(type) {
	case int64:
		if value < 0 {
			return fmt.Errorf("want a number of seconds, have %d", value)
		}
		*s = Seconds(math.MaxInt64)
		if value <= math.MaxInt64/int64(time.Second) {
			*s = Seconds(value) * Seconds(time.Second)
		}
		return nil
	case string:
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			return s.UnmarshalTOML(n)
		}
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return fmt.Errorf("want a number of seconds or a duration such as \"90s\", have %q", value)
		}
		*s = Seconds(d)
		return nil
	}
	return fmt.Errorf("want a number of seconds or a duration such as \"90s\", have %v", value)
}

// MarshalText returns the duration as Go writes it.
func (s Seconds) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns the duration as Go writes it.
func (s Seconds) String() string { return time.Duration(s).String() }

// Duration returns s as Go's type.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }
