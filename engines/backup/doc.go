// Package backup copies native clusters: clones of running ones, base backups beside a
// continuous archive of the write-ahead log, and restores from those to any point in time
// (PostgreSQL documentation, "Continuous Archiving and Point-in-Time Recovery").
//
// A backup directory belongs to one cluster and holds
//
//	backup.json      whose it is
//	data.0000000001  base backups, complete data directories, numbered upward
//	wal/             the archived segments
//	lock             held while a base backup is taken or removed
//
// Everything in it is written under another name, flushed and renamed, so that a kill or a
// full disk leaves nothing that looks complete and is not.
package backup
