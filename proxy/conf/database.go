package conf

import "time"

// A Database is one server of a database. Entries with the same name make up one database:
// its shards, and each shard's primary and replicas. What is not set is as in [General].
type Database struct {
	// Name is the database's name for clients.
	Name string `toml:"name"`
	// Host is the server's name or address, or the directory of its Unix socket.
	Host string `toml:"host"`
	// Port is the server's port. Default: 5432.
	Port uint16 `toml:"port"`
	// Role is what the server is: primary, replica, or auto, which asks it. Default: primary.
	Role Role `toml:"role"`
	// DatabaseName is the database's name on the server. Default: as name.
	DatabaseName string `toml:"database_name"`
	// User is who logs in at the server. Default: the client's user.
	User string `toml:"user"`
	// Password is that user's. Default: the client's user's.
	Password string `toml:"password"`
	// Shard is the number of the shard that the server holds, from 0. Default: 0.
	Shard int `toml:"shard"`
	// PoolSize is how many connections a pool opens at most. Default: as default_pool_size.
	PoolSize *int `toml:"pool_size"`
	// MinPoolSize is how many connections a pool keeps open. Default: as min_pool_size.
	MinPoolSize *int `toml:"min_pool_size"`
	// PoolerMode is session, transaction or statement. Default: as pooler_mode.
	PoolerMode PoolerMode `toml:"pooler_mode"`
	// StatementTimeout is PostgreSQL's statement_timeout for each connection. Default: the
	// server's.
	StatementTimeout *time.Duration `toml:"statement_timeout"`
	// LockTimeout is PostgreSQL's lock_timeout for each connection. Default: the server's.
	LockTimeout *time.Duration `toml:"lock_timeout"`
	// IdleTimeout is how long a connection may be idle. Default: as idle_timeout.
	IdleTimeout *time.Duration `toml:"idle_timeout"`
	// ReadOnly makes transactions read-only unless they say otherwise. Default: false.
	ReadOnly *bool `toml:"read_only"`
	// ServerLifetime is the age at which a connection is replaced. Default: as
	// server_lifetime.
	ServerLifetime *time.Duration `toml:"server_lifetime"`
	// ServerLifetimeJitter is by how much that age differs. Default: as
	// server_lifetime_jitter.
	ServerLifetimeJitter *time.Duration `toml:"server_lifetime_jitter"`
	// ReshardingOnly keeps clients away: the server is only copied to. Default: false.
	ReshardingOnly bool `toml:"resharding_only"`
	// LBWeight is the server's part of the reads, from 0 (none) to 255, for
	// weighted_round_robin. Default: 255.
	LBWeight *uint8 `toml:"lb_weight"`
	// RoleConfig are settings by role, which matter when roles change.
	RoleConfig RoleConfig `toml:"role_config"`

	// ReservePoolSize is how many connections a pool may open beyond its size for clients
	// that have waited for pgbouncer.reserve_pool_timeout. Not PgDog's. Default: as
	// pgbouncer.reserve_pool_size.
	ReservePoolSize *int `toml:"reserve_pool_size"`
	// MaxDBConnections limits the connections of all users to this server. Not PgDog's.
	// Default: as pgbouncer.max_db_connections.
	MaxDBConnections *int `toml:"max_db_connections"`
	// AuthUser runs pgbouncer.auth_query for users without an entry. Not PgDog's. Default:
	// as pgbouncer.auth_user.
	AuthUser string `toml:"auth_user"`
	// ConnectQuery is run on each new connection. Not PgDog's. Default: none.
	ConnectQuery string `toml:"connect_query"`
	// Parameters are run-time parameters that each connection starts with, as
	// {application_name = "x"}. Not PgDog's. Default: none.
	Parameters map[string]string `toml:"parameters"`
}

// RoleConfig says how pools differ by the role that their server has at the moment. What is
// not set is as in the database's entry.
type RoleConfig struct {
	// PoolSizePrimary is the size of a primary's pools.
	PoolSizePrimary *int `toml:"pool_size_primary"`
	// PoolSizeReplica is the size of a replica's pools.
	PoolSizeReplica *int `toml:"pool_size_replica"`
	// MinPoolSizePrimary is how many connections a primary's pools keep.
	MinPoolSizePrimary *int `toml:"min_pool_size_primary"`
	// MinPoolSizeReplica is how many connections a replica's pools keep.
	MinPoolSizeReplica *int `toml:"min_pool_size_replica"`
	// IdleTimeoutPrimary is how long a primary's connections may be idle.
	IdleTimeoutPrimary *time.Duration `toml:"idle_timeout_primary"`
	// IdleTimeoutReplica is how long a replica's connections may be idle.
	IdleTimeoutReplica *time.Duration `toml:"idle_timeout_replica"`
}

// DBName returns the database's name on the server.
func (d *Database) DBName() string {
	if d.DatabaseName != "" {
		return d.DatabaseName
	}
	return d.Name
}

// PortNumber returns the server's port.
func (d *Database) PortNumber() uint16 {
	if d.Port == 0 {
		return 5432
	}
	return d.Port
}

// ServerRole returns the role, with its default.
func (d *Database) ServerRole() Role {
	if d.Role == "" {
		return Primary
	}
	return d.Role
}

// Weight returns the server's weight.
func (d *Database) Weight() int {
	if d.LBWeight == nil {
		return 255
	}
	return int(*d.LBWeight)
}
