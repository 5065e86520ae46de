package hash

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Int reads an integer of type t (int2, int4 or int8; any width in binary).
func Int(t OID, value []byte, f Format) (int64, error) {
	if f == BinaryFormat {
		switch len(value) {
		case 2:
			return int64(int16(binary.BigEndian.Uint16(value))), nil
		case 4:
			return int64(int32(binary.BigEndian.Uint32(value))), nil
		case 8:
			return int64(binary.BigEndian.Uint64(value)), nil
		}
		return 0, malformed(t, value)
	}
	v, ok := decimal(value)
	if !ok {
		return 0, malformed(t, value)
	}
	switch {
	case t == Int2 && int64(int16(v)) != v, t == Int4 && int64(int32(v)) != v:
		return 0, malformed(t, value)
	}
	return v, nil
}

// decimal reads a decimal integer with a sign and surrounding blanks, without allocating.
// (PostgreSQL 16's other notations are not read: what they mean depends on the version.)
func decimal(b []byte) (int64, bool) {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	neg := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		neg = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	var v uint64
	for _, c := range b {
		if c < '0' || c > '9' || v > (1<<63)/10 {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	switch {
	case neg && v <= 1<<63:
		return -int64(v), true
	case !neg && v < 1<<63:
		return int64(v), true
	}
	return 0, false
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// ParseBool reads a boolean (parse_bool_with_len in bool.c).
func ParseBool(value []byte, f Format) (bool, error) {
	if f == BinaryFormat {
		if len(value) != 1 {
			return false, malformed(Bool, value)
		}
		return value[0] != 0, nil
	}
	word := strings.ToLower(strings.TrimSpace(string(value)))
	unique := func(of string, least int) bool {
		return len(word) >= least && strings.HasPrefix(of, word)
	}
	switch {
	case unique("true", 1), unique("yes", 1), word == "on", word == "1":
		return true, nil
	case unique("false", 1), unique("no", 1), unique("off", 2), word == "0":
		return false, nil
	}
	return false, malformed(Bool, value)
}

// ParseUUID reads a uuid (string_to_uuid in uuid.c: hyphens after any four digits, braces).
func ParseUUID(value []byte, f Format) (u [16]byte, err error) {
	if f == BinaryFormat {
		if len(value) != 16 {
			return u, malformed(UUID, value)
		}
		copy(u[:], value)
		return u, nil
	}
	s := value
	if len(s) >= 2 && s[0] == '{' {
		if s[len(s)-1] != '}' {
			return u, malformed(UUID, value)
		}
		s = s[1 : len(s)-1]
	}
	for i := range 16 {
		if len(s) < 2 {
			return u, malformed(UUID, value)
		}
		hi, lo := unhex(s[0]), unhex(s[1])
		if hi < 0 || lo < 0 {
			return u, malformed(UUID, value)
		}
		u[i] = byte(hi<<4 | lo)
		s = s[2:]
		if i%2 == 1 && i < 15 && len(s) > 0 && s[0] == '-' {
			s = s[1:]
		}
	}
	if len(s) != 0 {
		return u, malformed(UUID, value)
	}
	return u, nil
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func parseOid(value []byte, f Format) (uint32, error) {
	if f == BinaryFormat {
		if len(value) != 4 {
			return 0, malformed(Oid, value)
		}
		return binary.BigEndian.Uint32(value), nil
	}
	v, ok := decimal(value)
	if !ok || v > math.MaxUint32 || v < math.MinInt32 {
		return 0, malformed(Oid, value)
	}
	return uint32(v), nil
}

// parseChar reads a "char" (charin: one byte, or a backslash and three octal digits).
func parseChar(value []byte, f Format) (int8, error) {
	if f == BinaryFormat && len(value) != 1 {
		return 0, malformed(Char, value)
	}
	if f == TextFormat && len(value) == 4 && value[0] == '\\' {
		if v, err := strconv.ParseUint(string(value[1:]), 8, 8); err == nil {
			return int8(uint8(v)), nil
		}
	}
	if len(value) == 0 {
		return 0, nil
	}
	return int8(value[0]), nil
}

// parseBytea reads a bytea, in hex or in the old escapes (byteain).
func parseBytea(value []byte, f Format) ([]byte, error) {
	if f == BinaryFormat {
		return value, nil
	}
	if len(value) >= 2 && value[0] == '\\' && value[1] == 'x' {
		digits := strings.Map(func(r rune) rune {
			if r == ' ' || r == '\n' || r == '\t' || r == '\r' {
				return -1
			}
			return r
		}, string(value[2:]))
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, malformed(Bytea, value)
		}
		return b, nil
	}
	var b []byte
	for i := 0; i < len(value); i++ {
		if value[i] != '\\' {
			b = append(b, value[i])
			continue
		}
		rest := value[i+1:]
		switch {
		case len(rest) >= 1 && rest[0] == '\\':
			b = append(b, '\\')
			i++
		case len(rest) >= 3 && rest[0] >= '0' && rest[0] <= '3' && octal(rest[1]) && octal(rest[2]):
			b = append(b, (rest[0]-'0')<<6|(rest[1]-'0')<<3|(rest[2]-'0'))
			i += 3
		default:
			return nil, malformed(Bytea, value)
		}
	}
	return b, nil
}

func octal(c byte) bool { return c >= '0' && c <= '7' }

// Float reads a float4 or float8.
func Float(t OID, value []byte, f Format) (float64, error) {
	if f == BinaryFormat {
		switch len(value) {
		case 4:
			return float64(math.Float32frombits(binary.BigEndian.Uint32(value))), nil
		case 8:
			return math.Float64frombits(binary.BigEndian.Uint64(value)), nil
		}
		return 0, malformed(t, value)
	}
	bits := 64
	if t == Float4 {
		bits = 32
	}
	text := strings.TrimSpace(string(value))
	if strings.ContainsAny(text, "_xXpP") {
		return 0, malformed(t, value)
	}
	v, err := strconv.ParseFloat(text, bits)
	if err != nil {
		return 0, malformed(t, value)
	}
	return v, nil
}

// parseInet returns family, bits and address as hashinet sees them: PGSQL_AF_INET (2) or
// PGSQL_AF_INET6 (3), the length of the netmask, the address.
func parseInet(t OID, value []byte, f Format) ([]byte, error) {
	if f == BinaryFormat {
		// inet_send: family, bits, is_cidr, length, address.
		if len(value) < 4 || len(value) != 4+int(value[3]) {
			return nil, malformed(t, value)
		}
		return append([]byte{value[0], value[1]}, value[4:]...), nil
	}
	text := strings.TrimSpace(string(value))
	var prefix netip.Prefix
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, unclear(t, value) // PostgreSQL takes shorter forms, such as 10/8
		}
		prefix = p
	} else {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return nil, unclear(t, value)
		}
		prefix = netip.PrefixFrom(a, a.BitLen())
	}
	family := byte(2)
	if prefix.Addr().Is6() {
		family = 3
	}
	return append([]byte{family, byte(prefix.Bits())}, prefix.Addr().AsSlice()...), nil
}

func parseMac(t OID, value []byte, f Format) ([]byte, error) {
	n := 6
	if t == Macaddr8 {
		n = 8
	}
	if f == BinaryFormat {
		if len(value) != n {
			return nil, malformed(t, value)
		}
		if t == Macaddr8 {
			return value, nil
		}
		return value, nil
	}
	text := strings.NewReplacer(":", "", "-", "", ".", "").Replace(strings.TrimSpace(string(value)))
	b, err := hex.DecodeString(text)
	if err == nil && t == Macaddr8 && len(b) == 6 {
		b = []byte{b[0], b[1], b[2], 0xff, 0xfe, b[3], b[4], b[5]} // as macaddr8_in widens it
	}
	if err != nil || len(b) != n {
		return nil, malformed(t, value)
	}
	return b, nil
}
