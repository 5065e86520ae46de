// Package fleet makes the pools and databases that a proxy serves of its configuration, and
// makes them anew when that changes, but for those that did not change.
package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/balance"
	"github.com/pgx-dev/pgx-dev/proxy/claim"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Source says what a user gets who asks for a database. It is called by several goroutines
// at once.
type Source func(user, database string) (Plan, error)

// A Plan is what a Source answers.
type Plan struct {
	Mode    proxy.Mode
	Servers []Server
	// Shards is how many shards the servers hold; 0 is one.
	Shards int
	// Sharding opens a database on several shards.
	Sharding func(ctx context.Context, o Opening) (*shards.Cluster, error)
	// IDs say what unique ids look like. All databases of a fleet that want the same share one
	// generator, through reloads too.
	IDs IDs
	// Aggressive lets a transaction's first statement decide where it runs.
	Aggressive bool
	// Group is equal for plans whose servers are the same ones, whoever uses them. Balance and
	// Checker say how one is chosen among several, Wait how long to wait for a primary.
	Group   string
	Balance balance.Config
	Checker balance.CheckerConfig
	Wait    time.Duration
	// Replication says that the user may ask for replication.
	Replication bool
	// KeepNames is proxy.Database's.
	KeepNames bool
	// SlowParse is how long a statement takes to parse that the log tells of, with up to Sample
	// bytes of it. 0: none.
	SlowParse time.Duration
	Sample    int
	// Dry says how the statements of a database on one server would be divided, if that is to be
	// found out; their plans are counted, up to DryPlans of them. Nil: it is not.
	Dry      *sharding.Config
	DryPlans int
	// Parser says where statements are parsed. Default: where there is something to choose.
	Parser conf.ParserLevel
	// Explain is proxy.Database's.
	Explain bool
	// OwnListen has LISTEN keep the server connection: the server can spare none for all. Notifications
	// is proxy.Database's.
	OwnListen     bool
	Notifications int
	// Tenant is the column that queries of tables with it must compare with a value. Empty: none
	// must.
	Tenant string
}

// A Server is one server of a database and how it is pooled.
type Server struct {
	pool.Backend
	Pool pool.Config
	// ConfRole is the role that the server is said to have, Weight its part of the reads.
	ConfRole conf.Role
	Weight   int
	// Key is equal for servers that can share a pool, across reloads too.
	Key string
	// Limits are those of its connections together with others'.
	Limits []Limit
	// Host is the server's name, if it has one that is looked up; every HostTTL it is looked
	// up again, to replace connections when its addresses have changed. 0: it is not.
	Host    string
	HostTTL time.Duration
}

// A Pick returns the pool of a shard's server in a role.
type Pick func(ctx context.Context, shard int, role route.Role) (*pool.Pool, error)

// An Opening is what a database on several shards is opened with.
type Opening struct {
	Pick Pick
	// Ready is Pick where that can be told at once, else it returns nil.
	Ready func(shard int, role route.Role) *pool.Pool
	Log   *slog.Logger
	Route route.Config // what the router is to be, beyond what the database's own settings say
	IDs   *scatter.UniqueIDs
	// Claims are those of all databases whose connections are limited together.
	Claims *claim.Bank
}

// A Fleet has the pools. It is safe for concurrent use. Close closes all of them.
type Fleet struct {
	// Loops drive the server connections. It is set before the first use. Nil: each connection has
	// a goroutine.
	Loops *loop.Group
	// Adviser is asked about every statement. It is set before clients come. Nil: nobody is.
	Adviser Adviser

	log    *slog.Logger
	wg     sync.WaitGroup
	lookup func(ctx context.Context, host string) ([]string, error)

	mu         sync.Mutex
	source     Source
	wave       atomic.Int64 // counts up with each new source; changed with the lock held
	members    map[pair]*member
	pools      map[string]*pool.Pool
	groups     map[string]*group
	limits     map[string]*pool.Limit
	claims     *claim.Bank
	opened     []*shards.Cluster
	rehearsals map[string]*rehearsal // by database
	ears       map[string]*ear       // by database
	ids        map[IDs]*scatter.UniqueIDs
	closed     bool
	held       bool            // new pools serve nobody yet
	moving     map[string]bool // those of these databases neither
}

// New makes a fleet. It connects to nothing.
func New(source Source, log *slog.Logger) *Fleet {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Fleet{log: log, lookup: net.DefaultResolver.LookupHost, source: source, members: map[pair]*member{}, pools: map[string]*pool.Pool{}, groups: map[string]*group{}, rehearsals: map[string]*rehearsal{}, ears: map[string]*ear{}, limits: map[string]*pool.Limit{}, claims: claim.NewBank(), ids: map[IDs]*scatter.UniqueIDs{}, moving: map[string]bool{}}
}

// Lookup is a proxy's Config.Lookup.
func (f *Fleet) Lookup(ctx context.Context, c proxy.Client) (*proxy.Database, error) {
	m, err := f.member(pair{c.User, c.Database})
	if err != nil {
		return nil, err
	}
	plan, err := m.current()
	if err != nil {
		return nil, err
	}
	if c.Param("replication") != "" && !plan.Replication {
		return nil, &wire.Error{
			Code: wire.CodeInvalidAuthorization, Message: fmt.Sprintf("user %q may not use the replication protocol through this proxy", c.User),
			Hint: "Set replication_mode for the user.",
		}
	}
	if plan.Shards > 1 && c.Param("replication") == "" {
		return m.sharded(ctx, plan)
	}
	return m.db.Load(), nil
}

// Pick returns the pool of a server of a shard of a user's database.
func (f *Fleet) Pick(ctx context.Context, user, database string, shard int, role route.Role) (*pool.Pool, error) {
	m, err := f.member(pair{user, database})
	if err != nil {
		return nil, err
	}
	return m.pick(ctx, shard, role)
}

// pool returns the pool of a member's server, which is number i of a group, if it is of one.
func (m *member) pool(s *Server, g *group, i int) (*pool.Pool, error) {
	f := m.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, pool.ErrClosed
	}
	if m.moved.Load() {
		return nil, errMoved
	}
	p := f.pools[s.Key]
	if p == nil {
		b := s.Backend
		p = pool.New(&b, s.Pool, f.log, f.limitsOf(s)...)
		if f.held || f.moving[m.pair.database] {
			p.Hold()
		}
		f.pools[s.Key] = p
		if s.Host != "" && s.HostTTL > 0 {
			host, ttl := s.Host, s.HostTTL
			f.wg.Go(func() { f.follow(p, host, ttl) })
		}
		if g != nil {
			g.add(i, p)
		}
	}
	return p, nil
}

// Reload takes another source. Pools that it still has stay, with their connections and the
// transactions on them; those that it has not are closed when what runs on them has ended.
func (f *Fleet) Reload(source Source) {
	f.mu.Lock()
	f.source = source
	f.wave.Add(1)
	members := make([]*member, 0, len(f.members))
	for _, m := range f.members {
		members = append(members, m)
	}
	f.mu.Unlock()
	for _, m := range members {
		_, _ = m.current() // an error is told to whoever asks
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range members {
		m.rehearse()
	}
	f.sweep()
	f.relocate()
}

// retireTimeout is how long a transaction may go on on a pool that is no more.
const retireTimeout = time.Minute

// sweep closes the pools that no member has. It is called with the lock held.
func (f *Fleet) sweep() {
	used, groups, limits := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, m := range f.members {
		m.mu.Lock()
		for _, s := range m.plan.Servers {
			used[s.Key] = true
			for _, l := range s.Limits {
				limits[l.Key] = true
				if have := f.limits[l.Key]; have != nil {
					have.SetMax(l.Max)
				}
			}
			groups[groupKey(&m.plan, s.Shard)] = true
		}
		m.mu.Unlock()
	}
	for key, g := range f.groups {
		if !groups[key] {
			delete(f.groups, key)
			g.end()
		}
	}
	for key := range f.limits {
		if !limits[key] {
			delete(f.limits, key)
		}
	}
	for key, p := range f.pools {
		if used[key] {
			continue
		}
		delete(f.pools, key)
		f.wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), retireTimeout)
			defer cancel()
			p.Close(ctx)
		})
	}
}

// Pools returns the pools there are now.
func (f *Fleet) Pools() []*pool.Pool {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]*pool.Pool, 0, len(f.pools))
	for _, p := range f.pools {
		out = append(out, p)
	}
	return out
}

// Close closes all pools. When ctx ends it breaks the connections that are in use.
func (f *Fleet) Close(ctx context.Context) {
	f.mu.Lock()
	f.closed = true
	for _, r := range f.rehearsals {
		r.stop()
	}
	ears := slices.Collect(maps.Values(f.ears))
	pools, groups, opened := f.pools, f.groups, f.opened
	f.pools, f.groups, f.opened = map[string]*pool.Pool{}, map[string]*group{}, nil
	f.mu.Unlock()
	for _, e := range ears {
		e.Close()
	}
	for _, c := range opened {
		if err := c.Close(); err != nil {
			f.log.Warn("close a database on several shards", "error", err)
		}
	}
	for _, g := range groups {
		g.end()
	}
	for _, p := range pools {
		f.wg.Go(func() { p.Close(ctx) })
	}
	f.wg.Wait()
}
