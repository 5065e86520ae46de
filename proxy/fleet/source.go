package fleet

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/balance"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/proxy/socket"
	"github.com/pgx-dev/pgx-dev/proxy/twophase"
	"github.com/pgx-dev/pgx-dev/wire"
)

// FromConfig makes a Source of a configuration. What the configuration asks for and the proxy
// cannot do is an error. keys, if it is given, is what clients prove when they log in, for users
// of whom the configuration has no password to give to the servers.
func FromConfig(c *conf.Config, keys ...*Keyring) (Source, error) {
	var ring *Keyring
	if len(keys) > 0 {
		ring = keys[0]
	}
	servers, err := serverTLS(&c.General)
	if err != nil {
		return nil, err
	}
	ids, err := IDsOf(&c.General)
	errs := append(divisions(c), err, socket.Of(&c.TCP).Check())
	errs = append(errs, rewrites(&c.Rewrite)...)
	_, err = readRules(c)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return func(user, database string) (Plan, error) {
		u, ok := userOf(c, ring, user, database)
		if !ok {
			return Plan{}, wire.Errorf(wire.CodeInvalidCatalogName, "user %q may not use a database %q of this proxy", user, database)
		}
		plan := Plan{
			Aggressive:  c.General.ReadWriteStrategy == conf.Aggressive,
			Replication: u.ReplicationMode,
			KeepNames:   c.General.PreparedStatements == conf.PreparedDisabled,
			Shards:      c.Shards(database),
			Balance:     balance.ConfigOf(&c.General, nil),
			Wait:        c.General.CheckoutTimeout,
			Tenant:      c.MultiTenant.Column,
			Parser:      c.ParserLevel(database),
			Explain:     c.General.ExpandedExplain,

			Notifications: c.General.PubSubChannelSize,
			SlowParse:     c.General.LogMinDurationParse,
			Sample:        c.General.LogQuerySampleLength,
		}
		if c.General.DryRun && plan.Shards <= 1 {
			var err error
			if plan.Dry, err = dryLayout(c, database); err != nil {
				return Plan{}, wire.Errorf(wire.CodeConfigFileError, "%w", err)
			}
			plan.DryPlans = c.General.QueryCacheLimit
		}
		auto := false
		for i := range c.Databases {
			d := &c.Databases[i]
			if d.Name != database || d.ReshardingOnly {
				continue
			}
			s, mode := server(c, u, d, servers)
			if ring != nil {
				s.learn(u, ring, database)
			}
			plan.Mode = mode
			plan.Servers = append(plan.Servers, s)
			auto = auto || s.ConfRole == conf.Auto
			plan.Group += fmt.Sprint(s.Name, " ", s.ConfRole, " ", s.Weight, "\n")
		}
		plan.Checker = balance.CheckerConfigOf(&c.General, auto)
		plan.Group = fmt.Sprint(database, "\n", plan.Group, plan.Balance, plan.Checker)
		if plan.Shards > 1 {
			if plan.Mode != proxy.Transaction {
				return Plan{}, wire.Errorf(wire.CodeFeatureNotSupported, "a database on several shards is served in transaction mode only")
			}
			if c.PgBouncer.ServerResetQueryAlways {
				return Plan{}, wire.Errorf(wire.CodeFeatureNotSupported, "server_reset_query_always is not for databases on several shards")
			}
			plan.Sharding, plan.IDs = openShards(c, u, database), ids
		}
		if len(plan.Servers) == 0 {
			return Plan{}, wire.Errorf(wire.CodeInvalidCatalogName, "database %q: %w", database, errNoServer)
		}
		return plan, nil
	}, nil
}

// Address is what a server is called: HOST:PORT, or the path of its socket.
func Address(d *conf.Database) string {
	port := strconv.Itoa(int(d.PortNumber()))
	if strings.HasPrefix(d.Host, "/") {
		return filepath.Join(d.Host, ".s.PGSQL."+port)
	}
	return net.JoinHostPort(d.Host, port)
}

// server makes what a pool needs of a user and a server's entry.
func server(c *conf.Config, u *conf.User, d *conf.Database, t *tls.Config) (Server, proxy.Mode) {
	g := &c.General
	role := pool.Primary
	switch d.ServerRole() {
	case conf.Replica:
		role = pool.Replica
	case conf.Auto:
		role = pool.Auto
	}
	settings := c.Pool(u, d, d.ServerRole())
	address, network := Address(d), "tcp"
	if strings.HasPrefix(d.Host, "/") {
		network = "unix"
	}
	s := Server{
		ConfRole: d.ServerRole(), Weight: d.Weight(),
		Backend: pool.Backend{
			Name: address, Role: role, Shard: d.Shard,
			Dial:   dialer(network, address, socket.Of(&c.TCP)),
			Login:  pool.Credentials{User: settings.User, Database: settings.Database, Password: settings.Password, Passwords: settings.Passwords},
			TLS:    pool.TLS{Mode: tlsMode(g.TLSVerify), Config: t},
			Params: params(d, settings),
		},
		Pool: pooling(c, d, settings),
	}
	if network == "tcp" {
		if _, err := netip.ParseAddr(d.Host); err != nil {
			s.Host, s.HostTTL = d.Host, g.DNSTTL
		}
		s.TLS.Config = t.Clone()
		s.TLS.Config.ServerName = d.Host
	}
	// The password is part of what makes two servers the same, but must not be found in a dump
	// of the key.
	secret := sha256.Sum256(fmt.Append(nil, settings.Password, settings.Passwords, u.PasswordHash))
	s.Key = fmt.Sprint(network, " ", address, " ", role, " ", d.Shard, " ", d.Name, " ", settings.User, " ", settings.Database, " ", hex.EncodeToString(secret[:8]), " ", s.TLS.Mode, " ", g.TLSServerCACertificate, " ", g.TLSServerCertificate, " ", s.Pool, " ", s.Params, " ", c.TCP, " ", s.HostTTL)
	s.ID = s.Key
	s.Limits = limitsOf(c, d, address, settings.User)
	return s, modeOf(settings.Mode)
}

func modeOf(m conf.PoolerMode) proxy.Mode {
	switch m {
	case conf.Session:
		return proxy.Session
	case conf.Statement:
		return proxy.Statement
	}
	return proxy.Transaction
}

// pooling is how a server's connections are pooled.
func pooling(c *conf.Config, d *conf.Database, s conf.Settings) pool.Config {
	g := &c.General
	return pool.Config{
		Size: s.Size, Min: s.MinSize, Reserve: s.Reserve, ReserveTimeout: unlimited(c.PgBouncer.ReservePoolTimeout),
		CheckoutTimeout: unlimited(g.CheckoutTimeout), ConnectTimeout: unlimited(g.ConnectTimeout),
		ConnectAttempts: g.ConnectAttempts, ConnectDelay: g.ConnectAttemptDelay,
		IdleTimeout: unlimited(s.IdleTimeout), Lifetime: unlimited(s.Lifetime), LifetimeJitter: s.LifetimeJitter,
		HealthInterval: unlimited(g.HealthcheckInterval), HealthTimeout: g.HealthcheckTimeout, CleanTimeout: g.RollbackTimeout,
		Statements: g.PreparedStatementsLimit, StatementTTL: g.PreparedStatementsTTL, StatementJitter: min(g.PreparedStatementsTTLJitter, g.PreparedStatementsTTL),
		ConnectQuery: d.ConnectQuery, Recovery: recovery(g.ConnectionRecovery),
		ResetQuery: c.PgBouncer.ServerResetQuery, ResetAlways: c.PgBouncer.ServerResetQueryAlways,
	}
}

// Unnamed returns what a configuration says of connections to a server of which it does not speak:
// how those of a user to a database are pooled, and their limits together with others'. most is how
// many connections the server can have; 0 is any number. No connection is kept for good, since the
// server is everybody's whose it is.
func Unnamed(c *conf.Config, b pool.Backend, most int) (Server, proxy.Mode) {
	d := &conf.Database{Name: b.Login.Database, Shard: b.Shard}
	u, ok := c.User(b.Login.User, b.Login.Database)
	if !ok {
		u = &conf.User{Name: b.Login.User}
	}
	settings := c.Pool(u, d, conf.Primary)
	s := Server{Backend: b, ConfRole: conf.Primary, Pool: pooling(c, d, settings)}
	s.Pool.Min = 0
	if most > 0 {
		s.Pool.Size = min(s.Pool.Size, most)
		s.Pool.Reserve = min(s.Pool.Reserve, most-s.Pool.Size)
	}
	s.Params = params(d, settings)
	s.Key = fmt.Sprint(b.ID, " ", s.Pool, " ", s.Params)
	s.ID = s.Key
	s.Limits = limitsOf(c, d, b.Name, b.Login.User)
	return s, modeOf(settings.Mode)
}

// learn has a server's connections log in by what the user has proved to the proxy, where the
// configuration says nothing else.
func (s *Server) learn(u *conf.User, k *Keyring, database string) {
	switch l := &s.Login; {
	case l.Password != "" || l.User != u.Name:
	case strings.HasPrefix(u.PasswordHash, "md5"):
		l.MD5 = strings.TrimPrefix(u.PasswordHash, "md5")
	default:
		l.Fetch = k.fetch(u.Name, database)
	}
}

// dialer returns what opens connections to a server.
func dialer(network, address string, o socket.Options) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		nc, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if err := o.Apply(nc); err != nil {
			_ = nc.Close()
			return nil, err
		}
		return nc, nil
	}
}

func recovery(r conf.Recovery) pool.Recovery {
	switch r {
	case conf.RollbackOnly:
		return pool.RollbackOnly
	case conf.Drop:
		return pool.Drop
	}
	return pool.Recover
}

// openShards opens a database on several shards for a user.
func openShards(c *conf.Config, u *conf.User, database string) func(context.Context, Opening) (*shards.Cluster, error) {
	return func(ctx context.Context, o Opening) (*shards.Cluster, error) {
		layout, err := shards.Layout(c, database)
		if err != nil {
			return nil, err
		}
		g := &c.General
		cfg := ShardOptions(c, u, database, o)
		cfg.Layout = layout
		cfg.RefuseSplit = !c.Rewrite.Enabled || c.Rewrite.SplitInserts != conf.RewriteRewrite
		cfg.RefuseMove = !c.Rewrite.Enabled || c.Rewrite.ShardKey != conf.RewriteRewrite
		if either(u.TwoPhaseCommit, g.TwoPhaseCommit) {
			// Each user's transactions are resolved by his own connections.
			cfg.TwoPhase = filepath.Join(g.TwoPhaseCommitWALDir, url.PathEscape(database), url.PathEscape(u.Name))
			cfg.Log = twophase.LogOptions{
				FsyncInterval: unlimited(g.TwoPhaseCommitWALFsyncInterval), SegmentSize: g.TwoPhaseCommitWALSegmentSize,
				CheckpointInterval: time.Duration(g.TwoPhaseCommitWALCheckpointInterval),
			}
			auto := u.TwoPhaseCommitAuto
			if auto == nil {
				auto = g.TwoPhaseCommitAuto
			}
			cfg.SingleInTurn = auto != nil && !*auto
		}
		return shards.Open(ctx, cfg)
	}
}

// ShardOptions are what a configuration says of the sessions of a database on several shards,
// whatever its servers are. u may be nil.
func ShardOptions(c *conf.Config, u *conf.User, database string, o Opening) shards.Config {
	g := &c.General
	cfg := shards.Config{
		Name: database,
		Pick: shards.Pick(o.Pick), Ready: o.Ready, Logger: o.Log, IDs: o.IDs, Route: o.Route, Claims: o.Claims,
		KeepSchema: !g.ReloadSchemaOnDDL, NoSchema: g.LoadSchema == conf.SwitchOff,
		OmniSticky:    g.OmnishardedSticky || sticky(c, database),
		Explain:       g.ExpandedExplain,
		Notifications: g.PubSubChannelSize, Lookups: g.ShardingLookupCacheSize, LookupTimeout: g.ShardingLookupTimeout,
	}
	cfg.Route.CrossShardDisabled, cfg.Route.PrimaryKey = g.CrossShardDisabled, primaryKey(&c.Rewrite)
	cfg.Route.Aggressive, cfg.Route.Plans = g.ReadWriteStrategy == conf.Aggressive, g.QueryCacheLimit
	if g.BanReplicaLag > 0 {
		// One that is further behind is left out, as soon as that is seen.
		cfg.Behind = g.BanReplicaLag + 2*g.LSNCheckInterval
	}
	if u != nil {
		cfg.Route.CrossShardDisabled = either(u.CrossShardDisabled, g.CrossShardDisabled)
	}
	if cfg.Lookups == 0 {
		cfg.Lookups = -1 // none are kept
	}
	return cfg
}

// either is a user's own setting, or else the general one.
func either(own *bool, general bool) bool {
	if own != nil {
		return *own
	}
	return general
}

// primaryKey is what [rewrite] says of INSERTs without a primary key.
func primaryKey(r *conf.Rewrite) route.PrimaryKey {
	if !r.Enabled {
		return route.PrimaryIgnore
	}
	switch r.PrimaryKey {
	case conf.RewriteError:
		return route.PrimaryRefuse
	case conf.RewriteRewrite:
		return route.PrimaryUnique
	case conf.RewriteOmni:
		return route.PrimaryOmni
	}
	return route.PrimaryIgnore
}

// sticky reports whether omnisharded tables of a database are to be read on one shard.
func sticky(c *conf.Config, database string) bool {
	for _, o := range c.OmnishardedTables {
		if o.Database == database && o.Sticky {
			return true
		}
	}
	return false
}

// rewrites are the settings of [rewrite] that would give wrong answers.
func rewrites(r *conf.Rewrite) (errs []error) {
	if !r.Enabled {
		return nil
	}
	if r.ShardKey == conf.RewriteIgnore {
		errs = append(errs, errors.New(`rewrite.shard_key = "ignore" would leave rows on shards where their new key is not looked for; take "rewrite", which moves them, or "error"`))
	}
	if r.SplitInserts == conf.RewriteIgnore {
		errs = append(errs, errors.New(`rewrite.split_inserts = "ignore" would store rows on shards where their keys are not looked for; take "rewrite", which splits the INSERT, or "error"`))
	}
	for key, mode := range map[string]conf.RewriteMode{"shard_key": r.ShardKey, "split_inserts": r.SplitInserts} {
		if mode == conf.RewriteOmni {
			errs = append(errs, fmt.Errorf(`rewrite.%s cannot be "rewrite_omni", which is for primary_key`, key))
		}
	}
	return errs
}

// unlimited turns the configuration's 0, which is no limit, into the pool's.
func unlimited(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// params are the startup parameters of a server's connections.
func params(d *conf.Database, s conf.Settings) map[string]string {
	out := map[string]string{}
	maps.Copy(out, d.Parameters)
	if s.StatementTimeout != nil {
		out["statement_timeout"] = strconv.FormatInt(s.StatementTimeout.Milliseconds(), 10)
	}
	if s.LockTimeout != nil {
		out["lock_timeout"] = strconv.FormatInt(s.LockTimeout.Milliseconds(), 10)
	}
	if s.ReadOnly {
		out["default_transaction_read_only"] = "on"
	}
	return out
}

func tlsMode(v conf.TLSVerify) pool.TLSMode {
	switch v {
	case conf.TLSDisabled:
		return pool.TLSDisable
	case conf.TLSRequire:
		return pool.TLSRequire
	case conf.TLSVerifyCA:
		return pool.TLSVerifyCA
	case conf.TLSVerifyFull:
		return pool.TLSVerifyFull
	}
	return pool.TLSPrefer
}

// serverTLS loads the certificates for connections to servers.
func serverTLS(g *conf.General) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if path := g.TLSServerCACertificate; path != "" {
		roots, err := authorities(path)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = roots
	}
	if g.TLSServerCertificate != "" {
		cert, err := tls.LoadX509KeyPair(g.TLSServerCertificate, g.TLSServerPrivateKey)
		if err != nil {
			return nil, fmt.Errorf("load the certificate for servers: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

func authorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load the authorities: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", path)
	}
	return roots, nil
}
