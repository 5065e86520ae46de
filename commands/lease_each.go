package commands

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
)

// leaseWrapEachCmd runs a command once per name. It needs no socket and no server.
type leaseWrapEachCmd struct {
	Prefix         string `placeholder:"TEXT" help:"What names begin with ($$PGM_DATABASE_PREFIX)."`
	Count          int    `default:"-1" placeholder:"N" help:"How many names ($$PGM_DATABASE_COUNT; default: 8)."`
	IgnoreExitCode bool   `short:"i" help:"Go on when the command fails, and end with 0."`
	Xarg           bool   `short:"x" aliases:"xargs" help:"Append the name to the command's arguments (--xargs is the same)."`
	Jobs           int    `short:"j" default:"1" placeholder:"N" help:"Run so many at once."`
	Pool           string `placeholder:"NAME" help:"Prefix and count of this pool."`
}

func (*leaseWrapEachCmd) takesCommand() {}

// Help is the command's long help.
func (*leaseWrapEachCmd) Help() string {
	return `Usage: pgx-dev lease wrap-each -- createdb; pgx-dev lease wrap-each --xargs -- dropdb. The command finds the name in PGDATABASE, and its number in PGM_DATABASE_SHARD. The first failure ends it, with its exit code.`
}

// Run runs the command behind "--" for each name in turn, or several at once.
func (c *leaseWrapEachCmd) Run(ctx context.Context, env *Env) error {
	if len(env.Command) == 0 {
		return usageError("say which command to run: pgx-dev lease wrap-each -- CMD…")
	}
	if c.Jobs < 1 {
		return usageError("--jobs %d: want 1 or more", c.Jobs)
	}
	f := leaseFlags{Prefix: c.Prefix, Count: c.Count}
	if c.Pool != "" {
		f.Pool = []string{c.Pool}
	} else {
		f.Names = true
	}
	plans, _, err := f.plan(env)
	if err != nil {
		return err
	}
	p := plans[0].config
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.Jobs)
	var once sync.Once
	for i := range *p.Count {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // failed while we waited for our turn
			}
			err := c.one(ctx, env, p.Prefix, i)
			if err == nil {
				return nil
			}
			if c.IgnoreExitCode && isChildFailure(err) && context.Cause(ctx) == nil {
				return nil
			}
			once.Do(func() { env.Log.Info("stopped", "name", p.Prefix+strconv.Itoa(i)) })
			return err
		})
	}
	err = group.Wait()
	if err == nil {
		err = context.Cause(ctx)
		if errors.Is(err, context.Canceled) { // only that the group is done
			err = nil
		}
	}
	return err
}

// isChildFailure tells a command that failed from one that could not be run.
func isChildFailure(err error) bool {
	var exit *ExitError
	return errors.As(err, &exit) && exit.Err == nil
}

func (c *leaseWrapEachCmd) one(ctx context.Context, env *Env, prefix string, i int) error {
	name := prefix + strconv.Itoa(i)
	argv := append([]string{}, env.Command...)
	if c.Xarg {
		argv = append(argv, name)
	}
	vars := leasedEnviron(env, []string{"PGDATABASE=" + name, "PGM_DATABASE_SHARD=" + strconv.Itoa(i)})
	path, err := lookPath(argv[0], vars)
	if err != nil {
		return err
	}
	cmd := exec.Command(path)
	cmd.Args, cmd.Env = argv, vars
	defer dieWithUs(cmd)()
	if err := runForeground(ctx, env, cmd); err != nil {
		if isChildFailure(err) && !c.IgnoreExitCode {
			env.UI.Error(fmt.Sprintf("the command failed for %s", name))
		}
		return err
	}
	return nil
}
