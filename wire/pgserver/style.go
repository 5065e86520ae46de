package pgserver

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// A dateOrder is the second word of DateStyle.
type dateOrder uint8

const (
	mdy dateOrder = iota
	dmy
	ymd
)

// A dateStyle is the setting DateStyle: how dates are written, and in what order read.
type dateStyle struct {
	format string // ISO, SQL, Postgres or German
	order  dateOrder
}

var intervalStyles = []string{"postgres", "postgres_verbose", "sql_standard", "iso_8601"}

func (d dateStyle) String() string {
	return d.format + ", " + [...]string{"MDY", "DMY", "YMD"}[d.order]
}

// parseDateStyle reads words in any order (check_datestyle). A word that is missing takes its
// default: see mergeDateStyle.
func parseDateStyle(text string) (dateStyle, error) {
	d := dateStyle{format: "ISO"}
	ordered := false
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\'' || r == '"' }) {
		switch w := strings.ToUpper(word); {
		case w == "ISO", w == "SQL":
			d.format = w
		case strings.HasPrefix(w, "POSTGRES"):
			d.format = "Postgres"
		case w == "GERMAN":
			d.format = "German"
			if !ordered {
				d.order = dmy
			}
		case w == "YMD":
			d.order, ordered = ymd, true
		case w == "DMY", strings.HasPrefix(w, "EURO"):
			d.order, ordered = dmy, true
		case w == "MDY", w == "US", strings.HasPrefix(w, "NONEURO"):
			d.order, ordered = mdy, true
		case w == "DEFAULT":
		default:
			return d, errors.New("unrecognized key word: " + word)
		}
	}
	return d, nil
}

// mergeDateStyle keeps what a new value does not mention.
func mergeDateStyle(old, value string) string {
	was, err := parseDateStyle(old)
	if err != nil {
		return value
	}
	upper := strings.ToUpper(value)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(upper, w) {
				return true
			}
		}
		return false
	}
	if !has("ISO", "SQL", "POSTGRES", "GERMAN") {
		value = was.format + "," + value
	}
	if !has("MDY", "DMY", "YMD", "US", "EURO", "GERMAN") {
		value += "," + [...]string{"MDY", "DMY", "YMD"}[was.order]
	}
	return value
}

// style is how a session wants its text: its settings, parsed once.
type style struct {
	valid       bool
	date        dateStyle
	interval    string
	zone        *time.Location
	floatDigits int
	byteaEscape bool
}

// styles returns the session's style.
func (s *Session) styles() *style {
	if s.style.valid {
		return &s.style
	}
	v := s.params.values
	st := style{valid: true, interval: v["IntervalStyle"], zone: time.UTC, floatDigits: 1, byteaEscape: v["bytea_output"] == "escape"}
	// The settings were checked when they were set.
	if d, err := parseDateStyle(v["DateStyle"]); err == nil {
		st.date = d
	}
	if z, err := loadZone(v["TimeZone"]); err == nil {
		st.zone = z
	} else if z, ok := fixedZone(v["TimeZone"]); ok {
		st.zone = z
	}
	if n, err := strconv.Atoi(v["extra_float_digits"]); err == nil {
		st.floatDigits = n
	}
	s.style = st
	return &s.style
}

// Location returns the session's time zone: text of a timestamp with time zone that names none
// is meant in it, and such values are written in it.
func (s *Session) Location() *time.Location { return s.styles().zone }

// fixedZone reads what loadZone makes of an offset: "<+02>-02".
func fixedZone(text string) (*time.Location, bool) {
	name, _, ok := strings.Cut(strings.TrimPrefix(text, "<"), ">")
	if !ok || name == "" {
		return nil, false
	}
	h, m, _ := strings.Cut(name[1:], ":")
	hours, err := strconv.Atoi(h)
	if err != nil {
		return nil, false
	}
	minutes := 0
	if m != "" {
		if minutes, err = strconv.Atoi(m); err != nil {
			return nil, false
		}
	}
	offset := hours*3600 + minutes*60
	if name[0] == '-' {
		offset = -offset
	}
	return time.FixedZone(name, offset), true
}
