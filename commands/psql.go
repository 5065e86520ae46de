package commands

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// psqlCmd opens a shell on a cluster.
type psqlCmd struct {
	target
	DB string `name:"db" placeholder:"NAME" help:"Another database; created if it is missing."`
}

func (*psqlCmd) takesCommand() {}

// Help is the command's long help.
func (*psqlCmd) Help() string {
	return `Arguments behind "--" go to psql: pgx-dev psql -- -c 'SELECT 1'. The cluster is started if it does not run, and stopped again if nobody else uses it.`
}

// Run opens psql, of the runtime or from PATH.
func (c *psqlCmd) Run(ctx context.Context, env *Env) error {
	o, err := openExisting(ctx, env, c.target, c.DB, "psql")
	if err != nil {
		return err
	}
	srv, err := open(ctx, env, o)
	if err != nil {
		return err
	}
	err = c.shell(ctx, env, srv, o.config.Database)
	return errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
}

func (c *psqlCmd) shell(ctx context.Context, env *Env, srv *cluster.Server, database string) error {
	vars, err := childEnviron(env, srv, database)
	if err != nil {
		return err
	}
	path, err := lookPath("psql", vars)
	if err != nil {
		return errors.New("no psql found; install PostgreSQL's client programs")
	}
	cmd := exec.Command(path, env.Command...)
	cmd.Args[0] = filepath.Base(path)
	cmd.Env = vars
	return runForeground(ctx, env, cmd)
}
