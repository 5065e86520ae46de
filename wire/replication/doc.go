// Package replication is a client of PostgreSQL's replication protocol: base backups, streams
// of write-ahead log, streams of logical changes, and the slots and publications that these
// need.
//
// # Flow
//
// A replication connection is an ordinary one whose startup message says
// replication=true or replication=database; [Connect] has pgconn open it, with whatever
// dialling, TLS and authentication its configuration asks for. Commands go as simple
// queries:
//
//	client                              server
//	IDENTIFY_SYSTEM, SHOW, …       →  ← a row                                  [Conn.IdentifySystem] …
//	CREATE_REPLICATION_SLOT        →  ← a row                                  [Conn.CreateSlot]
//	BASE_BACKUP                    →  ← row (start), rows (tablespaces),
//	                                    CopyOut (tar archives), row (end)      [Conn.BaseBackup]
//	START_REPLICATION              →  ← CopyBothResponse                       [Conn.StartPhysical],
//	                                  ← XLogData, PrimaryKeepalive …           [Conn.StartLogical],
//	StandbyStatus …                →                                           [Conn.Subscribe]
//	CopyDone                       →  ← CopyDone, CommandComplete
//
// Before PostgreSQL 15 BASE_BACKUP takes its options without parentheses and sends each
// archive as a COPY of its own; since then one COPY has all, in messages that begin with
// 'n' (new archive: name, tablespace), 'm' (manifest), 'd' (data) and 'p' (progress).
//
// Package pgoutput has the format of logical changes, package walsender the server's side.
package replication
