package commands

import (
	"errors"
	"maps"
	"slices"

	"github.com/pgx-dev/pgx-dev/config"
)

// proxyCommands put a pooler in front of PostgreSQL servers.
type proxyCommands struct {
	Proxy struct {
		Serve   proxyServeCmd   `cmd:"" default:"withargs" help:"Serve: many clients share few connections to the servers (the default)."`
		Route   proxyRouteCmd   `cmd:"" help:"Say to which shards statements would go, and why."`
		Check   proxyCheckCmd   `cmd:"" help:"Check a configuration: read its files, log in at every server."`
		Orphans proxyOrphansCmd `cmd:"" help:"Name the prepared transactions on shards, and settle those whose log is lost."`
		Setup   proxySetupCmd   `cmd:"" help:"Install sharded sequences on the shards of a database."`
		Reshard proxyReshardCmd `cmd:"" help:"Move a database to other shards while clients use it."`
		Hash    proxyHashCmd    `cmd:"" help:"Make the SCRAM verifier of a password, for password_hash."`
		Admin   proxyAdminCmd   `cmd:"" help:"Look at a running proxy and tell it what to do."`
		Top     proxyTopCmd     `cmd:"" help:"Show a running proxy's pools and slow queries, again and again."`
	} `cmd:"" group:"proxy" help:"Pool, balance and route connections to PostgreSQL servers."`
	Top proxyTopCmd `cmd:"" group:"proxy" help:"Show a running proxy's pools and slow queries, again and again."`
}

// proxyFlags say which configuration the proxy has.
type proxyFlags struct {
	PgDog       string   `name:"pgdog" placeholder:"FILE" complete:"file" help:"Read this pgdog.toml instead of [proxy] in the config file."`
	Users       string   `placeholder:"FILE" complete:"file" help:"Its users.toml (default: the one beside it)."`
	PgBouncer   string   `name:"pgbouncer" placeholder:"FILE" complete:"file" help:"Read this pgbouncer.ini instead."`
	DatabaseURL []string `name:"database-url" aliases:"url" sep:"none" placeholder:"URL" help:"Add a server and its user: postgres://USER:PASSWORD@HOST:PORT/DATABASE; repeatable."`
}

// load reads the configuration. Warnings are printed.
func (f *proxyFlags) load(env *Env) (*config.Proxy, error) {
	p, err := config.LoadProxy(config.ProxyOptions{
		Options: config.Options{
			Path:    env.globals.Config,
			Environ: env.LookupEnv,
			Names:   slices.Sorted(maps.Keys(env.environ)),
			Set:     env.options(),
		},
		PgDog: f.PgDog, Users: f.Users, PgBouncer: f.PgBouncer, URLs: f.DatabaseURL,
	})
	switch {
	case errors.Is(err, config.ErrNoFile):
		return nil, &ExitError{Code: ExitNotExist, Err: err}
	case err != nil:
		return nil, &ExitError{Code: ExitUsage, Err: err}
	}
	for _, w := range p.Warnings {
		env.UI.Warn("%s", w)
	}
	return p, nil
}
