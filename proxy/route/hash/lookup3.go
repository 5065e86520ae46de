package hash

import (
	"encoding/binary"
	"math/bits"
)

// Seed is HASH_PARTITION_SEED of src/backend/partitioning/partbounds.c.
const Seed uint64 = 0x7A5B22367996DCFD

// initial is the base of hash_bytes: Bob Jenkins' golden ratio and Tom Lane's addition.
const initial = 0x9e3779b9 + 3923095

type state struct{ a, b, c uint32 }

// start is the state before the first byte of n, with the seed mixed in.
func start(n int, seed uint64) state {
	v := uint32(n) + initial
	s := state{v, v, v}
	if seed != 0 {
		s.a += uint32(seed >> 32)
		s.b += uint32(seed)
		s.mix()
	}
	return s
}

func (s *state) mix() {
	a, b, c := s.a, s.b, s.c
	a -= c
	a ^= bits.RotateLeft32(c, 4)
	c += b
	b -= a
	b ^= bits.RotateLeft32(a, 6)
	a += c
	c -= b
	c ^= bits.RotateLeft32(b, 8)
	b += a
	a -= c
	a ^= bits.RotateLeft32(c, 16)
	c += b
	b -= a
	b ^= bits.RotateLeft32(a, 19)
	a += c
	c -= b
	c ^= bits.RotateLeft32(b, 4)
	b += a
	s.a, s.b, s.c = a, b, c
}

// final mixes for the last time and returns b and c as hash_bytes_extended does.
func (s *state) final() uint64 {
	a, b, c := s.a, s.b, s.c
	c ^= b
	c -= bits.RotateLeft32(b, 14)
	a ^= c
	a -= bits.RotateLeft32(c, 11)
	b ^= a
	b -= bits.RotateLeft32(a, 25)
	c ^= b
	c -= bits.RotateLeft32(b, 16)
	a ^= c
	a -= bits.RotateLeft32(c, 4)
	b ^= a
	b -= bits.RotateLeft32(a, 14)
	c ^= b
	c -= bits.RotateLeft32(b, 24)
	return uint64(b)<<32 | uint64(c)
}

// Bytes is hash_bytes_extended.
func Bytes(k []byte, seed uint64) uint64 {
	s := start(len(k), seed)
	for ; len(k) >= 12; k = k[12:] {
		s.a += binary.LittleEndian.Uint32(k)
		s.b += binary.LittleEndian.Uint32(k[4:])
		s.c += binary.LittleEndian.Uint32(k[8:])
		s.mix()
	}
	// The lowest byte of c is left to the length, as the original does.
	for i, x := range k {
		v := uint32(x)
		switch {
		case i < 4:
			s.a += v << (8 * i)
		case i < 8:
			s.b += v << (8 * (i - 4))
		default:
			s.c += v << (8 * (i - 7))
		}
	}
	return s.final()
}

// Uint32 is hash_bytes_uint32_extended.
func Uint32(v uint32, seed uint64) uint64 {
	s := start(4, seed)
	s.a += v
	return s.final()
}

// Int64 is hashint8extended; hashint2extended and hashint4extended give the same for the
// same number.
func Int64(v int64, seed uint64) uint64 {
	lo, hi := uint32(v), uint32(v>>32)
	if v >= 0 {
		lo ^= hi
	} else {
		lo ^= ^hi
	}
	return Uint32(lo, seed)
}

// Combine is hash_combine64.
func Combine(a, b uint64) uint64 {
	return a ^ (b + 0x49a0f4dd15e5a8e3 + a<<54 + a>>7)
}

// rotate is ROTATE_HIGH_AND_LOW_32BITS.
func rotate(v uint64) uint64 {
	return v<<1&0xfffffffefffffffe | v>>31&0x100000001
}
