// Package servers is the source of leases that are whole servers, one for each.
//
// # Template
//
// The migrations are run once, in a server that is then frozen: its data, and the memory of
// a backend that was started on them, go into a directory whose name holds the hash of
// everything that they were made from. It is made beside its place, under a lock, and moved
// there, so that a template that can be seen is complete. Processes share it. Templates
// that nobody uses are removed after a week, or when three newer ones of the same pool, or
// twelve of all, are there; servers that run read from theirs.
//
// # Servers
//
// Every lease is a server of its own that starts from the template within milliseconds and
// shares with it what it does not change. The database in it has the same name in all of
// them: the pool's prefix without its last "_". The lease's own name is the prefix, "lx",
// six hex digits for the process, "_" and a number, as with databases on one server; it
// leads nowhere by itself, so clients that read nothing but the name need the pool's
// listening address.
//
// Other processes reach a server by its unix socket, of mode 0600 in a directory of mode
// 0700. It is inside this process and ends with it, however that ends.
//
// # After a lease
//
// The server is closed and forgotten: the next one costs no more than proving that the
// last one is clean. Under the policy "none" its clients' sessions end, and it is lent
// again as it is. A server that was kept runs on until the pool is closed, or eight others
// have been kept after it.
package servers
