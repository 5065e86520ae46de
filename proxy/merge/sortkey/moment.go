package sortkey

import (
	"encoding/binary"
	"math"
	"time"
)

const microsPerDay = 86400_000_000

// epoch is 2000-01-01 in seconds of Unix time, from which the server counts.
const epoch = 946684800

func momentText(t OID) Encoder {
	return func(dst, v []byte) ([]byte, error) {
		n, ok := moment(t, v)
		if !ok {
			return dst, malformed("date or time", v)
		}
		return appendInt(dst, n), nil
	}
}

// moment reads a date as days, a time as µs since midnight, a timestamp as µs since 2000,
// all in the ISO style of DateStyle.
func moment(t OID, v []byte) (int64, bool) {
	if t == Time {
		us, rest, ok := clock(v)
		return us, ok && len(rest) == 0
	}
	switch string(v) {
	case "infinity":
		return math.MaxInt64, true
	case "-infinity":
		return math.MinInt64, true
	}
	bc := len(v) > 3 && string(v[len(v)-3:]) == " BC"
	if bc {
		v = v[:len(v)-3]
	}
	days, rest, ok := isoDate(v, bc)
	if !ok || t == Date {
		return days, ok && len(rest) == 0
	}
	if len(rest) == 0 || rest[0] != ' ' {
		return 0, false
	}
	us, rest, ok := clock(rest[1:])
	if !ok {
		return 0, false
	}
	us += days * microsPerDay
	if t == Timestamp {
		return us, len(rest) == 0
	}
	east, ok := zone(rest)
	return us - east*1_000_000, ok
}

// isoDate reads YYYY-MM-DD, with more digits in years beyond 9999, at the start of s.
func isoDate(s []byte, bc bool) (days int64, rest []byte, ok bool) {
	year, n := 0, 0
	for n < len(s) && n < 8 && s[n] >= '0' && s[n] <= '9' {
		year = year*10 + int(s[n]-'0')
		n++
	}
	if n < 4 || len(s) < n+6 || s[n] != '-' || s[n+3] != '-' || year == 0 {
		return 0, nil, false
	}
	month, ok1 := two(s[n+1:], 12)
	day, ok2 := two(s[n+4:], 31)
	if !ok1 || !ok2 || month == 0 || day == 0 {
		return 0, nil, false
	}
	if bc {
		year = 1 - year
	}
	at := time.Date(year, time.Month(month), int(day), 0, 0, 0, 0, time.UTC)
	return floorDays(at.Unix() - epoch), s[n+6:], at.Day() == int(day)
}

func floorDays(seconds int64) int64 {
	days := seconds / 86400
	if seconds%86400 < 0 {
		days--
	}
	return days
}

// two reads two digits.
func two(s []byte, limit int64) (int64, bool) {
	if len(s) < 2 || s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return 0, false
	}
	v := int64(s[0]-'0')*10 + int64(s[1]-'0')
	return v, v <= limit
}

// clock reads HH:MM:SS[.ffffff] at the start of s, up to 24:00:00.
func clock(s []byte) (us int64, rest []byte, ok bool) {
	if len(s) < 8 || s[2] != ':' || s[5] != ':' {
		return 0, nil, false
	}
	h, ok1 := two(s, 24)
	m, ok2 := two(s[3:], 59)
	sec, ok3 := two(s[6:], 59)
	if !ok1 || !ok2 || !ok3 {
		return 0, nil, false
	}
	us, rest, ok = fraction(s[8:])
	us += ((h*60+m)*60 + sec) * 1_000_000
	return us, rest, ok && us <= microsPerDay
}

// fraction reads a point and at most six digits, if there is a point.
func fraction(s []byte) (us int64, rest []byte, ok bool) {
	if len(s) == 0 || s[0] != '.' {
		return 0, s, true
	}
	s = s[1:]
	unit := int64(100_000)
	for len(s) > 0 && s[0] >= '0' && s[0] <= '9' {
		us += int64(s[0]-'0') * unit
		if unit == 0 {
			return 0, nil, false
		}
		unit /= 10
		s = s[1:]
	}
	return us, s, true
}

// zone reads +HH[:MM[:SS]], seconds east of Greenwich, to the end of s.
func zone(s []byte) (int64, bool) {
	if len(s) < 3 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	east, ok := two(s[1:], 24)
	east *= 3600
	for rest, unit := s[3:], int64(60); ok && len(rest) > 0; rest, unit = rest[3:], unit/60 {
		if rest[0] != ':' || len(rest) < 3 || unit == 0 {
			return 0, false
		}
		var v int64
		v, ok = two(rest[1:], 59)
		east += v * unit
	}
	if s[0] == '-' {
		east = -east
	}
	return east, ok
}

// appendTimetz orders by the instant, then by the zone, in seconds west
// (timetz_cmp_internal).
func appendTimetz(dst []byte, us, west int64) []byte {
	return appendInt(appendInt(dst, us+west*1_000_000), west)
}

func timetzText(dst, v []byte) ([]byte, error) {
	us, rest, ok := clock(v)
	if ok {
		var east int64
		if east, ok = zone(rest); ok {
			return appendTimetz(dst, us, -east), nil
		}
	}
	return dst, malformed("timetz", v)
}

func timetzBinary(dst, v []byte) ([]byte, error) {
	if len(v) != 12 {
		return dst, malformed("timetz", v)
	}
	west := int64(int32(binary.BigEndian.Uint32(v[8:])))
	return appendTimetz(dst, int64(binary.BigEndian.Uint64(v)), west), nil
}
