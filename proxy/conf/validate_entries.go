package conf

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire/auth"
)

// index is the key of an array's element.
func index(array string, i int, field string) string {
	return fmt.Sprintf("%s[%d].%s", array, i, field)
}

// names returns the databases' names, sorted.
func (c *Config) names() []string {
	set := map[string]bool{}
	for i := range c.Databases {
		set[c.Databases[i].Name] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// known reports whether there is a database; if not, it is a mistake at key.
func (c *Config) known(m *mistakes, key, database string) bool {
	all := c.names()
	switch {
	case database == "":
		m.add(key, "must name a database")
	case len(all) == 0:
		m.add(key, "there is no database %q: the configuration has no databases", database)
	case !slices.Contains(all, database):
		m.add(key, "there is no database %q; there are %s", database, strings.Join(all, ", "))
	default:
		return true
	}
	return false
}

func (c *Config) validateDatabases(m *mistakes) {
	type place struct {
		name  string
		shard int
	}
	type address struct {
		place
		host     string
		port     uint16
		database string
	}
	primaries, servers := map[place]int{}, map[address]int{}
	shards := map[string]map[int]bool{}
	for i := range c.Databases {
		d := &c.Databases[i]
		at := func(field string) string { return index("databases", i, field) }
		if d.Name == "" {
			m.add(at("name"), "must not be empty")
		}
		if d.Name == c.Admin.Name {
			m.add(at("name"), "%q is the admin database's name; change one of them", d.Name)
		}
		if d.Host == "" {
			m.add(at("host"), "must not be empty")
		}
		if d.Shard < 0 || d.Shard >= maxShards {
			m.add(at("shard"), "must be between 0 and %d, have %d", maxShards-1, d.Shard)
			continue
		}
		p := place{d.Name, d.Shard}
		if other, ok := primaries[p]; ok && d.ServerRole() == Primary && !d.ReshardingOnly {
			m.add(at("role"), "shard %d of %q has a primary already (databases[%d]); give one of them the role replica or auto", d.Shard, d.Name, other)
		} else if d.ServerRole() == Primary && !d.ReshardingOnly {
			primaries[p] = i
		}
		a := address{p, d.Host, d.PortNumber(), d.DBName()}
		if other, ok := servers[a]; ok {
			m.add(at("host"), "is the same server as databases[%d]", other)
		} else {
			servers[a] = i
		}
		if !d.ReshardingOnly {
			if shards[d.Name] == nil {
				shards[d.Name] = map[int]bool{}
			}
			shards[d.Name][d.Shard] = true
		}
		c.General.sizes(m, at, d.PoolSize, d.MinPoolSize)
		r := &d.RoleConfig
		role := func(field string) string { return at("role_config." + field) }
		sizesOf(m, role, "pool_size_primary", r.PoolSizePrimary, "min_pool_size_primary", r.MinPoolSizePrimary)
		sizesOf(m, role, "pool_size_replica", r.PoolSizeReplica, "min_pool_size_replica", r.MinPoolSizeReplica)
		notNegative(m, at, "reserve_pool_size", d.ReservePoolSize)
		notNegative(m, at, "max_db_connections", d.MaxDBConnections)
	}
	for _, name := range slices.Sorted(maps.Keys(shards)) {
		var missing []string
		for i := range c.Shards(name) {
			if !shards[name][i] {
				missing = append(missing, fmt.Sprint(i))
			}
		}
		if len(missing) > 0 {
			m.add("databases", "%q has %d shards, but no server for %s", name, c.Shards(name), strings.Join(missing, ", "))
		}
	}
}

// sizes checks a pool's sizes, of which those that are not set are the general ones.
func (g *General) sizes(m *mistakes, at func(string) string, size, least *int) {
	if size == nil && least != nil && g.DefaultPoolSize >= 1 {
		size = &g.DefaultPoolSize
	}
	sizesOf(m, at, "pool_size", size, "min_pool_size", least)
}

func sizesOf(m *mistakes, at func(string) string, sizeKey string, size *int, leastKey string, least *int) {
	if size != nil && *size < 1 {
		m.add(at(sizeKey), "must be at least 1, have %d", *size)
		return
	}
	notNegative(m, at, leastKey, least)
	if size != nil && least != nil && *least > *size {
		m.add(at(leastKey), "%d is more than the pool's size, which is %d", *least, *size)
	}
}

func notNegative(m *mistakes, at func(string) string, key string, n *int) {
	if n != nil && *n < 0 {
		m.add(at(key), "must not be negative, have %d", *n)
	}
}

func (c *Config) validateUsers(m *mistakes) {
	type entry struct{ user, database string }
	seen := map[entry]int{}
	for i := range c.Users {
		u := &c.Users[i]
		at := func(field string) string { return index("users", i, field) }
		if u.Name == "" {
			m.add(at("name"), "must not be empty")
		}
		if u.Database == "" && len(u.Databases) == 0 && !u.AllDatabases {
			m.add(at("database"), "user %q has no database: set database, databases or all_databases", u.Name)
		}
		var databases []string
		if u.Database != "" && c.known(m, at("database"), u.Database) {
			databases = append(databases, u.Database)
		}
		for j, name := range u.Databases {
			if c.known(m, fmt.Sprintf("users[%d].databases[%d]", i, j), name) && !slices.Contains(databases, name) {
				databases = append(databases, name)
			}
		}
		if u.AllDatabases {
			databases = []string{""}
		}
		for _, name := range databases {
			if other, ok := seen[entry{u.Name, name}]; ok {
				m.add(at("name"), "user %q has an entry for %s already (users[%d])", u.Name, orAll(name), other)
				continue
			}
			seen[entry{u.Name, name}] = i
		}
		c.validateUser(m, at, u)
	}
}

func orAll(database string) string {
	if database == "" {
		return "all databases"
	}
	return fmt.Sprintf("%q", database)
}

func (c *Config) validateUser(m *mistakes, at func(string) string, u *User) {
	if u.PasswordHash != "" {
		s, err := auth.ParseSecret(u.PasswordHash)
		switch {
		case err != nil || s.Kind != auth.SCRAMSecret && s.Kind != auth.MD5Secret:
			m.add(at("password_hash"), "is no SCRAM verifier; \"pgx-dev proxy hash\" makes one")
		case s.Kind == auth.MD5Secret && c.AuthTypeOf(u) == AuthSCRAM, s.Kind == auth.SCRAMSecret && c.AuthTypeOf(u) == AuthMD5:
			m.add(at("password_hash"), "cannot be used with auth_type %s", c.AuthTypeOf(u))
		}
		if len(u.AllPasswords()) > 0 {
			m.add(at("password_hash"), "stands in the place of a password: remove one of them")
		}
	}
	if slices.Contains(u.Passwords, "") {
		m.add(at("passwords"), "must not hold an empty one")
	}
	if u.AuthType == AuthExternalToken {
		m.add(at("auth_type"), "external_token is not supported; use scram, md5, plain or trust")
	}
	c.General.sizes(m, at, u.PoolSize, u.MinPoolSize)
	sizesOf(m, at, "pool_size_primary", u.PoolSizePrimary, "min_pool_size_primary", u.MinPoolSizePrimary)
	sizesOf(m, at, "pool_size_replica", u.PoolSizeReplica, "min_pool_size_replica", u.MinPoolSizeReplica)
	notNegative(m, at, "reserve_pool_size", u.ReservePoolSize)
	notNegative(m, at, "max_user_connections", u.MaxUserConnections)
	notNegative(m, at, "max_user_client_connections", u.MaxUserClientConnections)
	if u.ReplicationSharding != "" {
		c.known(m, at("replication_sharding"), u.ReplicationSharding)
		if !u.ReplicationMode {
			m.add(at("replication_sharding"), "needs replication_mode = true")
		}
	}
}

// AuthTypeOf returns how a user logs in.
func (c *Config) AuthTypeOf(u *User) AuthType {
	if u != nil && u.AuthType != "" {
		return u.AuthType
	}
	if c.General.AuthType != "" {
		return c.General.AuthType
	}
	return AuthSCRAM
}

// HasRules reports whether somebody logs in by the rules of a pg_hba.conf. Else none is read.
func (c *Config) HasRules() bool { return c.PgBouncer.AuthHBAFile != "" && c.logsIn(AuthHBA) }

// HasDirectory reports whether somebody logs in by auth_ldap_options.
func (c *Config) HasDirectory() bool { return c.PgBouncer.AuthLDAPOptions != "" && c.logsIn(AuthLDAP) }

// logsIn reports whether somebody logs in by a method.
func (c *Config) logsIn(by AuthType) bool {
	return c.AuthTypeOf(nil) == by || slices.ContainsFunc(c.Users, func(u User) bool { return u.AuthType == by })
}

// DirectoryRules are auth_ldap_options as the lines of a pg_hba.conf.
func (c *Config) DirectoryRules() string {
	return "host all all all ldap " + c.PgBouncer.AuthLDAPOptions + "\nlocal all all ldap " + c.PgBouncer.AuthLDAPOptions + "\n"
}

// validateReferences checks the small arrays.
func (c *Config) validateReferences(m *mistakes) {
	for i := range c.Mirroring {
		r := &c.Mirroring[i]
		at := func(field string) string { return index("mirroring", i, field) }
		if c.known(m, at("source_db"), r.SourceDB) && c.known(m, at("destination_db"), r.DestinationDB) && r.SourceDB == r.DestinationDB {
			m.add(at("destination_db"), "%q would mirror itself", r.SourceDB)
		}
		if r.Exposure != nil && !(*r.Exposure >= 0 && *r.Exposure <= 1) {
			m.add(at("exposure"), "must be between 0 and 1, have %v", *r.Exposure)
		}
		if r.QueueLength != nil && *r.QueueLength < 1 {
			m.add(at("queue_length"), "must be at least 1, have %d", *r.QueueLength)
		}
	}
	c.validatePeers(m)
	seen := map[string]bool{}
	for i := range c.Plugins {
		p := &c.Plugins[i]
		if p.Name == "" && p.Path == "" {
			m.add(index("plugins", i, "name"), "must not be empty")
		}
		if p.Name != "" && seen[p.Name] {
			m.add(index("plugins", i, "name"), "%q is there already", p.Name)
		}
		seen[p.Name] = true
	}
	for i := range c.QueryParsers {
		c.known(m, index("query_parsers", i, "database"), c.QueryParsers[i].Database)
	}
}
