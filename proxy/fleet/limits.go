package fleet

import (
	"fmt"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// A Limit bounds the connections of all servers that name it.
type Limit struct {
	Key  string // which limit it is
	Name string // of the setting, for people
	Max  int    // 0: none
}

// limitsOf are those of a server's connections for a user: of all users to the server, and of
// the one who logs in there to all servers. They are counted even where there is no limit, since
// a reload may bring one.
func limitsOf(c *conf.Config, d *conf.Database, address, login string) []Limit {
	server := c.PgBouncer.MaxDBConnections
	if d.MaxDBConnections != nil {
		server = *d.MaxDBConnections
	}
	user := c.PgBouncer.MaxUserConnections
	for i := range c.Users {
		if u := &c.Users[i]; u.Name == login && u.MaxUserConnections != nil {
			user = *u.MaxUserConnections
		}
	}
	return []Limit{
		{fmt.Sprint("server ", d.Name, " ", d.Shard, " ", address), "max_db_connections", server},
		{"user " + login, "max_user_connections", user},
	}
}

// limits returns the pool's limits of a server. It is called with the lock held.
func (f *Fleet) limitsOf(s *Server) (out []*pool.Limit) {
	for _, l := range s.Limits {
		have := f.limits[l.Key]
		if have == nil {
			have = pool.NewLimit(l.Name, l.Max)
			f.limits[l.Key] = have
		}
		have.SetMax(l.Max)
		out = append(out, have)
	}
	return out
}

// ClientLimits says how many clients there may be of one's user and database; 0 is any number.
func ClientLimits(c *conf.Config, who proxy.Client) (user, database int) {
	user, database = c.PgBouncer.MaxUserClientConnections, c.PgBouncer.MaxDBClientConnections
	if u, ok := c.User(who.User, who.Database); ok && u.MaxUserClientConnections != nil {
		user = *u.MaxUserClientConnections
	}
	return user, database
}
