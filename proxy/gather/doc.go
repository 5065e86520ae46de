// Package gather describes, as plain data, how the answers of several shards become the
// one answer that a single PostgreSQL would have given.
//
// Package route writes a [Spec] for every statement that more than one shard answers, and
// package merge carries it out; neither knows the other. A Spec never changes once made, is
// shared by all executions of a statement and is safe for concurrent use. What differs from
// one execution to the next (the shards, the text with its literals, the values of LIMIT
// and OFFSET) stands in route's Decision, not here.
//
// # Flow
//
//	shard rows ── Order/Distinct/Local ──┐
//	                                     ├── OFFSET, LIMIT ── first Visible columns ── client
//	shard rows ── relation ── Finish SQL ┘ (LIMIT and all else is in the SQL)
//
// The types of columns are not in a Spec: the merger takes them from the shards' own
// RowDescription, which must agree between shards. A merger that cannot compare, equate or
// add a type exactly as the server does must not guess: it lets a server do it, by the
// Finish that stands beside Local, or by one of its own for Order and Distinct.
package gather
