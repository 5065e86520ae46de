package sharding

import (
	"math/bits"
	"strconv"
	"strings"
)

// A Set is a set of shards. The zero value is empty. Sets are comparable.
type Set [MaxShards / 64]uint64

// One is the set of one shard.
func One(shard int) (s Set) {
	s.Add(shard)
	return s
}

// First is the set of the first n shards.
func First(n int) (s Set) {
	for i := range n {
		s.Add(i)
	}
	return s
}

// Add puts a shard into s.
func (s *Set) Add(shard int) { s[shard/64] |= 1 << (shard % 64) }

// Has reports whether shard is in s.
func (s Set) Has(shard int) bool { return s[shard/64]&(1<<(shard%64)) != 0 }

// Union is what is in either.
func (s Set) Union(t Set) Set {
	for i := range s {
		s[i] |= t[i]
	}
	return s
}

// Intersect is what is in both.
func (s Set) Intersect(t Set) Set {
	for i := range s {
		s[i] &= t[i]
	}
	return s
}

// Len is the number of shards in s.
func (s Set) Len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// Lowest is the first shard in s, or -1.
func (s Set) Lowest() int {
	for i, w := range s {
		if w != 0 {
			return i*64 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// AppendTo appends the shards in ascending order.
func (s Set) AppendTo(dst []int) []int {
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			dst = append(dst, i*64+bits.TrailingZeros64(w))
		}
	}
	return dst
}

// String lists the shards, as in "0, 2".
func (s Set) String() string {
	var parts []string
	for _, n := range s.AppendTo(nil) {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ", ")
}
