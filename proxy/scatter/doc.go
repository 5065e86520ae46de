// Package scatter carries out, over several servers, what package route decided: it is the
// session of a client whose database is divided into shards.
//
// # Flow
//
//	client's message ─► Session.Handle ─► route.Router.Route ─► Decision
//	                                                              │
//	   one shard: the client's own messages, and the server's back ◄─┤
//	   several:   each its part, joined by package merge           ◄─┘
//
// A [Session] is a state machine that is handed the messages of an authenticated client one
// by one and writes the answers to a [wire.Writer]. It takes server connections through
// [Servers] when a statement needs them, begins transactions on them when they join the
// client's, and gives them back when neither a transaction nor a portal needs them. It starts
// no goroutine of its own: while one shard's rows are read, the others work until their sockets are
// full, so that a slow client holds back every shard.
//
// # Transactions
//
// BEGIN is answered at once; a shard joins the transaction with the first statement that
// concerns it, after the settings and savepoints that came before. An error on one shard
// fails the transaction on all. COMMIT of a transaction that wrote on several shards is a
// two-phase commit, by the [Committer] in the configuration; without one, shards commit one
// after the other, and an error names those that had committed when it happened.
//
// Sessions that wait for each other on several shards are found by an executor that is told who
// waits for whom ([Config.Waits]): one of them fails with 40P01.
//
// Snapshots of different shards are taken one by one: a transaction that is committed
// meanwhile on two shards may be seen on one of them only.
//
// # Rows that a server must join
//
// Where no shard has all the rows that an expression, an order by a collation or a join
// needs, they are fetched, and handed to one server as array parameters of one query
// (see gather.Finish). They are held in memory meanwhile, up to the configured limit. Rows
// that need a server only for their order pass through in pages: each shard has a portal, and
// one of the servers is asked for the order of the keys at hand between the pages.
//
// # Steps
//
// A statement that no shard can carry out by itself, though its parts can be, goes in steps:
// each is routed by itself, and finds the rows of those before it in its text.
package scatter
