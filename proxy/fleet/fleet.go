// Package fleet makes the pools and databases that a proxy serves of its configuration, and
// makes them anew when that changes, but for those that did not change.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Source says what a user gets who asks for a database. It is called by several goroutines
// at once.
type Source func(user, database string) (Plan, error)

// A Plan is what a Source answers.
type Plan struct {
	Mode    proxy.Mode
	Servers []Server
	// Aggressive lets a transaction's first statement decide where it runs.
	Aggressive bool
	// ReadsOnPrimary says that the primary takes part in reading where there are replicas.
	ReadsOnPrimary bool
	// Replication says that the user may ask for replication.
	Replication bool
	// KeepNames is proxy.Database's.
	KeepNames bool
}

// A Server is one server of a database and how it is pooled.
type Server struct {
	pool.Backend
	Pool pool.Config
	// Key is equal for servers that can share a pool, across reloads too.
	Key string
}

// maxMembers bounds the pairs of user and database. Clients that may ask for any database
// could otherwise make as many as they like.
const maxMembers = 4096

// A Fleet has the pools. It is safe for concurrent use. Close closes all of them.
type Fleet struct {
	log *slog.Logger
	wg  sync.WaitGroup

	mu      sync.Mutex
	source  Source
	wave    int // counts up with each new source
	members map[pair]*member
	pools   map[string]*pool.Pool
	closed  bool
}

type pair struct{ user, database string }

// A member is what one user gets of one database. It stays the same through reloads, so that
// sessions that have it get the new servers.
type member struct {
	fleet *Fleet
	pair  pair
	db    *proxy.Database

	mu   sync.Mutex
	wave int
	plan Plan
	err  error
	next int // of the replicas, for round robin
}

// New makes a fleet. It connects to nothing.
func New(source Source, log *slog.Logger) *Fleet {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Fleet{log: log, source: source, wave: 1, members: map[pair]*member{}, pools: map[string]*pool.Pool{}}
}

// Lookup is a proxy's Config.Lookup.
func (f *Fleet) Lookup(_ context.Context, c proxy.Client) (*proxy.Database, error) {
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
	return m.db, nil
}

func (f *Fleet) member(p pair) (*member, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, pool.ErrClosed
	}
	if m := f.members[p]; m != nil {
		return m, nil
	}
	plan, err := f.source(p.user, p.database)
	if err != nil {
		return nil, err
	}
	if len(f.members) >= maxMembers {
		f.forgetUnused()
	}
	if len(f.members) >= maxMembers {
		return nil, wire.Errorf(wire.CodeConfigurationLimit, "more than %d pairs of users and databases are in use", maxMembers)
	}
	m := &member{fleet: f, pair: p, plan: plan, wave: f.wave}
	m.db = &proxy.Database{Name: p.database, Mode: plan.Mode, KeepNames: plan.KeepNames, Servers: m, Router: router(plan)}
	f.members[p] = m
	return m, nil
}

// forgetUnused drops members whose pools have no connections; who asks for one again makes it
// anew. It is called with the lock held.
func (f *Fleet) forgetUnused() {
	used := map[string]bool{}
	for key, p := range f.pools {
		if s := p.Stats(); s.Active+s.Idle+s.Waiting+s.Connecting > 0 {
			used[key] = true
		}
	}
	for pair, m := range f.members {
		m.mu.Lock()
		busy := false
		for _, s := range m.plan.Servers {
			busy = busy || used[s.Key]
		}
		m.mu.Unlock()
		if !busy {
			delete(f.members, pair)
		}
	}
	f.sweep()
}

// current returns the plan that holds now.
func (m *member) current() (Plan, error) {
	m.fleet.mu.Lock()
	source, wave := m.fleet.source, m.fleet.wave
	m.fleet.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wave != wave {
		m.plan, m.err = source(m.pair.user, m.pair.database)
		m.wave = wave
	}
	return m.plan, m.err
}

// Pick chooses a server: it is the proxy.Servers of the member's sessions.
func (m *member) Pick(_ context.Context, role route.Role) (*pool.Pool, error) {
	plan, err := m.current()
	if err != nil {
		return nil, err
	}
	var primary *Server
	var readers []*Server
	for i := range plan.Servers {
		s := &plan.Servers[i]
		if s.Role == pool.Primary {
			primary = s
		}
		if s.Role == pool.Replica || s.Role == pool.Primary && plan.ReadsOnPrimary {
			readers = append(readers, s)
		}
	}
	if role == route.Primary || role == route.PreferPrimary && primary != nil || len(readers) == 0 {
		if primary == nil {
			return nil, &wire.Error{Code: wire.CodeReadOnlySQLTransaction, Message: fmt.Sprintf("database %q has no primary", m.pair.database)}
		}
		return m.fleet.pool(primary)
	}
	m.mu.Lock()
	m.next++
	s := readers[m.next%len(readers)]
	m.mu.Unlock()
	return m.fleet.pool(s)
}

// pool returns the pool of a server.
func (f *Fleet) pool(s *Server) (*pool.Pool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, pool.ErrClosed
	}
	p := f.pools[s.Key]
	if p == nil {
		b := s.Backend
		p = pool.New(&b, s.Pool, f.log)
		f.pools[s.Key] = p
	}
	return p, nil
}

// Reload takes another source. Pools that it still has stay, with their connections and the
// transactions on them; those that it has not are closed when what runs on them has ended.
func (f *Fleet) Reload(source Source) {
	f.mu.Lock()
	f.source = source
	f.wave++
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
	f.sweep()
}

// retireTimeout is how long a transaction may go on on a pool that is no more.
const retireTimeout = time.Minute

// sweep closes the pools that no member has. It is called with the lock held.
func (f *Fleet) sweep() {
	used := map[string]bool{}
	for _, m := range f.members {
		m.mu.Lock()
		for _, s := range m.plan.Servers {
			used[s.Key] = true
		}
		m.mu.Unlock()
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
	pools := f.pools
	f.pools = map[string]*pool.Pool{}
	f.mu.Unlock()
	for _, p := range pools {
		f.wg.Go(func() { p.Close(ctx) })
	}
	f.wg.Wait()
}

// errNoServer is for databases without a server.
var errNoServer = errors.New("the database has no server")
