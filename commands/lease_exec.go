package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/lease"
)

// leaseExecCmd runs a command with a lease.
type leaseExecCmd struct {
	Socket string        `short:"s" placeholder:"PATH" complete:"file" help:"The server's socket ($$PGM_SOCKET, $$PGMANAGER_SOCKET)."`
	Pool   string        `placeholder:"NAME" help:"Which pool (default: the server's first)."`
	Label  string        `placeholder:"TEXT" help:"What status shows (default: the command's name)."`
	TTL    time.Duration `name:"ttl" placeholder:"TIME" help:"End the lease after this time."`
	Wait   time.Duration `placeholder:"TIME" help:"Give up when no database is free within this time."`
	Keep   string        `enum:",never,failed,always" default:"" placeholder:"WHEN" help:"When to keep the database and print its URL: never, failed (the default), always."`
}

func (*leaseExecCmd) takesCommand() {}

// Help is the command's long help.
func (*leaseExecCmd) Help() string {
	return `Usage: pgx-dev lease exec -- CMD…, as in: go test -exec "pgx-dev lease exec --" ./…. Where no server runs, the pool of the config file is served for this command alone.`
}

// Run runs the command behind "--" and ends with its exit code.
func (c *leaseExecCmd) Run(ctx context.Context, env *Env) error {
	if len(env.Command) == 0 {
		return usageError("say which command to run: pgx-dev lease exec -- CMD…")
	}
	client, socket, err := dialLease(ctx, env, c.Socket, c.Pool)
	switch {
	case errors.Is(err, engines.ErrNotExist) && isSocket(socket):
		return c.legacy(ctx, env, socket)
	case errors.Is(err, engines.ErrNotExist):
		return c.alone(ctx, env, err)
	case err != nil:
		return err
	}
	defer func() { _ = client.Close() }()
	return c.with(ctx, env, client, socket)
}

func isSocket(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode()&os.ModeSocket != 0
}

// with runs the command with a lease from a server of ours.
func (c *leaseExecCmd) with(ctx context.Context, env *Env, client *lease.Client, socket string) error {
	label := c.Label
	if label == "" {
		label = filepath.Base(env.Command[0])
	}
	held, err := client.Acquire(ctx, lease.Want{Pool: c.Pool, Label: label, TTL: c.TTL, Wait: c.Wait})
	if err != nil {
		return err
	}
	connection, err := client.File()
	if err != nil {
		return err
	}
	err = whileLeased(ctx, env, held.Name, client, func(ctx context.Context) error {
		return runLeased(ctx, env, env.Command, append(held.Env, wrapEnv(socket)...), connection)
	})
	_ = connection.Close() // a copy
	if lost, ok := errors.AsType[*lostError](err); ok {
		return lost
	}
	if c.Keep == "always" || c.Keep != "never" && err != nil && held.URL != "" {
		keepCtx := context.WithoutCancel(ctx)
		if keepErr := held.Keep(keepCtx, fmt.Sprintf("%s: %v", label, err)); keepErr != nil {
			return errors.Join(err, fmt.Errorf("keep the database %s: %w", held.Name, keepErr))
		}
		where := held.URL
		if where == "" {
			where = held.Name
		}
		env.UI.Note("kept: %s", where)
	}
	return err
}

// whileLeased runs a command for as long as it has its lease: who goes on without it works
// in a database that is not its own, or no more there.
func whileLeased(ctx context.Context, env *Env, name string, holder interface{ Watch() (*lease.Watch, error) }, run func(context.Context) error) error {
	w, err := holder.Watch()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lost, over := &lostError{name}, make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		select {
		case <-w.Lost():
			env.UI.Warn("the lease of %s has ended; its command is told to end", name)
			cancel(lost)
		case <-over:
		}
	})
	err = run(ctx)
	close(over)
	work.Wait()
	w.Stop()
	if errors.Is(context.Cause(ctx), lost) {
		return lost
	}
	return err
}

// A lostError says that a lease ended before its command.
type lostError struct{ name string }

func (e *lostError) Error() string {
	return fmt.Sprintf("the lease of %s has ended before its command (a kick, its time, or the end of the lease server)", e.name)
}

// legacy runs the command with a name from a pgmanager. That would lose the name if we
// sent it anything, so nothing but the name is known.
func (c *leaseExecCmd) legacy(ctx context.Context, env *Env, socket string) error {
	if c.Pool != "" || c.TTL != 0 || c.Keep == "always" {
		return usageError("%s is served by a pgmanager, which knows no --pool, --ttl or --keep", socket)
	}
	if c.Wait > 0 {
		waitCtx, cancel := context.WithTimeoutCause(ctx, c.Wait, fmt.Errorf("no database was free within %v", c.Wait))
		defer cancel()
		l, err := lease.AcquireLegacy(waitCtx, socket)
		if err != nil {
			return err
		}
		return c.runLegacy(ctx, env, l, socket)
	}
	l, err := lease.AcquireLegacy(ctx, socket)
	if err != nil {
		return err
	}
	return c.runLegacy(ctx, env, l, socket)
}

func (c *leaseExecCmd) runLegacy(ctx context.Context, env *Env, l *lease.Legacy, socket string) error {
	connection, err := l.File()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	err = whileLeased(ctx, env, l.Name, l, func(ctx context.Context) error {
		return runLeased(ctx, env, env.Command, append([]string{"PGDATABASE=" + l.Name}, wrapEnv(socket)...), connection)
	})
	return errors.Join(err, connection.Close(), l.Close())
}

// alone serves the pool for this command only: its databases are on the same cluster, and
// from the same template, as those of others who do that.
func (c *leaseExecCmd) alone(ctx context.Context, env *Env, noServer error) error {
	f := leaseFlags{Count: -1}
	if c.Pool != "" {
		f.Pool = []string{c.Pool}
	}
	cfg, err := env.Config()
	if err != nil {
		return err
	}
	if c.Socket != "" || firstSocket(env, cfg, "") != "" || len(cfg.Lease.Pools) == 0 {
		return noServer
	}
	if len(cfg.Lease.Pools) > 1 && c.Pool == "" {
		f.Pool = []string{cfg.Lease.Pools[0].WithDefaults().Name}
	}
	plans, _, err := f.plan(env)
	if err != nil {
		return err
	}
	p := plans[0].config
	one, none := 1, 0
	p.Count, p.Warm, p.Listen = &one, &none, ""
	src, err := f.source(env, cfg, p)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pgxl")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := lease.NewServer(env.Log)
	socket := filepath.Join(dir, "s")
	if err := s.Add(socket, lease.NewPool(p, src, env.Log)); err != nil {
		return err
	}
	client, err := lease.Dial(ctx, socket)
	if err == nil {
		alone := *c
		alone.Pool = ""
		err = errors.Join(alone.with(ctx, env, client, socket), client.Close())
	}
	return errors.Join(err, s.Close(context.WithoutCancel(ctx)))
}
