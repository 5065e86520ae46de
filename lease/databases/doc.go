// Package databases is the source of leases that are databases on one PostgreSQL server:
// a cluster of ours, or any server by its URL.
//
// # Template
//
// Migrations are run once, in a database that becomes the template of all others. Its name
// holds the hash of everything that it was made from, so changed migrations make another
// one. It is built under an advisory lock, in a database of another name, which is renamed
// when all is done: a template that can be seen is complete. Templates that nobody uses are
// dropped after a week, or when three newer ones of the same pool are there.
//
// # Databases
//
// A database is called PREFIX, "lx", six hex digits for the server process that made it,
// "_" and a number. No name is lent twice, unless the policy is "none": a process that was
// left over from an earlier lease cannot reach a later one's database. Every server
// process holds an advisory lock; where it can be taken by another, its databases are
// dropped.
//
// # After a lease
//
// Sessions are ended, and the database is renamed, so that no one can come back. Prepared
// transactions are rolled back, replication slots and subscriptions dropped. Then, by
// policy, it is dropped, or cleaned and lent again.
//
// Clean means: the counters of pg_stat_database stand where they stood, every sequence is
// where the template has it, and there are no settings of roles or for the database. The
// counters see rolled back changes, DDL and TRUNCATE too. Where they moved, the system
// catalogs' row versions tell whether there was DDL, and the tables' own counters which of
// them have changed; only tables that are empty in the template can be cleaned. Before
// PostgreSQL 15 counters travel by datagrams and may be late or lost, so nothing can be
// proved, and every database is made again. A session that turned track_counts off is not
// seen.
package databases
