// Package walsender is the server's side of logical replication: it parses replication
// commands and streams changes as PostgreSQL's walsender does, so that a PostgreSQL can
// subscribe to a program that is none.
//
// [Stream] sends transactions, wherever they come from, to one subscriber. A [Publisher]
// has tables in memory, keeps what its subscribers have not confirmed, and serves
// connections: commands, the questions that a subscriber asks of the catalog, the initial
// copy, and the stream.
package walsender
