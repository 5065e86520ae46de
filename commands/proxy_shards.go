package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// demoSchema is what --demo makes.
const demoSchema = `CREATE TABLE IF NOT EXISTS users (id bigint PRIMARY KEY, email text);
CREATE TABLE IF NOT EXISTS payments (id bigint, user_id bigint, amount numeric)`

func demoTables() []sharding.Table {
	return []sharding.Table{{Name: "users", Columns: []string{"id"}}, {Name: "payments", Columns: []string{"user_id"}}}
}

// serveShards starts servers and divides a database among them.
func (c *proxyServeCmd) serveShards(ctx context.Context, env *Env, p *config.Proxy, sockets proxySockets) (err error) {
	switch {
	case c.Shards < 1 || c.Shards > sharding.MaxShards:
		return usageError("--shards has to be between 1 and %d", sharding.MaxShards)
	case len(p.Databases) > 0:
		return usageError("--shards starts servers of its own, and the configuration names some: give one or the other")
	case c.Cluster != "":
		return usageError("--cluster names one server, and --shards starts several")
	}
	state, err := env.MakeStateDir()
	if err != nil {
		return err
	}
	// What has once been divided stays so, or its rows would be looked for elsewhere.
	mark := filepath.Join(state, fmt.Sprintf("shards%d.demo", c.Shards))
	if c.Demo {
		if err := os.WriteFile(mark, nil, 0o600); err != nil {
			return err
		}
	} else if _, err := os.Stat(mark); err == nil {
		c.Demo = true
	}
	servers, database, err := c.startShards(ctx, env)
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
		}
	}()
	if err != nil {
		return err
	}
	layout, err := shardLayout(p, database, c.Shards, c.Demo)
	if err != nil {
		return &ExitError{Code: ExitUsage, Err: err}
	}
	if len(layout.Tables) == 0 && len(layout.Schemas) == 0 {
		env.UI.Note("no table is divided: every shard gets all rows; name tables by [[proxy.sharded_tables]], or take --demo")
	}
	ids, err := fleet.IDsOf(&p.General)
	if err != nil {
		return err
	}
	info := servers[0].Info()
	logs := filepath.Join(state, "2pc", fmt.Sprintf("shards%d", c.Shards))
	s := &proxyServing{
		listen: c.Listen, key: "proxy shards " + strconv.Itoa(c.Shards) + " " + info.Dir, user: info.User, database: database,
		source:  shardSource(servers, layout, ids, logs, p),
		sockets: sockets, logs: logs,
	}
	if c.Replace {
		if err := s.replaces(ctx, env); err != nil {
			return err
		}
	}
	s.config.Store(&p.Config)
	if !s.listen.tcp() {
		s.auth = pgserver.Trust() // the socket is ours alone
	} else {
		passwords, err := s.madeAuth()
		if err != nil {
			return err
		}
		s.auth, s.password, s.passFile = passwords, *passwords.password.Load(), true
	}
	return s.run(ctx, env)
}

// shardLayout is how the configuration, or the demonstration, divides a database.
func shardLayout(p *config.Proxy, database string, n int, demo bool) (sharding.Config, error) {
	layout, err := shards.Layout(&p.Config, database)
	if err != nil {
		return layout, err
	}
	layout.Shards = n
	if demo {
		layout.Tables = append(layout.Tables, demoTables()...)
	}
	_, err = sharding.Compile(layout)
	return layout, err
}

// startShards starts the servers, which are clusters of this project. Their names say how
// many they are, since rows are placed by that.
func (c *proxyServeCmd) startShards(ctx context.Context, env *Env) ([]*cluster.Server, string, error) {
	servers := make([]*cluster.Server, c.Shards)
	errs := make([]error, c.Shards)
	database := ""
	start := func(i int) {
		o := opening{target: target{Name: nameArg(fmt.Sprintf("shards%d-%d", c.Shards, i))}, label: "proxy"}
		if o.config, errs[i] = clusterConfig(env, o.target); errs[i] != nil {
			return
		}
		override(&o.config.Engine, c.Engine)
		settings := map[string]string{"max_prepared_transactions": "100"}
		maps.Copy(settings, o.config.Settings)
		o.config.Settings = settings
		if servers[i], errs[i] = open(ctx, env, o); errs[i] != nil {
			return
		}
		name := cmp.Or(o.config.Database, servers[i].Info().Database)
		if i == 0 {
			database = name
		}
		if c.Demo {
			errs[i] = runOn(ctx, servers[i], name, demoSchema)
		}
	}
	// The first one makes what the others copy.
	start(0)
	if errs[0] == nil {
		var wg sync.WaitGroup
		for i := 1; i < c.Shards; i++ {
			wg.Go(func() { start(i) })
		}
		wg.Wait()
	}
	var running []*cluster.Server
	for _, s := range servers {
		if s != nil {
			running = append(running, s)
		}
	}
	return running, database, errors.Join(errs...)
}

func runOn(ctx context.Context, srv *cluster.Server, database, sql string) error {
	conn, err := engines.Connect(ctx, srv, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// shardSource lets every user have every database, divided among the servers. The directory
// is for the logs of two-phase commit.
func shardSource(servers []*cluster.Server, layout sharding.Config, ids fleet.IDs, dir string, p *config.Proxy) fleet.Source {
	g := p.General
	return func(user, database string) (fleet.Plan, error) {
		plan := fleet.Plan{Group: database, IDs: ids, Shards: max(2, len(servers)), Tenant: p.MultiTenant.Column, SlowParse: g.LogMinDurationParse, Sample: g.LogQuerySampleLength}
		for i, srv := range servers {
			s, _ := fleet.Unnamed(&p.Config, pool.Backend{
				ID: strconv.Itoa(i) + "\x00" + user + "\x00" + database, Name: srv.Info().Dir, Shard: i, Dial: srv.Dial,
				Login: pool.Credentials{User: user, Database: database},
			}, srv.Info().MaxConns)
			plan.Servers = append(plan.Servers, s)
		}
		plan.Sharding = func(ctx context.Context, o fleet.Opening) (*shards.Cluster, error) {
			cfg := fleet.ShardOptions(&p.Config, nil, database, o)
			cfg.Layout = layout
			cfg.TwoPhase = filepath.Join(dir, url.PathEscape(database), url.PathEscape(user))
			if r := p.Rewrite; r.Enabled { // without it, all that can be done is
				cfg.RefuseSplit, cfg.RefuseMove = r.SplitInserts != conf.RewriteRewrite, r.ShardKey != conf.RewriteRewrite
			}
			return shards.Open(ctx, cfg)
		}
		return plan, nil
	}
}
