// Package native runs real PostgreSQL servers: it finds or fetches the programs, makes
// data directories from a cached initdb, and starts and stops the postmaster.
//
// # Flow
//
// [Engine.Start] resolves the directory and takes its lock, chooses the runtime
// ([Engine.Select]), makes the data directory if there is none ([Engine.Create]: a copy of
// what initdb made once, beside its place and then renamed), and runs postgres itself
// rather than pg_ctl, with all settings on the command line. It waits for postmaster.pid
// to say "ready" and connects once.
//
// # What is where
//
// Beside the data directory DIR, in place.Control(DIR): owner.lock, held while a server
// runs, with the postmaster's process id in it; postmaster.log and, when that has grown
// beyond 1 MB, postmaster.log.1; superuser, the name of the superuser where we know it.
// In place.Run(DIR): the unix socket. In place.Cache: initdb/KEY, results of initdb;
// runtimes/VERSION, what [Engine.Install] fetched; versions, what programs said they are.
//
// # Life of a server
//
// The postmaster is a child of the calling process and ends with it: by the parent's death
// signal on Linux, elsewhere by a helper process that waits at a pipe. What a killed
// process leaves (a postmaster about to end, its pid file, unfinished directories) the next
// Start in the same place clears away.
//
// # Root
//
// PostgreSQL does not run as root. For root the engine runs it in a user namespace in
// which root is an ordinary user; the files stay root's. This is no sandbox: what uid 0
// owns, the server may read and write. Where the system forbids it, the server runs as
// the owner of the directory, or as the user postgres or nobody, who are given it and,
// where root keeps them out of directories in the way, the capability to pass.
package native
