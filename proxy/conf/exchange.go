package conf

import (
	"errors"
	"fmt"
	"slices"
)

// Exchanged returns a copy of the configuration in which two databases have each other's name, whatever
// speaks of them: servers, users, divisions. Servers' own databases stay the same.
func (c *Config) Exchanged(a, b string) *Config {
	out := *c
	name := func(s *string) {
		switch *s {
		case a:
			*s = b
		case b:
			*s = a
		}
	}
	out.Databases = slices.Clone(c.Databases)
	for i := range out.Databases {
		d := &out.Databases[i]
		d.DatabaseName = d.DBName()
		name(&d.Name)
	}
	out.Users = slices.Clone(c.Users)
	for i := range out.Users {
		u := &out.Users[i]
		name(&u.Database)
		name(&u.ReplicationSharding)
		u.Databases = slices.Clone(u.Databases)
		for j := range u.Databases {
			name(&u.Databases[j])
		}
	}
	out.ShardedTables = slices.Clone(c.ShardedTables)
	for i := range out.ShardedTables {
		name(&out.ShardedTables[i].Database)
	}
	out.ShardedMappings = slices.Clone(c.ShardedMappings)
	for i := range out.ShardedMappings {
		name(&out.ShardedMappings[i].Database)
	}
	out.ShardedSchemas = slices.Clone(c.ShardedSchemas)
	for i := range out.ShardedSchemas {
		name(&out.ShardedSchemas[i].Database)
	}
	out.OmnishardedTables = slices.Clone(c.OmnishardedTables)
	for i := range out.OmnishardedTables {
		name(&out.OmnishardedTables[i].Database)
	}
	out.Mirroring = slices.Clone(c.Mirroring)
	for i := range out.Mirroring {
		name(&out.Mirroring[i].SourceDB)
		name(&out.Mirroring[i].DestinationDB)
	}
	out.QueryParsers = slices.Clone(c.QueryParsers)
	for i := range out.QueryParsers {
		name(&out.QueryParsers[i].Database)
	}
	return &out
}

// Exchangeable reports why clients of a database could not use another one's servers under the same name:
// a user who has no entry for it, or another password there.
func (c *Config) Exchangeable(a, b string) error {
	var errs []error
	seen := map[string]bool{}
	for i := range c.Users {
		u := &c.Users[i]
		if seen[u.Name] || !u.MayUse(a) {
			continue
		}
		seen[u.Name] = true
		own, _ := c.User(u.Name, a)
		other, ok := c.User(u.Name, b)
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("user %q may use the database %q, and not %q: he could not log in once they are exchanged; add him to [[users]] for %q", u.Name, a, b, b))
		case !slices.Equal(own.AllPasswords(), other.AllPasswords()) || own.PasswordHash != other.PasswordHash || own.Identity != other.Identity:
			errs = append(errs, fmt.Errorf("user %q has another password for the database %q than for %q: he could not log in once they are exchanged", u.Name, b, a))
		}
	}
	return errors.Join(errs...)
}

// Addresses are the servers of a database, with their own databases: equal for two configurations that
// have the same ones.
func (c *Config) Addresses(database string) []string {
	var out []string
	for i := range c.Databases {
		if d := &c.Databases[i]; d.Name == database {
			out = append(out, fmt.Sprintf("%d %s:%d/%s", d.Shard, d.Host, d.PortNumber(), d.DBName()))
		}
	}
	slices.Sort(out)
	return out
}
