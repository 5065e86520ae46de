package conf

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"
)

// maxShards is sharding.MaxShards, which stands where parsers are imported.
const maxShards = 256

// Validate returns everything that is wrong, as [*Mistake] values joined into one error.
func (c Config) Validate() error {
	var m mistakes
	c.General.validate(&m)
	c.validateSections(&m)
	c.validateDatabases(&m)
	c.validateUsers(&m)
	c.validateSharding(&m)
	c.validateReferences(&m)
	return errors.Join(m...)
}

// Normalize turns what PgDog writes otherwise into this package's terms: its greatest number
// for "no limit" into 0, older keys into newer ones.
func (c *Config) Normalize() {
	const forever = time.Duration(math.MaxInt64)
	g := &c.General
	for _, d := range []*time.Duration{
		&g.BanReplicaLag, &g.QueryTimeout, &g.CheckoutTimeout, &g.IdleTimeout, &g.ClientIdleTimeout,
		&g.ClientIdleInTransactionTimeout, &g.ClientLoginTimeout, &g.ServerLifetime, &g.PreparedStatementsTTL,
		&g.ShutdownTerminationTimeout, &g.DNSTTL,
	} {
		if *d == forever {
			*d = 0
		}
	}
	if g.BanReplicaLagBytes == math.MaxInt64 {
		g.BanReplicaLagBytes = 0
	}
	if g.PreparedStatementsLimit == math.MaxInt64 {
		g.PreparedStatementsLimit = 0
	}
	if g.LSNCheckDelay != nil && *g.LSNCheckDelay == forever {
		g.LSNCheckDelay = nil
	}
	if c.ReplicaLag.MaxAge > 0 && g.BanReplicaLag == 0 {
		g.BanReplicaLag = c.ReplicaLag.MaxAge
		if c.ReplicaLag.CheckInterval > 0 {
			g.LSNCheckInterval = c.ReplicaLag.CheckInterval
		}
	}
}

func (g *General) validate(m *mistakes) {
	counts := []struct {
		key string
		n   int
	}{
		{"workers", g.Workers},
		{"min_pool_size", g.MinPoolSize},
		{"prepared_statements_limit", g.PreparedStatementsLimit},
		{"regex_parser_limit", g.RegexParserLimit},
		{"query_cache_limit", g.QueryCacheLimit},
		{"query_size_limit", g.QuerySizeLimit},
		{"log_query_sample_length", g.LogQuerySampleLength},
		{"log_dedup_threshold", g.LogDedupThreshold},
		{"pub_sub_channel_size", g.PubSubChannelSize},
		{"mirror_queue", g.MirrorQueue},
		{"sharding_lookup_cache_size", g.ShardingLookupCacheSize},
	}
	for _, c := range counts {
		if c.n < 0 {
			m.add("general."+c.key, "must not be negative, have %d", c.n)
		}
	}
	positive := []struct {
		key string
		n   int
	}{
		{"default_pool_size", g.DefaultPoolSize},
		{"connect_attempts", g.ConnectAttempts},
		{"resharding_parallel_copies", g.ReshardingParallelCopies},
		{"resharding_copy_retry_max_attempts", g.ReshardingCopyRetryMaxAttempts},
		{"resharding_replication_retry_max_attempts", g.ReshardingReplicationRetryMaxAttempts},
	}
	for _, c := range positive {
		if c.n < 1 {
			m.add("general."+c.key, "must be at least 1, have %d", c.n)
		}
	}
	if g.MinPoolSize > g.DefaultPoolSize && g.DefaultPoolSize > 0 {
		m.add("general.min_pool_size", "%d is more than default_pool_size, which is %d", g.MinPoolSize, g.DefaultPoolSize)
	}
	times := []struct {
		key string
		d   time.Duration
	}{
		{"healthcheck_timeout", g.HealthcheckTimeout},
		{"idle_healthcheck_interval", g.IdleHealthcheckInterval},
		{"connect_timeout", g.ConnectTimeout},
		{"rollback_timeout", g.RollbackTimeout},
		{"lsn_check_interval", g.LSNCheckInterval},
		{"lsn_check_timeout", g.LSNCheckTimeout},
		{"stats_period", g.StatsPeriod},
		{"two_phase_commit_wal_checkpoint_interval", time.Duration(g.TwoPhaseCommitWALCheckpointInterval)},
	}
	for _, t := range times {
		if t.d <= 0 {
			m.add("general."+t.key, "must be more than 0")
		}
	}
	for _, n := range []struct {
		key string
		n   int64
	}{
		{"ban_replica_lag_bytes", g.BanReplicaLagBytes},
		{"cutover_traffic_stop_threshold", g.CutoverTrafficStopThreshold},
		{"cutover_replication_lag_threshold", g.CutoverReplicationLagThreshold},
	} {
		if n.n < 0 {
			m.add("general."+n.key, "must not be negative, have %d", n.n)
		}
	}
	if g.TwoPhaseCommitWALSegmentSize < 4096 {
		m.add("general.two_phase_commit_wal_segment_size", "must be at least 4096 bytes, have %d", g.TwoPhaseCommitWALSegmentSize)
	}
	if !(g.MirrorExposure >= 0 && g.MirrorExposure <= 1) {
		m.add("general.mirror_exposure", "must be between 0 and 1, have %v", g.MirrorExposure)
	}
	if _, err := g.Level(); err != nil {
		m.add("general.log_level", "%v", err)
	}
	if g.UniqueIDMin > math.MaxInt64 {
		m.add("general.unique_id_min", "%d is not a bigint", g.UniqueIDMin)
	}
	g.validateTLS(m)
	g.validatePorts(m)
}

func (g *General) validateTLS(m *mistakes) {
	if (g.TLSCertificate == "") != (g.TLSPrivateKey == "") {
		m.add("general.tls_certificate", "goes together with tls_private_key")
	}
	if g.TLSCertificate == "" {
		if g.TLSClientRequired {
			m.add("general.tls_client_required", "needs tls_certificate and tls_private_key")
		}
		if g.TLSClientCACertificate != "" {
			m.add("general.tls_client_ca_certificate", "needs tls_certificate and tls_private_key")
		}
	}
	if (g.TLSServerCertificate == "") != (g.TLSServerPrivateKey == "") {
		m.add("general.tls_server_certificate", "goes together with tls_server_private_key")
	}
	if g.AuthType == AuthExternalToken {
		m.add("general.auth_type", "external_token is not supported; use scram, md5, plain, trust or hba")
	}
}

func (g *General) validatePorts(m *mistakes) {
	if g.OpenmetricsPort != 0 && g.OpenmetricsPort == g.Port && (g.OpenmetricsHost == "" || g.OpenmetricsHost == g.Host) {
		m.add("general.openmetrics_port", "%d is the proxy's own port", g.OpenmetricsPort)
	}
	if g.HealthcheckPort != 0 && g.HealthcheckPort == g.Port {
		m.add("general.healthcheck_port", "%d is the proxy's own port", g.HealthcheckPort)
	}
}

// Level returns the log's level. PgDog takes a list of directives such as
// "pgdog=debug,info": the one without a name counts, else the first.
func (g *General) Level() (slog.Level, error) {
	words := strings.Split(g.LogLevel, ",")
	word := words[0]
	for _, w := range words {
		if !strings.Contains(w, "=") {
			word = w
			break
		}
	}
	if _, value, ok := strings.Cut(word, "="); ok {
		word = value
	}
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "trace", "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	case "off":
		return slog.Level(math.MaxInt32), nil
	}
	return 0, fmt.Errorf("want one of debug, info, warn, error, off, have %q", g.LogLevel)
}

func (c *Config) validateSections(m *mistakes) {
	if c.Admin.Name == "" {
		m.add("admin.name", "must not be empty")
	}
	if c.Admin.User == "" {
		m.add("admin.user", "must not be empty")
	}
	if c.TCP.Retries < 0 {
		m.add("tcp.retries", "must not be negative, have %d", c.TCP.Retries)
	}
	buffer := func(key string, n int) {
		if n < 1024 || n > 1<<26 {
			m.add("memory."+key, "must be between 1024 bytes and 64 MiB, have %d", n)
		}
	}
	buffer("net_buffer", c.Memory.NetBuffer)
	buffer("message_buffer", c.Memory.MessageBuffer)
	if c.Rewrite.ShardKey == RewriteOmni {
		m.add("rewrite.shard_key", "rewrite_omni is for primary_key only")
	}
	if c.Rewrite.SplitInserts == RewriteOmni {
		m.add("rewrite.split_inserts", "rewrite_omni is for primary_key only")
	}
	p := &c.PgBouncer
	at := func(key string) string { return "pgbouncer." + key }
	notNegative(m, at, "max_client_conn", &p.MaxClientConn)
	notNegative(m, at, "max_db_connections", &p.MaxDBConnections)
	notNegative(m, at, "max_db_client_connections", &p.MaxDBClientConnections)
	notNegative(m, at, "max_user_connections", &p.MaxUserConnections)
	notNegative(m, at, "max_user_client_connections", &p.MaxUserClientConnections)
	notNegative(m, at, "reserve_pool_size", &p.ReservePoolSize)
	if c.logsIn(AuthHBA) && p.AuthHBAFile == "" {
		m.add("pgbouncer.auth_hba_file", "auth_type hba needs it")
	}
	if c.logsIn(AuthLDAP) && p.AuthLDAPOptions == "" {
		m.add("pgbouncer.auth_ldap_options", "auth_type ldap needs them: \"ldapserver=ldap.example.org ldapprefix=uid= ldapsuffix=,dc=example,dc=org\", for one")
	}
	if p.AuthIdentFile != "" && p.AuthHBAFile == "" {
		m.add("pgbouncer.auth_ident_file", "is for the rules of auth_hba_file")
	}
	if p.AuthUser != "" && !strings.Contains(p.AuthQuery, "$1") {
		m.add("pgbouncer.auth_query", "has to mention $1, the user's name")
	}
	if _, err := p.SocketMode(); err != nil {
		m.add("pgbouncer.unix_socket_mode", "%v", err)
	}
}
