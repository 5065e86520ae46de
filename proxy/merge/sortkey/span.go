package sortkey

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
)

// A Span is an interval: months, days and microseconds, which the server keeps apart.
type Span struct {
	Months, Days int32
	Micros       int64
}

// Infinite reports whether s is infinity or -infinity, which intervals can be from version
// 17 on (INTERVAL_IS_NOBEGIN and NOEND in timestamp.h).
func (s Span) Infinite() bool { return s == infinity() || s == minusInfinity() }

func infinity() Span      { return Span{math.MaxInt32, math.MaxInt32, math.MaxInt64} }
func minusInfinity() Span { return Span{math.MinInt32, math.MinInt32, math.MinInt64} }

// appendSpan orders by the length with months of 30 days and days of 24 hours, in 128 bits
// (interval_cmp_value).
func appendSpan(dst []byte, s Span) []byte {
	days := int64(s.Months)*30 + int64(s.Days)
	magnitude := uint64(days)
	if days < 0 {
		magnitude = -magnitude
	}
	hi, lo := bits.Mul64(magnitude, microsPerDay)
	if days < 0 {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	lo, carry := bits.Add64(lo, uint64(s.Micros), 0)
	hi, _ = bits.Add64(hi, uint64(s.Micros>>63), carry)
	dst = binary.BigEndian.AppendUint64(dst, hi^(1<<63))
	return binary.BigEndian.AppendUint64(dst, lo)
}

func intervalBinary(dst, v []byte) ([]byte, error) {
	s, ok := ParseSpanBinary(v)
	if !ok {
		return dst, malformed("interval", v)
	}
	return appendSpan(dst, s), nil
}

func intervalText(dst, v []byte) ([]byte, error) {
	s, ok := ParseSpan(v)
	if !ok {
		return dst, malformed("interval", v)
	}
	return appendSpan(dst, s), nil
}

// ParseSpanBinary reads the binary format of an interval (interval_send).
func ParseSpanBinary(v []byte) (Span, bool) {
	if len(v) != 16 {
		return Span{}, false
	}
	return Span{
		Micros: int64(binary.BigEndian.Uint64(v)),
		Days:   int32(binary.BigEndian.Uint32(v[8:])),
		Months: int32(binary.BigEndian.Uint32(v[12:])),
	}, true
}

// ParseSpan reads what the server prints under IntervalStyle "postgres", such as
// "-1 years +2 mons 3 days -04:05:06.7" (EncodeInterval in datetime.c).
func ParseSpan(v []byte) (Span, bool) {
	switch string(v) {
	case "infinity":
		return infinity(), true
	case "-infinity":
		return minusInfinity(), true
	}
	fields := bytes.Fields(v)
	if len(fields) == 0 {
		return Span{}, false
	}
	var s Span
	months := int64(0)
	for len(fields) > 0 {
		if bytes.IndexByte(fields[0], ':') >= 0 {
			us, ok := hours(fields[0])
			s.Micros, s.Months = us, int32(months)
			return s, ok && len(fields) == 1 && months == int64(s.Months)
		}
		if len(fields) < 2 {
			return Span{}, false
		}
		n, ok := ParseInt(fields[0])
		if !ok || n < math.MinInt32 || n > math.MaxInt32 {
			return Span{}, false
		}
		switch string(fields[1]) {
		case "year", "years":
			months += 12 * n
		case "mon", "mons":
			months += n
		case "day", "days":
			s.Days = int32(n)
		default:
			return Span{}, false
		}
		fields = fields[2:]
	}
	s.Months = int32(months)
	return s, months == int64(s.Months)
}

// hours reads [±]HH:MM:SS[.ffffff] with any number of hours.
func hours(s []byte) (int64, bool) {
	negative := s[0] == '-'
	if negative || s[0] == '+' {
		s = s[1:]
	}
	i := bytes.IndexByte(s, ':')
	if i < 1 || len(s) < i+6 || s[i+3] != ':' {
		return 0, false
	}
	h, ok1 := ParseInt(s[:i])
	m, ok2 := two(s[i+1:], 59)
	sec, ok3 := two(s[i+4:], 59)
	us, rest, ok4 := fraction(s[i+6:])
	// 2^63 µs are 2,562,047,788 hours.
	if !ok1 || !ok2 || !ok3 || !ok4 || len(rest) > 0 || h < 0 || h > 2562047788 {
		return 0, false
	}
	// Computed below 0, where there is room for the least integer.
	us = -us - (h*3600+m*60+sec)*1_000_000
	if us > 0 {
		return 0, false // it went around
	}
	if !negative {
		if us == math.MinInt64 {
			return 0, false
		}
		us = -us
	}
	return us, true
}
