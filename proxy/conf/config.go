// Package conf holds the proxy's configuration: plain structs under PgDog's section and key
// names, their defaults, what they must satisfy, and what other poolers' files say in
// these terms. It opens no connection.
//
// TOML is decoded into the structs by package config, which knows about files, lines and
// variables; a PgBouncer file is read here, by [ParsePgBouncer].
//
// A pool's setting is decided by, from strongest to weakest: the user's entry, the
// database's, [General]. [Config.Pool] does that.
package conf

// Config says how the proxy works. It is the [proxy] section of pgx-dev.toml, and what a
// pgdog.toml and a users.toml hold together.
type Config struct {
	General   General   `toml:"general"`
	Admin     Admin     `toml:"admin"`
	TCP       TCP       `toml:"tcp"`
	Memory    Memory    `toml:"memory"`
	Rewrite   Rewrite   `toml:"rewrite"`
	PgBouncer PgBouncer `toml:"pgbouncer"`

	MultiTenant MultiTenant `toml:"multi_tenant"`
	ReplicaLag  ReplicaLag  `toml:"replica_lag"`
	Replication Replication `toml:"replication"`
	OTel        OTel        `toml:"otel"`

	// Databases are the servers that make up each database, one entry a server.
	Databases []Database `toml:"databases"`
	// Users are those who may log in.
	Users []User `toml:"users"`
	// ShardedTables name the columns that decide on which shard a row is.
	ShardedTables []ShardedTable `toml:"sharded_tables"`
	// ShardedMappings map values of sharded columns to shards; [[sharded_tables.mapping]]
	// says the same more shortly.
	ShardedMappings []ShardedMapping `toml:"sharded_mappings"`
	// ShardedSchemas put all tables of a schema on one shard.
	ShardedSchemas []ShardedSchema `toml:"sharded_schemas"`
	// OmnishardedTables are tables of which every shard holds all rows.
	OmnishardedTables []OmnishardedTables `toml:"omnisharded_tables"`
	// Mirroring copies traffic from one database to another.
	Mirroring []Mirroring `toml:"mirroring"`
	// Peers are other proxies that clients may reach at the same address. Not PgDog's.
	Peers []Peer `toml:"peers"`
	// Plugins are WebAssembly modules that may route or refuse queries.
	Plugins []Plugin `toml:"plugins"`
	// QueryParsers set the parser's level for single databases.
	QueryParsers []QueryParser `toml:"query_parsers"`
	// ManualQueries are queries that an operator pinned by fingerprint. They are not
	// supported.
	ManualQueries []ManualQuery `toml:"manual_queries"`

	// Vault is where credentials come from. It is not supported.
	Vault map[string]any `toml:"vault"`
	// Control is the connection to PgDog's control plane. It is not supported.
	Control map[string]any `toml:"control"`
	// QoS limits queries in PgDog's Enterprise Edition. It is not supported.
	QoS map[string]any `toml:"qos"`
}

// DefaultAdmin is the admin database's name unless another one is given.
const DefaultAdmin = "admin"

// DefaultConfig returns the configuration that an empty file gives: PgDog's defaults, but
// for the address to listen on, which is the loopback.
func DefaultConfig() Config {
	return Config{
		General:     defaultGeneral(),
		Admin:       Admin{Name: DefaultAdmin, User: "admin"},
		TCP:         TCP{Keepalive: true},
		Memory:      Memory{NetBuffer: 4096, MessageBuffer: 4096, StackSize: 2 << 20},
		Rewrite:     Rewrite{ShardKey: RewriteError, SplitInserts: RewriteError, PrimaryKey: RewriteIgnore},
		Replication: Replication{PgDumpPath: "pg_dump"},
		PgBouncer:   defaultPgBouncer(),
	}
}

// PgDogDefaults returns the configuration that an empty pgdog.toml gives: as
// [DefaultConfig], listening on every address.
func PgDogDefaults() Config {
	c := DefaultConfig()
	c.General.Host, c.General.LogLevel = "0.0.0.0", "info"
	return c
}
