package shards

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/claim"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/pubsub"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/proxy/twophase"
)

// A Pick finds the pool of a shard's server in a role.
type Pick func(ctx context.Context, shard int, role route.Role) (*pool.Pool, error)

// A Config says how a database is divided, and where its shards are.
type Config struct {
	// Name is the database's name for clients.
	Name string
	// Layout says which rows are where. Required.
	Layout sharding.Config
	// Pick returns the pool of a shard's server in a role. Required.
	Pick Pick
	// Ready returns the same pool if that can be told at once, else nil. Nil: it never can. With it
	// the proxy's loops serve what concerns one shard only.
	Ready func(shard int, role route.Role) *pool.Pool
	// Route are the router's options; Layout and Schema are set here.
	Route route.Config
	// TwoPhase is the directory of the two-phase commit log. Empty: shards commit one after
	// the other. Log are the log's options.
	TwoPhase string
	Log      twophase.LogOptions
	// RefuseSplit, RefuseMove, SingleInTurn and Memory are scatter.Config's.
	RefuseSplit, RefuseMove, SingleInTurn bool
	Memory                                int
	// KeepSchema leaves the schema as it was read at the start, whatever DDL does.
	KeepSchema bool
	// NoSchema leaves it unread, with which the router refuses more.
	NoSchema bool
	// OmniSticky, Behind, Notifications, Lookups and LookupTimeout are scatter.Config's.
	OmniSticky    bool
	Behind        time.Duration
	Notifications int
	Lookups       int
	LookupTimeout time.Duration
	// Explain and Claims are scatter.Config's.
	Explain bool
	Claims  *claim.Bank
	// IDs makes unique ids. Nil: statements that ask for one are refused.
	IDs *scatter.UniqueIDs
	// Logger gets what no client is told. Nil discards it.
	Logger *slog.Logger
}

// A Cluster is a database on several shards. Close ends it.
type Cluster struct {
	// Database is what a proxy's Lookup returns.
	Database *proxy.Database
	// Router decides, Layout says where rows are.
	Router *route.Router
	Layout *sharding.Layout
	// Coordinator is what commits in two phases, nil if nothing does.
	Coordinator *twophase.Coordinator

	cfg         Config
	listeners   []*pubsub.Hub
	differences atomic.Pointer[[]string]
	reloading   sync.Mutex // so that an older schema does not take the place of a newer one
	commit      *commit
	away        []absent // by shard
}

// Listeners are what listens at the shards.
func (c *Cluster) Listeners() []*pubsub.Hub { return c.listeners }

// Lookups are what the lookup queries have come to.
func (c *Cluster) Lookups() scatter.LookupStats { return c.Database.Sharded.Lookups() }

// Close ends what Open began, once no session uses it any more.
func (c *Cluster) Close() error {
	for _, h := range c.listeners {
		h.Close()
	}
	if c.commit == nil {
		return nil
	}
	return c.commit.close()
}

// Open connects to the shards, resolves what an earlier proxy left in the middle of a commit,
// and reads the shards' schema. A shard that cannot be reached is served once it can; it is an
// error of the first shard only, whose types clients see.
func Open(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	layout, err := sharding.Compile(cfg.Layout)
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, Layout: layout, away: make([]absent, layout.Shards)}
	defer func() {
		if err != nil {
			_ = c.Close()
		}
	}()
	if cfg.TwoPhase != "" {
		// What is prepared keeps its locks until it is resolved, so that goes first.
		if c.commit, err = openCommit(ctx, &cfg, layout.Shards); err != nil {
			return nil, err
		}
		c.Coordinator = c.commit.coordinator
	}
	var snap *schema.Snapshot
	var types [][]scatter.Named
	if !cfg.NoSchema {
		if snap, types, err = c.load(ctx, true); err != nil {
			return nil, err
		}
	}
	cfg.Route.Layout, cfg.Route.Schema = layout, snap
	c.Router = route.New(cfg.Route)
	servers := &proxy.ShardServers{Pick: c.pick}
	if cfg.Ready != nil {
		servers.Ready = c.ready
	}
	xc := scatter.Config{
		Router: c.Router, Layout: layout, Servers: servers, Memory: cfg.Memory,
		RefuseSplit: cfg.RefuseSplit, RefuseMove: cfg.RefuseMove, SingleInTurn: cfg.SingleInTurn, Log: cfg.Logger,
		OmniSticky: cfg.OmniSticky, Explain: cfg.Explain, Claims: cfg.Claims, Behind: cfg.Behind, Lookups: cfg.Lookups, LookupTimeout: cfg.LookupTimeout,
		Waits: c.waits,
		Fork: func(s *schema.Snapshot) *route.Router {
			own := cfg.Route
			own.Schema, own.Plans = s, 100
			return route.New(own)
		},
	}
	if !cfg.KeepSchema && !cfg.NoSchema {
		xc.Differences = func() []string { return *c.differences.Load() }
		xc.Reload = c.Reload
	}
	if cfg.IDs != nil {
		xc.UniqueID = cfg.IDs.Next
	}
	if c.Coordinator != nil {
		xc.Committer = c.Coordinator
	}
	for shard := range layout.Shards {
		c.listeners = append(c.listeners, pubsub.New(pubsub.Config{
			Log: cfg.Logger.With("shard", shard), Connect: func(ctx context.Context) (pubsub.Conn, error) { return listener(ctx, cfg.Pick, shard) },
		}))
	}
	xc.Listeners, xc.Notifications = c.listeners, cfg.Notifications
	executor := scatter.New(xc)
	if types != nil {
		executor.SetTypes(types)
		for shard := range layout.Shards {
			// Those that have just been read answer at once.
			if p, err := cfg.Pick(ctx, shard, route.Primary); err == nil && !c.away[shard].is.Load() {
				executor.SetBound(shard, route.Primary, p, p.Config().Size, max(0, p.Config().CheckoutTimeout), p.Limits()...)
			}
		}
	}
	c.Database = &proxy.Database{Name: cfg.Name, Servers: first{cfg.Pick}, Sharded: executor}
	return c, nil
}

// Reload reads the schema anew.
func (c *Cluster) Reload(ctx context.Context) error {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	return c.reload(ctx)
}

func (c *Cluster) reload(ctx context.Context) error {
	snap, types, err := c.load(ctx, false)
	if err != nil {
		return err
	}
	c.Database.Sharded.SetTypes(types)
	c.Router.SetSchema(snap)
	for shard := range types {
		if types[shard] != nil && c.away[shard].is.CompareAndSwap(true, false) {
			c.cfg.Logger.Info("a shard that was away is served", "shard", shard)
		}
	}
	return nil
}

// load reads the schema of the first shard, and warns where the others have another. Those that
// cannot be reached are left out, if they have never been.
func (c *Cluster) load(ctx context.Context, start bool) (*schema.Snapshot, [][]scatter.Named, error) {
	snaps := make([]*schema.Snapshot, c.Layout.Shards)
	types := make([][]scatter.Named, c.Layout.Shards)
	errs := make([]error, c.Layout.Shards)
	var wg sync.WaitGroup
	for shard := range snaps {
		wg.Go(func() {
			conn, err := connect(ctx, c.cfg.Pick, shard)
			if err == nil {
				defer conn.Close()
				if snaps[shard], err = schemaOf(ctx, conn); err == nil {
					types[shard], err = typesOf(ctx, conn)
				}
			}
			away := &c.away[shard]
			if err != nil && shard > 0 && (start || away.is.Load()) {
				snaps[shard], types[shard] = nil, nil
				away.set(err)
				c.cfg.Logger.Warn("a shard cannot be reached; it is served as soon as it can", "shard", shard, "error", err)
				return
			}
			if err != nil {
				errs[shard] = unreachable(shard, err)
				return
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	differences := c.compare(snaps, types)
	for _, d := range differences {
		c.cfg.Logger.Warn("the shards' schemas differ", "difference", d)
	}
	c.differences.Store(&differences)
	// What is on one shard only, by its schema, must be known, too.
	for _, s := range snaps[1:] {
		if s != nil {
			snaps[0].Adopt(s)
		}
	}
	return snaps[0], types, nil
}

func typesOf(ctx context.Context, conn *conn) ([]scatter.Named, error) {
	var out []scatter.Named
	err := conn.Query(ctx, scatter.TypesSQL, func(row [][]byte) error {
		n, err := scatter.ReadNamed(row)
		out = append(out, n)
		return err
	})
	return out, err
}

// first greets clients by the first shard.
type first struct{ pick Pick }

// Pick implements proxy.Servers.
func (f first) Pick(ctx context.Context, role route.Role) (*pool.Pool, error) {
	return f.pick(ctx, 0, role)
}
