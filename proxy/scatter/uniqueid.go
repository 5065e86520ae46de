package scatter

import (
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// uniqueEpoch is when the ids of PgDog begin: 2025-11-26 19:13:15 UTC, in milliseconds.
const uniqueEpoch = 1764184395000

// The layout of an id: 41 bits of milliseconds, 10 of the node, 12 of a sequence.
const (
	nodeBits     = 10
	sequenceBits = 12
)

// UniqueIDs makes 64-bit numbers that grow with time and differ between nodes, laid out as
// PgDog's. It is safe for concurrent use.
type UniqueIDs struct {
	node int64
	now  func() int64 // milliseconds since 1970

	mu   sync.Mutex
	last int64
	seq  int64
}

// NewUniqueIDs returns the generator of a node, from 0 to 1023.
func NewUniqueIDs(node int) (*UniqueIDs, error) {
	if node < 0 || node >= 1<<nodeBits {
		return nil, wire.Errorf(wire.CodeInvalidParameterValue, "node %d is not between 0 and %d", node, 1<<nodeBits-1)
	}
	return &UniqueIDs{node: int64(node), now: func() int64 { return time.Now().UnixMilli() }}, nil
}

// Next returns the next id. Where the clock goes back, or more than 4,096 are asked for in a
// millisecond, it runs ahead of the clock rather than repeat itself or wait.
func (u *UniqueIDs) Next() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now() - uniqueEpoch
	switch {
	case now > u.last:
		u.last, u.seq = now, 0
	case u.seq == 1<<sequenceBits-1:
		u.last, u.seq = u.last+1, 0
	default:
		u.seq++
	}
	return u.last<<(nodeBits+sequenceBits) | u.node<<sequenceBits | u.seq
}
