package hash

import (
	"encoding/binary"
	"strings"
)

// A Number is a numeric in PostgreSQL's own form: base 10000 digits without zeros at either
// end, the weight of the first digit, and a sign (NumericVar in numeric.c). The zero value
// is 0.
type Number struct {
	Digits   []int16
	Weight   int
	Negative bool
	// Special is 'N' for NaN, '+' and '-' for the infinities, 0 otherwise.
	Special byte
}

// ParseNumeric reads a numeric. Scale is not kept: it matters to no comparison.
func ParseNumeric(value []byte, f Format) (Number, error) {
	if f == BinaryFormat {
		return numericFromBinary(value)
	}
	text := strings.TrimSpace(string(value))
	switch strings.ToLower(text) {
	case "nan":
		return Number{Special: 'N'}, nil
	case "infinity", "+infinity", "inf", "+inf":
		return Number{Special: '+'}, nil
	case "-infinity", "-inf":
		return Number{Special: '-'}, nil
	}
	var n Number
	s := text
	if s != "" && (s[0] == '-' || s[0] == '+') {
		n.Negative = s[0] == '-'
		s = s[1:]
	}
	exponent := 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, ok := decimal([]byte(s[i+1:]))
		if !ok || e > 200000 || e < -200000 || s[i+1] == ' ' {
			return Number{}, malformed(Numeric, value)
		}
		exponent = int(e)
		s = s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if whole == "" && fraction == "" {
		return Number{}, malformed(Numeric, value)
	}
	decimals := whole + fraction
	for i := range len(decimals) {
		if decimals[i] < '0' || decimals[i] > '9' {
			return Number{}, malformed(Numeric, value)
		}
	}
	// point is where the decimal point stands in decimals.
	point := len(whole) + exponent
	trimmed := strings.TrimLeft(decimals, "0")
	point -= len(decimals) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, "0")
	if trimmed == "" {
		return Number{}, nil
	}
	// Align to base 10000: the first digit has 1 to 4 decimals before a multiple of four.
	lead := ((point-1)%4+4)%4 + 1
	n.Weight = (point - lead) / 4
	padded := strings.Repeat("0", 4-lead) + trimmed
	padded += strings.Repeat("0", (4-len(padded)%4)%4)
	for i := 0; i < len(padded); i += 4 {
		d := int16(0)
		for _, c := range []byte(padded[i : i+4]) {
			d = d*10 + int16(c-'0')
		}
		n.Digits = append(n.Digits, d)
	}
	return n, nil
}

// numericFromBinary reads numeric_send: ndigits, weight, sign, dscale, digits.
func numericFromBinary(value []byte) (Number, error) {
	if len(value) < 8 {
		return Number{}, malformed(Numeric, value)
	}
	count := int(binary.BigEndian.Uint16(value))
	n := Number{Weight: int(int16(binary.BigEndian.Uint16(value[2:])))}
	switch binary.BigEndian.Uint16(value[4:]) {
	case 0:
	case 0x4000:
		n.Negative = true
	case 0xC000:
		return Number{Special: 'N'}, nil
	case 0xD000:
		return Number{Special: '+'}, nil
	case 0xF000:
		return Number{Special: '-'}, nil
	default:
		return Number{}, malformed(Numeric, value)
	}
	if len(value) != 8+2*count {
		return Number{}, malformed(Numeric, value)
	}
	for i := range count {
		d := int16(binary.BigEndian.Uint16(value[8+2*i:]))
		if d < 0 || d > 9999 {
			return Number{}, malformed(Numeric, value)
		}
		n.Digits = append(n.Digits, d)
	}
	for len(n.Digits) > 0 && n.Digits[0] == 0 {
		n.Digits = n.Digits[1:]
		n.Weight--
	}
	for len(n.Digits) > 0 && n.Digits[len(n.Digits)-1] == 0 {
		n.Digits = n.Digits[:len(n.Digits)-1]
	}
	if len(n.Digits) == 0 {
		return Number{}, nil
	}
	return n, nil
}

// Int returns n as an integer, if it is one that fits.
func (n Number) Int() (int64, bool) {
	if n.Special != 0 || n.Weight > 4 || len(n.Digits) > n.Weight+1 {
		return 0, len(n.Digits) == 0 && n.Special == 0
	}
	var v uint64
	for i := range n.Weight + 1 {
		d := uint64(0)
		if i < len(n.Digits) {
			d = uint64(n.Digits[i])
		}
		if v > ((1<<63)-d)/10000 {
			return 0, false
		}
		v = v*10000 + d
	}
	switch {
	case n.Negative:
		return -int64(v), true
	case v < 1<<63:
		return int64(v), true
	}
	return 0, false
}

// Compare orders numbers as numeric_cmp does: NaN is equal to itself and greatest.
func (n Number) Compare(m Number) int {
	rank := func(x Number) int {
		switch {
		case x.Special == 'N':
			return 4
		case x.Special == '+':
			return 3
		case x.Special == '-':
			return -3
		case len(x.Digits) == 0:
			return 0
		case x.Negative:
			return -1
		}
		return 1
	}
	a, b := rank(n), rank(m)
	if a != b {
		if a < b {
			return -1
		}
		return 1
	}
	if a != 1 && a != -1 {
		return 0
	}
	sign := a
	if n.Weight != m.Weight {
		if n.Weight < m.Weight {
			return -sign
		}
		return sign
	}
	for i := range max(len(n.Digits), len(m.Digits)) {
		var x, y int16
		if i < len(n.Digits) {
			x = n.Digits[i]
		}
		if i < len(m.Digits) {
			y = m.Digits[i]
		}
		if x != y {
			if x < y {
				return -sign
			}
			return sign
		}
	}
	return 0
}

// hash is hash_numeric_extended. The sign is not part of it.
func (n Number) hash(seed uint64) uint64 {
	if n.Special != 0 {
		return seed
	}
	if len(n.Digits) == 0 {
		return seed - 1
	}
	b := make([]byte, 0, 64)
	for _, d := range n.Digits {
		b = binary.LittleEndian.AppendUint16(b, uint16(d))
	}
	return Bytes(b, seed) ^ uint64(int64(n.Weight))
}
