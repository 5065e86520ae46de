// Package merge makes one stream of rows of the streams of several shards, as a
// [gather.Spec] says: it concatenates, merges what is sorted, drops duplicates, combines
// partial aggregates, and cuts at OFFSET and LIMIT.
//
// It is pure: no connection, no goroutine of its own, no clock. Rows are bodies of DataRow
// messages, which pass through as they are wherever that is possible; the merger looks only
// at the columns that it compares. The caller pulls: what it does not ask for is not read,
// so a slow client holds back the shards.
//
//	fields, err := merge.Agree(shard1, shard2, shard3)   // their RowDescriptions
//	p, err := merge.Compile(spec, fields, settings)      // errors.Is ErrNeedsServer: use spec.Finish
//	rows := p.Run(streams, merge.All(), 0)
//	defer rows.Close(nil)
//	for body, err := rows.Next(ctx); ; body, err = rows.Next(ctx) { … }
//
// # Exactness
//
// A merger never guesses. Whatever it cannot compare, equate or add exactly as the server
// does makes Compile fail with [ErrNeedsServer]; the statement's Finish then lets a server
// do it. The one thing that is not defined by PostgreSQL either is the order in which
// floats are added.
//
// # Memory
//
// Concat and Ordered keep one row of each shard. Unique does too if the order brings equal
// rows together; otherwise it keeps the key of each row it has passed, and Aggregate keeps
// each group. Beyond the limit given to Run they fail with 54000 and a hint.
package merge
