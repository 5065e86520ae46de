package sortkey

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// Marks between the parts of arrays and ranges, in their order.
const (
	markEnd   = 0
	markValue = 1
	markNull  = 2 // above all elements (array_cmp)
)

// maxDimensions is MAXDIM in c.h.
const maxDimensions = 6

// appendShape ends an array: what decides if all elements are equal (array_cmp).
func appendShape(dst []byte, lengths, lower []int32) []byte {
	dst = append(dst, markEnd, byte(len(lengths)))
	for _, n := range lengths {
		dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	}
	for _, n := range lower {
		dst = binary.BigEndian.AppendUint32(dst, uint32(n)^(1<<31))
	}
	return dst
}

// arrayBinary reads dimensions, a flag, the element type, each dimension's length and lower
// bound, the elements (array_send).
func arrayBinary(elem OID, inner Encoder) Encoder {
	return func(dst, v []byte) ([]byte, error) {
		at := len(dst)
		bad := func() ([]byte, error) { return dst[:at], malformed("array", v) }
		if len(v) < 12 || OID(binary.BigEndian.Uint32(v[8:])) != elem {
			return bad()
		}
		dims := int(binary.BigEndian.Uint32(v))
		if dims < 0 || dims > maxDimensions || len(v) < 12+8*dims {
			return bad()
		}
		var lengths, lower []int32
		for i := range dims {
			lengths = append(lengths, int32(binary.BigEndian.Uint32(v[12+8*i:])))
			lower = append(lower, int32(binary.BigEndian.Uint32(v[16+8*i:])))
		}
		for rest := v[12+8*dims:]; len(rest) > 0; {
			if len(rest) < 4 {
				return bad()
			}
			n := int32(binary.BigEndian.Uint32(rest))
			rest = rest[4:]
			if n == -1 {
				dst = append(dst, markNull)
				continue
			}
			if n < 0 || int(n) > len(rest) {
				return bad()
			}
			var err error
			if dst, err = inner(append(dst, markValue), rest[:n]); err != nil {
				return dst[:at], err
			}
			rest = rest[n:]
		}
		return appendShape(dst, lengths, lower), nil
	}
}

// arrayText reads what array_out prints: {1,NULL,"a b"}, nested, with [l:u]= in front if a
// lower bound is not 1.
func arrayText(inner Encoder) Encoder {
	return func(dst, v []byte) ([]byte, error) {
		at := len(dst)
		bad := func() ([]byte, error) { return dst[:at], malformed("array", v) }
		s, lower, ok := arrayBounds(v)
		if !ok {
			return bad()
		}
		// counts[d] are the elements so far of the innermost open brace of depth d;
		// lengths[d] is what the first closed one had.
		var counts [maxDimensions]int32
		lengths := make([]int32, 0, maxDimensions)
		depth, scratch := 0, []byte(nil)
		for i := 0; i < len(s); {
			switch s[i] {
			case '{':
				if depth == maxDimensions {
					return bad()
				}
				counts[depth] = 0
				depth++
				if depth > len(lengths) {
					lengths = append(lengths, 0)
				}
				i++
			case '}':
				if depth--; depth < 0 {
					return bad()
				}
				lengths[depth] = counts[depth]
				if depth > 0 {
					counts[depth-1]++
				}
				i++
			case ',':
				i++
			default:
				if depth == 0 {
					return bad()
				}
				value, quoted, n, ok := element(s[i:], scratch[:0])
				if !ok {
					return bad()
				}
				scratch, i = value, i+n
				counts[depth-1]++
				if !quoted && string(value) == "NULL" {
					dst = append(dst, markNull)
					continue
				}
				var err error
				if dst, err = inner(append(dst, markValue), value); err != nil {
					return dst[:at], err
				}
			}
		}
		if depth != 0 || len(lengths) == 0 {
			return bad()
		}
		if len(lengths) == 1 && lengths[0] == 0 {
			lengths = nil // {} has no dimensions
		}
		for len(lower) < len(lengths) {
			lower = append(lower, 1)
		}
		return appendShape(dst, lengths, lower[:len(lengths)]), nil
	}
}

// arrayBounds reads [l:u][l:u]= at the start of v.
func arrayBounds(v []byte) (rest []byte, lower []int32, ok bool) {
	if len(v) == 0 || v[0] != '[' {
		return v, nil, len(v) > 0
	}
	bounds, rest, found := bytes.Cut(v, []byte("="))
	for found && len(bounds) > 0 {
		end := bytes.IndexByte(bounds, ']')
		if bounds[0] != '[' || end < 0 {
			return nil, nil, false
		}
		low, _, _ := bytes.Cut(bounds[1:end], []byte(":"))
		n, err := strconv.ParseInt(string(low), 10, 32)
		if err != nil {
			return nil, nil, false
		}
		lower = append(lower, int32(n))
		bounds = bounds[end+1:]
	}
	return rest, lower, found
}

// element reads one element, quoted or not, at the start of s, of which it takes n bytes.
func element(s, scratch []byte) (value []byte, quoted bool, n int, ok bool) {
	if s[0] != '"' {
		if n = bytes.IndexAny(s, ",{}"); n <= 0 {
			return nil, false, 0, false
		}
		return append(scratch, s[:n]...), false, n, true
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return scratch, true, i + 1, true
		case '\\':
			if i++; i == len(s) {
				return nil, false, 0, false
			}
		}
		scratch = append(scratch, s[i])
	}
	return nil, false, 0, false
}

// Flags of a range (rangetypes.h).
const (
	rangeEmpty   = 0x01
	rangeLowerIn = 0x02
	rangeUpperIn = 0x04
	rangeNoLower = 0x08
	rangeNoUpper = 0x10
)

// appendRange orders empty ranges first, then by the lower and by the upper bound, an
// exclusive lower one above an inclusive one, upper ones the other way (range_cmp).
func appendRange(dst []byte, inner Encoder, flags byte, lower, upper []byte) ([]byte, error) {
	if flags&rangeEmpty != 0 {
		return append(dst, 0), nil
	}
	dst = append(dst, 1)
	var err error
	if flags&rangeNoLower != 0 {
		dst = append(dst, 0)
	} else {
		if dst, err = inner(append(dst, 1), lower); err != nil {
			return dst, err
		}
		dst = append(dst, 1-flags>>1&1)
	}
	if flags&rangeNoUpper != 0 {
		return append(dst, 2), nil
	}
	if dst, err = inner(append(dst, 1), upper); err != nil {
		return dst, err
	}
	return append(dst, flags>>2&1), nil
}

// rangeBinary reads flags and the bounds that there are (range_send).
func rangeBinary(inner Encoder) Encoder {
	return func(dst, v []byte) ([]byte, error) {
		at := len(dst)
		if len(v) == 0 {
			return dst, malformed("range", v)
		}
		flags, rest := v[0], v[1:]
		var bounds [2][]byte
		for i, missing := range []byte{rangeNoLower, rangeNoUpper} {
			if flags&(missing|rangeEmpty) != 0 {
				continue
			}
			if len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-4) {
				return dst, malformed("range", v)
			}
			n := 4 + binary.BigEndian.Uint32(rest)
			bounds[i], rest = rest[4:n], rest[n:]
		}
		dst, err := appendRange(dst, inner, flags, bounds[0], bounds[1])
		if err != nil || len(rest) > 0 {
			return dst[:at], malformed("range", v)
		}
		return dst, nil
	}
}

// rangeText reads what range_out prints: empty, [1,2), (,"2020-01-01 00:00:00"].
func rangeText(inner Encoder) Encoder {
	return func(dst, v []byte) ([]byte, error) {
		if string(v) == "empty" {
			return append(dst, 0), nil
		}
		at := len(dst)
		if len(v) < 3 {
			return dst, malformed("range", v)
		}
		flags := byte(0)
		if v[0] == '[' {
			flags |= rangeLowerIn
		}
		if v[len(v)-1] == ']' {
			flags |= rangeUpperIn
		}
		// No type that a range has here prints a comma or a quote in a value.
		lower, upper, ok := bytes.Cut(v[1:len(v)-1], []byte(","))
		if len(lower) == 0 {
			flags |= rangeNoLower
		}
		if len(upper) == 0 {
			flags |= rangeNoUpper
		}
		dst, err := appendRange(dst, inner, flags, bytes.Trim(lower, `"`), bytes.Trim(upper, `"`))
		if err != nil || !ok {
			return dst[:at], malformed("range", v)
		}
		return dst, nil
	}
}
