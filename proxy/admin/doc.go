// Package admin is the database in which the proxy is looked at and told what to do: SHOW,
// SET and commands, with PgDog's columns, and PgBouncer's behind them where its tools look
// for theirs by name.
//
//	client ── pgserver ── Console ── Snapshot, Config ─┐
//	                              └─ Do ──────────────► Proxy
//
// It knows the proxy by the three methods of [Proxy] and opens no connection. Statements
// come by the simple protocol or, without parameters, the extended one.
package admin
