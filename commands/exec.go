package commands

import (
	"context"
	"errors"
)

// openExisting opens a cluster that is there, starting it where need be.
func openExisting(ctx context.Context, env *Env, t target, db *string, label string) (opening, error) {
	cfg, err := clusterConfig(env, t)
	if err != nil {
		return opening{}, err
	}
	if err := overrideDatabase(&cfg, db); err != nil {
		return opening{}, err
	}
	return opening{target: t, config: cfg, label: label, must: true}, nil
}

// execCmd runs a command.
type execCmd struct {
	target
	DB *string `name:"db" placeholder:"NAME" help:"Another database; created if it is missing."`
}

func (*execCmd) takesCommand() {}

// Help is the command's long help.
func (*execCmd) Help() string {
	return `Usage: pgx-dev exec [NAME] -- CMD…. The cluster is started if it does not run, and stopped again if nobody else uses it.`
}

// Run runs the command behind "--" and ends with its exit code.
func (c *execCmd) Run(ctx context.Context, env *Env) error {
	if len(env.Command) == 0 {
		return usageError("say which command to run: pgx-dev exec [NAME] -- CMD…")
	}
	o, err := openExisting(ctx, env, c.target, c.DB, env.Command[0])
	if err != nil {
		return err
	}
	srv, err := open(ctx, env, o)
	if err != nil {
		return err
	}
	err = runWith(ctx, env, srv, o.config.Database, env.Command)
	return errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
}
