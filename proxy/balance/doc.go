// Package balance decides which of a shard's servers serves a query: which one is the
// primary, which replicas may be read, and whose turn it is.
//
// A [Group] is pure state: it opens no connection and starts nothing. What is known of the
// servers comes in by Observe and Failed, decisions go out by Read, Primary and Hold.
//
//	pool: connect failed ── Failed ──┐                 ┌── Read     a replica, by split and strategy
//	Checker: Probe ──────── Observe ─┤  Group: roles,  ├── Primary  the primary
//	admin: BAN, UNBAN ────── Ban ────┘  bans, lag      └── Hold     wait for a primary, first come first served
//
// A [Checker] asks the servers in the background, over connections that it is given.
//
// # Bans
//
// A replica that fails is banned: it gets no reads until its ban_timeout is over and a check
// has passed since. If none is left, the bans are cleared, since a server that may fail is
// better than none. What an administrator bans stays so until it is lifted. A replica that
// lags beyond the limits is left out until it has caught up; if nothing else is left, the
// primary is read. The primary is never banned from writes.
//
// # Failover
//
// Of a group with role auto, the primary is the server that is not in recovery; of several,
// the one on the newest timeline, so that an old primary which comes back gets no writes. A
// primary that fails is not given to writers while another server might take its place: they
// wait, in order, until one is found or their time is over. Nobody is promoted.
package balance
