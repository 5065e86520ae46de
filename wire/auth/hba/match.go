package hba

import (
	"context"
	"net/netip"
)

// A Conn is what rules look at.
type Conn struct {
	Local    bool       // a Unix socket
	TLS      bool       // encrypted by TLS
	Addr     netip.Addr // the client's; ignored when Local
	User     string
	Database string
	// Replication is a physical replication connection (replication=true), which only the
	// word replication matches. One for logical replication names a database and is matched
	// like any other.
	Replication bool
}

// A Resolver looks up host names; *net.Resolver is one.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Env is what rules need to know of the world. A nil field means that what depends on it
// does not match.
type Env struct {
	HasRole    func(user, role string) bool // user is a member of role, directly or not: +role, samerole
	Interfaces func() ([]netip.Prefix, error)
	Resolver   Resolver
}

// Match returns the first rule that fits the connection, or nil: then the connection is
// refused (check_hba).
func (r *Rules) Match(ctx context.Context, c Conn, env Env) *Rule {
	c.Addr = unmap(c.Addr)
	for i := range r.rules {
		rule := &r.rules[i]
		if rule.fitsType(c) && rule.fitsDatabase(c, env) && rule.fitsUser(c, env) &&
			(c.Local || rule.addresses.matches(ctx, c.Addr, env)) {
			return rule
		}
	}
	return nil
}

func (rule *Rule) fitsType(c Conn) bool {
	switch rule.Type {
	case Local:
		return c.Local
	case Host, HostNoGSS:
		return !c.Local
	case HostSSL:
		return !c.Local && c.TLS
	case HostNoSSL:
		return !c.Local && !c.TLS
	}
	return false
}

// fitsDatabase is check_db.
func (rule *Rule) fitsDatabase(c Conn, env Env) bool {
	for _, t := range rule.databases {
		switch {
		case c.Replication:
			if t.keyword("replication") {
				return true
			}
		case t.keyword("all"):
			return true
		case t.keyword("sameuser"):
			if c.Database == c.User {
				return true
			}
		case t.keyword("samegroup"), t.keyword("samerole"):
			if env.HasRole != nil && env.HasRole(c.User, c.Database) {
				return true
			}
		case t.keyword("replication"):
		case t.re != nil:
			if t.re.MatchString(c.Database) {
				return true
			}
		case t.text == c.Database:
			return true
		}
	}
	return false
}

// fitsUser is check_role.
func (rule *Rule) fitsUser(c Conn, env Env) bool {
	for _, t := range rule.users {
		if fitsRole(t, c.User, env) {
			return true
		}
	}
	return false
}

func fitsRole(t token, user string, env Env) bool {
	switch {
	case t.keyword("all"):
		return true
	case t.re != nil:
		return t.re.MatchString(user)
	case !t.quoted && len(t.text) > 1 && t.text[0] == '+':
		return env.HasRole != nil && env.HasRole(user, t.text[1:])
	}
	return t.text == user
}
