package sharding

import "github.com/pgx-dev/pgx-dev/proxy/route/hash"

// MaxShards is the greatest number of shards.
const MaxShards = 256

// A Config describes how tables are divided. A table that no entry matches is omnisharded:
// every shard holds all of it.
type Config struct {
	// Shards is the number of shards, which are numbered from 0.
	Shards int
	// Tables are the sharded tables.
	Tables []Table
	// Omni are tables (name, or schema.name) of which every shard holds all rows, though
	// they have the columns of an entry of Tables that names no table.
	Omni []string
	// Schemas are the schemas whose tables live on one shard each.
	Schemas []Schema
	// LocalFunctions are functions (name, or schema.name) that read nothing but their
	// arguments, or that are meant to see one shard only. Functions in other languages than
	// SQL and PL ones, and immutable ones, need not be named.
	LocalFunctions []string
	// Catalogs says on which shards the system catalogs are read.
	Catalogs Catalogs
}

// A Table is a sharded table, or all tables that have certain columns.
type Table struct {
	// Schema restricts the entry to a schema. Empty: any.
	Schema string
	// Name is the table. Empty: every table that has all of Columns.
	Name string
	// Columns is the sharding key, in the order in which it is hashed. At least one; more
	// only for the Hash function.
	Columns []string
	// Types are the types of the columns, as far as they are known without the schema; one
	// is enough if all are alike. Default: bigint.
	Types []hash.OID
	// Function maps keys to shards. Default: Hash, or Mapped if there are Rules, Centroids
	// if there are such, Lookup if there is a query.
	Function Function
	// Rules are the rules of the Mapped function.
	Rules []Rule
	// Centroids are the vectors whose nearest decides, the i-th for shard i modulo Shards.
	Centroids [][]float32
	// Probes is how many centroids' shards a search by distance asks. 0: all shards, which
	// is the only exact answer.
	Probes int
	// LookupQuery finds what a key maps to: SQL with $1 for the key, run by the caller.
	LookupQuery string
	// LookupValue says that the query's result is a value to be hashed (as Types[1] if
	// there is one, else bigint), rather than a shard's number.
	LookupValue bool
}

// A Function maps keys to shards.
type Function uint8

// The functions.
const (
	// Unset chooses by what else is there.
	Unset Function = iota
	// Hash is PostgreSQL's PARTITION BY HASH with a modulus of the number of shards.
	Hash
	// Sha1 is PgDog's sha1 function.
	Sha1
	// Mapped looks in Rules: lists first, then ranges, then the default.
	Mapped
	// Centroids takes the nearest vector.
	Centroids
	// Lookup asks a table.
	Lookup
	// PerShard is of what every server has of its own, which no configuration places.
	PerShard
)

// String returns the word for explanations.
func (f Function) String() string {
	return [...]string{"unset", "hash", "sha1", "mapping", "centroids", "lookup", "each server's own"}[f]
}

// A Rule maps some keys to a shard.
type Rule struct {
	Kind RuleKind
	// Values are those of a List, as text.
	Values []string
	// Start and End bound a Range: Start ≤ key < End, strings bytewise. Nil: no bound.
	Start, End *string
	// Shard is where the rows are.
	Shard int
}

// A RuleKind says which keys a [Rule] is for.
type RuleKind uint8

// The kinds.
const (
	List RuleKind = iota
	Range
	Default // all other keys, and NULL
)

// A Schema places the tables of a schema on one shard.
type Schema struct {
	// Name is the schema's. Empty: all schemas without an entry but those of the system.
	Name string
	// Shard is where its tables are.
	Shard int
	// All makes the schema's tables omnisharded, whatever the entry without a name says.
	All bool
}
