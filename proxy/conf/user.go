package conf

import (
	"slices"
	"time"
)

// A User is somebody who may log in. What is not set is as in the database's entry, else
// as in [General].
type User struct {
	// Name is the user's name.
	Name string `toml:"name"`
	// Database is the database that the user may use.
	Database string `toml:"database"`
	// Databases are further ones.
	Databases []string `toml:"databases"`
	// AllDatabases lets the user use every database. Default: false.
	AllDatabases bool `toml:"all_databases"`
	// Password is what the user logs in with, at the proxy and, unless there is a
	// server_password, at the servers.
	Password string `toml:"password"`
	// Passwords are further ones, so that one can be replaced while clients still use it.
	Passwords []string `toml:"passwords"`
	// PasswordHash is a SCRAM verifier ("pgx-dev proxy hash" makes one) in the password's
	// place. The servers then need a server_password, or trust.
	PasswordHash string `toml:"password_hash"`
	// AuthType is how the user logs in. Default: as auth_type.
	AuthType AuthType `toml:"auth_type"`
	// Identity is the common name of a client certificate that is enough to log in.
	Identity string `toml:"identity"`
	// TLSClientCertificateRequired demands a client certificate where
	// tls_client_ca_certificate is set. Default: true.
	TLSClientCertificateRequired *bool `toml:"tls_client_certificate_required"`
	// PoolSize is how many connections a pool of the user opens at most.
	PoolSize *int `toml:"pool_size"`
	// MinPoolSize is how many connections a pool of the user keeps open.
	MinPoolSize *int `toml:"min_pool_size"`
	// PoolSizePrimary is the pool's size at a primary.
	PoolSizePrimary *int `toml:"pool_size_primary"`
	// PoolSizeReplica is the pool's size at a replica.
	PoolSizeReplica *int `toml:"pool_size_replica"`
	// MinPoolSizePrimary is how many connections a pool at a primary keeps.
	MinPoolSizePrimary *int `toml:"min_pool_size_primary"`
	// MinPoolSizeReplica is how many connections a pool at a replica keeps.
	MinPoolSizeReplica *int `toml:"min_pool_size_replica"`
	// IdleTimeoutPrimary is how long a primary's connections may be idle.
	IdleTimeoutPrimary *time.Duration `toml:"idle_timeout_primary"`
	// IdleTimeoutReplica is how long a replica's connections may be idle.
	IdleTimeoutReplica *time.Duration `toml:"idle_timeout_replica"`
	// PoolerMode is session, transaction or statement.
	PoolerMode PoolerMode `toml:"pooler_mode"`
	// ServerUser is who logs in at the servers. Default: as name.
	ServerUser string `toml:"server_user"`
	// ServerPassword is that user's password. Default: as password.
	ServerPassword string `toml:"server_password"`
	// ServerAuth is how: password. Cloud identities and Vault are not supported.
	ServerAuth ServerAuth `toml:"server_auth"`
	// ServerIAMRegion is for rds_iam, which is not supported.
	ServerIAMRegion string `toml:"server_iam_region"`
	// ServerIAMAssumeRole is for rds_iam, which is not supported.
	ServerIAMAssumeRole string `toml:"server_iam_assume_role"`
	// ServerVaultPath is for Vault, which is not supported.
	ServerVaultPath string `toml:"server_vault_path"`
	// VaultPath is for Vault, which is not supported.
	VaultPath string `toml:"vault_path"`
	// VaultRefreshPercent is for Vault, which is not supported.
	VaultRefreshPercent *uint8 `toml:"vault_refresh_percent"`
	// StatementTimeout is PostgreSQL's statement_timeout for each connection.
	StatementTimeout *time.Duration `toml:"statement_timeout"`
	// LockTimeout is PostgreSQL's lock_timeout for each connection.
	LockTimeout *time.Duration `toml:"lock_timeout"`
	// ReplicationMode lets the user speak the replication protocol through the proxy.
	// Default: false.
	ReplicationMode bool `toml:"replication_mode"`
	// ReplicationSharding is the database whose sharding filters what such a user receives.
	ReplicationSharding string `toml:"replication_sharding"`
	// IdleTimeout is how long a connection may be idle.
	IdleTimeout *time.Duration `toml:"idle_timeout"`
	// ReadOnly makes transactions read-only unless they say otherwise. Default: false.
	ReadOnly *bool `toml:"read_only"`
	// SchemaAdmin is the user by whom schemas are changed when data move. Default: false.
	SchemaAdmin bool `toml:"schema_admin"`
	// CrossShardDisabled refuses the user's queries that need several shards.
	CrossShardDisabled *bool `toml:"cross_shard_disabled"`
	// TwoPhaseCommit commits the user's transactions in two phases.
	TwoPhaseCommit *bool `toml:"two_phase_commit"`
	// TwoPhaseCommitAuto does so for single statements.
	TwoPhaseCommitAuto *bool `toml:"two_phase_commit_auto"`
	// ServerLifetime is the age at which a connection is replaced.
	ServerLifetime *time.Duration `toml:"server_lifetime"`
	// ServerLifetimeJitter is by how much that age differs.
	ServerLifetimeJitter *time.Duration `toml:"server_lifetime_jitter"`

	// ReservePoolSize is as in the databases' entries. Not PgDog's.
	ReservePoolSize *int `toml:"reserve_pool_size"`
	// MaxUserConnections limits the user's connections to all servers together. Not PgDog's.
	// Default: as pgbouncer.max_user_connections.
	MaxUserConnections *int `toml:"max_user_connections"`
	// MaxUserClientConnections limits the user's clients. Not PgDog's. Default: as
	// pgbouncer.max_user_client_connections.
	MaxUserClientConnections *int `toml:"max_user_client_connections"`
}

// MayUse reports whether the user may use a database.
func (u *User) MayUse(database string) bool {
	return u.AllDatabases || u.Database == database || slices.Contains(u.Databases, database)
}

// AllPasswords returns the user's passwords, the first one first.
func (u *User) AllPasswords() []string {
	if u.Password == "" {
		return u.Passwords
	}
	return append([]string{u.Password}, u.Passwords...)
}
