// Package check tries what a proxy's configuration names before the proxy is started: it
// reads the files, logs in at every server as every user would be, and says what would fail.
package check

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// Options say how to check.
type Options struct {
	// Timeout is how long each login may take, with its queries. Default: the
	// configuration's connect_timeout.
	Timeout time.Duration
	// Parallel is how many servers are asked at once. Default: 8.
	Parallel int
	// Dial opens connections. Default: TCP and Unix sockets.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Report is what was found. Nothing in it is secret.
type Report struct {
	Servers  []Server  `json:"servers"`
	Problems []Problem `json:"problems"` // of more than one server, and of files
}

// A Server is one entry of [[databases]].
type Server struct {
	Database   string `json:"database"`
	Shard      int    `json:"shard"`
	Address    string `json:"address"`
	Configured string `json:"configured_role"`
	// Role is what the server is: primary or replica; empty if nobody could log in.
	Role    string  `json:"role"`
	Version string  `json:"version"`
	Latency float64 `json:"latency_ms"` // of an empty query, the best of three
	TLS     bool    `json:"tls"`
	// Connections is how many the server grants to ordinary users, Pools how many the proxy
	// may open.
	Connections int `json:"connections"`
	Pools       int `json:"pools"`
	// Lag is how far a replica is behind, in milliseconds and bytes of WAL; zero for a
	// primary.
	LagMillis float64   `json:"lag_ms"`
	LagBytes  int64     `json:"lag_bytes"`
	Logins    []Login   `json:"logins"`
	Problems  []Problem `json:"problems"`

	prepared int // max_prepared_transactions
}

// A Login is one user's login at a server.
type Login struct {
	User     string `json:"user"`
	Database string `json:"database"`
	Error    string `json:"error,omitempty"`

	settings conf.Settings
}

// A Problem is something that will fail, or may.
type Problem struct {
	// Fatal problems make something fail; the others may.
	Fatal bool   `json:"fatal"`
	Text  string `json:"text"`
}

// OK reports whether nothing would fail.
func (r *Report) OK() bool {
	fatal := func(p Problem) bool { return p.Fatal }
	return !slices.ContainsFunc(r.Problems, fatal) &&
		!slices.ContainsFunc(r.Servers, func(s Server) bool { return slices.ContainsFunc(s.Problems, fatal) })
}

// Run checks c, which has to be valid. It waits for everything it has begun; when ctx ends,
// servers that were not asked yet are reported as such.
func Run(ctx context.Context, c *conf.Config, o Options) *Report {
	o.Timeout = cmp.Or(o.Timeout, c.General.ConnectTimeout, 5*time.Second)
	o.Parallel = cmp.Or(o.Parallel, 8)
	r := &Report{Problems: Files(c), Servers: make([]Server, len(c.Databases))}
	security, problems := newTLS(c)
	r.Problems = append(r.Problems, problems...)

	var wg sync.WaitGroup
	slots := make(chan struct{}, o.Parallel)
	for i := range c.Databases {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			r.Servers[i] = checkServer(ctx, c, &c.Databases[i], o, security)
		})
	}
	wg.Wait()
	r.capacity(c)
	r.clusters(c)
	return r
}

// address is where a server is, for people.
func address(d *conf.Database) string {
	return net.JoinHostPort(d.Host, strconv.Itoa(int(d.PortNumber())))
}

// logins lists the different logins that users need at a server.
func logins(c *conf.Config, d *conf.Database) []Login {
	var out []Login
	seen := map[string]bool{}
	for i := range c.Users {
		u := &c.Users[i]
		if !u.MayUse(d.Name) {
			continue
		}
		if best, ok := c.User(u.Name, d.Name); !ok || best != u {
			continue // another entry of the user's decides
		}
		s := c.Pool(u, d, d.ServerRole())
		key := fmt.Sprintf("%q %q %q %q", s.User, s.Database, s.Password, s.Passwords)
		if !seen[key] {
			seen[key] = true
			out = append(out, Login{User: s.User, Database: s.Database, settings: s})
		}
	}
	return out
}

// checkServer logs in at one server as everybody who has to.
func checkServer(ctx context.Context, c *conf.Config, d *conf.Database, o Options, security *security) Server {
	s := Server{
		Database: d.Name, Shard: d.Shard, Address: address(d), Configured: string(d.ServerRole()),
		Logins: logins(c, d), Problems: []Problem{},
	}
	for i := range s.Logins {
		l := &s.Logins[i]
		if err := s.login(ctx, l, d, o, security); err != nil {
			l.Error = err.Error()
			s.fatal("user %q: %v", l.User, err)
		}
	}
	switch {
	case len(s.Logins) == 0:
		s.maybe("was not asked: no user has the database %q", d.Name)
	case s.Role == "":
	case s.Configured == string(conf.Primary) && s.Role == string(conf.Replica):
		s.fatal("is a replica (pg_is_in_recovery), and configured as primary: writes will fail")
	case s.Configured == string(conf.Replica) && s.Role == string(conf.Primary):
		s.maybe("is a primary, and configured as replica: reads there see another database")
	}
	g := &c.General
	if g.BanReplicaLag > 0 && s.LagMillis > float64(g.BanReplicaLag.Milliseconds()) || g.BanReplicaLagBytes > 0 && s.LagBytes > g.BanReplicaLagBytes {
		s.maybe("is %v behind, %d bytes: it will get no reads until it has caught up", time.Duration(s.LagMillis)*time.Millisecond, s.LagBytes)
	}
	return s
}

func (s *Server) fatal(format string, args ...any) {
	s.Problems = append(s.Problems, Problem{Fatal: true, Text: fmt.Sprintf(format, args...)})
}

func (s *Server) maybe(format string, args ...any) {
	s.Problems = append(s.Problems, Problem{Text: fmt.Sprintf(format, args...)})
}

func (r *Report) fatal(format string, args ...any) {
	r.Problems = append(r.Problems, Problem{Fatal: true, Text: fmt.Sprintf(format, args...)})
}

func (r *Report) maybe(format string, args ...any) {
	r.Problems = append(r.Problems, Problem{Text: fmt.Sprintf(format, args...)})
}

// capacity compares what pools may open with what servers grant. Entries for the same
// server share it.
func (r *Report) capacity(c *conf.Config) {
	need := map[string]int{}
	for i := range c.Databases {
		d, s := &c.Databases[i], &r.Servers[i]
		for j := range c.Users {
			u := &c.Users[j]
			if best, ok := c.User(u.Name, d.Name); ok && best == u {
				pool := c.Pool(u, d, conf.Role(cmp.Or(s.Role, s.Configured)))
				s.Pools += pool.Size + pool.Reserve
			}
		}
		limit := c.PgBouncer.MaxDBConnections
		if d.MaxDBConnections != nil {
			limit = *d.MaxDBConnections
		}
		if limit > 0 {
			s.Pools = min(s.Pools, limit)
		}
		need[s.Address] += s.Pools
	}
	said := map[string]bool{}
	for i := range r.Servers {
		s := &r.Servers[i]
		if n := need[s.Address]; s.Connections > 0 && n > s.Connections && !said[s.Address] {
			said[s.Address] = true
			s.maybe("the pools may open %d connections, and the server grants %d; lower the pool sizes or raise max_connections", n, s.Connections)
		}
	}
}

// clusters looks at the servers of a database together.
func (r *Report) clusters(c *conf.Config) {
	type shard struct {
		database string
		number   int
	}
	primaries, asked := map[shard]int{}, map[shard]bool{}
	versions := map[string][]string{}
	var order []shard
	for i := range r.Servers {
		s := &r.Servers[i]
		if c.Databases[i].ReshardingOnly {
			continue
		}
		k := shard{s.Database, s.Shard}
		if _, ok := asked[k]; !ok {
			order = append(order, k)
			asked[k] = true
		}
		if s.Role == "" {
			asked[k] = false // one is not known
			continue
		}
		if s.Role == string(conf.Primary) {
			primaries[k]++
		}
		if v := major(s.Version); !slices.Contains(versions[s.Database], v) {
			versions[s.Database] = append(versions[s.Database], v)
		}
		needs2PC := c.General.TwoPhaseCommit || slices.ContainsFunc(c.Users, func(u conf.User) bool {
			return u.MayUse(s.Database) && u.TwoPhaseCommit != nil && *u.TwoPhaseCommit
		})
		if needs2PC && c.Shards(s.Database) > 1 && s.prepared == 0 && s.Role == string(conf.Primary) {
			s.fatal("has max_prepared_transactions = 0: two-phase commits will fail")
		}
	}
	for _, k := range order {
		switch n := primaries[k]; {
		case n == 0 && asked[k]:
			r.fatal("shard %d of %q has no primary: writes will wait and then fail", k.number, k.database)
		case n > 1:
			r.maybe("shard %d of %q has %d servers that are primaries", k.number, k.database, n)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		if v := versions[name]; len(v) > 1 {
			slices.Sort(v)
			r.maybe("the servers of %q have different versions: %v", name, v)
		}
	}
}

// major is the part of a version in which servers of one cluster must agree.
func major(version string) string {
	for i, r := range version {
		if r < '0' || r > '9' {
			return version[:i]
		}
	}
	return version
}
