package conf

import (
	"cmp"
	"time"
)

// Settings are those of one pool: of one user at one server.
type Settings struct {
	// Size and MinSize are how many connections the pool has at most and at least; Reserve
	// is by how many it may exceed Size for clients that have waited long.
	Size, MinSize, Reserve int
	Mode                   PoolerMode
	// IdleTimeout is how long a connection above MinSize may be idle, Lifetime how old it
	// gets, give or take LifetimeJitter. 0: no limit.
	IdleTimeout, Lifetime, LifetimeJitter time.Duration
	// StatementTimeout and LockTimeout are PostgreSQL's. Nil: the server's.
	StatementTimeout, LockTimeout *time.Duration
	ReadOnly                      bool
	// Database, User and Password are those to log in with at the server. Passwords are
	// further ones to try.
	Database, User, Password string
	Passwords                []string
	CrossShardDisabled       bool
	TwoPhaseCommit           bool
	TwoPhaseCommitAuto       bool
}

// Pool returns the settings of the pool of u at d, whose role at the moment is role (Auto
// if it is not known). A user's setting is stronger than the database's, that one than
// [General]'s; within each, one for the role is stronger than one for any. Credentials are
// the exception: the database's come first, since they are the server's.
func (c *Config) Pool(u *User, d *Database, role Role) Settings {
	g := &c.General
	s := Settings{
		Size:    first(g.DefaultPoolSize, byRole(role, u.PoolSizePrimary, u.PoolSizeReplica), u.PoolSize, byRole(role, d.RoleConfig.PoolSizePrimary, d.RoleConfig.PoolSizeReplica), d.PoolSize),
		MinSize: first(g.MinPoolSize, byRole(role, u.MinPoolSizePrimary, u.MinPoolSizeReplica), u.MinPoolSize, byRole(role, d.RoleConfig.MinPoolSizePrimary, d.RoleConfig.MinPoolSizeReplica), d.MinPoolSize),
		Reserve: first(c.PgBouncer.ReservePoolSize, u.ReservePoolSize, d.ReservePoolSize),
		Mode:    cmp.Or(u.PoolerMode, d.PoolerMode, g.PoolerMode, Transaction),

		IdleTimeout:    first(g.IdleTimeout, byRole(role, u.IdleTimeoutPrimary, u.IdleTimeoutReplica), u.IdleTimeout, byRole(role, d.RoleConfig.IdleTimeoutPrimary, d.RoleConfig.IdleTimeoutReplica), d.IdleTimeout),
		Lifetime:       first(g.ServerLifetime, u.ServerLifetime, d.ServerLifetime),
		LifetimeJitter: first(g.ServerLifetimeJitter, u.ServerLifetimeJitter, d.ServerLifetimeJitter),

		StatementTimeout: cmp.Or(u.StatementTimeout, d.StatementTimeout),
		LockTimeout:      cmp.Or(u.LockTimeout, d.LockTimeout),
		ReadOnly:         first(false, u.ReadOnly, d.ReadOnly),

		Database: d.DBName(),
		User:     cmp.Or(d.User, u.ServerUser, u.Name),

		CrossShardDisabled: first(g.CrossShardDisabled, u.CrossShardDisabled),
		TwoPhaseCommit:     first(g.TwoPhaseCommit, u.TwoPhaseCommit),
	}
	s.TwoPhaseCommitAuto = first(s.TwoPhaseCommit, u.TwoPhaseCommitAuto, g.TwoPhaseCommitAuto)
	s.MinSize = min(s.MinSize, s.Size)
	switch {
	case d.Password != "":
		s.Password = d.Password
	case u.ServerPassword != "":
		s.Password = u.ServerPassword
	default:
		if all := u.AllPasswords(); len(all) > 0 {
			s.Password, s.Passwords = all[0], all[1:]
		}
	}
	return s
}

// first returns the first that is set, else def.
func first[T any](def T, of ...*T) T {
	for _, p := range of {
		if p != nil {
			return *p
		}
	}
	return def
}

// byRole returns the one of the two that is for role.
func byRole[T any](role Role, primary, replica *T) *T {
	switch role {
	case Primary:
		return primary
	case Replica:
		return replica
	}
	return nil
}

// User returns the user's entry for a database. An entry that names the database is
// stronger than one for all.
func (c *Config) User(name, database string) (*User, bool) {
	var all *User
	for i := range c.Users {
		u := &c.Users[i]
		if u.Name != name || !u.MayUse(database) {
			continue
		}
		if !u.AllDatabases {
			return u, true
		}
		if all == nil {
			all = u
		}
	}
	return all, all != nil
}

// Shards returns how many shards a database has: one more than the greatest number; 0 if
// there is no such database. Servers that are only copied to do not count.
func (c *Config) Shards(database string) int {
	n := 0
	for i := range c.Databases {
		if d := &c.Databases[i]; d.Name == database && !d.ReshardingOnly {
			n = max(n, d.Shard+1)
		}
	}
	return n
}

// ParserLevel returns the parser's level for a database.
func (c *Config) ParserLevel(database string) ParserLevel {
	for i := range c.QueryParsers {
		if q := &c.QueryParsers[i]; q.Database == database && q.Level != "" {
			return q.Level
		}
	}
	if c.General.QueryParserEnabled {
		return ParserOn
	}
	return cmp.Or(c.General.QueryParser, ParserAuto)
}
