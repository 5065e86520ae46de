package scatter

import (
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// uniqueEpoch is when the ids of PgDog begin: 2025-11-26 19:13:15 UTC, in milliseconds.
const uniqueEpoch = 1764184395000

// An IDLayout is how the 64 bits of an id are used: 41 of milliseconds above those here.
type IDLayout struct{ NodeBits, SequenceBits int }

// StandardIDs are PgDog's usual ones.
func StandardIDs() IDLayout { return IDLayout{10, 12} }

// CompactIDs are shorter: they fit into 53 bits, which is what JavaScript's numbers hold.
func CompactIDs() IDLayout { return IDLayout{6, 6} }

// UniqueIDs makes 64-bit numbers that grow with time and differ between nodes, laid out as
// PgDog's. It is safe for concurrent use.
type UniqueIDs struct {
	layout IDLayout
	node   int64
	least  int64
	now    func() int64 // milliseconds since 1970

	mu   sync.Mutex
	last int64
	seq  int64
}

// NewUniqueIDs returns the generator of a node, which is a number that fits into the layout's
// bits. least is added to every id.
func NewUniqueIDs(layout IDLayout, node int, least uint64) (*UniqueIDs, error) {
	if node < 0 || node >= 1<<layout.NodeBits {
		return nil, wire.Errorf(wire.CodeInvalidParameterValue, "node %d is not between 0 and %d", node, 1<<layout.NodeBits-1)
	}
	return &UniqueIDs{layout: layout, node: int64(node), least: int64(least), now: func() int64 { return time.Now().UnixMilli() }}, nil
}

// Next returns the next id. Where the clock goes back, or more are asked for in a millisecond than there are
// numbers for, it runs ahead of the clock rather than repeat itself or wait.
func (u *UniqueIDs) Next() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now() - uniqueEpoch
	switch {
	case now > u.last:
		u.last, u.seq = now, 0
	case u.seq == 1<<u.layout.SequenceBits-1:
		u.last, u.seq = u.last+1, 0
	default:
		u.seq++
	}
	return u.least + (u.last<<(u.layout.NodeBits+u.layout.SequenceBits) | u.node<<u.layout.SequenceBits | u.seq)
}
