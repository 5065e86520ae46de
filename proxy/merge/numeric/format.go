package numeric

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Sign words of the binary format (numeric_send).
const (
	signPositive = 0x0000
	signNegative = 0x4000
	signNaN      = 0xC000
	signPlusInf  = 0xD000
	signMinusInf = 0xF000
)

var errSyntax = errors.New("invalid input syntax for type numeric")

// Parse reads the text format: decimal digits with an optional point and exponent, NaN,
// Infinity and -Infinity.
func Parse(text []byte) (Numeric, error) {
	s := strings.TrimSpace(string(text))
	switch strings.ToLower(s) {
	case "nan":
		return NaN(), nil
	case "infinity", "+infinity", "inf", "+inf":
		return Infinity(false), nil
	case "-infinity", "-inf":
		return Infinity(true), nil
	}
	syntax := func() (Numeric, error) { return Numeric{}, fmt.Errorf("%w: %.40q", errSyntax, s) }
	body, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil {
			return syntax()
		}
		if e > 4*MaxWhole || e < -4*MaxWhole {
			return Numeric{}, ErrOverflow
		}
		body, exponent = s[:i], e
	}
	negative := false
	if body != "" && (body[0] == '-' || body[0] == '+') {
		negative, body = body[0] == '-', body[1:]
	}
	whole, fraction, _ := strings.Cut(body, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return syntax()
	}
	if len(digits) > MaxWhole+2*MaxScale {
		return Numeric{}, ErrOverflow
	}
	n := Numeric{unscaled: new(big.Int), scale: len(fraction) - exponent}
	if len(digits) < 19 {
		v, _ := strconv.ParseInt(digits, 10, 64)
		n.unscaled.SetInt64(v)
	} else if _, ok := n.unscaled.SetString(digits, 10); !ok {
		return syntax()
	}
	if negative {
		n.unscaled.Neg(n.unscaled)
	}
	if n.scale < 0 {
		n = Numeric{unscaled: n.unscaled.Mul(n.unscaled, pow10(-n.scale))}
	}
	if n.scale > MaxScale {
		n = n.Round(MaxScale)
	}
	return n.fits()
}

// ParseBinary reads the binary format: counts of base 10,000 digits, weight, sign, display
// scale, digits (numeric_recv).
func ParseBinary(b []byte) (Numeric, error) {
	if len(b) < 8 || len(b) != 8+2*int(binary.BigEndian.Uint16(b)) {
		return Numeric{}, errors.New("invalid length in external \"numeric\" value")
	}
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	sign := binary.BigEndian.Uint16(b[4:])
	scale := int(binary.BigEndian.Uint16(b[6:]))
	switch sign {
	case signNaN:
		return NaN(), nil
	case signPlusInf:
		return Infinity(false), nil
	case signMinusInf:
		return Infinity(true), nil
	case signPositive, signNegative:
	default:
		return Numeric{}, errors.New("invalid sign in external \"numeric\" value")
	}
	if scale > MaxScale {
		return Numeric{}, errors.New("invalid scale in external \"numeric\" value")
	}
	n := Numeric{unscaled: new(big.Int), scale: scale}
	digits := make([]byte, 0, 4*(len(b)-8)/2)
	for b := b[8:]; len(b) > 0; b = b[2:] {
		d := binary.BigEndian.Uint16(b)
		if d > 9999 {
			return Numeric{}, errors.New("invalid digit in external \"numeric\" value")
		}
		digits = append(digits, byte('0'+d/1000), byte('0'+d/100%10), byte('0'+d/10%10), byte('0'+d%10))
	}
	if len(digits) > 0 {
		n.unscaled.SetString(string(digits), 10)
	}
	if sign == signNegative {
		n.unscaled.Neg(n.unscaled)
	}
	// The digits end at 10000^(weight - count + 1); what lies below the scale is cut off.
	switch power := groupDigits*(weight+1) - len(digits) + scale; {
	case n.unscaled.Sign() == 0:
	case power >= 0:
		n.unscaled.Mul(n.unscaled, pow10(power))
	default:
		n.unscaled.Quo(n.unscaled, pow10(-power))
	}
	return n.fits()
}

// String returns the text format.
func (n Numeric) String() string { return string(n.AppendText(nil)) }

// AppendText appends the text format to b (numeric_out).
func (n Numeric) AppendText(b []byte) []byte {
	switch n.class {
	case nan:
		return append(b, "NaN"...)
	case plusInfinity:
		return append(b, "Infinity"...)
	case minusInfinity:
		return append(b, "-Infinity"...)
	}
	s := n.int().Text(10)
	if s[0] == '-' {
		b = append(b, '-')
		s = s[1:]
	}
	if n.scale == 0 {
		return append(b, s...)
	}
	if missing := n.scale + 1 - len(s); missing > 0 {
		s = strings.Repeat("0", missing) + s
	}
	b = append(b, s[:len(s)-n.scale]...)
	b = append(b, '.')
	return append(b, s[len(s)-n.scale:]...)
}

// AppendBinary appends the binary format to b (numeric_send).
func (n Numeric) AppendBinary(b []byte) []byte {
	scale := n.scale
	if n.class == plusInfinity || n.class == minusInfinity {
		// What the server finds where it looks for the scale: a bit of the sign word.
		scale = 32
	}
	head := func(count, weight int, sign uint16) {
		b = binary.BigEndian.AppendUint16(b, uint16(count))
		b = binary.BigEndian.AppendUint16(b, uint16(int16(weight)))
		b = binary.BigEndian.AppendUint16(b, sign)
		b = binary.BigEndian.AppendUint16(b, uint16(scale))
	}
	switch n.class {
	case nan:
		head(0, 0, signNaN)
		return b
	case plusInfinity:
		head(0, 0, signPlusInf)
		return b
	case minusInfinity:
		head(0, 0, signMinusInf)
		return b
	}
	if n.Sign() == 0 {
		head(0, 0, signPositive)
		return b
	}
	sign := uint16(signPositive)
	s := n.int().Text(10)
	if s[0] == '-' {
		sign, s = signNegative, s[1:]
	}
	// Whole groups on both sides of the point.
	whole := len(s) - n.scale
	if whole < 0 {
		s = strings.Repeat("0", -whole) + s
		whole = 0
	}
	if odd := whole % groupDigits; odd != 0 {
		s = strings.Repeat("0", groupDigits-odd) + s
		whole += groupDigits - odd
	}
	if odd := len(s) % groupDigits; odd != 0 {
		s += strings.Repeat("0", groupDigits-odd)
	}
	weight := whole/groupDigits - 1
	for strings.HasPrefix(s, "0000") {
		s = s[groupDigits:]
		weight--
	}
	for strings.HasSuffix(s, "0000") {
		s = s[:len(s)-groupDigits]
	}
	head(len(s)/groupDigits, weight, sign)
	for ; s != ""; s = s[groupDigits:] {
		d := uint16(s[0]-'0')*1000 + uint16(s[1]-'0')*100 + uint16(s[2]-'0')*10 + uint16(s[3]-'0')
		b = binary.BigEndian.AppendUint16(b, d)
	}
	return b
}
