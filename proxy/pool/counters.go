package pool

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/metrics"
)

// Counters are what those who use a pool's connections count, since the pool was made.
type Counters struct {
	Xacts, Queries, Errors atomic.Int64
	// Evictions are prepared statements that were closed for others, or because nobody used them.
	Evictions atomic.Int64
	// Parses are prepared statements made on servers, Binds portals, ClientParses the statements that
	// clients prepared, Closes those that were closed.
	Parses, Binds, ClientParses, Closes atomic.Int64
	// Reads and Writes are statements by their tags, RowsInserted and so on what these tell.
	Reads, Writes                          atomic.Int64
	RowsInserted, RowsUpdated, RowsDeleted atomic.Int64
	// TwoPhased are transactions committed in two phases, one for each of their shards.
	TwoPhased atomic.Int64
	idleTime  atomic.Int64 // nanoseconds
	// IdleTimeouts are clients that were idle in a transaction for too long.
	IdleTimeouts atomic.Int64
	// Latencies of queries, of transactions, and of waiting for a connection.
	Query, Xact, Checkout metrics.Histogram
}

// Queried counts the answer to what was asked at some time.
func (c *Counters) Queried(asked, now time.Time) {
	c.Query.Observe(max(0, now.Sub(asked))) // each loop has a time of its own
}

// Transacted counts the end of a transaction.
func (c *Counters) Transacted(began, now time.Time) {
	c.Xacts.Add(1)
	c.Xact.Observe(max(0, now.Sub(began)))
}

// Idled counts the time in which a client said nothing within its transaction.
func (c *Counters) Idled(d time.Duration) { c.idleTime.Add(int64(max(d, 0))) }

// IdleTime returns that time.
func (c *Counters) IdleTime() time.Duration { return time.Duration(c.idleTime.Load()) }

// QueryTime returns the time in queries.
func (c *Counters) QueryTime() time.Duration { return c.Query.Sum() }

// XactTime returns the time in transactions.
func (c *Counters) XactTime() time.Duration { return c.Xact.Sum() }

// Completed counts a statement by the tag of its end.
func (c *Counters) Completed(tag []byte) {
	if len(tag) < 6 {
		return
	}
	var rows *atomic.Int64
	switch string(tag[:6]) {
	case "SELECT":
		c.Reads.Add(1)
		return
	case "INSERT":
		rows = &c.RowsInserted
	case "UPDATE":
		rows = &c.RowsUpdated
	case "DELETE":
		rows = &c.RowsDeleted
	default:
		if bytes.HasPrefix(tag, []byte("MERGE ")) {
			c.Writes.Add(1)
		}
		return
	}
	c.Writes.Add(1)
	n := int64(0)
	for _, d := range tag[bytes.LastIndexByte(tag, ' ')+1:] {
		if d < '0' || d > '9' {
			return
		}
		n = 10*n + int64(d-'0')
	}
	rows.Add(n)
}
