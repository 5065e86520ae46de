package conf

import (
	"cmp"
	"time"
)

// Admin says who may use the admin database.
type Admin struct {
	// Name is the admin database's name. Default: admin.
	Name string `toml:"name"`
	// User is who may use it. Default: admin.
	User string `toml:"user"`
	// Password is that user's password. Default: a random one, so that nobody may, but for
	// the proxy's own user on its Unix socket.
	Password string `toml:"password"`
}

// TCP is how connections over TCP are set up.
type TCP struct {
	// Keepalive asks the system to probe connections. Default: true.
	Keepalive bool `toml:"keepalive"`
	// Time is how long a connection is idle before it is probed. Default: 0, 15s.
	Time time.Duration `toml:"time"`
	// Interval is the time between probes. Default: 0, 15s.
	Interval time.Duration `toml:"interval"`
	// Retries is how many probes may stay without an answer. Default: 0, 9.
	Retries int `toml:"retries"`
	// UserTimeout is how long sent data may stay unacknowledged (Linux). Default: 0, the
	// system's.
	UserTimeout time.Duration `toml:"user_timeout"`
	// CongestionControl is the congestion control to use (Linux). Default: the system's.
	CongestionControl string `toml:"congestion_control"`
}

// Memory is how large buffers are.
type Memory struct {
	// NetBuffer is the size of PgDog's buffers for reading, in bytes. Ours are there only while there
	// is something in them: the value makes no difference. Default: 4096.
	NetBuffer int `toml:"net_buffer"`
	// MessageBuffer is the size that buffers for messages shrink back to, in bytes.
	// Default: 4096.
	MessageBuffer int `toml:"message_buffer"`
	// StackSize is the size of PgDog's stacks. Ours grow as needed: the value makes no
	// difference.
	StackSize int `toml:"stack_size"`
}

// Rewrite is what may be done to statements that one shard cannot run as they are.
type Rewrite struct {
	// Enabled allows it. Default: false.
	Enabled bool `toml:"enabled"`
	// ShardKey is for UPDATEs of the sharding key: error or rewrite (the row moves). Default:
	// error.
	ShardKey RewriteMode `toml:"shard_key"`
	// SplitInserts is for INSERTs of rows that belong to several shards: error or rewrite.
	// Default: error.
	SplitInserts RewriteMode `toml:"split_inserts"`
	// PrimaryKey is for INSERTs without the BIGINT primary key: error, rewrite (a unique id
	// is put in), rewrite_omni (into omnisharded tables only) or ignore. Default: ignore.
	PrimaryKey RewriteMode `toml:"primary_key"`
}

// MultiTenant is the check that queries name their tenant.
type MultiTenant struct {
	// Column is the column that each query has to compare with a value. Default: none, no
	// check.
	Column string `toml:"column"`
}

// ReplicaLag is the older form of general.ban_replica_lag.
type ReplicaLag struct {
	// CheckInterval is how often lag is measured. Default: 0s, as lsn_check_interval.
	CheckInterval time.Duration `toml:"check_interval"`
	// MaxAge is how far a replica may be behind. Default: 0s, as ban_replica_lag.
	MaxAge time.Duration `toml:"max_age"`
}

// Replication is for moving data between servers.
type Replication struct {
	// PgDumpPath is the pg_dump to use. Default: pg_dump.
	PgDumpPath string `toml:"pg_dump_path"`
}

// OTel is the export of metrics by OpenTelemetry. It is not supported.
type OTel struct {
	// Endpoint is where metrics are sent.
	Endpoint string `toml:"endpoint"`
	// Namespace is put before the metrics' names.
	Namespace string `toml:"namespace"`
	// Headers are sent along.
	Headers map[string]string `toml:"headers"`
	// DatadogAPIKey is Datadog's.
	DatadogAPIKey string `toml:"datadog_api_key"`
	// PushInterval is how often they are sent.
	PushInterval time.Duration `toml:"push_interval"`
}

// A Mirroring copies one database's traffic to another.
type Mirroring struct {
	// SourceDB is the database whose traffic is copied.
	SourceDB string `toml:"source_db"`
	// DestinationDB is where it is sent.
	DestinationDB string `toml:"destination_db"`
	// QueueLength is how many transactions may wait. Default: as mirror_queue.
	QueueLength *int `toml:"queue_length"`
	// Exposure is the part of the traffic that is copied. Default: as mirror_exposure.
	Exposure *float64 `toml:"exposure"`
	// Level is what is copied: all, ddl or dml. Default: all.
	Level MirrorLevel `toml:"level"`
}

// A Peer is another proxy that clients may reach at the same address: cancel requests for its
// clients are passed on to it.
type Peer struct {
	// ID is its pgbouncer.peer_id, 1 to 1023. The proxy's own may be among the peers.
	ID int `toml:"id"`
	// Host is where it alone listens: a name, an address, or the directory of its Unix socket.
	Host string `toml:"host"`
	// Port is its port. Default: 6432.
	Port uint16 `toml:"port"`
	// PoolSize is how many requests may be on their way to it. Default: 100.
	PoolSize int `toml:"pool_size"`
}

// PortNumber returns the port.
func (p *Peer) PortNumber() uint16 { return cmp.Or(p.Port, 6432) }

// MaxPeer is the greatest number of a peer.
const MaxPeer = 1023

// A Plugin is a WebAssembly module that may route or refuse queries.
type Plugin struct {
	// Name is the module's file, without .wasm.
	Name string `toml:"name"`
	// Path is the module's file, if name does not say it. Not PgDog's.
	Path string `toml:"path"`
	// Config is given to the module when it starts. Default: none.
	Config string `toml:"config"`
}

// A QueryParser sets the parser for one database.
type QueryParser struct {
	// Database is the database's name.
	Database string `toml:"database"`
	// Level is as general.query_parser.
	Level ParserLevel `toml:"level"`
	// Engine is as general.query_parser_engine.
	Engine ParserEngine `toml:"engine"`
}

// A ManualQuery is a query that an operator pinned. It is not supported.
type ManualQuery struct {
	// Fingerprint is PgDog's fingerprint of the query.
	Fingerprint string `toml:"fingerprint"`
}

// File returns the module's file.
func (p *Plugin) File() string {
	if p.Path != "" {
		return p.Path
	}
	return p.Name + ".wasm"
}
