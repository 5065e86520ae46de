package hash

import (
	"encoding/binary"
	"math"
	"strconv"
)

// hashArray is hash_array_extended: the elements in storage order, the dimensions not.
func hashArray(t, elem OID, value []byte, f Format, seed uint64) (uint64, error) {
	result := uint64(1)
	err := EachElement(t, value, f, func(v []byte, null bool) error {
		h := uint64(0)
		if !null {
			var err error
			if h, err = Hash(elem, v, f, seed); err != nil {
				return err
			}
		}
		result = result<<5 - result + h
		return nil
	})
	return result, err
}

// EachElement calls fn for every element of an array, in order, each in the format of the
// whole; v is only good during the call. It returns fn's error, or that of the array.
func EachElement(t OID, value []byte, f Format, fn func(v []byte, null bool) error) error {
	if f == BinaryFormat {
		return eachBinary(t, value, fn)
	}
	return eachText(t, value, fn)
}

// eachBinary reads array_send: ndim, flags, element type, per dimension length and lower
// bound, then the elements with their lengths.
func eachBinary(t OID, value []byte, fn func([]byte, bool) error) error {
	if len(value) < 12 {
		return malformed(t, value)
	}
	ndim := binary.BigEndian.Uint32(value)
	if ndim > 6 || len(value) < 12+8*int(ndim) {
		return malformed(t, value)
	}
	count := uint64(1)
	if ndim == 0 {
		count = 0
	}
	for i := range int(ndim) {
		if count *= uint64(binary.BigEndian.Uint32(value[12+8*i:])); count > math.MaxInt32 {
			return malformed(t, value)
		}
	}
	rest := value[12+8*ndim:]
	for range count {
		if len(rest) < 4 {
			return malformed(t, value)
		}
		n := int32(binary.BigEndian.Uint32(rest))
		rest = rest[4:]
		if n < 0 {
			if err := fn(nil, true); err != nil {
				return err
			}
			continue
		}
		if len(rest) < int(n) {
			return malformed(t, value)
		}
		if err := fn(rest[:n], false); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if len(rest) != 0 {
		return malformed(t, value)
	}
	return nil
}

// eachText reads array_out's form, nested braces flattened. Explicit bounds ([1:2]={…}) are
// left to the server.
func eachText(t OID, value []byte, fn func([]byte, bool) error) error {
	s := value
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	if len(s) > 0 && s[0] == '[' {
		return unclear(t, value)
	}
	if len(s) < 2 || s[0] != '{' {
		return malformed(t, value)
	}
	var buf []byte
	depth, i := 0, 0
	wantItem := true // whether an element or a brace may come
	for i < len(s) {
		c := s[i]
		switch {
		case isSpace(c):
			i++
		case c == '{':
			if !wantItem {
				return malformed(t, value)
			}
			depth++
			i++
		case c == '}':
			depth--
			i++
			if depth < 0 || depth == 0 && i != len(s) {
				return malformed(t, value)
			}
			wantItem = false
		case c == ',':
			if wantItem || depth == 0 {
				return malformed(t, value)
			}
			wantItem = true
			i++
		default:
			if !wantItem || depth == 0 {
				return malformed(t, value)
			}
			item, quoted, n, ok := arrayItem(s[i:], buf[:0])
			if !ok {
				return malformed(t, value)
			}
			buf = item
			i += n
			wantItem = false
			null := !quoted && len(item) == 4 && (item[0]|32) == 'n' && (item[1]|32) == 'u' && (item[2]|32) == 'l' && (item[3]|32) == 'l'
			if err := fn(item, null); err != nil {
				return err
			}
		}
	}
	if depth != 0 {
		return malformed(t, value)
	}
	return nil
}

// arrayItem reads one element at the start of s into buf and says how long it was there.
func arrayItem(s, buf []byte) (item []byte, quoted bool, n int, ok bool) {
	if s[0] == '"' {
		for i := 1; i < len(s); i++ {
			switch s[i] {
			case '"':
				return buf, true, i + 1, true
			case '\\':
				if i++; i == len(s) {
					return nil, false, 0, false
				}
				buf = append(buf, s[i])
			default:
				buf = append(buf, s[i])
			}
		}
		return nil, false, 0, false
	}
	i := 0
	for ; i < len(s) && s[i] != ',' && s[i] != '}'; i++ {
		switch s[i] {
		case '"', '{':
			return nil, false, 0, false
		case '\\':
			if i++; i == len(s) {
				return nil, false, 0, false
			}
			quoted = true
		}
		buf = append(buf, s[i])
	}
	for !quoted && len(buf) > 0 && isSpace(buf[len(buf)-1]) {
		buf = buf[:len(buf)-1]
	}
	return buf, quoted, i, len(buf) > 0
}

// The flags of a range (rangetypes.h).
const (
	rangeEmpty = 0x01
	rangeLbInc = 0x02
	rangeUbInc = 0x04
	rangeLbInf = 0x08
	rangeUbInf = 0x10
)

// hashRange is hash_range_extended, after the canonical function of discrete ranges.
func hashRange(t, sub OID, value []byte, f Format, seed uint64) (uint64, error) {
	flags, lower, upper, err := parseRange(t, value, f)
	if err != nil {
		return 0, err
	}
	hasLower := flags&(rangeEmpty|rangeLbInf) == 0
	hasUpper := flags&(rangeEmpty|rangeUbInf) == 0
	if sub == Int4 || sub == Int8 || sub == Date {
		return hashDiscrete(t, sub, flags, lower, upper, f, seed)
	}
	if hasLower && hasUpper {
		c, err := compare(sub, lower, upper, f)
		switch {
		case err != nil:
			return 0, err
		case c > 0:
			return 0, malformed(t, value)
		case c == 0 && flags&(rangeLbInc|rangeUbInc) != rangeLbInc|rangeUbInc:
			flags, hasLower, hasUpper = rangeEmpty, false, false
		}
	}
	var lh, uh uint64
	if hasLower {
		if lh, err = Hash(sub, lower, f, seed); err != nil {
			return 0, err
		}
	}
	if hasUpper {
		if uh, err = Hash(sub, upper, f, seed); err != nil {
			return 0, err
		}
	}
	return rotate(Uint32(uint32(flags), seed)^lh) ^ uh, nil
}

func hashDiscrete(t, sub OID, flags byte, lower, upper []byte, f Format, seed uint64) (uint64, error) {
	number := func(b []byte) (int64, error) {
		if sub == Date {
			return Moment(Date, b, f)
		}
		return Int(sub, b, f)
	}
	var lo, up int64
	var err error
	if flags&(rangeEmpty|rangeLbInf) == 0 {
		if lo, err = number(lower); err != nil {
			return 0, err
		}
		if flags&rangeLbInc == 0 && (sub != Date || lo != math.MinInt32 && lo != math.MaxInt32) {
			lo++
			flags |= rangeLbInc
		}
	}
	if flags&(rangeEmpty|rangeUbInf) == 0 {
		if up, err = number(upper); err != nil {
			return 0, err
		}
		if flags&rangeUbInc != 0 && (sub != Date || up != math.MinInt32 && up != math.MaxInt32) {
			up++
			flags &^= rangeUbInc
		}
	}
	if flags&(rangeEmpty|rangeLbInf|rangeUbInf) == 0 {
		if lo > up {
			return 0, malformed(t, lower)
		}
		if lo == up {
			flags = rangeEmpty
		}
	}
	var lh, uh uint64
	if flags&(rangeEmpty|rangeLbInf) == 0 {
		lh = Int64(lo, seed)
	}
	if flags&(rangeEmpty|rangeUbInf) == 0 {
		uh = Int64(up, seed)
	}
	return rotate(Uint32(uint32(flags), seed)^lh) ^ uh, nil
}

func compare(t OID, a, b []byte, f Format) (int, error) {
	if t == Numeric {
		x, err := ParseNumeric(a, f)
		if err != nil {
			return 0, err
		}
		y, err := ParseNumeric(b, f)
		return x.Compare(y), err
	}
	x, err := Moment(t, a, f)
	if err != nil {
		return 0, err
	}
	y, err := Moment(t, b, f)
	switch {
	case x < y:
		return -1, err
	case x > y:
		return 1, err
	}
	return 0, err
}

// parseRange reads range_out's or range_send's form. The bounds are raw values.
func parseRange(t OID, value []byte, f Format) (flags byte, lower, upper []byte, err error) {
	if f == BinaryFormat {
		return parseRangeBinary(t, value)
	}
	s := value
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	if string(s) == "empty" {
		return rangeEmpty, nil, nil, nil
	}
	if len(s) < 3 {
		return 0, nil, nil, malformed(t, value)
	}
	switch s[0] {
	case '[':
		flags |= rangeLbInc
	case '(':
	default:
		return 0, nil, nil, malformed(t, value)
	}
	switch s[len(s)-1] {
	case ']':
		flags |= rangeUbInc
	case ')':
	default:
		return 0, nil, nil, malformed(t, value)
	}
	bounds := [2][]byte{}
	empty := [2]bool{true, true}
	at, quoted := 0, false
	for i := 1; i < len(s)-1; i++ {
		switch c := s[i]; {
		case c == '"':
			if quoted && i+1 < len(s)-1 && s[i+1] == '"' {
				bounds[at] = append(bounds[at], '"')
				i++
				continue
			}
			quoted = !quoted
			empty[at] = false
		case c == '\\' && i+1 < len(s)-1:
			i++
			bounds[at] = append(bounds[at], s[i])
			empty[at] = false
		case c == ',' && !quoted:
			if at++; at > 1 {
				return 0, nil, nil, malformed(t, value)
			}
		default:
			bounds[at] = append(bounds[at], c)
			empty[at] = false
		}
	}
	if at != 1 || quoted {
		return 0, nil, nil, malformed(t, value)
	}
	if empty[0] {
		flags = flags&^rangeLbInc | rangeLbInf
	}
	if empty[1] {
		flags = flags&^rangeUbInc | rangeUbInf
	}
	return flags, bounds[0], bounds[1], nil
}

func parseRangeBinary(t OID, value []byte) (flags byte, lower, upper []byte, err error) {
	if len(value) < 1 {
		return 0, nil, nil, malformed(t, value)
	}
	flags = value[0]
	rest := value[1:]
	bound := func() ([]byte, bool) {
		if len(rest) < 4 {
			return nil, false
		}
		n := binary.BigEndian.Uint32(rest)
		if uint64(len(rest)-4) < uint64(n) {
			return nil, false
		}
		b := rest[4 : 4+n]
		rest = rest[4+n:]
		return b, true
	}
	var ok bool
	if flags&(rangeEmpty|rangeLbInf) == 0 {
		if lower, ok = bound(); !ok {
			return 0, nil, nil, malformed(t, value)
		}
	}
	if flags&(rangeEmpty|rangeUbInf) == 0 {
		if upper, ok = bound(); !ok {
			return 0, nil, nil, malformed(t, value)
		}
	}
	if len(rest) != 0 {
		return 0, nil, nil, malformed(t, []byte(strconv.Itoa(len(rest))+" bytes too many"))
	}
	if flags&rangeEmpty != 0 {
		flags = rangeEmpty
	}
	return flags, lower, upper, nil
}
