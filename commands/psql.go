package commands

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/commands/shell"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// psqlCmd opens a shell on a cluster.
type psqlCmd struct {
	target
	DB      *string  `name:"db" placeholder:"NAME" help:"Another database; created if it is missing."`
	Command []string `short:"c" sep:"none" placeholder:"SQL" help:"Run this, as psql's -c does, rather than ask; repeatable."`
	File    []string `short:"f" sep:"none" placeholder:"FILE" complete:"file" help:"Run this file, as psql's -f does; \"-\" is standard input; repeatable."`
	Builtin bool     `help:"Use our own small shell even where there is a psql."`
}

func (*psqlCmd) takesCommand() {}

// Help is the command's long help.
func (*psqlCmd) Help() string {
	return `Arguments behind "--" go to psql: pgx-dev psql -- -At -c 'SELECT 1'; -c and -f may stand before it, too. The cluster is started if it does not run, and stopped again if nobody else uses it. Where there is no psql, neither the runtime's nor one on PATH, our own small shell takes its place; it knows the arguments -c, -f, -d, -A, -t, -x, -q, -F, -P, -X, --csv and -v ON_ERROR_STOP=…, stops at the first error unless that is off, and its \? lists its commands.`
}

// arguments returns what psql gets.
func (c *psqlCmd) arguments(env *Env) ([]string, error) {
	if len(c.Command) > 0 && len(c.File) > 0 {
		return nil, usageError("which of -c and -f is to come first? Give both behind --, in their order: pgx-dev psql -- -c SQL -f FILE")
	}
	var args []string
	for _, sql := range c.Command {
		args = append(args, "-c", sql)
	}
	for _, file := range c.File {
		args = append(args, "-f", file)
	}
	return append(args, env.Command...), nil
}

// Run opens psql, of the runtime or from PATH, or our own shell.
func (c *psqlCmd) Run(ctx context.Context, env *Env) error {
	args, err := c.arguments(env)
	if err != nil {
		return err
	}
	if c.Builtin { // before anything is started
		if err := new(shell.Config).SetArguments(args); err != nil {
			return &ExitError{ExitUsage, err}
		}
	}
	o, err := openExisting(ctx, env, c.target, c.DB, "psql")
	if err != nil {
		return err
	}
	srv, err := open(ctx, env, o)
	if err != nil {
		return err
	}
	err = c.shell(ctx, env, srv, o.config.Database, args)
	return errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
}

func (c *psqlCmd) shell(ctx context.Context, env *Env, srv *cluster.Server, database string, args []string) error {
	vars, err := childEnviron(env, srv, database)
	if err != nil {
		return err
	}
	if !c.Builtin {
		if path, err := lookPath("psql", vars); err == nil {
			cmd := exec.Command(path, args...)
			cmd.Args[0] = filepath.Base(path)
			cmd.Env = vars
			return runForeground(ctx, env, cmd)
		}
		if env.UI.Err() {
			env.UI.Note("no psql found; this is pgx-dev's own small shell")
		}
	}
	cfg := shell.Config{
		Database: database,
		Server: func(database, user string) (*pgconn.Config, error) {
			cfg, err := engines.ConnConfig(srv, database, user)
			if err != nil {
				return nil, err
			}
			return &cfg.Config, nil
		},
		HistoryFile: shell.HistoryPath(env.Getenv),
		Stdin:       env.Stdin, Stdout: env.Stdout, Stderr: env.Stderr,
		Environ: vars,
		Logger:  env.Log,
	}
	if err := cfg.SetArguments(args); err != nil {
		return &ExitError{ExitUsage, err}
	}
	return runShell(ctx, cfg)
}

// runShell runs our own shell. At a prompt Ctrl-C is a matter of the shell's, and ends
// nothing here; other signals still do.
func runShell(ctx context.Context, cfg shell.Config) error {
	if cfg.Prompts() {
		var stop func()
		ctx, stop = withoutInterrupt(ctx)
		defer stop()
	}
	err := shell.Run(ctx, cfg)
	if errors.Is(err, shell.ErrFailed) {
		return &ExitError{Code: ExitFailed}
	}
	return err
}

// withoutInterrupt returns a context that ends as ctx does, but not by SIGINT. It watches
// for the other signals itself, since whoever made ctx stops watching after the first.
func withoutInterrupt(ctx context.Context) (context.Context, func()) {
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	signals := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended := ctx.Done()
		for {
			select {
			case <-ended:
				ended = nil
				var cause signalError
				if !errors.As(context.Cause(ctx), &cause) || cause.sig != syscall.SIGINT {
					cancel(context.Cause(ctx))
				}
			case sig := <-signals:
				cancel(signalError{sig})
			case <-out.Done():
				return
			}
		}
	}()
	return out, func() {
		signal.Stop(signals)
		cancel(nil)
		<-done
	}
}
