package commands

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// downCmd stops a cluster.
type downCmd struct {
	target
	IfIdle bool `xor:"whom" help:"Only if nobody uses it; else exit with 3."`
	Force  bool `xor:"whom" help:"Also if its supervisor does not answer, or its postmaster is stopped: end them, in the end by SIGKILL."`
}

// Run stops it; a temporary one is destroyed by that.
func (c *downCmd) Run(ctx context.Context, env *Env) error {
	dir, name, err := c.resolve(env)
	if err != nil {
		return err
	}
	m, err := manager(env)
	if err != nil {
		return err
	}
	st, err := cluster.Inspect(ctx, dir)
	if err != nil {
		return err
	}
	users, err := m.Stop(ctx, dir, cluster.StopOptions{OnlyIdle: c.IfIdle, Kill: c.Force})
	if err != nil {
		return notThere(err, c.target, name)
	}
	switch {
	case st.State == cluster.Stopped:
		env.UI.Note("cluster %s does not run", name)
	case users > 0:
		env.UI.Note("stopped %s; %d of its users were cut off", name, users)
	default:
		env.UI.Note("stopped %s", name)
	}
	return nil
}

// destroyCmd deletes a cluster.
type destroyCmd struct {
	target
	Yes   bool `short:"y" help:"Do not ask."`
	Force bool `help:"Even while others use it, or its supervisor does not answer."`
}

// Run asks first on a terminal, and wants --yes elsewhere.
func (c *destroyCmd) Run(ctx context.Context, env *Env) error {
	if !c.inProject(env) && c.Dir == "" {
		return usageError("PGDATA is set to %s: say which cluster to destroy by its name, or by --dir", env.Getenv("PGDATA"))
	}
	dir, name, err := c.resolve(env)
	if err != nil {
		return err
	}
	st, err := cluster.Inspect(ctx, dir)
	if err != nil {
		return err
	}
	if st.State == cluster.Missing {
		return notThere(fmt.Errorf("destroy %s: %w", name, engines.ErrNotExist), c.target, name)
	}
	if !c.Yes {
		yes, err := env.UI.Confirm(ctx, fmt.Sprintf("Delete cluster %s in %s with all its data?", name, dir))
		if err != nil && !errors.Is(err, ui.ErrNoTerminal) {
			return err
		}
		if err != nil {
			return usageError("destroy deletes all data of %s; say --yes to do it without being asked", dir)
		}
		if !yes {
			return fmt.Errorf("left cluster %s as it is", name)
		}
	}
	m, err := manager(env)
	if err != nil {
		return err
	}
	if err := m.Destroy(ctx, dir, c.Force); err != nil {
		return err
	}
	env.UI.Note("destroyed %s", name)
	return nil
}
