// Package twophase makes transactions on several servers take effect on all or none, whatever
// is killed meanwhile.
//
// # Flow
//
//	PREPARE TRANSACTION on every server          any error: rolled back everywhere
//	the decision is written and synced           from here on it is committed
//	COMMIT PREPARED on every server              who cannot be reached is served later
//	the end is written
//
// A [Log] holds the decisions: what is prepared and has no decision in it is rolled back
// (presumed abort). A [Coordinator] commits, and resolves what was left: at the start, and as
// long as it runs for servers that were away. Its transactions are named
// pgx_INSTANCE_EPOCH_NUMBER_MEMBERS_SHARD; the instance is the log's own, so that proxies with
// logs of their own leave each other's transactions alone. The members are the shards that take
// part, as bits of a hexadecimal number: where a log is lost, [Left] tells what of each
// transaction is still there, and somebody decides by [Settle].
//
// # Log
//
// A directory of segments, whose names are numbers:
//
//	"pgx2pc1\n"  ([length:4][crc32c of the rest:4][kind:1][name: uvarint, bytes][shards: uvarint, uvarints])…
//
// Records are gathered for a short while and synced together. A checkpoint begins a new
// segment with what is still open, and removes the ones before. A record at the end of the
// last segment that is not whole was never acknowledged, and is cut off; anything else that
// is not right is an error.
package twophase
