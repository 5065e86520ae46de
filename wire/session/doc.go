// Package session follows the protocol state of one client's session from the bytes of both
// directions, for whoever lets many sessions share few servers: a proxy that pools
// connections, an engine with one backend.
//
// It knows what has been prepared and bound, what the server reported and what it still owes an
// answer for. It does no I/O and no SQL: what only SQL text can tell (LISTEN, SET of a
// parameter that is not reported, PREPARE) its owner adds by [Tracker.Listen],
// [Tracker.SetParam] and the others, which follow the transaction to its end as PostgreSQL does.
//
// Flow, after the startup packet has been dealt with:
//
//	client bytes ─► Tracker.Feed(wire.Frontend, …) ─► events: what is asked for
//	server bytes ─► Tracker.Feed(wire.Backend, …)  ─► events: what became of it
//
// A statement exists once the server has said ParseComplete, a portal once it has said
// BindComplete: until then they wait in the queue of requests, from which an error takes
// everything up to the next Sync.
package session
