package commands

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/lease/databases"
	"github.com/pgx-dev/pgx-dev/lease/servers"
)

// leaseCommands lend databases to test processes.
type leaseCommands struct {
	Lease struct {
		Serve    leaseServeCmd    `cmd:"" help:"Lend databases on a socket; print its path, serve until interrupted."`
		Wrap     leaseWrapCmd     `cmd:"" help:"Serve for as long as a command runs."`
		WrapEach leaseWrapEachCmd `cmd:"" name:"wrap-each" help:"Run a command for each name, with PGDATABASE set."`
		Exec     leaseExecCmd     `cmd:"" help:"Run a command with one leased database."`
		Status   leaseStatusCmd   `cmd:"" help:"Show who holds what, who waits and how quickly databases are made."`
		Kick     leaseKickCmd     `cmd:"" help:"End somebody's lease."`
		Janitor  leaseJanitorCmd  `cmd:"" hidden:""`
	} `cmd:"" group:"leases" help:"Lend exclusive test databases to processes."`
}

// leaseFlags say which pools there are. They go on top of the config file and PGM_*.
type leaseFlags struct {
	Socket         string   `short:"s" placeholder:"PATH" complete:"file" help:"Where clients connect ($$PGM_SOCKET, $$PGMANAGER_SOCKET)."`
	Pool           []string `placeholder:"NAME" help:"Only these pools of the config file."`
	Names          bool     `help:"Lend names only, as pgmanager does; touch no server."`
	Prefix         string   `placeholder:"TEXT" help:"What names begin with ($$PGM_DATABASE_PREFIX)."`
	Count          int      `default:"-1" placeholder:"N" help:"How many databases there may be ($$PGM_DATABASE_COUNT)."`
	URL            string   `name:"url" placeholder:"URL" help:"Make databases on this server."`
	Cluster        string   `placeholder:"NAME" complete:"cluster" help:"Make databases on this cluster of the project."`
	PG             string   `name:"pg" placeholder:"VERSION" complete:"runtime" help:"The temporary cluster's version."`
	Engine         string   `placeholder:"ENGINE" enum:",native,wasm,none" default:"" help:"native, wasm or none."`
	Migrations     []string `sep:"none" placeholder:"FILE" complete:"file" help:"SQL files that make the template, globs allowed; repeatable."`
	Dump           string   `placeholder:"FILE" complete:"file" help:"A dump to start the template from."`
	Reset          string   `placeholder:"POLICY" enum:",none,recreate,truncate,delete,auto" default:"" help:"How to clean after a lease: none, recreate, truncate, delete, auto."`
	Listen         string   `placeholder:"ADDRESS" help:"An address that gives each client process its database: unix, unix:DIR, tcp:HOST:PORT."`
	VerifyTemplate bool     `help:"Build the template anew and compare it with the one that is there."`
}

// poolPlan is one pool to serve.
type poolPlan struct {
	config lease.PoolConfig
	socket string
}

// plan resolves flags, environment and config file into pools and their sockets.
func (f *leaseFlags) plan(env *Env) ([]poolPlan, *config.Config, error) {
	c, err := env.Config()
	if err != nil {
		return nil, nil, err
	}
	pools := c.Lease.Pools
	if len(f.Pool) > 0 {
		pools = nil
		for _, name := range f.Pool {
			p, err := findPool(c.Lease.Pools, name)
			if err != nil {
				return nil, nil, err
			}
			pools = append(pools, p)
		}
	}
	fromFile := len(pools) > 0
	if !fromFile {
		pools = []lease.PoolConfig{{}}
	}
	if len(pools) == 1 {
		pools = []lease.PoolConfig{pools[0]}
		if err := f.overlay(env, &pools[0], fromFile); err != nil {
			return nil, nil, err
		}
	} else if f.overlays() || env.Getenv("PGM_DATABASE_PREFIX") != "" || env.Getenv("PGM_DATABASE_COUNT") != "" {
		return nil, nil, usageError("there are %d pools: choose one by --pool to change it by flags or PGM_ variables", len(pools))
	}
	plans := make([]poolPlan, len(pools))
	for i, p := range pools {
		p = p.WithDefaults()
		if err := p.Validate(); err != nil {
			return nil, nil, &ExitError{ExitUsage, err}
		}
		plans[i] = poolPlan{config: p}
		if plans[i].socket, err = f.socketOf(env, c, p, i); err != nil {
			return nil, nil, err
		}
	}
	return plans, c, nil
}

func findPool(pools []lease.PoolConfig, name string) (lease.PoolConfig, error) {
	var names []string
	for _, p := range pools {
		p.Name = p.WithDefaults().Name
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return lease.PoolConfig{}, usageError("there is no pool %q: the config file has no [[lease.pool]]", name)
	}
	return lease.PoolConfig{}, usageError("there is no pool %q; there are %s", name, strings.Join(names, ", "))
}

func (f *leaseFlags) overlays() bool {
	return f.Names || f.Prefix != "" || f.Count >= 0 || f.URL != "" || f.Cluster != "" || f.PG != "" || f.Engine != "" ||
		len(f.Migrations) > 0 || f.Dump != "" || f.Reset != "" || f.Listen != ""
}

// overlay lays flags and pgmanager's variables over a pool. With nothing but the
// variables the pool lends names, as pgmanager does.
func (f *leaseFlags) overlay(env *Env, p *lease.PoolConfig, fromFile bool) error {
	prefix, _ := oldEnv(env, "PGM_DATABASE_PREFIX", "DATABASE_PREFIX")
	if prefix != "" {
		p.Prefix = prefix
		if !fromFile && f.URL == "" && f.Cluster == "" && f.PG == "" && f.Engine == "" && len(f.Migrations) == 0 && f.Dump == "" {
			p.Engine = "none"
		}
	}
	if text, name := oldEnv(env, "PGM_DATABASE_COUNT", "DATABASE_COUNT"); text != "" {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 0 {
			return usageError("%s=%q is not a number of databases", name, text)
		}
		p.Count = &n
	}
	if f.Names {
		p.Engine = "none"
	}
	override(&p.Engine, f.Engine)
	override(&p.Prefix, f.Prefix)
	override(&p.URL, f.URL)
	override(&p.Cluster, f.Cluster)
	override(&p.PG, f.PG)
	override(&p.Dump, absolute(f.Dump))
	override(&p.Reset, f.Reset)
	override(&p.Listen, f.Listen)
	if f.Count >= 0 {
		p.Count = &f.Count
	}
	if len(f.Migrations) > 0 {
		p.Migrations = nil
		for _, path := range f.Migrations {
			p.Migrations = append(p.Migrations, absolute(path))
		}
	}
	if p.Engine == "none" && p.Prefix == "" {
		return usageError("say what the names begin with, by --prefix or PGM_DATABASE_PREFIX")
	}
	return nil
}

// oldEnv returns the first of pgmanager's variables that is set, and its name.
func oldEnv(env *Env, names ...string) (value, name string) {
	for _, name := range names {
		if v := env.Getenv(name); v != "" {
			return v, name
		}
	}
	return "", ""
}

// socketOf returns the path of a pool's socket.
func (f *leaseFlags) socketOf(env *Env, c *config.Config, p lease.PoolConfig, i int) (string, error) {
	if first := firstSocket(env, c, f.Socket); first != "" {
		if i == 0 {
			return absolute(first), nil
		}
		return filepath.Join(filepath.Dir(absolute(first)), p.Name+".sock"), nil
	}
	if p.NamesOnly() {
		return absolute(lease.LegacySocket), nil
	}
	dir, err := leaseRun(env)
	return filepath.Join(dir, p.Name+".sock"), err
}

// firstSocket returns the socket that a flag, the environment or the config file names.
func firstSocket(env *Env, c *config.Config, flag string) string {
	if flag != "" {
		return flag
	}
	if s, _ := oldEnv(env, "PGM_SOCKET", "PGMANAGER_SOCKET"); s != "" {
		return s
	}
	return c.Lease.Socket
}

// leaseRun returns the private directory of this project's lease sockets.
func leaseRun(env *Env) (string, error) {
	dir, err := project(env)
	if err != nil {
		return "", err
	}
	return place.Run(filepath.Join(dir, "lease"))
}

// source returns what makes a pool's items.
func (f *leaseFlags) source(env *Env, c *config.Config, p lease.PoolConfig) (lease.Source, error) {
	if p.NamesOnly() {
		return lease.NewNames(p.Prefix), nil
	}
	dir := "."
	if c.Path != "" {
		dir = filepath.Dir(c.Path)
	}
	progress := func(text string) { env.Log.Info("working", "on", text) }
	if p.Engine == "wasm" {
		cache, err := place.Cache()
		if err != nil {
			return nil, err
		}
		wcfg := c.Embed
		wcfg.Log, wcfg.Progress = env.Log, progress
		return servers.New(servers.Config{
			Pool: p, Dir: absolute(dir), Environ: env.Environ(), Verify: f.VerifyTemplate, Logger: env.Log, Progress: progress,
			Engine: func() servers.Engine { return wasm.New(wcfg) }, Store: filepath.Join(cache, "lease"),
		}), nil
	}
	open, err := f.opener(env, p)
	if err != nil {
		return nil, err
	}
	src := databases.New(databases.Config{
		Pool: p, Dir: absolute(dir), Environ: env.Environ(), Verify: f.VerifyTemplate, Logger: env.Log,
		Progress: progress,
	}, open)
	if !needsJanitor(p) {
		return src, nil
	}
	j, err := startJanitor(env, p, src.Tag())
	if err != nil {
		return nil, err
	}
	env.closers = append(env.closers, func() {
		if err := j.dismiss(); err != nil {
			env.Log.Warn("end", "err", err)
		}
	})
	return src, nil
}

// opener returns what finds or starts a pool's server.
func (f *leaseFlags) opener(env *Env, p lease.PoolConfig) (databases.Opener, error) {
	if p.URL == "" {
		return f.clusterOpener(env, p), nil
	}
	open, err := databases.AtURL(p.URL)
	if err != nil {
		return nil, &ExitError{ExitUsage, err}
	}
	return open, nil
}

// clusterOpener starts a cluster of the project when it is first needed: the one that is
// named, or a temporary one that all lease servers of the project with the same settings
// share.
func (f *leaseFlags) clusterOpener(env *Env, p lease.PoolConfig) databases.Opener {
	return func(ctx context.Context) (databases.Host, error) {
		o := opening{label: "lease " + p.Name}
		name := p.Cluster
		if name != "" {
			o.target = target{Name: nameArg(name)}
			cfg, err := clusterConfig(env, o.target)
			if err != nil {
				return nil, err
			}
			cfg.Database, cfg.Idle, cfg.Init = "", 0, nil
			o.config = cfg
		} else {
			name = "lease-" + p.Name
			o.target = target{Name: nameArg(name)}
			o.temp = true
			settings := map[string]string{"max_connections": strconv.Itoa(4*(*p.Count) + 50), "max_prepared_transactions": "16"}
			maps.Copy(settings, p.Settings)
			o.config = cluster.Config{PG: p.PG, Settings: settings, Spare: "none"}
		}
		srv, err := open(ctx, env, o)
		if err != nil {
			if errors.Is(err, engines.ErrNoRuntime) || errors.Is(err, engines.ErrVersion) {
				return nil, fmt.Errorf("%w (%w)", err, lease.ErrHopeless)
			}
			return nil, err
		}
		return databases.OnServer(srv, "cluster "+name), nil
	}
}

// clientSocket returns the socket of a server to talk to: what is named, or the only one
// that this project has.
func clientSocket(env *Env, flag, pool string) (string, error) {
	c, err := env.Config()
	if err != nil {
		return "", err
	}
	if s := firstSocket(env, c, flag); s != "" {
		return absolute(s), nil
	}
	dir, err := leaseRun(env)
	if err != nil {
		return "", err
	}
	if pool != "" {
		return filepath.Join(dir, pool+".sock"), nil
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.sock.ctl"))
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return strings.TrimSuffix(found[0], ".ctl"), nil
	}
	return absolute(lease.LegacySocket), nil
}

// dialLease connects to a server's control socket, and says how to get one where there is
// none.
func dialLease(ctx context.Context, env *Env, flag, pool string) (*lease.Client, string, error) {
	socket, err := clientSocket(env, flag, pool)
	if err != nil {
		return nil, "", err
	}
	c, err := lease.Dial(ctx, socket)
	if errors.Is(err, engines.ErrNotExist) {
		if fi, statErr := os.Stat(socket); statErr == nil && fi.Mode()&os.ModeSocket != 0 {
			return nil, socket, err
		}
		return nil, socket, fmt.Errorf("%w; \"pgx-dev lease serve\" starts one", err)
	}
	return c, socket, err
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond).String()
}
