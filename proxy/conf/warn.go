package conf

import (
	"fmt"
	"strings"
)

// Warnings names what has no effect, or another one than it seems to have: one warning for
// each.
func (c *Config) Warnings() []Warning {
	var out []Warning
	warn := func(key, format string, args ...any) {
		out = append(out, Warning{Key: key, Msg: fmt.Sprintf(format, args...)})
	}
	c.unsupported(warn)
	c.doubtful(warn)
	return out
}

// unsupported names the keys that are accepted because PgDog accepts them.
func (c *Config) unsupported(warn func(key, format string, args ...any)) {
	o := &c.OTel
	if o.Endpoint != "" || o.Namespace != "" || len(o.Headers) > 0 || o.DatadogAPIKey != "" || o.PushInterval != 0 {
		warn("otel", "OpenTelemetry export is not supported; scrape general.openmetrics_port")
	}
	if len(c.Vault) > 0 {
		warn("vault", "HashiCorp Vault is not supported; set passwords, or auth_query")
	}
	for _, s := range []struct {
		key     string
		section map[string]any
	}{{"control", c.Control}, {"qos", c.QoS}} {
		if len(s.section) > 0 {
			warn(s.key, "is of PgDog's Enterprise Edition and not supported")
		}
	}
	if len(c.ManualQueries) > 0 {
		warn("manual_queries", "fingerprints are not supported; a comment in the query (/* pgdog_shard: 0 */) chooses its shard")
	}
	if c.General.BroadcastAddress != "" {
		warn("general.broadcast_address", "is not supported: instances do not tell each other of changes; reload each")
	}
	for i := range c.Users {
		if u := &c.Users[i]; u.ReplicationSharding != "" {
			warn(index("users", i, "replication_sharding"), "is not supported: what a replicating client receives is not filtered")
			break
		}
	}
	said := map[ServerAuth]bool{}
	vault := false
	for i := range c.Users {
		u := &c.Users[i]
		switch u.ServerAuth {
		case "", ServerPassword:
		default:
			if !said[u.ServerAuth] {
				warn(index("users", i, "server_auth"), "%s is not supported; the servers are given the user's password", u.ServerAuth)
			}
			said[u.ServerAuth] = true
		}
		if !vault && (u.VaultPath != "" || u.ServerVaultPath != "" && u.ServerAuth == "") {
			warn(index("users", i, "vault_path"), "HashiCorp Vault is not supported; set passwords, or auth_query")
			vault = true
		}
	}
}

// doubtful names settings that work, though hardly as they were meant.
func (c *Config) doubtful(warn func(key, format string, args ...any)) {
	g := &c.General
	if (g.PassthroughAuth == PassthroughEnabled || g.PassthroughAuth == PassthroughEnabledAllowChange) && g.TLSCertificate == "" {
		warn("general.passthrough_auth", "%s works over TLS only, and there is no tls_certificate", g.PassthroughAuth)
	}
	if g.AuthType == AuthTrust && g.Host != "127.0.0.1" && g.Host != "::1" && g.Host != "localhost" {
		warn("general.auth_type", "with trust, everybody who reaches %s may log in as anybody", g.Host)
	}
	seen := map[string]bool{}
	for i := range c.Databases {
		name := c.Databases[i].Name
		switch level := c.ParserLevel(name); {
		case seen[name] || level == ParserAuto || level == ParserOn:
		case c.Shards(name) > 1:
			warn("general.query_parser", "%s does not hold for database %q: on several shards all queries are parsed", level, name)
		case c.Databases[i].ServerRole() != Primary:
			warn("general.query_parser", "%s sends all queries of database %q to its primary", level, name)
		default:
			continue
		}
		seen[name] = true
	}
	if !c.Rewrite.Enabled && (c.Rewrite.ShardKey == RewriteRewrite || c.Rewrite.SplitInserts == RewriteRewrite ||
		c.Rewrite.PrimaryKey == RewriteRewrite || c.Rewrite.PrimaryKey == RewriteOmni) {
		warn("rewrite.enabled", "is false: nothing is rewritten")
	}
	open := g.PassthroughAuth != PassthroughDisabled && g.PassthroughAuth != "" || c.PgBouncer.AuthFile != "" ||
		c.AuthTypeOf(nil) == AuthHBA || c.AuthTypeOf(nil) == AuthLDAP // rules may ask a directory
	for _, name := range c.names() {
		if !open && c.PgBouncer.AuthUser == "" && !c.anybody(name) {
			warn("users", "nobody may use the database %q: no user has it", name)
		}
		for shard := range c.Shards(name) {
			if !c.writable(name, shard) {
				warn("databases", "shard %d of %q has no primary: writes will wait and then fail", shard, name)
			}
		}
	}
	for i := range c.Users {
		u := &c.Users[i]
		switch c.AuthTypeOf(u) {
		case AuthTrust, AuthHBA, AuthLDAP:
			continue
		}
		if len(u.AllPasswords()) == 0 && u.PasswordHash == "" && u.Identity == "" && !open {
			warn(index("users", i, "password"), "user %q has none and cannot log in", u.Name)
		}
		if u.PasswordHash != "" && u.ServerPassword == "" && !c.serversHavePasswords(u) {
			warn(index("users", i, "password_hash"), "the servers of user %q need trust: there is no server_password to give them", u.Name)
		}
	}
	c.openEnds(warn)
}

// anybody reports whether some user may use a database.
func (c *Config) anybody(database string) bool {
	for i := range c.Users {
		if c.Users[i].MayUse(database) {
			return true
		}
	}
	return false
}

// writable reports whether a shard has a server that is, or may be, its primary.
func (c *Config) writable(database string, shard int) bool {
	for i := range c.Databases {
		d := &c.Databases[i]
		if d.Name == database && d.Shard == shard && !d.ReshardingOnly && d.ServerRole() != Replica {
			return true
		}
	}
	return false
}

// serversHavePasswords reports whether every server that a user reaches names a password.
func (c *Config) serversHavePasswords(u *User) bool {
	for i := range c.Databases {
		if d := &c.Databases[i]; u.MayUse(d.Name) && d.Password == "" {
			return false
		}
	}
	return true
}

// openEnds names ranges that leave keys at the ends without a shard.
func (c *Config) openEnds(warn func(key, format string, args ...any)) {
	for i := range c.ShardedTables {
		t := &c.ShardedTables[i]
		var below, above, ranges, fallback bool
		for _, r := range c.Mappings(t) {
			switch r.KindOf() {
			case MapDefault:
				fallback = true
			case MapRange:
				ranges = true
				below = below || r.Start == nil
				above = above || r.End == nil
			}
		}
		if ranges && !fallback && (!below || !above) {
			var where []string
			if !below {
				where = append(where, "below the first range")
			}
			if !above {
				where = append(where, "above the last one")
			}
			warn(index("sharded_tables", i, "mapping"), "keys %s have no shard", strings.Join(where, " and "))
		}
	}
}
