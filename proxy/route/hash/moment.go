package hash

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"
)

// Moment reads a date (days since 2000-01-01), a time (µs since midnight), a timestamp or a
// timestamptz (µs since 2000-01-01). In text only the ISO forms are read, since all others
// depend on DateStyle, and for a timestamptz only with a numeric zone.
func Moment(t OID, value []byte, f Format) (int64, error) {
	if f == BinaryFormat {
		switch {
		case t == Date && len(value) == 4:
			return int64(int32(binary.BigEndian.Uint32(value))), nil
		case t != Date && len(value) == 8:
			return int64(binary.BigEndian.Uint64(value)), nil
		}
		return 0, malformed(t, value)
	}
	text := strings.TrimSpace(string(value))
	if t != Time {
		switch strings.ToLower(text) {
		case "infinity":
			if t == Date {
				return math.MaxInt32, nil
			}
			return math.MaxInt64, nil
		case "-infinity":
			if t == Date {
				return math.MinInt32, nil
			}
			return math.MinInt64, nil
		}
	}
	if t == Time {
		us, rest, ok := clock(text)
		if !ok || rest != "" {
			return 0, unclear(t, value)
		}
		return us, nil
	}
	text, bc := strings.CutSuffix(text, " BC")
	days, rest, ok := isoDate(text, bc)
	if !ok || t == Date && rest != "" {
		return 0, unclear(t, value)
	}
	if t == Date {
		return days, nil
	}
	us := int64(0)
	if rest != "" {
		if rest[0] != ' ' && rest[0] != 'T' {
			return 0, unclear(t, value)
		}
		if us, rest, ok = clock(rest[1:]); !ok {
			return 0, unclear(t, value)
		}
	}
	if t == Timestamp {
		if rest != "" {
			return 0, unclear(t, value) // the server ignores a zone, if it can read it
		}
		return days*86400_000_000 + us, nil
	}
	offset, ok := zone(rest)
	if !ok {
		return 0, unclear(t, value)
	}
	return days*86400_000_000 + us - offset*1_000_000, nil
}

// isoDate reads YYYY-MM-DD at the start of s.
func isoDate(s string, bc bool) (days int64, rest string, ok bool) {
	i := strings.IndexByte(s, '-')
	if i < 4 || i > 6 || len(s) < i+6 || s[i+3] != '-' {
		return 0, "", false
	}
	year, err1 := strconv.ParseUint(s[:i], 10, 32)
	month, err2 := strconv.ParseUint(s[i+1:i+3], 10, 8)
	day, err3 := strconv.ParseUint(s[i+4:i+6], 10, 8)
	if err1 != nil || err2 != nil || err3 != nil || year == 0 {
		return 0, "", false
	}
	y := int(year)
	if bc {
		y = 1 - y
	}
	at := time.Date(y, time.Month(month), int(day), 0, 0, 0, 0, time.UTC)
	if at.Day() != int(day) || int(at.Month()) != int(month) {
		return 0, "", false
	}
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	return (at.Unix() - epoch) / 86400, s[i+6:], true
}

// clock reads HH:MM[:SS[.ffffff]] at the start of s.
func clock(s string) (us int64, rest string, ok bool) {
	two := func(limit int64) (int64, bool) {
		if len(s) < 2 || s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
			return 0, false
		}
		v := int64(s[0]-'0')*10 + int64(s[1]-'0')
		s = s[2:]
		return v, v <= limit
	}
	h, ok := two(24)
	if !ok || s == "" || s[0] != ':' {
		return 0, "", false
	}
	s = s[1:]
	m, ok := two(59)
	if !ok {
		return 0, "", false
	}
	us = (h*60 + m) * 60_000_000
	if strings.HasPrefix(s, ":") {
		s = s[1:]
		sec, ok := two(59)
		if !ok {
			return 0, "", false
		}
		us += sec * 1_000_000
		if strings.HasPrefix(s, ".") {
			s = s[1:]
			unit := int64(100_000)
			for len(s) > 0 && s[0] >= '0' && s[0] <= '9' {
				if unit == 0 {
					return 0, "", false // more digits would have to be rounded
				}
				us += int64(s[0]-'0') * unit
				unit /= 10
				s = s[1:]
			}
		}
	}
	if us > 86400_000_000 {
		return 0, "", false
	}
	return us, s, true
}

// zone reads Z, +HH, +HHMM or +HH:MM[:SS] as seconds east of Greenwich.
func zone(s string) (int64, bool) {
	s = strings.TrimPrefix(s, " ")
	if s == "Z" || s == "z" || s == "UTC" || s == "GMT" {
		return 0, true
	}
	if s == "" || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	digits := strings.ReplaceAll(s[1:], ":", "")
	if len(digits) != 2 && len(digits) != 4 && len(digits) != 6 {
		return 0, false
	}
	v, err := strconv.ParseUint((digits + "0000")[:6], 10, 32)
	if err != nil {
		return 0, false
	}
	seconds := int64(v/10000*3600 + v/100%100*60 + v%100)
	if v/100%100 > 59 || v%100 > 59 || seconds > 16*3600 {
		return 0, false
	}
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// parseTimetz returns µs since midnight and the zone in seconds west, as TimeTzADT has them.
func parseTimetz(value []byte, f Format) (int64, int32, error) {
	if f == BinaryFormat {
		if len(value) != 12 {
			return 0, 0, malformed(Timetz, value)
		}
		return int64(binary.BigEndian.Uint64(value)), int32(binary.BigEndian.Uint32(value[8:])), nil
	}
	us, rest, ok := clock(strings.TrimSpace(string(value)))
	if !ok {
		return 0, 0, unclear(Timetz, value)
	}
	east, ok := zone(rest)
	if !ok {
		return 0, 0, unclear(Timetz, value)
	}
	return us, int32(-east), nil
}

// parseInterval returns the span that interval_cmp_value gives, in its low 64 bits: months
// of 30 days and days of 24 hours. In text, the postgres style is read, without weeks.
func parseInterval(value []byte, f Format) (int64, error) {
	var months, days, us int64
	if f == BinaryFormat {
		if len(value) != 16 {
			return 0, malformed(Interval, value)
		}
		us = int64(binary.BigEndian.Uint64(value))
		days = int64(int32(binary.BigEndian.Uint32(value[8:])))
		months = int64(int32(binary.BigEndian.Uint32(value[12:])))
		return us + (months*30+days)*86400_000_000, nil
	}
	fields := strings.Fields(string(value))
	if len(fields) == 0 {
		return 0, malformed(Interval, value)
	}
	for len(fields) > 0 {
		if strings.Contains(fields[0], ":") {
			text := strings.TrimPrefix(fields[0], "+")
			text, negative := strings.CutPrefix(text, "-")
			hours, after, _ := strings.Cut(text, ":")
			h, err := strconv.ParseUint(hours, 10, 32)
			rest, left, ok := clock("00:" + after)
			if err != nil || !ok || left != "" || len(fields) != 1 {
				return 0, unclear(Interval, value)
			}
			us = int64(h)*3600_000_000 + rest
			if negative {
				us = -us
			}
			fields = nil
			break
		}
		if len(fields) < 2 {
			return 0, unclear(Interval, value)
		}
		n, err := strconv.ParseInt(fields[0], 10, 32)
		if err != nil {
			return 0, unclear(Interval, value)
		}
		switch strings.TrimSuffix(strings.ToLower(fields[1]), "s") {
		case "year":
			months += 12 * n
		case "mon", "month":
			months += n
		case "day":
			days += n
		case "hour":
			us += n * 3600_000_000
		case "min", "minute":
			us += n * 60_000_000
		case "sec", "second":
			us += n * 1_000_000
		default:
			return 0, unclear(Interval, value)
		}
		fields = fields[2:]
	}
	return us + (months*30+days)*86400_000_000, nil
}
