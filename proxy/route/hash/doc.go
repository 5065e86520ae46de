// Package hash computes PostgreSQL's partition hash: the number by which PARTITION BY HASH
// finds the partition of a row, so that a shard holds exactly what the partition of the same
// modulus and remainder would hold.
//
// [Hash] hashes one value given in text or binary format, [Row] combines the columns of a
// key, [Sha1] is PgDog's other function. Everything here mirrors src/common/hashfn.c and the
// extended hash support functions (hash_any_extended and friends, pg_amproc.amprocnum 2)
// of PostgreSQL, on little-endian machines; values that it cannot read exactly (a date in
// another DateStyle, a timestamptz without its zone) are errors, never guesses.
package hash
