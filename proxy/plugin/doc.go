// Package plugin runs routing plugins: WebAssembly modules that see what is known of a
// query and may choose its shard or its role, or block it.
//
// A module sees nothing but its own memory, which is bounded, for a bounded time. It is
// given no files, no clock, no network and no environment: the only function it may import
// is pgx.log. One that runs for too long, traps or breaks the rules fails the query, since
// nobody knows what it would have said, and is started anew for the next one.
//
// # Protocol
//
// Version 1. Numbers are little-endian, i32 are addresses and lengths in the module's
// memory.
//
//	the module exports                       when it is called
//	memory
//	pgx_abi() -> i32                         once; it must return 1
//	pgx_alloc(size i32) -> i32               before it is given something longer than before:
//	                                         the address of size bytes that stay its own
//	pgx_init(ptr i32, len i32) -> i32        once, with [[plugins]] config; 0 is well (optional)
//	pgx_route(ptr i32, len i32) -> i64       for each query; the verdict
//	pgx_message() -> i64                     after it has blocked: address << 32 | length of a
//	                                         text in UTF-8 for the client (optional)
//	the module may import
//	pgx.log(ptr i32, len i32)                writes a text to the proxy's log
//
// A request begins with 64 bytes; offsets count from its beginning.
//
//	 0 u32 version, 1
//	 4 u32 kind: 0 other, 1 SELECT, 2 INSERT, 3 UPDATE, 4 DELETE, 5 DDL, 6 COPY, 7 SET and SHOW,
//	       8 BEGIN and its like
//	 8 u32 flags: 1 reads only, 2 within a transaction, 4 by the extended protocol
//	12 u32 how many shards there are
//	16 u32 offset, u32 length: the query's text
//	24 u32 offset, u32 length: the database's name
//	32 u32 offset, u32 length: the user's name
//	40 u32 offset, u32 count: tables, each u32 offset, u32 length of its name
//	48 u32 offset, u32 count: values of sharding keys, each u32 offset, u32 length of the table,
//	       the column, the value as text; a length of 0xFFFFFFFF is NULL
//	56 u32 offset, u32 count: parameters, each u32 offset, u32 length as they came; a length of
//	       0xFFFFFFFF is NULL
//
// A verdict is 64 bits.
//
//	bits  0-7   0: go on, 1: block
//	bits  8-15  role: 0 no opinion, 1 primary, 2 replica
//	bits 16-31  0
//	bits 32-63  shard, signed: -1 no opinion, -2 all shards
//
// So 0xFFFFFFFF00000000 is no opinion at all. Modules have several instances, which share
// nothing: what one call leaves in memory, another one may or may not find.
package plugin
