package commands

import (
	"context"
	"errors"
	"slices"

	"github.com/pgx-dev/pgx-dev/commands/shell"
	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
)

// embedCommands run PostgreSQL inside this process.
type embedCommands struct {
	Embed struct {
		Run   embedRunCmd   `cmd:"" default:"withargs" help:"Run SQL, open a shell, or serve (the default)."`
		Dump  embedDumpCmd  `cmd:"" help:"Write a database as SQL, or its directory as an archive."`
		Load  embedLoadCmd  `cmd:"" help:"Fill a database from SQL, or make it from an archive."`
		Clone embedCloneCmd `cmd:"" help:"Copy a database's directory."`
	} `cmd:"" group:"clusters" help:"Run PostgreSQL inside this process: SQL, a shell, or a server for any client."`
}

// embedRunCmd is "embed" without a subcommand.
type embedRunCmd struct {
	embedEngine
	Dir       string            `placeholder:"DIR" type:"dir" complete:"dir" help:"The database's directory; it is made if it is missing."`
	Temp      bool              `help:"A new database that goes away at the end (the default without --dir)."`
	File      []string          `arg:"" optional:"" sep:"none" complete:"file" help:"Run these SQL files; - is standard input."`
	Command   []string          `short:"c" sep:"none" placeholder:"SQL" help:"Run this SQL, before any files; repeatable."`
	DB        string            `name:"db" placeholder:"NAME" help:"Create this database if it is missing, and use it ($$PGDATABASE; default: postgres)."`
	User      string            `placeholder:"NAME" help:"Be this role: in a new database the superuser's name (default: postgres)."`
	Extension []string          `short:"e" placeholder:"NAME" help:"Create this extension; repeatable."`
	Init      []string          `sep:"none" placeholder:"FILE" complete:"file" help:"Run this SQL file in a new database, first; repeatable."`
	Set       map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A server setting for this run."`
	Fast      bool              `help:"Trade durability for speed, this time only (temporary ones always do)."`
	detachFlag
	Listen    listenFlag `placeholder:"WHERE" help:"Serve any client and print the URL: unix, unix:DIR, tcp, tcp:HOST:PORT."`
	Format    string     `placeholder:"FORMAT" enum:",table,csv,json,jsonl" default:"" help:"Show results as table, csv, json or jsonl."`
	Timing    bool       `help:"Show how long each statement takes."`
	Quiet     bool       `short:"q" help:"No command tags (CREATE TABLE)."`
	KeepGoing bool       `help:"Go on after an error; the exit code still tells of it."`
}

func (*embedRunCmd) takesCommand() {}

// Help is the command's long help.
func (*embedRunCmd) Help() string {
	return `Without --dir the database is new and goes away at the end. SQL comes from -c, from files, else from standard input, which on a terminal is a shell. With --listen, or with "-- CMD…", which runs CMD with DATABASE_URL and PG* set, clients are served instead. See "pgx-dev help embed".`
}

// Run does what the flags ask for.
func (c *embedRunCmd) Run(ctx context.Context, env *Env) error {
	if err := c.check(env); err != nil {
		return err
	}
	if background, err := c.detaches(env); err != nil {
		return err
	} else if background {
		return detach(ctx, env)
	}
	init, err := readInit(c.Init)
	if err != nil {
		return err
	}
	db, err := openEmbedded(ctx, env, embedding{
		engine: c.embedEngine, dir: c.Dir, database: c.database(env), user: c.User, extensions: c.Extension,
		init: init, params: c.Set, fast: c.Fast,
	})
	if err != nil {
		return err
	}
	return errors.Join(c.use(ctx, env, db), db.close(ctx))
}

func (c *embedRunCmd) check(env *Env) error {
	serves := c.Listen.network != "" || env.Command != nil
	switch {
	case c.Temp && c.Dir != "":
		return usageError("--temp chooses its own directory: leave --dir out")
	case serves && len(c.Command)+len(c.File) > 0:
		return usageError("--listen and a command behind -- serve clients; put SQL that is to run before into --init FILE")
	case serves && (c.Format != "" || c.Timing || c.Quiet || c.KeepGoing):
		return usageError("--format, --timing, --quiet and --keep-going are about SQL that is run here; --listen and a command behind -- serve clients")
	case c.Detach && c.Listen.network == "":
		return usageError("--detach is for a server; --listen makes it one")
	case slices.Contains(c.Command, ""):
		return usageError("-c wants SQL")
	}
	return nil
}

func (c *embedRunCmd) database(env *Env) string {
	if c.DB != "" {
		return c.DB
	}
	return env.Getenv("PGDATABASE")
}

func (c *embedRunCmd) use(ctx context.Context, env *Env, db *embedded) error {
	switch {
	case env.Command != nil:
		if err := db.listen(ctx, c.Listen); err != nil {
			return err
		}
		return runWith(ctx, env, db, db.database, env.Command)
	case c.Listen.network != "":
		if err := db.listen(ctx, c.Listen); err != nil {
			return err
		}
		return db.serve(ctx, env)
	}
	return runShell(ctx, c.shell(env, db))
}

// shell returns the configuration of a shell on db.
func (c *embedRunCmd) shell(env *Env, db *embedded) shell.Config {
	cfg := shell.Config{
		Database:    db.database,
		Server:      db.connector(),
		Rows:        rows.Options{Format: rows.Format(c.Format)},
		Timing:      c.Timing,
		Quiet:       c.Quiet,
		KeepGoing:   c.KeepGoing,
		HistoryFile: shell.HistoryPath(env.Getenv),
		Stdin:       env.Stdin, Stdout: env.Stdout, Stderr: env.Stderr,
		Environ: env.Environ(),
		Logger:  env.Log,
	}
	for _, sql := range c.Command {
		cfg.Steps = append(cfg.Steps, shell.Step{Command: sql})
	}
	for _, file := range c.File {
		cfg.Steps = append(cfg.Steps, shell.Step{File: file})
	}
	if cfg.Prompts() && db.temp {
		env.UI.Note("this database is temporary; \"pgx-dev embed --dir DIR\" keeps one")
	}
	return cfg
}
