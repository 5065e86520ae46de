package commands

import (
	"cmp"
	"context"
	"errors"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
)

// proxySetupCmd installs sharded sequences.
type proxySetupCmd struct {
	proxyFlags
	Shards   int    `placeholder:"N" help:"Do it for the servers of \"proxy --shards N\"."`
	Demo     bool   `help:"With --shards: the tables of the demonstration are divided."`
	User     string `placeholder:"NAME" help:"The user of the configuration who does it (default: the first one of the database)."`
	Database string `arg:"" optional:"" help:"The database (default: the configuration's first one)."`
	JSON     bool   `help:"Print JSON."`
}

// Help is the command's long help.
func (*proxySetupCmd) Help() string {
	return `Gives every sharded table whose primary key is one bigint column a sequence on each shard that draws numbers which no other shard draws: those that hash to it. What is there already goes on above the greatest number of all shards. It may be run again, and has to be when the number of shards has changed. For a new table, SELECT pgdog.install_sharded_sequence('schema', 'table', 'column') does it through the proxy. See "pgx-dev help sharding".`
}

// Run installs them.
func (c *proxySetupCmd) Run(ctx context.Context, env *Env) (err error) {
	p, err := c.load(env)
	if err != nil {
		return err
	}
	layout, pick, done, err := shardedServers(ctx, env, p, shardedTarget{c.Shards, c.Demo, c.Database, c.User})
	defer func() { err = errors.Join(err, done()) }()
	if err != nil {
		return err
	}
	list, err := shards.Sequences(ctx, layout, pick)
	if err != nil {
		return err
	}
	if c.JSON {
		out := []map[string]any{}
		for _, s := range list {
			out = append(out, map[string]any{"table": s.Table, "column": s.Column, "above": s.Least})
		}
		return printJSON(env, out)
	}
	for _, s := range list {
		env.UI.Printf("%s.%s above %d\n", s.Table, s.Column, s.Least)
	}
	env.UI.Note("%d tables draw their numbers from sharded sequences on %d shards; a proxy that is running learns of it by SIGHUP or with the next DDL", len(list), layout.Shards)
	return nil
}

// A shardedTarget is a database on several shards: of a configuration, or of --shards.
type shardedTarget struct {
	shards         int
	demo           bool
	database, user string
}

// shardedServers finds the servers of a database on several shards, for a command that works
// on each of them. done lets go of them, whatever the error.
func shardedServers(ctx context.Context, env *Env, p *config.Proxy, t shardedTarget) (layout *sharding.Layout, pick shards.Pick, done func() error, err error) {
	done = func() error { return nil }
	var source fleet.Source
	var cfg sharding.Config
	database, user := t.database, t.user
	if t.shards != 0 {
		serve := &proxyServeCmd{Shards: t.shards, Demo: t.demo}
		servers, name, err := serve.startShards(ctx, env)
		done = func() error {
			var errs []error
			for _, s := range servers {
				errs = append(errs, s.Close(context.WithoutCancel(ctx)))
			}
			return errors.Join(errs...)
		}
		if err != nil {
			return nil, nil, done, err
		}
		database, user = cmp.Or(database, name), cmp.Or(user, servers[0].Info().User)
		if cfg, err = shardLayout(p, database, t.shards, t.demo); err != nil {
			return nil, nil, done, &ExitError{Code: ExitUsage, Err: err}
		}
		source = shardSource(servers, cfg, fleet.IDs{}, "", p)
	} else {
		if len(p.Databases) == 0 {
			return nil, nil, done, usageError("there is no server: no [[proxy.databases]] in the config file; name a configuration by --pgdog, or the servers of --shards")
		}
		database = cmp.Or(database, p.Databases[0].Name)
		if p.Shards(database) < 2 {
			return nil, nil, done, usageError("the database %q is not on several shards", database)
		}
		for i := range p.Config.Users {
			if u := &p.Config.Users[i]; user == "" && u.MayUse(database) {
				user = u.Name
			}
		}
		if source, err = fleet.FromConfig(&p.Config); err != nil {
			return nil, nil, done, &ExitError{Code: ExitUsage, Err: err}
		}
		if cfg, err = shards.Layout(&p.Config, database); err != nil {
			return nil, nil, done, &ExitError{Code: ExitUsage, Err: err}
		}
	}
	if layout, err = sharding.Compile(cfg); err != nil {
		return nil, nil, done, &ExitError{Code: ExitUsage, Err: err}
	}
	f := fleet.New(source, env.Log)
	servers := done
	done = func() error {
		f.Close(context.WithoutCancel(ctx))
		return servers()
	}
	return layout, func(ctx context.Context, shard int, role route.Role) (*pool.Pool, error) {
		return f.Pick(ctx, user, database, shard, role)
	}, done, nil
}
