package sortkey

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
)

// appendInt appends v so that bytes order as integers do.
func appendInt(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(v)^(1<<63))
}

func boolText(dst, v []byte) ([]byte, error) {
	if len(v) == 1 && v[0] == 't' {
		return append(dst, 1), nil
	}
	if len(v) == 1 && v[0] == 'f' {
		return append(dst, 0), nil
	}
	return dst, malformed("bool", v)
}

// ParseInt reads decimal digits with an optional sign.
func ParseInt(v []byte) (int64, bool) {
	digits, negative := v, false
	if len(v) > 0 && (v[0] == '-' || v[0] == '+') {
		negative, digits = v[0] == '-', v[1:]
	}
	if len(digits) == 0 {
		return 0, false
	}
	if len(digits) > 18 {
		n, err := strconv.ParseInt(string(v), 10, 64)
		return n, err == nil
	}
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

func intText(dst, v []byte) ([]byte, error) {
	n, ok := ParseInt(v)
	if !ok {
		return dst, malformed("integer", v)
	}
	return appendInt(dst, n), nil
}

func intBinary(size int) Encoder {
	return func(dst, v []byte) ([]byte, error) {
		if len(v) != size {
			return dst, malformed("integer", v)
		}
		at := len(dst)
		dst = append(dst, v...)
		dst[at] ^= 0x80
		return dst, nil
	}
}

func oidText(dst, v []byte) ([]byte, error) {
	n, ok := ParseInt(v)
	if !ok || n < 0 || n > math.MaxUint32 {
		return dst, malformed("oid", v)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(n)), nil
}

func fixedBytes(size int) Encoder {
	return func(dst, v []byte) ([]byte, error) {
		if len(v) != size {
			return dst, malformed("fixed-width", v)
		}
		return append(dst, v...), nil
	}
}

// appendFloat orders -Infinity, finite numbers with -0 = 0, Infinity, NaN
// (float8_cmp_internal).
func appendFloat(dst []byte, f float64) []byte {
	bits := math.Float64bits(f)
	switch {
	case f != f:
		bits = math.MaxUint64
	case f == 0:
		bits = 1 << 63
	case bits>>63 != 0:
		bits = ^bits
	default:
		bits |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(dst, bits)
}

func floatText(t OID) Encoder {
	size := 64
	if t == Float4 {
		size = 32
	}
	return func(dst, v []byte) ([]byte, error) {
		f, err := strconv.ParseFloat(string(v), size)
		if err != nil {
			return dst, malformed("float", v)
		}
		return appendFloat(dst, f), nil
	}
}

func floatBinary(t OID) Encoder {
	return func(dst, v []byte) ([]byte, error) {
		switch {
		case t == Float4 && len(v) == 4:
			return appendFloat(dst, float64(math.Float32frombits(binary.BigEndian.Uint32(v)))), nil
		case t == Float8 && len(v) == 8:
			return appendFloat(dst, math.Float64frombits(binary.BigEndian.Uint64(v))), nil
		}
		return dst, malformed("float", v)
	}
}

// The end of a string is two bytes, so that it sorts before any byte of the string: a 0
// within is followed by 0xFF.
func stringBytes(dst, v []byte) ([]byte, error) {
	if bytes.IndexByte(v, 0) < 0 {
		return append(append(dst, v...), 0, 0), nil
	}
	for _, c := range v {
		if c == 0 {
			dst = append(dst, 0, 0xFF)
			continue
		}
		dst = append(dst, c)
	}
	return append(dst, 0, 0), nil
}

// bpcharBytes ignores trailing blanks (bcTruelen).
func bpcharBytes(dst, v []byte) ([]byte, error) {
	for len(v) > 0 && v[len(v)-1] == ' ' {
		v = v[:len(v)-1]
	}
	return stringBytes(dst, v)
}

// charText reads "char": a byte as it is, nothing for 0, or (from version 16 on) \ooo.
func charText(dst, v []byte) ([]byte, error) {
	switch {
	case len(v) == 0:
		return append(dst, 0), nil
	case len(v) == 1:
		return append(dst, v[0]), nil
	case len(v) == 4 && v[0] == '\\':
		n, err := strconv.ParseUint(string(v[1:]), 8, 8)
		if err == nil {
			return append(dst, byte(n)), nil
		}
	}
	return dst, malformed(`"char"`, v)
}

// byteaText reads both styles of bytea_output.
func byteaText(dst, v []byte) ([]byte, error) {
	if len(v) >= 2 && v[0] == '\\' && v[1] == 'x' {
		raw, err := hex.AppendDecode(nil, v[2:])
		if err != nil {
			return dst, malformed("bytea", v)
		}
		return stringBytes(dst, raw)
	}
	raw := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] != '\\':
			raw = append(raw, v[i])
		case i+1 < len(v) && v[i+1] == '\\':
			raw = append(raw, '\\')
			i++
		case i+3 < len(v):
			n, err := strconv.ParseUint(string(v[i+1:i+4]), 8, 8)
			if err != nil {
				return dst, malformed("bytea", v)
			}
			raw = append(raw, byte(n))
			i += 3
		default:
			return dst, malformed("bytea", v)
		}
	}
	return stringBytes(dst, raw)
}

// bitText and bitBinary order by bytes, then by length (bit_cmp).
func bitText(dst, v []byte) ([]byte, error) {
	raw := make([]byte, (len(v)+7)/8)
	for i, c := range v {
		if c != '0' && c != '1' {
			return dst, malformed("bit", v)
		}
		raw[i/8] |= (c - '0') << (7 - i%8)
	}
	dst, _ = stringBytes(dst, raw)
	return binary.BigEndian.AppendUint32(dst, uint32(len(v))), nil
}

func bitBinary(dst, v []byte) ([]byte, error) {
	if len(v) < 4 {
		return dst, malformed("bit", v)
	}
	dst, _ = stringBytes(dst, v[4:])
	return append(dst, v[:4]...), nil
}

// hexText reads hexadecimal digits with separators, as uuid_out and macaddr_out print them.
func hexText(size int) Encoder {
	return func(dst, v []byte) ([]byte, error) {
		at, high, odd := len(dst), byte(0), false
		for _, c := range v {
			n := strings.IndexByte("0123456789abcdef", c|0x20)
			switch {
			case c == '-' || c == ':':
				continue
			case n < 0:
				return dst[:at], malformed("hexadecimal", v)
			case odd:
				dst = append(dst, high|byte(n))
			default:
				high = byte(n) << 4
			}
			odd = !odd
		}
		if odd || len(dst)-at != size {
			return dst[:at], malformed("hexadecimal", v)
		}
		return dst, nil
	}
}
