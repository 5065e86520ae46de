package pgserver

import (
	"strconv"
	"strings"
)

// interval is PostgreSQL's: three parts that do not carry into each other.
type interval struct {
	months, days int32
	micros       int64
}

type intervalParts struct {
	year, month, day   int64
	hour, minute, sec  int64
	usec               int64
	hasTime, negative  bool // negative: of the time part
	anyPos, anyNeg     bool
	hasYears, hasOther bool
}

// appendInterval is EncodeInterval in utils/adt/datetime.c.
func appendInterval(dst []byte, iv interval, style string) []byte {
	p := intervalParts{year: int64(iv.months / 12), month: int64(iv.months % 12), day: int64(iv.days)}
	us := iv.micros
	p.hour, us = us/3_600_000_000, us%3_600_000_000
	p.minute, us = us/60_000_000, us%60_000_000
	p.sec, p.usec = us/1_000_000, us%1_000_000
	p.hasTime = iv.micros != 0
	p.negative = iv.micros < 0
	for _, n := range []int64{p.year, p.month, p.day, iv.micros} {
		p.anyPos = p.anyPos || n > 0
		p.anyNeg = p.anyNeg || n < 0
	}
	p.hasYears = p.year != 0 || p.month != 0
	p.hasOther = p.day != 0 || p.hasTime
	switch style {
	case "sql_standard":
		return p.sqlStandard(dst)
	case "iso_8601":
		return p.iso(dst)
	case "postgres_verbose":
		return p.verbose(dst)
	}
	return p.postgres(dst)
}

func (p *intervalParts) postgres(dst []byte) []byte {
	at := len(dst)
	before := false // the part before was negative: a positive one needs its sign
	part := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if len(dst) > at {
			dst = append(dst, ' ')
		}
		if before && n > 0 {
			dst = append(dst, '+')
		}
		dst = strconv.AppendInt(dst, n, 10)
		dst = append(dst, ' ')
		dst = append(dst, unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
		before = n < 0
	}
	part(p.year, "year")
	part(p.month, "mon")
	part(p.day, "day")
	if len(dst) == at || p.hasTime {
		if len(dst) > at {
			dst = append(dst, ' ')
		}
		switch {
		case p.negative:
			dst = append(dst, '-')
		case before:
			dst = append(dst, '+')
		}
		dst = p.clock(dst, true)
	}
	return dst
}

// clock writes the time part without its sign.
func (p *intervalParts) clock(dst []byte, padHour bool) []byte {
	h, m := abs(p.hour), abs(p.minute)
	if padHour {
		dst = appendTwo(dst, h)
	} else {
		dst = strconv.AppendInt(dst, h, 10)
	}
	dst = append(dst, ':')
	dst = appendTwo(dst, m)
	dst = append(dst, ':')
	dst = appendTwo(dst, abs(p.sec))
	return appendFraction(dst, abs(p.usec))
}

func (p *intervalParts) verbose(dst []byte) []byte {
	dst = append(dst, '@')
	before, first := false, true
	part := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if first {
			before, first = n < 0, false
			n = abs(n)
		} else if before {
			n = -n
		}
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, n, 10)
		dst = append(dst, ' ')
		dst = append(dst, unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
	}
	part(p.year, "year")
	part(p.month, "mon")
	part(p.day, "day")
	part(p.hour, "hour")
	part(p.minute, "min")
	if p.sec != 0 || p.usec != 0 {
		dst = append(dst, ' ')
		neg := p.sec < 0 || p.usec < 0
		if first {
			before, first = neg, false
		} else if neg != before {
			dst = append(dst, '-')
		}
		dst = strconv.AppendInt(dst, abs(p.sec), 10)
		dst = appendFraction(dst, abs(p.usec))
		dst = append(dst, " sec"...)
		if abs(p.sec) != 1 || p.usec != 0 {
			dst = append(dst, 's')
		}
	}
	if first {
		dst = append(dst, " 0"...)
	}
	if before {
		dst = append(dst, " ago"...)
	}
	return dst
}

func (p *intervalParts) sqlStandard(dst []byte) []byte {
	switch {
	case !p.anyPos && !p.anyNeg:
		return append(dst, '0')
	case p.anyPos && p.anyNeg || p.hasYears && p.hasOther:
		// No SQL literal has both; signs everywhere make it readable again.
		dst = append(dst, sign(p.year, p.month))
		dst = strconv.AppendInt(dst, abs(p.year), 10)
		dst = append(dst, '-')
		dst = strconv.AppendInt(dst, abs(p.month), 10)
		dst = append(dst, ' ', sign(p.day))
		dst = strconv.AppendInt(dst, abs(p.day), 10)
		dst = append(dst, ' ', sign(p.hour, p.minute, p.sec, p.usec))
		return p.clock(dst, false)
	}
	if p.anyNeg {
		dst = append(dst, '-')
	}
	switch {
	case p.hasYears:
		dst = strconv.AppendInt(dst, abs(p.year), 10)
		dst = append(dst, '-')
		return strconv.AppendInt(dst, abs(p.month), 10)
	case p.day != 0:
		dst = strconv.AppendInt(dst, abs(p.day), 10)
		dst = append(dst, ' ')
	}
	return p.clock(dst, false)
}

func (p *intervalParts) iso(dst []byte) []byte {
	if !p.anyPos && !p.anyNeg {
		return append(dst, "PT0S"...)
	}
	part := func(n int64, unit byte) {
		if n != 0 {
			dst = strconv.AppendInt(dst, n, 10)
			dst = append(dst, unit)
		}
	}
	dst = append(dst, 'P')
	part(p.year, 'Y')
	part(p.month, 'M')
	part(p.day, 'D')
	if p.hasTime {
		dst = append(dst, 'T')
	}
	part(p.hour, 'H')
	part(p.minute, 'M')
	if p.sec != 0 || p.usec != 0 {
		if p.sec < 0 || p.usec < 0 {
			dst = append(dst, '-')
		}
		dst = strconv.AppendInt(dst, abs(p.sec), 10)
		dst = appendFraction(dst, abs(p.usec))
		dst = append(dst, 'S')
	}
	return dst
}

func appendFraction(dst []byte, usec int64) []byte {
	if usec == 0 {
		return dst
	}
	text := strconv.FormatInt(1_000_000+usec, 10)[1:]
	dst = append(dst, '.')
	return append(dst, strings.TrimRight(text, "0")...)
}

func appendTwo(dst []byte, n int64) []byte {
	if n < 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, n, 10)
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

func sign(parts ...int64) byte {
	for _, n := range parts {
		if n < 0 {
			return '-'
		}
	}
	return '+'
}
