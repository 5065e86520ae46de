package commands

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// upCmd creates and starts a cluster and serves.
type upCmd struct {
	target
	Engine string            `placeholder:"ENGINE" enum:",native,wasm" default:"" help:"native or wasm."`
	PG     string            `name:"pg" placeholder:"VERSION" complete:"runtime" help:"PostgreSQL's version (17, 15.4), or a glob on its bin directory."`
	Temp   bool              `help:"Destroy it at the end; in memory where it fits, without a thought for durability."`
	DB     *string           `name:"db" placeholder:"NAME" help:"Create this database if it is missing, and use it ($$PGDATABASE; default: postgres)."`
	TCP    tcpFlag           `name:"tcp" placeholder:"PORT" help:"Listen on a loopback TCP port too, with a generated password; --tcp=PORT says which to try first."`
	Fast   bool              `xor:"durability" help:"Trade durability for speed, this time only."`
	Safe   bool              `xor:"durability" help:"Do not, even if the config says so."`
	Set    map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A server setting for this run."`
	Init   []string          `sep:"none" placeholder:"FILE" complete:"file" help:"Run this SQL file in a new cluster, once; repeatable."`
	Idle   time.Duration     `placeholder:"TIME" help:"With --detach: stop when nobody was connected for so long (90s, 10m)."`
	Spare  string            `placeholder:"KIND" enum:",none,copied,running" default:"" help:"With --temp: what to prepare for the next one: none, copied, running."`
	Detach bool              `short:"d" help:"Leave it running in the background."`
}

// A tcpFlag is --tcp or --tcp=PORT.
type tcpFlag struct {
	On   bool
	Port int
}

// IsBool tells kong that the flag may stand without a value.
func (tcpFlag) IsBool() bool { return true }

// Decode reads the flag's value, if it has one.
func (f *tcpFlag) Decode(ctx *kong.DecodeContext) error {
	f.On = true
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	text := fmt.Sprint(ctx.Scan.Pop().Value)
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return fmt.Errorf("%q is not a port number", text)
	}
	f.Port = int(port)
	return nil
}

func (*upCmd) takesCommand() {}

// Help is the command's long help.
func (*upCmd) Help() string {
	return `Any number of processes may have the same cluster up at once; the last one stops it. With "-- CMD…" the command is run with DATABASE_URL and PG* set, and its exit code is ours. See "pgx-dev help clusters".`
}

// Run serves until interrupted, or as long as the command behind "--" runs.
func (c *upCmd) Run(ctx context.Context, env *Env) error {
	o, err := c.opening(env)
	if err != nil {
		return err
	}
	srv, err := open(ctx, env, o)
	if err != nil {
		return err
	}
	return serve(ctx, env, srv, o.config, c.Detach)
}

func (c *upCmd) opening(env *Env) (opening, error) {
	o := opening{target: c.target, temp: c.Temp, label: "up"}
	switch {
	case c.Detach && env.Command != nil:
		return o, usageError("--detach leaves the cluster running, a command behind -- ends it: choose one")
	case c.Idle != 0 && !c.Detach:
		return o, usageError("--idle needs --detach: without it the cluster lives as long as this command")
	case c.Temp && c.Dir != "":
		return o, usageError("--temp chooses its own directory: leave --dir out")
	case c.Spare != "" && !c.Temp:
		return o, usageError("--spare goes with --temp")
	case c.Idle < 0:
		return o, usageError("--idle must not be negative")
	}
	if _, err := native.ParseConstraint(c.PG); c.PG != "" && err != nil {
		return o, usageError("--pg: %w", err)
	}
	if err := engines.CheckParams(c.Set); err != nil {
		return o, usageError("--set: %w", err)
	}
	cfg, err := clusterConfig(env, c.target)
	if err != nil {
		return o, err
	}
	if err := overrideDatabase(&cfg, c.DB); err != nil {
		return o, err
	}
	o.config, o.strict = c.overlay(cfg)
	if !c.Detach {
		o.config.Idle = 0
	}
	return o, nil
}

// overlay lays the flags over the configuration; strict says that some were given that a
// running cluster must satisfy.
func (c *upCmd) overlay(cfg cluster.Config) (_ cluster.Config, strict bool) {
	override(&cfg.Engine, c.Engine)
	override(&cfg.PG, c.PG)
	override(&cfg.Idle, c.Idle)
	override(&cfg.Spare, c.Spare)
	if len(c.Init) > 0 {
		cfg.Init = c.Init
	}
	if c.TCP.On {
		cfg.TCP = true
		override(&cfg.Port, c.TCP.Port)
	}
	if c.Fast || c.Safe {
		cfg.Fast = &c.Fast
	}
	if len(c.Set) > 0 {
		settings := maps.Clone(cfg.Settings)
		if settings == nil {
			settings = map[string]string{}
		}
		maps.Copy(settings, c.Set)
		cfg.Settings = settings
	}
	return cfg, c.TCP.On || c.Fast || c.Safe || len(c.Set) > 0 || c.PG != "" || c.Engine != ""
}

// override replaces *dst unless v is zero.
func override[T comparable](dst *T, v T) {
	var zero T
	if v != zero {
		*dst = v
	}
}

// serve is what every serving command does once its server is there: print the URL and
// wait, or run a command, or leave it to itself.
func serve(ctx context.Context, env *Env, srv *cluster.Server, cfg cluster.Config, detach bool) error {
	database := cfg.Database
	if env.Command != nil {
		err := runWith(ctx, env, srv, database, env.Command)
		return errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
	}
	url, err := urlOf(srv, database)
	if err != nil {
		return errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
	}
	if detach {
		// First the URL: a server of which nobody knows is not to be left running.
		err := env.ready(url)
		if err == nil {
			err = srv.Pin(ctx, cfg.Idle)
		}
		return errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
	}
	if err := env.ready(url); err != nil {
		return errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
	}
	select {
	case <-ctx.Done():
		env.Log.Info("stop", "cause", context.Cause(ctx))
		return srv.Close(context.WithoutCancel(ctx))
	case <-srv.Done():
	}
	err = srv.Err()
	if why := srv.Ended().Why; why != "" {
		env.UI.Note("the cluster was stopped (%s)", why)
	}
	return errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
}

// urlOf returns the URL to print: TCP's if it was asked for, which names the password
// file, else the socket's.
func urlOf(srv served, database string) (string, error) {
	if url := srv.TCPURL(database, ""); url != "" {
		return url, nil
	}
	if url := srv.Info().URL(database); url != "" {
		return url, nil
	}
	return "", fmt.Errorf("the server in %s has no address: %w", filepath.Base(srv.Info().Dir), engines.ErrUnsupported)
}

// joinWords quotes words for a shell.
func shellQuote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:@%+=,", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
