package shards

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
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

	cfg    Config
	types  []map[string]uint32 // as Open has read them
	commit *commit
}

// Close ends what Open began, once no session uses it any more.
func (c *Cluster) Close() error {
	if c.commit == nil {
		return nil
	}
	return c.commit.close()
}

// Open connects to the shards, reads their schema, and resolves what an earlier proxy left in
// the middle of a commit. A shard that cannot be reached is an error.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	layout, err := sharding.Compile(cfg.Layout)
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
		Router: c.Router, Layout: layout, Servers: &proxy.ShardServers{Pick: cfg.Pick}, Memory: cfg.Memory,
		RefuseSplit: cfg.RefuseSplit, RefuseMove: cfg.RefuseMove, SingleInTurn: cfg.SingleInTurn, Log: cfg.Logger,
		Fork: func(s *schema.Snapshot) *route.Router {
			own := cfg.Route
			own.Schema, own.Plans = s, 100
			return route.New(own)
		},
	}
	if !cfg.KeepSchema {
		xc.Reload = c.Reload
	}
	if cfg.IDs != nil {
		xc.UniqueID = cfg.IDs.Next
	}
	if cfg.TwoPhase != "" {
		if c.commit, err = openCommit(ctx, &cfg, layout.Shards); err != nil {
			return nil, err
		}
		c.Coordinator = c.commit.coordinator
		xc.Committer = c.Coordinator
	}
	executor := scatter.New(xc)
	executor.SetTypes(c.types)
	c.Database = &proxy.Database{Name: cfg.Name, Servers: first{cfg.Pick}, Sharded: executor}
	return c, nil
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
			conn, err := connect(ctx, c.cfg.Pick, shard)
			if err == nil {
				defer conn.Close()
				if snaps[shard], err = schemaOf(ctx, conn); err == nil {
					types[shard], err = typesOf(ctx, conn)
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
		pinned := func(t *schema.Table) bool { return c.Layout.Find(t.Schema, t.Name, t.Names()).Pinned }
		for _, d := range Differences(snaps[0], s, pinned) {
			c.cfg.Logger.Warn("the shards' schemas differ", "shard", shard, "difference", d)
		}
	}
	// What is on one shard only, by its schema, must be known, too.
	for _, s := range snaps[1:] {
		snaps[0].Adopt(s)
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

// first greets clients by the first shard.
type first struct{ pick Pick }

// Pick implements proxy.Servers.
func (f first) Pick(ctx context.Context, role route.Role) (*pool.Pool, error) {
	return f.pick(ctx, 0, role)
}

// Differences says in which tables two schemas differ, the system's left out, and those that
// are on one shard only.
func Differences(a, b *schema.Snapshot, pinned func(*schema.Table) bool) (out []string) {
	system := func(t *schema.Table) bool {
		return t.Schema == "pg_catalog" || t.Schema == "information_schema" || pinned != nil && pinned(t)
	}
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
