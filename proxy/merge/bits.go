package merge

import (
	"encoding/binary"
	"strconv"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// readInt reads an integer of any of the three sizes.
func readInt(v []byte, f wire.Format) (int64, error) {
	if f == wire.Binary {
		switch len(v) {
		case 2:
			return int64(int16(binary.BigEndian.Uint16(v))), nil
		case 4:
			return int64(int32(binary.BigEndian.Uint32(v))), nil
		case 8:
			return int64(binary.BigEndian.Uint64(v)), nil
		}
	} else if n, ok := sortkey.ParseInt(v); ok {
		return n, nil
	}
	return 0, badPartial("integer", v)
}

// appendIntValue appends n as an integer of size bytes.
func appendIntValue(dst []byte, n int64, f wire.Format, size int) []byte {
	if f == wire.Text {
		return strconv.AppendInt(dst, n, 10)
	}
	switch size {
	case 2:
		return binary.BigEndian.AppendUint16(dst, uint16(n))
	case 4:
		return binary.BigEndian.AppendUint32(dst, uint32(n))
	}
	return binary.BigEndian.AppendUint64(dst, uint64(n))
}

// intBits is bit_and, bit_or or bit_xor of integers.
type intBits struct {
	how    gather.Combine
	format wire.Format
	size   int
	value  int64
	some   bool
}

func (b *intBits) add(v, _ []byte) error {
	n, err := readInt(v, b.format)
	switch {
	case err != nil:
		return err
	case !b.some:
		b.value, b.some = n, true
	case b.how == gather.BitAnd:
		b.value &= n
	case b.how == gather.BitOr:
		b.value |= n
	default:
		b.value ^= n
	}
	return nil
}

func (b *intBits) append(dst []byte) ([]byte, error) {
	if !b.some {
		return nil, nil
	}
	return appendIntValue(dst, b.value, b.format, b.size), nil
}

// bitString is the same of bit strings, which must be equally long.
type bitString struct {
	kept
	how    gather.Combine
	format wire.Format
}

func (b *bitString) add(v, _ []byte) error {
	if !b.some {
		b.keep(v)
		return nil
	}
	head := 0
	if b.format == wire.Binary {
		head = 4 // the length in bits
	}
	if len(v) != len(b.value) || len(v) < head || string(v[:head]) != string(b.value[:head]) {
		word := map[gather.Combine]string{gather.BitAnd: "AND", gather.BitOr: "OR", gather.BitXor: "XOR"}[b.how]
		return wire.Errorf(codeBitLength, "cannot %s bit strings of different sizes", word)
	}
	for i := head; i < len(v); i++ {
		switch x := &b.value[i]; {
		case b.how == gather.BitAnd:
			*x &= v[i]
		case b.how == gather.BitOr:
			*x |= v[i]
		case b.format == wire.Text:
			*x = '0' + (*x^v[i])&1
		default:
			*x ^= v[i]
		}
	}
	return nil
}
