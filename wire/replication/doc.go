// Package replication speaks PostgreSQL's replication protocol, as a client and as a
// server: base backups, streams of write-ahead log, and streams of logical changes.
package replication
