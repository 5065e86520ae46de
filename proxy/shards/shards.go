package shards

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/proxy/twophase"
)

// A Config says how a database is divided, and where its shards are.
type Config struct {
	// Name is the database's name for clients.
	Name string
	// Layout says which rows are where. Required.
	Layout sharding.Config
	// Pick returns the pool of a shard's server in a role. Required.
	Pick func(ctx context.Context, shard int, role route.Role) (*pool.Pool, error)
	// Route are the router's options; Layout and Schema are set here.
	Route route.Config
	// TwoPhase is the directory of the two-phase commit log. Empty: no two-phase commit.
	TwoPhase string
	// Log are the log's options.
	Log twophase.LogOptions
	// RefuseSplit, RefuseMove and Memory are scatter.Config's.
	RefuseSplit, RefuseMove bool
	Memory                  int
	// KeepSchema leaves the schema as it was read at the start, whatever DDL does.
	KeepSchema bool
	// Node is the number of this proxy in unique ids, from 0 to 1023.
	Node int
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

	cfg    Config
	types  []map[string]uint32 // as Open has read them
	log    *twophase.Log
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Open connects to the shards, reads their schema, and resolves what an earlier proxy left in
// the middle of a commit. A shard that cannot be reached is an error, but for that.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	layout, err := sharding.Compile(cfg.Layout)
	if err != nil {
		return nil, err
	}
	ids, err := scatter.NewUniqueIDs(cfg.Node)
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, Layout: layout}
	snap, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	cfg.Route.Layout, cfg.Route.Schema = layout, snap
	c.Router = route.New(cfg.Route)
	xc := scatter.Config{
		Router: c.Router, Layout: layout, Servers: &proxy.ShardServers{Pick: cfg.Pick}, UniqueID: ids.Next, Memory: cfg.Memory,
		RefuseSplit: cfg.RefuseSplit, RefuseMove: cfg.RefuseMove, Log: cfg.Logger,
		Fork: func(s *schema.Snapshot) *route.Router {
			own := cfg.Route
			own.Schema, own.Plans = s, 100
			return route.New(own)
		},
	}
	if !cfg.KeepSchema {
		xc.Reload = c.Reload
	}
	if cfg.TwoPhase != "" {
		if err := c.openLog(ctx); err != nil {
			return nil, err
		}
		xc.Committer = c.Coordinator
	}
	executor := scatter.New(xc)
	executor.SetTypes(c.types)
	c.Database = &proxy.Database{Name: cfg.Name, Servers: first{cfg.Pick}, Sharded: executor}
	return c, nil
}

// openLog opens the log and resolves what it tells of.
func (c *Cluster) openLog(ctx context.Context) error {
	opt := c.cfg.Log
	opt.Log = c.cfg.Logger
	log, err := twophase.OpenLog(c.cfg.TwoPhase, opt)
	if err != nil {
		return err
	}
	c.log = log
	c.Coordinator = twophase.New(twophase.Config{
		Log: log, Shards: c.Layout.Shards, Logger: c.cfg.Logger,
		Connect: func(ctx context.Context, shard int) (twophase.Server, error) { return c.connect(ctx, shard) },
	})
	// What is prepared keeps its locks until it is resolved, so that goes first.
	limited, done := context.WithTimeout(ctx, 10*time.Second)
	defer done()
	if err := c.Coordinator.Resolve(limited); err != nil {
		c.cfg.Logger.Warn("transactions that were left in the middle of a commit could not all be resolved; it will be tried again", "error", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	c.wg.Go(func() { _ = c.Coordinator.Run(running) })
	return nil
}

// Reload reads the schema anew.
func (c *Cluster) Reload(ctx context.Context) error {
	snap, err := c.load(ctx)
	if err != nil {
		return err
	}
	c.Router.SetSchema(snap)
	return nil
}

// load reads the schema of the first shard, and warns where the others have another.
func (c *Cluster) load(ctx context.Context) (*schema.Snapshot, error) {
	snaps := make([]*schema.Snapshot, c.Layout.Shards)
	types := make([]map[string]uint32, c.Layout.Shards)
	errs := make([]error, c.Layout.Shards)
	var wg sync.WaitGroup
	for shard := range snaps {
		wg.Go(func() {
			conn, err := c.connect(ctx, shard)
			if err == nil {
				defer conn.Close()
				if err = conn.Query(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL search_path = ''", nil); err == nil {
					if snaps[shard], err = schema.Load(ctx, conn); err == nil {
						types[shard], err = typesOf(ctx, conn)
					}
				}
			}
			if err != nil {
				errs[shard] = fmt.Errorf("shard %d: %w", shard, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for shard, s := range snaps {
		for _, d := range Differences(snaps[0], s) {
			c.cfg.Logger.Warn("the shards' schemas differ", "shard", shard, "difference", d)
		}
	}
	c.types = types
	if c.Database != nil {
		c.Database.Sharded.SetTypes(types)
	}
	return snaps[0], nil
}

func typesOf(ctx context.Context, conn *conn) (map[string]uint32, error) {
	out := map[string]uint32{}
	err := conn.Query(ctx, scatter.TypesSQL, func(row [][]byte) error {
		oid, err := strconv.ParseUint(string(row[1]), 10, 32)
		out[string(row[0])] = uint32(oid)
		return err
	})
	return out, err
}

// Close ends what Open began, once no session uses it any more.
func (c *Cluster) Close() error {
	if c.cancel != nil {
		c.cancel()
	}
	c.wg.Wait()
	if c.log != nil {
		return c.log.Close()
	}
	return nil
}

// first greets clients by the first shard.
type first struct {
	pick func(ctx context.Context, shard int, role route.Role) (*pool.Pool, error)
}

// Pick implements proxy.Servers.
func (f first) Pick(ctx context.Context, role route.Role) (*pool.Pool, error) {
	return f.pick(ctx, 0, role)
}

// Differences says in which tables two schemas differ, the system's left out.
func Differences(a, b *schema.Snapshot) (out []string) {
	system := func(t *schema.Table) bool { return t.Schema == "pg_catalog" || t.Schema == "information_schema" }
	for t := range a.All {
		if system(t) {
			continue
		}
		o := b.Table(t.Schema, t.Name, nil)
		switch {
		case o == nil:
			out = append(out, fmt.Sprintf("there is no table %s.%s", t.Schema, t.Name))
			continue
		case len(o.Columns) != len(t.Columns):
			out = append(out, fmt.Sprintf("table %s.%s has %d columns, not %d", t.Schema, t.Name, len(o.Columns), len(t.Columns)))
			continue
		}
		for i, col := range t.Columns {
			if o := o.Columns[i]; o.Name != col.Name || o.TypeName != col.TypeName {
				out = append(out, fmt.Sprintf("column %d of table %s.%s is %s %s, not %s %s", i+1, t.Schema, t.Name, o.Name, o.TypeName, col.Name, col.TypeName))
			}
		}
	}
	for t := range b.All {
		if !system(t) && a.Table(t.Schema, t.Name, nil) == nil {
			out = append(out, fmt.Sprintf("table %s.%s is only there", t.Schema, t.Name))
		}
	}
	return out
}
