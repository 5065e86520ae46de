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
// # One session, two goroutines
//
// The client's goroutine reads from the client and writes to the server; the server
// connection's goroutine reads from the server and writes to the client. So neither side can
// block the other, whatever COPY, pipelines and Flush do. What both need to know is in the
// session under one lock, which nobody holds while he reads or writes.
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
