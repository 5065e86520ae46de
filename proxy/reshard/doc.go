// Package reshard moves a database to another number of shards while clients use it.
//
// # Flow
//
//	source shards ── pg_dump ─────────────► Schema ──► destination shards: tables, keys
//	   slot on each ── COPY of a snapshot ─► Copy ───► the rows that belong there
//	                └─ changes since ──────► Stream ─► the same, in the same order
//	clients held ── the rest applied ─ names swapped ─ clients go on ─ changes flow back
//
// A row's place is what the destination's [sharding.Layout] says; a table that it does not divide
// is copied to all shards, from the first source shard.
//
// # Exactly once
//
// Each destination shard keeps, in the schema [Schema] of its own, what it has: of each copied table
// the position of the snapshot, written in the transaction of the COPY; of each source shard's changes
// the position of the last transaction, written in the transaction that applies it. Whatever is killed,
// what comes again is left out by these positions, shard by shard. A transaction of the source is applied
// in one transaction on each shard that it concerns, and not at once on all of them. Large values of a row
// that goes to another shard, which the source does not send where they did not change, are kept by the shard
// that had them until the move is over.
//
// Package reshard opens its own connections, by pgconn and wire/replication, and knows nothing of the
// proxy but the [Host] that its tasks are given.
package reshard
