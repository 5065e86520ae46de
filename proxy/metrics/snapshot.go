package metrics

import (
	"slices"
	"strings"
	"time"
)

// A Snapshot is the figures of one moment. Whoever fills it need not do so atomically.
type Snapshot struct {
	// Clients is how many are connected, ClientsLocked how many of them hold a server
	// connection beyond their transaction.
	Clients, ClientsLocked int
	Pools                  []Pool
	QueryCache             QueryCache
	Prepared               Prepared
	Mirrors                []Mirror
	PubSub                 PubSub
	Lookups                Lookups
	// Missing names what nobody counts, without total_ and avg_: it is left out, since 0 would
	// be wrong.
	Missing []string
	// TwoPhaseRecovered counts transactions that were found undecided at the start.
	TwoPhaseRecovered int64
}

// Labels say which pool it is.
type Labels struct {
	User, Database, Host string
	Port, Shard          int
	Role                 string // primary, replica
}

// A Pool is one user's connections to one server.
type Pool struct {
	Labels
	MaxConnections int
	// Waiting clients, and server connections: Active ones are in use, IdleXact of them idle
	// in a transaction, Locked of them pinned to a client.
	Waiting, Active, Idle, IdleXact, Locked int
	MaxWait                                 time.Duration // of who waits longest now
	// Errors counts connections that failed, OutOfSync those dropped because of the state
	// that a client left them in.
	Errors, OutOfSync int64
	Totals            Totals
	// Histograms of this pool; nil ones are left out.
	QueryLatency, TransactionLatency, CheckoutLatency *Histogram
}

// Totals count since the start.
type Totals struct {
	Xacts, Xacts2PC, Queries, Received, Sent               int64
	Reads, Writes, Rollbacks, ServerErrors                 int64
	Connects, AuthAttempts, PreparedEvictions, Cleaned     int64
	RowsInserted, RowsUpdated, RowsDeleted                 int64
	Assignments, Parses, Binds, Closes, IdleXactTimeouts   int64
	ClientParses                                           int64
	XactTime, QueryTime, IdleXactTime, ConnectTime, Waited time.Duration
}

// QueryCache is the cache of routed statements.
type QueryCache struct {
	Hits, Misses, Direct, Cross int64
	Size, Limit, Fingerprints   int
	ParseTime                   time.Duration
}

// Prepared is the prepared statements that clients share.
type Prepared struct {
	Statements, Limit int
	Memory            int64 // bytes
}

// A Mirror is one [[mirroring]].
type Mirror struct {
	Source, Destination              string
	Total, Mirrored, Dropped, Failed int64
	Queue                            int
}

// PubSub is LISTEN and NOTIFY in transaction mode.
type PubSub struct {
	Listeners         int
	Received, Dropped int64
}

// Lookups are the queries that find keys' shards.
type Lookups struct {
	Entries                          int
	Bytes                            int64
	Hits, Misses, Evictions, Queries int64
	QueryTime                        time.Duration
}

// Counted reports whether somebody counts what a name says, with total_ or avg_ before it or
// without.
func (s *Snapshot) Counted(name string) bool {
	bare := strings.TrimPrefix(strings.TrimPrefix(name, "total_"), "avg_")
	return !slices.Contains(s.Missing, name) && !slices.Contains(s.Missing, bare)
}
