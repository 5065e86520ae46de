package fleet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire"
)

// maxMembers bounds the pairs of user and database. Clients that may ask for any database
// could otherwise make as many as they like.
const maxMembers = 4096

type pair struct{ user, database string }

// A member is what one user gets of one database. It stays the same through reloads, so that
// sessions that have it get the new servers.
type member struct {
	fleet *Fleet
	pair  pair
	db    atomic.Pointer[proxy.Database] // for clients that come

	moved atomic.Bool // the database is another one now, which other members have

	mu     sync.Mutex
	wave   int64
	plan   Plan
	err    error
	served served // what db was made of

	only    atomic.Pointer[only]    // where there is nothing to choose
	several atomic.Pointer[several] // where there is
	parts   sync.Map                // of a database on several shards, a *several for each that somebody has picked

	rehearsal atomic.Pointer[rehearsal] // nil: no dry run

	opening sync.Mutex
	failed  time.Time // the last attempt to open it
	failure error
	cluster *shards.Cluster // of a database on several shards, once somebody has come
}

// An only is the one pool there is, as of a wave of the fleet.
type only struct {
	wave int64
	pool *pool.Pool
}

// A several is the servers of a shard with the pools of a member, as of a wave of the fleet. group is
// nil where there is nothing to choose.
type several struct {
	wave  int64
	group *group
	pools []*pool.Pool
}

// openPause is how long a database on several shards that could not be opened is not tried again.
const openPause = time.Second

// sharded opens a database on several shards for the first one who comes.
func (m *member) sharded(ctx context.Context, plan Plan) (*proxy.Database, error) {
	m.opening.Lock()
	defer m.opening.Unlock()
	if m.moved.Load() {
		return nil, errMoved
	}
	if m.cluster == nil {
		ids, err := m.fleet.generator(plan.IDs)
		if err != nil {
			return nil, err
		}
		if time.Since(m.failed) < openPause {
			return nil, m.failure // those who have waited for the attempt do not wait for another
		}
		c, err := plan.Sharding(ctx, Opening{Pick: m.pick, Ready: m.part, Log: m.fleet.log, Route: m.fleet.routing(plan, m.pair), IDs: ids, Claims: m.fleet.claims})
		if err != nil {
			if ctx.Err() == nil {
				m.failed, m.failure = time.Now(), err
			}
			return nil, err
		}
		m.fleet.mu.Lock()
		m.fleet.opened = append(m.fleet.opened, c)
		m.fleet.mu.Unlock()
		m.cluster = c
	}
	return m.cluster.Database, nil
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
	m := &member{fleet: f, pair: p, plan: plan, wave: f.wave.Load()}
	m.serve(plan)
	m.rehearse()
	f.members[p] = m
	return m, nil
}

// A served is what a database is made of, beside its servers.
type served struct {
	mode                                             proxy.Mode
	parser                                           conf.ParserLevel
	keepNames, explain, ownListen, aggressive, reads bool
	notifications, sample                            int
	tenant                                           string
	slowParse                                        time.Duration
}

// serve makes what the clients that come get, unless they have that already: those that are there
// keep what they have. The member's lock is held, or nobody else has it.
func (m *member) serve(plan Plan) {
	reads := slices.ContainsFunc(plan.Servers, func(s Server) bool { return s.ConfRole != conf.Primary })
	want := served{plan.Mode, plan.Parser, plan.KeepNames, plan.Explain, plan.OwnListen, plan.Aggressive, reads, plan.Notifications, plan.Sample, plan.Tenant, plan.SlowParse}
	if m.served == want && m.db.Load() != nil {
		return
	}
	m.served = want
	db := &proxy.Database{
		Name: m.pair.database, Mode: plan.Mode, KeepNames: plan.KeepNames, Explain: plan.Explain, Servers: m,
		Router: router(plan, m.fleet.routing(plan, m.pair)), Notifications: plan.Notifications,
	}
	db.Defer = plan.Aggressive && db.Router != nil && reads
	if !plan.OwnListen {
		db.Listener = m.ear
	}
	m.db.Store(db)
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
	source, wave := m.fleet.source, m.fleet.wave.Load()
	m.fleet.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wave != wave {
		m.plan, m.err = source(m.pair.user, m.pair.database)
		if m.wave = wave; m.err == nil {
			m.serve(m.plan)
		}
	}
	return m.plan, m.err
}

// Ready returns the pool to use, where that can be told at once: nearly always, once somebody has
// picked one since the last reload, unless there is no primary.
func (m *member) Ready(role route.Role) *pool.Pool {
	wave := m.fleet.wave.Load()
	if o := m.only.Load(); o != nil && o.wave == wave {
		return o.pool
	}
	if s := m.several.Load(); s != nil && s.wave == wave {
		if i, ok := s.group.now(role); ok {
			return s.pools[i]
		}
	}
	return nil
}

// part is Ready for a database on several shards.
func (m *member) part(shard int, role route.Role) *pool.Pool {
	v, _ := m.parts.Load(shard)
	s, ok := v.(*several)
	if !ok || s.wave != m.fleet.wave.Load() {
		return nil
	}
	if s.group == nil {
		return s.pools[0]
	}
	if i, ok := s.group.now(role); ok {
		return s.pools[i]
	}
	return nil
}

// Pick chooses a server: it is the proxy.Servers of the member's sessions.
func (m *member) Pick(ctx context.Context, role route.Role) (*pool.Pool, error) {
	return m.pick(ctx, 0, role)
}

func (m *member) pick(ctx context.Context, shard int, role route.Role) (*pool.Pool, error) {
	if m.moved.Load() {
		return nil, errMoved
	}
	wave := m.fleet.wave.Load() // before the plan is looked at, which may be newer
	plan, servers, err := m.servers(shard)
	if err != nil {
		return nil, err
	}
	if len(servers) == 1 && servers[0].ConfRole == conf.Primary {
		p, err := m.pool(&servers[0], nil, 0)
		if err == nil && shard == 0 {
			m.only.Store(&only{wave, p})
		}
		if err == nil && plan.Shards > 1 {
			m.parts.Store(shard, &several{wave: wave, pools: []*pool.Pool{p}})
		}
		return p, err
	}
	g, err := m.fleet.groupOf(plan, shard, servers)
	if err != nil {
		return nil, err
	}
	i, err := g.choose(ctx, role)
	if err != nil {
		return nil, err
	}
	all := &several{wave: wave, group: g, pools: make([]*pool.Pool, len(servers))}
	for j := range servers {
		if all.pools[j], err = m.pool(&servers[j], g, j); err != nil {
			return nil, err
		}
	}
	if plan.Shards > 1 {
		m.parts.Store(shard, all)
	} else {
		m.several.Store(all)
	}
	return all.pools[i], nil
}

// servers returns those of a shard.
func (m *member) servers(shard int) (plan Plan, out []Server, err error) {
	if plan, err = m.current(); err != nil {
		return plan, nil, err
	}
	for _, s := range plan.Servers {
		if s.Shard == shard {
			s.Pool.Loops = m.fleet.Loops
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return plan, nil, wire.Errorf(wire.CodeInvalidCatalogName, "shard %d of database %q: %w", shard, m.pair.database, errNoServer)
	}
	return plan, out, nil
}

// Failed notes that no connection could be had of a pool because of its server, and reports
// whether another one may do.
func (m *member) Failed(p *pool.Pool, err error) (again bool) {
	b := p.Backend()
	plan, servers, e := m.servers(b.Shard)
	if e != nil || len(servers) == 1 && servers[0].ConfRole != conf.Auto || !failed(err) {
		return false
	}
	g, e := m.fleet.groupOf(plan, b.Shard, servers)
	if e != nil {
		return false
	}
	for i := range servers {
		if servers[i].ID == b.ID {
			g.Failed(i, err)
			return true
		}
	}
	return false
}

// errNoServer is for databases without a server.
var errNoServer = errors.New("the database has no server")
