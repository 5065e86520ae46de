// Package proxy stands between PostgreSQL's clients and servers: few server connections serve
// many clients, each for a transaction at a time, and a client does not notice.
//
// # Flow
//
//	accept ─ TLS ─ login (package pgserver) ─► session
//
//	client ─► frames ─► what it asks for is queued ─► server connection of a pool ─► server
//	client ◄─ frames ◄─ the queue says what answers what ◄─────────────────────────┘
//	                    └─ ReadyForQuery 'I', nothing queued, nothing pinned: the
//	                       connection goes to the next client
//
// Bytes are forwarded as they came. Only the headers of messages are looked at, and the bodies
// of those few that name prepared statements or tell about the session's state.
//
// # One session, two sides
//
// The client's side reads from the client and writes to the server; the server connection's
// side reads from the server and writes to the client. So neither can block the other, whatever
// COPY, pipelines and Flush do. What both need to know is in the session under one lock, which
// nobody holds while he waits.
//
// There are two transports, which run the same code. By goroutines each side has one, which
// waits where it has to. By epoll (package loop, see evented.go) a few threads call the sides
// of all sessions when there is something to read, and a session that would have to wait
// stalls: its client is not listened to until what it waits for is there. A pool answers who
// asks for a connection without a goroutine in one order with those who wait (pool.Ask), a peer
// that is slow stops the other one, and what takes a dialogue with the server, as parameters
// that differ, is done by a goroutine meanwhile. TLS is spoken over either. Sessions for
// replication, those whose statements somebody judges, and connections that are not the system's
// sockets, are for goroutines.
//
// What is asked for nearly always, one plain query or one series of the unnamed statement that comes
// whole, finds a connection idle and is answered whole, goes a short way through the same state (see
// express.go).
//
// # Several shards
//
// A session of a database on several shards is a scatter.Session, which a goroutine calls with one
// message after the other, and which waits for servers where it has to. A loop has such a session
// while it is at rest (see direct.go). What comes then and concerns one shard, of which the router
// has a plan already, the loop sends there itself and passes the answer on: scatter tells what goes
// to the server and what of its answer to the client, as the goroutine would have it. All else, and
// all of a transaction, is for a goroutine that is begun for it, reads and writes by the loop's
// leave (see patient.go), and gives the session back when it is at rest again.
//
// # What a client must not notice
//
// Parameters: package effect reads SET and its like from the statements; what a client wants
// is compared with what a connection has when it gets one, and only what differs is set.
// Prepared statements: the same text has the same name on every server connection, whoever
// prepares it; a connection that lacks a statement is given it before it is used. What cannot
// be carried over (advisory locks, temporary tables, LISTEN, …) pins the connection to its
// client until the server says that nothing of it is left.
package proxy
