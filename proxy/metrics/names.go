package metrics

import "time"

// A metric is one name with what it means. Exactly one of its functions is set.
type metric struct {
	name, help string
	counter    bool
	one        func(s *Snapshot) float64
	pool       func(p *Pool, a *Average) float64
	mirror     func(m *Mirror) float64
	histogram  func(p *Pool) *Histogram
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Names lists every name, without the namespace; a histogram's is that of all its series.
func Names() []string {
	var out []string
	for _, m := range all() {
		out = append(out, m.name)
	}
	return out
}

// all lists the metrics in the order in which they are written.
func all() []metric {
	gauge := func(name, help string, f func(p *Pool) float64) metric {
		return metric{name: name, help: help, pool: func(p *Pool, _ *Average) float64 { return f(p) }}
	}
	count := func(name, help string, f func(p *Pool) float64) metric {
		m := gauge(name, help, f)
		m.counter = true
		return m
	}
	out := []metric{
		{name: "clients", help: "Clients that are connected.", one: func(s *Snapshot) float64 { return float64(s.Clients) }},
		{name: "clients_locked", help: "Clients that keep a server connection beyond their transaction.", one: func(s *Snapshot) float64 { return float64(s.ClientsLocked) }},
		gauge("cl_waiting", "Clients that wait for a connection of the pool.", func(p *Pool) float64 { return float64(p.Waiting) }),
		gauge("sv_active", "Server connections in use.", func(p *Pool) float64 { return float64(p.Active) }),
		gauge("sv_idle", "Server connections that are free.", func(p *Pool) float64 { return float64(p.Idle) }),
		gauge("sv_idle_xact", "Server connections idle in a transaction.", func(p *Pool) float64 { return float64(p.IdleXact) }),
		gauge("sv_locked", "Server connections pinned to a client.", func(p *Pool) float64 { return float64(p.Locked) }),
		gauge("max_connections", "The most server connections the pool may have.", func(p *Pool) float64 { return float64(p.MaxConnections) }),
		gauge("maxwait", "How long the first of the waiting clients has waited, in seconds.", func(p *Pool) float64 { return p.MaxWait.Seconds() }),
		count("errors", "Connections to the server that failed.", func(p *Pool) float64 { return float64(p.Errors) }),
		count("out_of_sync", "Connections dropped because of the state they were left in.", func(p *Pool) float64 { return float64(p.OutOfSync) }),
	}
	out = append(out, totals()...)
	return append(out, others()...)
}

// totals lists those that are there as total_ and as avg_.
func totals() []metric {
	var out []metric
	both := func(name, help string, total func(t *Totals) float64, avg func(a *Average) float64) {
		out = append(out,
			metric{name: "total_" + name, help: help + ".", counter: true, pool: func(p *Pool, _ *Average) float64 { return total(&p.Totals) }},
			metric{name: "avg_" + name, help: help + ", on average.", pool: func(_ *Pool, a *Average) float64 { return avg(a) }})
	}
	n := func(name, help string, total func(t *Totals) int64, avg func(a *Average) float64) {
		both(name, help, func(t *Totals) float64 { return float64(total(t)) }, avg)
	}
	d := func(name, help string, total func(t *Totals) time.Duration, avg func(a *Average) time.Duration) {
		both(name, help+", in milliseconds", func(t *Totals) float64 { return ms(total(t)) }, func(a *Average) float64 { return ms(avg(a)) })
	}
	n("xact_count", "Transactions", func(t *Totals) int64 { return t.Xacts }, func(a *Average) float64 { return a.Xacts })
	n("xact_2pc_count", "Transactions committed in two phases", func(t *Totals) int64 { return t.Xacts2PC }, func(a *Average) float64 { return a.Xacts2PC })
	n("query_count", "Queries", func(t *Totals) int64 { return t.Queries }, func(a *Average) float64 { return a.Queries })
	n("received", "Bytes received from the server", func(t *Totals) int64 { return t.Received }, func(a *Average) float64 { return a.Received })
	n("sent", "Bytes sent to the server", func(t *Totals) int64 { return t.Sent }, func(a *Average) float64 { return a.Sent })
	d("xact_time", "Time in transactions", func(t *Totals) time.Duration { return t.XactTime }, func(a *Average) time.Duration { return a.XactTime })
	d("query_time", "Time in queries", func(t *Totals) time.Duration { return t.QueryTime }, func(a *Average) time.Duration { return a.QueryTime })
	d("idle_xact_time", "Time idle in transactions", func(t *Totals) time.Duration { return t.IdleXactTime }, func(a *Average) time.Duration { return a.IdleXactTime })
	n("connect_count", "Connections made to the server", func(t *Totals) int64 { return t.Connects }, func(a *Average) float64 { return a.Connects })
	d("connect_time", "Time to connect to the server", func(t *Totals) time.Duration { return t.ConnectTime }, func(a *Average) time.Duration { return a.ConnectTime })
	n("reads", "Statements that read", func(t *Totals) int64 { return t.Reads }, func(a *Average) float64 { return a.Reads })
	n("writes", "Statements that write", func(t *Totals) int64 { return t.Writes }, func(a *Average) float64 { return a.Writes })
	n("rollbacks", "Transactions rolled back because their client left", func(t *Totals) int64 { return t.Rollbacks }, func(a *Average) float64 { return a.Rollbacks })
	n("server_errors", "Errors that the server reported", func(t *Totals) int64 { return t.ServerErrors }, func(a *Average) float64 { return a.ServerErrors })
	n("prepared_evictions", "Prepared statements closed because of the limit", func(t *Totals) int64 { return t.PreparedEvictions }, func(a *Average) float64 { return a.PreparedEvictions })
	n("cleaned", "Connections whose state was reset", func(t *Totals) int64 { return t.Cleaned }, func(a *Average) float64 { return a.Cleaned })
	n("auth_attempts", "Logins at the server", func(t *Totals) int64 { return t.AuthAttempts }, func(a *Average) float64 { return a.AuthAttempts })
	n("rows_inserted", "Rows inserted", func(t *Totals) int64 { return t.RowsInserted }, func(a *Average) float64 { return a.RowsInserted })
	n("rows_updated", "Rows updated", func(t *Totals) int64 { return t.RowsUpdated }, func(a *Average) float64 { return a.RowsUpdated })
	n("rows_deleted", "Rows deleted", func(t *Totals) int64 { return t.RowsDeleted }, func(a *Average) float64 { return a.RowsDeleted })
	n("close", "Prepared statements closed", func(t *Totals) int64 { return t.Closes }, func(a *Average) float64 { return a.Closes })
	n("client_idle_xact_timeouts", "Clients that were idle in a transaction for too long", func(t *Totals) int64 { return t.IdleXactTimeouts }, func(a *Average) float64 { return a.IdleXactTimeouts })
	d("wait_time", "Time that transactions waited for a connection", func(t *Totals) time.Duration { return t.Waited }, func(a *Average) time.Duration { return a.Waited })
	return out
}

// others lists those of the whole proxy, mirrors and histograms.
func others() []metric {
	one := func(name, help string, counter bool, f func(s *Snapshot) float64) metric {
		return metric{name: name, help: help, counter: counter, one: f}
	}
	mirror := func(name, help string, counter bool, f func(m *Mirror) float64) metric {
		return metric{name: name, help: help, counter: counter, mirror: f}
	}
	return []metric{
		one("query_cache_hits", "Statements whose plan was in the cache.", true, func(s *Snapshot) float64 { return float64(s.QueryCache.Hits) }),
		one("query_cache_misses", "Statements that had to be parsed.", true, func(s *Snapshot) float64 { return float64(s.QueryCache.Misses) }),
		one("query_cache_direct", "Statements sent to one shard.", true, func(s *Snapshot) float64 { return float64(s.QueryCache.Direct) }),
		one("query_cache_cross", "Statements sent to several shards.", true, func(s *Snapshot) float64 { return float64(s.QueryCache.Cross) }),
		one("query_cache_size", "Plans in the cache.", false, func(s *Snapshot) float64 { return float64(s.QueryCache.Size) }),
		one("query_cache_limit", "The most plans the cache may have.", false, func(s *Snapshot) float64 { return float64(s.QueryCache.Limit) }),
		one("query_cache_parse_time", "Time spent parsing, in milliseconds.", true, func(s *Snapshot) float64 { return ms(s.QueryCache.ParseTime) }),
		one("query_cache_fingerprints", "Different statements, literals left out.", false, func(s *Snapshot) float64 { return float64(s.QueryCache.Fingerprints) }),
		one("prepared_statements", "Prepared statements that clients share.", false, func(s *Snapshot) float64 { return float64(s.Prepared.Statements) }),
		one("prepared_statements_memory_used", "Memory of these, in bytes.", false, func(s *Snapshot) float64 { return float64(s.Prepared.Memory) }),
		one("prepared_statements_limit", "The most a server connection may have; 0 is no limit.", false, func(s *Snapshot) float64 { return float64(s.Prepared.Limit) }),
		mirror("mirror_total_count", "Transactions that were to be mirrored.", true, func(m *Mirror) float64 { return float64(m.Total) }),
		mirror("mirror_mirrored_count", "Transactions mirrored.", true, func(m *Mirror) float64 { return float64(m.Mirrored) }),
		mirror("mirror_dropped_count", "Transactions not mirrored by the exposure, or because the queue was full.", true, func(m *Mirror) float64 { return float64(m.Dropped) }),
		mirror("mirror_error_count", "Transactions that failed at the mirror.", true, func(m *Mirror) float64 { return float64(m.Failed) }),
		mirror("mirror_queue_length", "Transactions that wait for the mirror.", false, func(m *Mirror) float64 { return float64(m.Queue) }),
		one("pub_sub_listeners", "Clients that listen.", false, func(s *Snapshot) float64 { return float64(s.PubSub.Listeners) }),
		one("pub_sub_listener_received", "Notifications received.", true, func(s *Snapshot) float64 { return float64(s.PubSub.Received) }),
		one("pub_sub_listener_dropped", "Notifications dropped because a client's queue was full.", true, func(s *Snapshot) float64 { return float64(s.PubSub.Dropped) }),
		one("sharding_lookup_cache_entries", "Results of lookup queries in the cache.", false, func(s *Snapshot) float64 { return float64(s.Lookups.Entries) }),
		one("sharding_lookup_cache_bytes", "Memory of these, in bytes.", false, func(s *Snapshot) float64 { return float64(s.Lookups.Bytes) }),
		one("sharding_lookup_cache_hits", "Lookups answered by the cache.", true, func(s *Snapshot) float64 { return float64(s.Lookups.Hits) }),
		one("sharding_lookup_cache_misses", "Lookups not answered by the cache.", true, func(s *Snapshot) float64 { return float64(s.Lookups.Misses) }),
		one("sharding_lookup_cache_evictions", "Results dropped because the cache was full.", true, func(s *Snapshot) float64 { return float64(s.Lookups.Evictions) }),
		one("sharding_lookup_queries", "Lookup queries.", true, func(s *Snapshot) float64 { return float64(s.Lookups.Queries) }),
		one("sharding_lookup_query_time", "Time of lookup queries, in milliseconds.", true, func(s *Snapshot) float64 { return ms(s.Lookups.QueryTime) }),
		one("two_pc_recovered_total", "Two-phase transactions that were found undecided at the start.", true, func(s *Snapshot) float64 { return float64(s.TwoPhaseRecovered) }),
		{name: "query_duration_seconds", help: "Time of queries.", histogram: func(p *Pool) *Histogram { return p.QueryLatency }},
		{name: "transaction_duration_seconds", help: "Time of transactions.", histogram: func(p *Pool) *Histogram { return p.TransactionLatency }},
		{name: "checkout_duration_seconds", help: "Time that clients waited for a connection.", histogram: func(p *Pool) *Histogram { return p.CheckoutLatency }},
	}
}
