package pgserver

import (
	"encoding/hex"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
)

// appendTime writes a date, timestamp or timestamptz as EncodeDateOnly and EncodeDateTime in
// utils/adt/datetime.c do.
func appendTime(dst []byte, oid uint32, t time.Time, st *style) []byte {
	if oid == pgtype.TimestamptzOID {
		t = t.In(st.zone)
	}
	t = t.Truncate(time.Microsecond)
	if oid == pgtype.DateOID {
		return bc(appendDate(dst, t, st.date), t)
	}
	switch st.date.format {
	case "Postgres":
		dst = t.AppendFormat(dst, "Mon ")
		if st.date.order == dmy {
			dst = t.AppendFormat(dst, "02 Jan")
		} else {
			dst = t.AppendFormat(dst, "Jan 02")
		}
		dst = t.AppendFormat(dst, " 15:04:05.999999 ")
		dst = appendYear(dst, t)
	default:
		dst = appendDate(dst, t, st.date)
		dst = t.AppendFormat(dst, " 15:04:05.999999")
	}
	if oid == pgtype.TimestamptzOID {
		name, offset := t.Zone()
		if st.date.format == "ISO" {
			dst = appendOffset(dst, offset)
		} else {
			if st.date.format == "Postgres" || name != "" {
				dst = append(dst, ' ')
			}
			dst = append(dst, name...)
		}
	}
	return bc(dst, t)
}

// checkTime refuses what PostgreSQL cannot hold (datatype/timestamp.h): a client's arithmetic
// would wrap around.
func checkTime(oid uint32, t time.Time) error {
	first, end, name := -4713, 294277, "timestamp" // 4714 BC, where Julian days begin, is -4713
	if oid == pgtype.DateOID {
		end, name = 5874898, "date"
	}
	if y := t.Year(); y < first || y >= end {
		return wire.Errorf(wire.CodeDatetimeFieldOverflow, "%s out of range", name)
	}
	return nil
}

func bc(dst []byte, t time.Time) []byte {
	if t.Year() <= 0 {
		return append(dst, " BC"...)
	}
	return dst
}

func appendDate(dst []byte, t time.Time, d dateStyle) []byte {
	year := func() { dst = appendYear(dst, t) }
	two := func(n int) { dst = append(dst, byte('0'+n/10), byte('0'+n%10)) }
	month, day := int(t.Month()), t.Day()
	if d.format == "ISO" {
		year()
		dst = append(dst, '-')
		two(month)
		dst = append(dst, '-')
		two(day)
		return dst
	}
	sep := byte('/')
	switch d.format {
	case "German":
		sep = '.'
	case "Postgres":
		sep = '-'
	}
	first, second := month, day
	if d.order == dmy || d.format == "German" {
		first, second = day, month
	}
	two(first)
	dst = append(dst, sep)
	two(second)
	dst = append(dst, sep)
	year()
	return dst
}

// appendYear writes at least four digits; there is no year 0: it is 1 BC.
func appendYear(dst []byte, t time.Time) []byte {
	y := t.Year()
	if y <= 0 {
		y = 1 - y
	}
	for limit := 1000; limit > y && limit > 1; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(y), 10)
}

// appendOffset is EncodeTimezone: hours, and minutes and seconds where there are some.
func appendOffset(dst []byte, offset int) []byte {
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	two := func(n int) { dst = append(dst, byte('0'+n/10), byte('0'+n%10)) }
	dst = append(dst, sign)
	two(offset / 3600)
	if offset%3600 != 0 {
		dst = append(dst, ':')
		two(offset / 60 % 60)
	}
	if offset%60 != 0 {
		dst = append(dst, ':')
		two(offset % 60)
	}
	return dst
}

// appendFloat is float8out and float4out: the shortest text that reads back the same, or, with
// extra_float_digits of 0 and less, a fixed number of digits.
func appendFloat(dst []byte, f float64, bits, extra int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	precision, digits := -1, 15 // DBL_DIG
	if bits == 32 {
		digits = 6 // FLT_DIG
	}
	if extra <= 0 {
		precision = max(digits+extra, 1) - 1
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', precision, bits)
	e := len(dst) - 1
	for dst[e] != 'e' {
		e--
	}
	exp, err := strconv.Atoi(string(dst[e+1:]))
	if err != nil {
		return dst // does not happen: strconv wrote it
	}
	top := digits
	if extra <= 0 {
		top = precision + 1 // %g's rule
	}
	if exp < -4 || exp >= top {
		if extra <= 0 {
			return trimMantissa(dst, at, e)
		}
		return dst
	}
	dst = dst[:at]
	if extra > 0 {
		return strconv.AppendFloat(dst, f, 'f', -1, bits)
	}
	dst = strconv.AppendFloat(dst, f, 'f', max(precision-exp, 0), bits)
	return trimZeros(dst, at)
}

// trimMantissa drops the zeros that %g does not write before the exponent.
func trimMantissa(dst []byte, at, e int) []byte {
	exp := string(dst[e:])
	return append(trimZeros(dst[:e], at), exp...)
}

func trimZeros(dst []byte, at int) []byte {
	point := false
	for _, c := range dst[at:] {
		point = point || c == '.'
	}
	if !point {
		return dst
	}
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	if dst[len(dst)-1] == '.' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendBytea is byteaout.
func appendBytea(dst, b []byte, escape bool) []byte {
	if !escape {
		return hex.AppendEncode(append(dst, `\x`...), b)
	}
	for _, c := range b {
		switch {
		case c == '\\':
			dst = append(dst, `\\`...)
		case c < 0x20 || c > 0x7e:
			dst = append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
