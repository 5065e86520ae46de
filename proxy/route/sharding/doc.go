// Package sharding says which shard a row belongs to.
//
// A [Config] is what people write: tables, their key columns, and how values of the keys map
// to shards. [Compile] checks it, reports all mistakes at once, and gives a [Layout], which
// never changes, is safe for concurrent use, and answers one question: which shards hold the
// rows with these key values.
package sharding
