// Package metrics writes the proxy's figures for Prometheus and its like, under PgDog's
// names, with histograms of latency besides.
//
//	proxy ── Snapshot ──► Averager ──► Write ──► GET /metrics
//
// Times are in milliseconds where PgDog's are (…_time), in seconds in maxwait and in the
// histograms, whose names end in _seconds. avg_ figures are over the last whole
// general.stats_period: per second, and, for times, per event.
//
// The text is Prometheus' (version 0.0.4), or OpenMetrics 1.0 for who asks for it. PgDog's
// counters begin with total_ where OpenMetrics wants them to end with it: there they are of
// the type unknown.
package metrics
