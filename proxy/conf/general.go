package conf

import "time"

// General is what concerns the proxy as a whole, or every pool that has no setting of its
// own. Durations are written as "5s" or, as PgDog does, as a number of milliseconds.
type General struct {
	// Host is the address to listen on. Default: 127.0.0.1; in a pgdog.toml, 0.0.0.0.
	Host string `toml:"host"`
	// Port is the port to listen on. Default: 6432.
	Port uint16 `toml:"port"`
	// Workers is how many threads forward traffic where transport is epoll, but always one
	// less than there are processors. Default: 2; 0 means one.
	Workers int `toml:"workers"`
	// Transport says how connections are driven: epoll (a few threads for all of them, on
	// Linux), goroutine (one or two for each), or auto, which is epoll where there is that.
	// Default: auto.
	Transport Transport `toml:"transport"`

	// DefaultPoolSize is how many connections a pool opens at most. There is a pool for each
	// user of each server. Default: 10.
	DefaultPoolSize int `toml:"default_pool_size"`
	// MinPoolSize is how many connections a pool keeps open. Default: 1.
	MinPoolSize int `toml:"min_pool_size"`
	// PoolerMode says for how long a client keeps a server connection: session, transaction
	// or statement. Default: transaction.
	PoolerMode PoolerMode `toml:"pooler_mode"`

	// HealthcheckInterval is how long a connection may have been idle before it is checked
	// when a client gets it. Default: 30s.
	HealthcheckInterval time.Duration `toml:"healthcheck_interval"`
	// IdleHealthcheckInterval is how often each server is checked in the background.
	// Default: 30s.
	IdleHealthcheckInterval time.Duration `toml:"idle_healthcheck_interval"`
	// IdleHealthcheckDelay is how long after the start the first background check is.
	// Default: 5s.
	IdleHealthcheckDelay time.Duration `toml:"idle_healthcheck_delay"`
	// HealthcheckTimeout is how long a check may take. Default: 5s.
	HealthcheckTimeout time.Duration `toml:"healthcheck_timeout"`
	// HealthcheckPort is a port for load balancers, which answers 200 or 502 by HTTP.
	// Default: 0, none.
	HealthcheckPort uint16 `toml:"healthcheck_port"`
	// RequireHealthcheckOnDiscovery keeps a server whose role has just been found out from
	// serving until it has passed a check. Default: false.
	RequireHealthcheckOnDiscovery bool `toml:"require_healthcheck_on_discovery"`
	// BanTimeout is how long a server that failed is left out. Default: 5m.
	BanTimeout time.Duration `toml:"ban_timeout"`
	// BanReplicaLag is how far a replica may be behind, in time, before it is left out until
	// it has caught up. Default: 0, no limit.
	BanReplicaLag time.Duration `toml:"ban_replica_lag"`
	// BanReplicaLagBytes is the same in bytes of WAL. Default: 0, no limit.
	BanReplicaLagBytes int64 `toml:"ban_replica_lag_bytes"`

	// RollbackTimeout is how long the ROLLBACK of an abandoned transaction may take.
	// Default: 5s.
	RollbackTimeout time.Duration `toml:"rollback_timeout"`
	// ShutdownTimeout is how long clients may go on after the proxy was told to end.
	// Default: 1m.
	ShutdownTimeout time.Duration `toml:"shutdown_timeout"`
	// ShutdownTerminationTimeout is how long queries that are cancelled after
	// shutdown_timeout may take to end. Default: 0, 5s.
	ShutdownTerminationTimeout time.Duration `toml:"shutdown_termination_timeout"`
	// QueryTimeout is how long a query may take. Default: 0, no limit.
	QueryTimeout time.Duration `toml:"query_timeout"`
	// ConnectTimeout is how long connecting to a server may take, with authentication.
	// Default: 5s.
	ConnectTimeout time.Duration `toml:"connect_timeout"`
	// ConnectAttempts is how often connecting is tried before the client is told. Default: 1.
	ConnectAttempts int `toml:"connect_attempts"`
	// ConnectAttemptDelay is the pause between these. Default: 0s.
	ConnectAttemptDelay time.Duration `toml:"connect_attempt_delay"`
	// CheckoutTimeout is how long a client waits for a connection from the pool, and for a
	// primary where none is known. Default: 5s.
	CheckoutTimeout time.Duration `toml:"checkout_timeout"`
	// IdleTimeout is how long a connection above min_pool_size may be idle. Default: 1m.
	IdleTimeout time.Duration `toml:"idle_timeout"`
	// ClientIdleTimeout is how long a client may be silent. Default: 0, no limit.
	ClientIdleTimeout time.Duration `toml:"client_idle_timeout"`
	// ClientIdleInTransactionTimeout is how long it may within a transaction. Default: 0, no
	// limit.
	ClientIdleInTransactionTimeout time.Duration `toml:"client_idle_in_transaction_timeout"`
	// ClientLoginTimeout is how long a client may take to log in. Default: 1m.
	ClientLoginTimeout time.Duration `toml:"client_login_timeout"`
	// ServerLifetime is the age at which a connection is replaced. Default: 24h.
	ServerLifetime time.Duration `toml:"server_lifetime"`
	// ServerLifetimeJitter is by how much that age differs at random, so that connections
	// made together do not end together. Default: 0s.
	ServerLifetimeJitter time.Duration `toml:"server_lifetime_jitter"`

	// LoadBalancingStrategy chooses among replicas: random, round_robin,
	// least_active_connections or weighted_round_robin. Default: random.
	LoadBalancingStrategy LoadBalancing `toml:"load_balancing_strategy"`
	// ReadWriteStrategy is conservative (transactions go to the primary unless they begin READ
	// ONLY) or aggressive (a transaction's first statement decides). Default: conservative.
	ReadWriteStrategy ReadWriteStrategy `toml:"read_write_strategy"`
	// ReadWriteSplit says whether reads may go to the primary: include_primary,
	// exclude_primary, include_primary_if_replica_banned or prefer_primary. Default:
	// include_primary.
	ReadWriteSplit ReadWriteSplit `toml:"read_write_split"`

	// TLSCertificate is a file with the proxy's certificate in PEM. Default: no TLS for
	// clients.
	TLSCertificate string `toml:"tls_certificate"`
	// TLSPrivateKey is a file with the certificate's private key in PEM.
	TLSPrivateKey string `toml:"tls_private_key"`
	// TLSClientRequired refuses clients without TLS. Default: false.
	TLSClientRequired bool `toml:"tls_client_required"`
	// TLSClientCACertificate is a file with the authorities of client certificates in PEM. With it
	// everybody needs one who comes over the network, but those whose
	// tls_client_certificate_required is false.
	// Default: none are asked for.
	TLSClientCACertificate string `toml:"tls_client_ca_certificate"`
	// TLSVerify is how connections to servers are encrypted: disabled, prefer, require (not
	// PgDog's), verify_ca or verify_full. Default: prefer.
	TLSVerify TLSVerify `toml:"tls_verify"`
	// TLSServerCACertificate is a file with the authorities of servers' certificates in PEM.
	// Default: those of the system.
	TLSServerCACertificate string `toml:"tls_server_ca_certificate"`
	// TLSServerCertificate is a file with the certificate shown to servers, in PEM.
	TLSServerCertificate string `toml:"tls_server_certificate"`
	// TLSServerPrivateKey is a file with that certificate's private key in PEM.
	TLSServerPrivateKey string `toml:"tls_server_private_key"`

	// AuthType is how clients log in: scram, md5, plain, trust or, with
	// pgbouncer.auth_hba_file, hba; with pgbouncer.auth_ldap_options, ldap. Default: scram.
	AuthType AuthType `toml:"auth_type"`
	// PassthroughAuth hands clients' passwords to the servers, so that users need no entry:
	// disabled, enabled (over TLS only), enabled_plain, enabled_allow_change or
	// enabled_plain_allow_change. Default: disabled.
	PassthroughAuth PassthroughAuth `toml:"passthrough_auth"`

	// PreparedStatements says which are shared between clients: disabled, extended,
	// extended_anonymous or full. Default: extended.
	PreparedStatements PreparedMode `toml:"prepared_statements"`
	// PreparedStatementsLimit is how many a server connection may have. Default: 0, no limit.
	PreparedStatementsLimit int `toml:"prepared_statements_limit"`
	// PreparedStatementsTTL is how long an unused one is kept. Default: 0, no limit.
	PreparedStatementsTTL time.Duration `toml:"prepared_statements_ttl"`
	// PreparedStatementsTTLJitter is by how much that differs at random. Default: 0s.
	PreparedStatementsTTLJitter time.Duration `toml:"prepared_statements_ttl_jitter"`

	// QueryParser says where SQL is parsed to tell reads from writes: auto, where there are replicas,
	// on, everywhere, or nowhere: off, session_control or session_control_and_locks. On several
	// shards it always is. What changes a session is found without it. Default: auto.
	QueryParser ParserLevel `toml:"query_parser"`
	// QueryParserEnabled is the old name for query_parser = "on". Default: false.
	QueryParserEnabled bool `toml:"query_parser_enabled"`
	// QueryParserEngine is one of PgDog's parsers. There is one parser here: the value makes
	// no difference.
	QueryParserEngine ParserEngine `toml:"query_parser_engine"`
	// RegexParserLimit is up to which length in bytes a query is searched for SET and its
	// like by pattern rather than parsed. Default: 1000.
	RegexParserLimit int `toml:"regex_parser_limit"`
	// QueryCacheLimit is how many parsed statements are kept. Default: 1000.
	QueryCacheLimit int `toml:"query_cache_limit"`
	// QuerySizeLimit is how long a query may be, in bytes. Default: 0, no limit.
	QuerySizeLimit int `toml:"query_size_limit"`
	// QuerySizeLimitAction is warn or block. Default: warn.
	QuerySizeLimitAction SizeAction `toml:"query_size_limit_action"`
	// LogMinDurationParse logs queries that take this long to parse, where they are parsed: with
	// replicas, shards or plugins, and once as long as the plan is kept. Default: 0, none.
	LogMinDurationParse time.Duration `toml:"log_min_duration_parse"`
	// LogQuerySampleLength is how many bytes of a query the log shows that takes long to parse, or
	// longer than query_timeout. Default: 0, none.
	LogQuerySampleLength int `toml:"log_query_sample_length"`
	// QueryLog is a file to which every query is written, without its parameters, as a line of
	// JSON. A reload opens it anew. Default: none.
	QueryLog string `toml:"query_log"`
	// QueryLogStdout writes every query to the log, at level info. Default: false.
	QueryLogStdout bool `toml:"query_log_stdout"`

	// PubSubChannelSize is how many notifications wait for a client before some are lost.
	// Default: 0, 4096.
	PubSubChannelSize int `toml:"pub_sub_channel_size"`
	// MirrorQueue is how many transactions may wait for a mirror before some are dropped.
	// Default: 128.
	MirrorQueue int `toml:"mirror_queue"`
	// MirrorExposure is the part of the traffic that is mirrored. Default: 1.0.
	MirrorExposure float64 `toml:"mirror_exposure"`
	// DryRun finds out, for databases on one server, where each query would go if they were divided
	// as sharded_tables say, and records it for SHOW QUERY_CACHE, without acting on it; what several
	// shards could not answer is logged. Default: false.
	DryRun bool `toml:"dry_run"`
	// CrossShardDisabled refuses queries that need several shards. Default: false.
	CrossShardDisabled bool `toml:"cross_shard_disabled"`
	// ExpandedExplain adds where a query goes to the output of EXPLAIN. Default: false.
	ExpandedExplain bool `toml:"expanded_explain"`
	// SystemCatalogs says on which shards catalogs are read: omnisharded (any),
	// omnisharded_sticky (always the first) or sharded (all, each having a part). Views of
	// statistics have the rows of all shards. Default: omnisharded_sticky.
	SystemCatalogs SystemCatalogs `toml:"system_catalogs"`
	// OmnishardedSticky reads omnisharded tables of a client always on the same shard.
	// Default: false.
	OmnishardedSticky bool `toml:"omnisharded_sticky"`
	// LoadSchema reads the servers' catalogs at the start: on, off (what then cannot be told
	// for sure is refused), or auto, which is where there are shards. Default: auto.
	LoadSchema Switch `toml:"load_schema"`
	// ReloadSchemaOnDDL reads them again after CREATE, ALTER and DROP. Default: true.
	ReloadSchemaOnDDL bool `toml:"reload_schema_on_ddl"`
	// CanonicalizeTypeInformation gives types that have different OIDs on the shards the
	// first shard's. That is always done; false changes nothing. Default: false.
	CanonicalizeTypeInformation bool `toml:"canonicalize_type_information"`
	// ShardingLookupCacheSize is how many results of lookup queries are kept; 0 is none. They
	// are forgotten when a client of this proxy writes a table that the queries read. Default:
	// 10000.
	ShardingLookupCacheSize int `toml:"sharding_lookup_cache_size"`
	// ShardingLookupTimeout is how long a lookup query may take; 0 is without a limit.
	// Default: 5s.
	ShardingLookupTimeout time.Duration `toml:"sharding_lookup_timeout"`

	// TwoPhaseCommit commits transactions that wrote to several shards in two phases.
	// Default: false.
	TwoPhaseCommit bool `toml:"two_phase_commit"`
	// TwoPhaseCommitAuto does so for single statements too. Default: as two_phase_commit.
	TwoPhaseCommitAuto *bool `toml:"two_phase_commit_auto"`
	// TwoPhaseCommitWALDir is where decisions are logged before they are carried out.
	// Default: pgdog_wal.
	TwoPhaseCommitWALDir string `toml:"two_phase_commit_wal_dir"`
	// TwoPhaseCommitWALSegmentSize is the size of that log's files in bytes. Default: 16 MiB.
	TwoPhaseCommitWALSegmentSize int64 `toml:"two_phase_commit_wal_segment_size"`
	// TwoPhaseCommitWALFsyncInterval is for how long decisions are gathered to be written to
	// disk together. Default: 2ms.
	TwoPhaseCommitWALFsyncInterval time.Duration `toml:"two_phase_commit_wal_fsync_interval"`
	// TwoPhaseCommitWALCheckpointInterval is how often the log is shortened; a number is in
	// seconds, as in PgDog. Default: 1m.
	TwoPhaseCommitWALCheckpointInterval Seconds `toml:"two_phase_commit_wal_checkpoint_interval"`

	// ReshardingCopyFormat is binary or text. Default: binary.
	ReshardingCopyFormat CopyFormat `toml:"resharding_copy_format"`
	// ReshardingParallelCopies is how many tables are copied at once from each shard.
	// Default: 1.
	ReshardingParallelCopies int `toml:"resharding_parallel_copies"`
	// ReshardingCopyRetryMaxAttempts is how often a table's copy is tried. Default: 5.
	ReshardingCopyRetryMaxAttempts int `toml:"resharding_copy_retry_max_attempts"`
	// ReshardingCopyRetryMinDelay is the first pause between these. Default: 1s.
	ReshardingCopyRetryMinDelay time.Duration `toml:"resharding_copy_retry_min_delay"`
	// ReshardingReplicationRetryMaxAttempts is how often replication is tried. Default: 5.
	ReshardingReplicationRetryMaxAttempts int `toml:"resharding_replication_retry_max_attempts"`
	// ReshardingReplicationRetryMinDelay is the first pause between these. Default: 1s.
	ReshardingReplicationRetryMinDelay time.Duration `toml:"resharding_replication_retry_min_delay"`
	// CutoverTrafficStopThreshold is the lag in bytes below which a cutover pauses traffic.
	// Default: 1000000.
	CutoverTrafficStopThreshold int64 `toml:"cutover_traffic_stop_threshold"`
	// CutoverReplicationLagThreshold is the lag in bytes at which it may swap databases.
	// Default: 0.
	CutoverReplicationLagThreshold int64 `toml:"cutover_replication_lag_threshold"`
	// CutoverLastTransactionDelay is how long nothing must have been written before that.
	// Default: 1s.
	CutoverLastTransactionDelay time.Duration `toml:"cutover_last_transaction_delay"`
	// CutoverTimeout is how long a cutover may take. Default: 30s.
	CutoverTimeout time.Duration `toml:"cutover_timeout"`
	// CutoverTimeoutAction is what happens then: abort, or cutover all the same. Default:
	// abort.
	CutoverTimeoutAction CutoverAction `toml:"cutover_timeout_action"`
	// CutoverSaveConfig writes the configuration after the swap to disk. Default: false.
	CutoverSaveConfig bool `toml:"cutover_save_config"`

	// UniqueIDMin is added to unique ids. Default: 0.
	UniqueIDMin uint64 `toml:"unique_id_min"`
	// UniqueIDFunction is the layout of unique ids, standard or compact. Default: standard.
	UniqueIDFunction UniqueIDFunction `toml:"unique_id_function"`

	// LSNCheckDelay is how long after the start replicas' lag is first measured. Default:
	// not set, it is measured only if some setting needs it.
	LSNCheckDelay *time.Duration `toml:"lsn_check_delay"`
	// LSNCheckInterval is how often it is measured. Default: 5s.
	LSNCheckInterval time.Duration `toml:"lsn_check_interval"`
	// LSNCheckTimeout is how long that may take; a check asks for both, so the shorter one of this
	// and healthcheck_timeout holds. Default: 5s.
	LSNCheckTimeout time.Duration `toml:"lsn_check_timeout"`
	// DNSTTL is how often servers' names are looked up again, to replace connections whose
	// address is another one now. Default: 0, for new connections only.
	DNSTTL time.Duration `toml:"dns_ttl"`
	// StatsPeriod is over how long averages are taken. Default: 15s.
	StatsPeriod time.Duration `toml:"stats_period"`
	// ConnectionRecovery is what is done with a server connection whose client went away in
	// the middle of something: recover, rollback_only or drop. Default: recover.
	ConnectionRecovery Recovery `toml:"connection_recovery"`
	// ClientConnectionRecovery is what is done with a client that got no server connection:
	// recover (an error is sent) or drop. Default: recover.
	ClientConnectionRecovery Recovery `toml:"client_connection_recovery"`

	// LogFormat is text, json or json_flattened. Default: text.
	LogFormat LogFormat `toml:"log_format"`
	// LogLevel is debug, info, warn, error or off. Default: warn, and info in a pgdog.toml; -v is
	// stronger.
	LogLevel string `toml:"log_level"`
	// LogConnections logs when clients connect. Default: true.
	LogConnections bool `toml:"log_connections"`
	// LogDisconnections logs when they leave. Default: true.
	LogDisconnections bool `toml:"log_disconnections"`
	// LogDedupWindow is the time in which log lines of the same message are counted rather than
	// written. Default: 0s, none are.
	LogDedupWindow time.Duration `toml:"log_dedup_window"`
	// LogDedupThreshold is after how many of them that starts. Default: 0, which is one.
	LogDedupThreshold int `toml:"log_dedup_threshold"`

	// OpenmetricsHost is the address of the metrics endpoint. Default: as host.
	OpenmetricsHost string `toml:"openmetrics_host"`
	// OpenmetricsPort is its port. Default: 0, none.
	OpenmetricsPort uint16 `toml:"openmetrics_port"`
	// OpenmetricsNamespace is put before the metrics' names. Default: none.
	OpenmetricsNamespace string `toml:"openmetrics_namespace"`
	// BroadcastAddress is a multicast address by which instances find each other. It is not
	// supported. Default: none.
	BroadcastAddress string `toml:"broadcast_address"`
	// BroadcastPort is its port. Default: 6433.
	BroadcastPort uint16 `toml:"broadcast_port"`
}

func defaultGeneral() General {
	const (
		sec = time.Second
		min = time.Minute
	)
	return General{
		Host: "127.0.0.1", Port: 6432, Workers: 2, Transport: TransportAuto,
		DefaultPoolSize: 10, MinPoolSize: 1, PoolerMode: Transaction,
		HealthcheckInterval: 30 * sec, IdleHealthcheckInterval: 30 * sec, IdleHealthcheckDelay: 5 * sec,
		HealthcheckTimeout: 5 * sec, BanTimeout: 5 * min,
		RollbackTimeout: 5 * sec, ShutdownTimeout: min, ConnectTimeout: 5 * sec, ConnectAttempts: 1,
		CheckoutTimeout: 5 * sec, IdleTimeout: min, ClientLoginTimeout: min, ServerLifetime: 24 * time.Hour,
		LoadBalancingStrategy: Random, ReadWriteStrategy: Conservative, ReadWriteSplit: IncludePrimary,
		TLSVerify: TLSPrefer, AuthType: AuthSCRAM, PassthroughAuth: PassthroughDisabled,
		PreparedStatements: PreparedExtended, QueryParser: ParserAuto, QueryParserEngine: "pg_query_protobuf",
		RegexParserLimit: 1000, QueryCacheLimit: 1000, QuerySizeLimitAction: SizeWarn,
		MirrorQueue: 128, MirrorExposure: 1, SystemCatalogs: CatalogsOmnishardedSticky, LoadSchema: SwitchAuto,
		ReloadSchemaOnDDL: true, ShardingLookupCacheSize: 10000, ShardingLookupTimeout: 5 * sec,
		TwoPhaseCommitWALDir: "pgdog_wal", TwoPhaseCommitWALSegmentSize: 16 << 20,
		TwoPhaseCommitWALFsyncInterval: 2 * time.Millisecond, TwoPhaseCommitWALCheckpointInterval: Seconds(min),
		ReshardingCopyFormat: CopyBinary, ReshardingParallelCopies: 1,
		ReshardingCopyRetryMaxAttempts: 5, ReshardingCopyRetryMinDelay: sec,
		ReshardingReplicationRetryMaxAttempts: 5, ReshardingReplicationRetryMinDelay: sec,
		CutoverTrafficStopThreshold: 1_000_000, CutoverLastTransactionDelay: sec, CutoverTimeout: 30 * sec,
		CutoverTimeoutAction: CutoverAbort, UniqueIDFunction: UniqueIDStandard,
		LSNCheckInterval: 5 * sec, LSNCheckTimeout: 5 * sec, StatsPeriod: 15 * sec,
		ConnectionRecovery: Recover, ClientConnectionRecovery: Recover,
		LogFormat: LogText, LogConnections: true, LogDisconnections: true,
		BroadcastPort: 6433,
	}
}
