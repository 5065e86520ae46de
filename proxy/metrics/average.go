package metrics

import (
	"sync"
	"time"
)

// An Averager turns totals into averages over the last whole period. It is safe for
// concurrent use.
type Averager struct {
	period time.Duration

	mu         sync.Mutex
	begin, end map[Labels]sample // of the last whole period; the next one begins at end
	at         time.Time         // of end
	length     time.Duration     // from begin to end
}

// A sample is one pool's totals at some time.
type sample Totals

// NewAverager returns an averager with a period (general.stats_period).
func NewAverager(period time.Duration) *Averager {
	if period <= 0 {
		period = 15 * time.Second
	}
	return &Averager{period: period}
}

// Sample takes note of the totals, if a period has passed since the last time. Someone has to
// call it about that often; who reads Averages seldom gets longer periods.
func (a *Averager) Sample(s *Snapshot) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.at.IsZero() && now.Sub(a.at) < a.period {
		return
	}
	a.begin = a.end
	a.length = now.Sub(a.at)
	a.at = now
	a.end = make(map[Labels]sample, len(s.Pools))
	for i := range s.Pools {
		a.end[s.Pools[i].Labels] = sample(s.Pools[i].Totals)
	}
}

// An Average is a pool's figures of the last whole period. Counts are by second, times are
// those of one event.
type Average struct {
	Xacts, Xacts2PC, Queries, Received, Sent           float64
	Reads, Writes, Rollbacks, ServerErrors             float64
	Connects, AuthAttempts, PreparedEvictions, Cleaned float64
	RowsInserted, RowsUpdated, RowsDeleted             float64
	Assignments, Parses, Binds, Closes                 float64
	IdleXactTimeouts                                   float64
	XactTime, QueryTime, IdleXactTime, ConnectTime     time.Duration
	Waited                                             time.Duration // of a transaction
}

// Average returns a pool's averages; zeros before the first period has passed.
func (a *Averager) Average(l Labels) Average {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.end[l]
	if !ok || a.begin == nil {
		return Average{}
	}
	b := a.begin[l] // zeros for a pool that is new
	rate := func(from, to int64) float64 {
		return float64(max(to-from, 0)) / a.length.Seconds()
	}
	each := func(from, to time.Duration, n int64) time.Duration {
		if n <= 0 || to < from {
			return 0
		}
		return (to - from) / time.Duration(n)
	}
	return Average{
		Xacts: rate(b.Xacts, e.Xacts), Xacts2PC: rate(b.Xacts2PC, e.Xacts2PC), Queries: rate(b.Queries, e.Queries),
		Received: rate(b.Received, e.Received), Sent: rate(b.Sent, e.Sent),
		Reads: rate(b.Reads, e.Reads), Writes: rate(b.Writes, e.Writes), Rollbacks: rate(b.Rollbacks, e.Rollbacks),
		ServerErrors: rate(b.ServerErrors, e.ServerErrors), Connects: rate(b.Connects, e.Connects),
		AuthAttempts: rate(b.AuthAttempts, e.AuthAttempts), PreparedEvictions: rate(b.PreparedEvictions, e.PreparedEvictions),
		Cleaned: rate(b.Cleaned, e.Cleaned), RowsInserted: rate(b.RowsInserted, e.RowsInserted),
		RowsUpdated: rate(b.RowsUpdated, e.RowsUpdated), RowsDeleted: rate(b.RowsDeleted, e.RowsDeleted),
		Assignments: rate(b.Assignments, e.Assignments), Parses: rate(b.Parses, e.Parses), Binds: rate(b.Binds, e.Binds),
		Closes: rate(b.Closes, e.Closes), IdleXactTimeouts: rate(b.IdleXactTimeouts, e.IdleXactTimeouts),
		XactTime: each(b.XactTime, e.XactTime, e.Xacts-b.Xacts), QueryTime: each(b.QueryTime, e.QueryTime, e.Queries-b.Queries),
		IdleXactTime: each(b.IdleXactTime, e.IdleXactTime, e.Xacts-b.Xacts),
		ConnectTime:  each(b.ConnectTime, e.ConnectTime, e.Connects-b.Connects),
		Waited:       each(b.Waited, e.Waited, e.Xacts-b.Xacts),
	}
}
