package pool

import "sync/atomic"

// A Tally is what one connection has done since it was opened.
type Tally struct {
	Xacts, Queries, Errors, Rollbacks, Checks atomic.Int64
	// Prepared is how many statements are prepared on the connection now.
	Prepared atomic.Int64
}

// statementSize is about what the memory of one prepared statement of a connection takes, in bytes:
// itself, and its place in the map.
const statementSize = 96

// connSize is about what a connection takes without them, in bytes.
const connSize = 1 << 10

// Memory is about what the proxy keeps for the connection, in bytes.
func (c *Conn) Memory() int64 { return connSize + c.Tally.Prepared.Load()*statementSize }
