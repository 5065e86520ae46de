package sortkey

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// Classes of numeric, in their order (cmp_numerics).
const (
	numMinusInfinity = iota
	numNegative
	numZero
	numPositive
	numInfinity
	numNaN
)

// numericText encodes class, exponent, digits: 0.0123 and 1.23e-2 alike as exponent -1 and
// digits 1 2 3. Scale does not matter.
func numericText(dst, v []byte) ([]byte, error) {
	s := v
	negative := len(s) > 0 && s[0] == '-'
	if negative || len(s) > 0 && s[0] == '+' {
		s = s[1:]
	}
	if len(s) == 0 {
		return dst, malformed("numeric", v)
	}
	switch {
	case string(s) == "NaN" && !negative:
		return append(dst, numNaN), nil
	case string(s) == "Infinity" && negative:
		return append(dst, numMinusInfinity), nil
	case string(s) == "Infinity":
		return append(dst, numInfinity), nil
	}
	exponent := 0
	if i := bytes.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.ParseInt(string(s[i+1:]), 10, 32)
		if err != nil {
			return dst, malformed("numeric", v)
		}
		exponent, s = int(e), s[:i]
	}
	point := bytes.IndexByte(s, '.')
	if point < 0 {
		point = len(s)
	}
	// The digits are whatever is not the point, without zeros at either end.
	first, last, digits := -1, -1, 0
	for i, c := range s {
		if i == point {
			continue
		}
		if c < '0' || c > '9' {
			return dst, malformed("numeric", v)
		}
		digits++
		if c != '0' {
			last = i
			if first < 0 {
				first = i
			}
		}
	}
	if digits == 0 {
		return dst, malformed("numeric", v)
	}
	if first < 0 {
		return append(dst, numZero), nil
	}
	exponent += point - first
	if first > point {
		exponent++
	}
	at := len(dst)
	dst = numericHead(dst, exponent)
	for i := first; i <= last; i++ {
		if i != point {
			dst = append(dst, s[i]-'0'+1)
		}
	}
	return numericEnd(dst, at, negative), nil
}

func numericHead(dst []byte, exponent int) []byte {
	dst = append(dst, numPositive)
	return binary.BigEndian.AppendUint32(dst, uint32(int32(exponent))^(1<<31))
}

func numericEnd(dst []byte, at int, negative bool) []byte {
	dst = append(dst, 0)
	if negative {
		Invert(dst[at:])
		dst[at] = numNegative
	}
	return dst
}

// Invert turns the order of encoded values around.
func Invert(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}

func numericBinary(dst, v []byte) ([]byte, error) {
	if len(v) < 8 || len(v) != 8+2*int(binary.BigEndian.Uint16(v)) {
		return dst, malformed("numeric", v)
	}
	weight := int(int16(binary.BigEndian.Uint16(v[2:])))
	negative := false
	switch binary.BigEndian.Uint16(v[4:]) {
	case 0:
	case 0x4000:
		negative = true
	case 0xC000:
		return append(dst, numNaN), nil
	case 0xD000:
		return append(dst, numInfinity), nil
	case 0xF000:
		return append(dst, numMinusInfinity), nil
	default:
		return dst, malformed("numeric", v)
	}
	groups := v[8:]
	for len(groups) > 0 && groups[0] == 0 && groups[1] == 0 {
		groups = groups[2:]
		weight--
	}
	if len(groups) == 0 {
		return append(dst, numZero), nil
	}
	exponent := (weight + 1) * 4
	for limit := uint16(1000); limit > binary.BigEndian.Uint16(groups) && limit > 1; limit /= 10 {
		exponent--
	}
	at := len(dst)
	dst = numericHead(dst, exponent)
	start := len(dst)
	for ; len(groups) > 0; groups = groups[2:] {
		d := binary.BigEndian.Uint16(groups)
		if d > 9999 {
			return dst[:at], malformed("numeric", v)
		}
		for unit := uint16(1000); unit > 0; unit /= 10 {
			c := byte(d/unit%10) + 1
			if c > 1 || len(dst) > start {
				dst = append(dst, c)
			}
		}
	}
	for dst[len(dst)-1] == 1 {
		dst = dst[:len(dst)-1]
	}
	return numericEnd(dst, at, negative), nil
}
