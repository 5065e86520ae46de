// Package wasm runs a real PostgreSQL 18 inside this process: no program installed, no
// cgo, nothing listening. PostgreSQL is compiled to WebAssembly (the PGlite package) and
// runs on wazero.
//
// [New] gives an engine for engines.Start; [Open] and [OpenTemp] give a [DB] with
// everything that an embedded database is asked for. Temporary servers start from a
// snapshot of a booted one, in some milliseconds, over a copy-on-write view of its files.
//
// [Server.Clone] and [DB.Clone] copy a running server with its memory, in some tens of
// milliseconds; [Server.Freeze] and [Engine.Thaw] do so by way of a directory. [DB.DumpSQL]
// writes SQL, by pg_dump compiled to WebAssembly.
//
// Go cannot interrupt a guest, but guests come to Go by themselves: where PostgreSQL looks
// for interrupts they do so about every half millisecond. So long statements neither hold up
// the garbage collector nor, on every processor at once, the rest of the process. What does
// not look for interrupts holds them up while it lasts: the digest of a very large value, for
// instance, or the sorting of a large array.
//
// What a session has stays PostgreSQL's own while its client waits: its statements, channels
// and sequences are put away as the pointers that they hang on, and its parameters are set
// anew. So nothing is prepared again, and no SQL is read here. Who must give a session to
// another server, as a proxy must, follows it with package wire/session instead.
//
// # What bounds its speed
//
// The code that wazero makes does. Of the CPU time of an aggregate, a join or a PL/pgSQL loop
// over 100,000 rows and more, 92 % is spent in it; of a sort that spills to disk 86 %, of an
// insert 83 %, of building an index 80 %. The rest is mostly the kernel's copying of blocks: a
// statement calls the host once for each block of 8 kB that is read or written, and no more
// than every half millisecond otherwise, never for each row, and setjmp costs only those that
// catch errors. wazero compiles each function for itself, inlines nothing, and compares every
// address with the size of the memory. Only errors are different: 38 % of an error's time is
// Go's, which unwinds the guest's stack.
//
// That part is flat: PostgreSQL's interpreter of expressions, one function of 38 kB, has a
// tenth of most statements' time, quicksort a tenth of those that sort, and no other more than
// some hundredths. What was tried against it, in CPU time and in turns, is not in use where it
// did not help: leaving out the countdowns for interrupts gives 0 to 2 %, and nothing on
// aggregates and joins; huge pages for machine code and for the guest's memory (MADV_HUGEPAGE,
// MADV_COLLAPSE), shared_buffers of 8 to 64 MB and work_mem of 4 to 32 MB all stay within the
// noise of 3 %. A memory that the module owns, instead of importing it, does help, by up to a
// tenth, and is in use.
//
// A new process has its first row after a tenth of a second of CPU time: it reads machine code, and an
// outline of the module that it is for, from the compile cache (see Config.Cache); half of that
// time is the kernel's copying and wazero's checksum of 38 MB.
//
// # What differs from a server
//
// There is one backend. Clients take turns on it, between transactions, and each has its
// own parameters, prepared statements, role, search_path, sequences' currval and
// channels. A client in a transaction keeps the others waiting, and so does one that has
// temporary tables, session-level advisory locks or a cursor WITH HOLD; who waits longer
// than Config.Wait gets an error (SQLSTATE 55P03). It follows that:
//
//   - pg_backend_pid() is the same for all; the process id that a client is told at
//     connection, and with notifications, is its own, and is good for cancelling only.
//   - pg_stat_activity has one row, and locks never wait for another client.
//   - transaction-level advisory locks always succeed.
//   - Text from clients in a multibyte encoding other than UTF8 is refused (0A000), and so
//     are conversions from one: the package has no code for it.
//   - setseed concerns random() of all clients.
//   - One database is served at a time: another one can be connected to when the first
//     has no clients.
//   - Any client may become the superuser with SET SESSION AUTHORIZATION: there is no
//     protection between clients, who are all in, or let in by, this process.
//   - There is no autovacuum, no replication, no archiving, no COPY PROGRAM.
//   - All clusters made by one version of this program share a system identifier.
package wasm
