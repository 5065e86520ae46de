package commands

import (
	"context"
	"errors"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/backup"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// cloneCmd copies a cluster.
type cloneCmd struct {
	From   nameArg `arg:"" complete:"cluster" help:"The cluster to copy."`
	To     nameArg `arg:"" help:"The new one's name."`
	NoSync bool    `help:"Leave it to the operating system when the copy reaches the disk."`
}

// Run copies a running cluster by the replication protocol, and a stopped one file by file.
func (c *cloneCmd) Run(ctx context.Context, env *Env) error {
	src, srcName, err := target{Name: c.From}.resolve(env)
	if err != nil {
		return err
	}
	dst, dstName, err := target{Name: c.To}.resolve(env)
	if err != nil {
		return err
	}
	if src == dst {
		return usageError("a cluster cannot be cloned onto itself")
	}
	m, err := manager(env)
	if err != nil {
		return err
	}
	st, err := cluster.Inspect(ctx, src)
	if err != nil {
		return err
	}
	srv, err := m.Open(ctx, cluster.Request{Spec: engines.Spec{Dir: src}, Label: "clone", MustRun: true})
	switch {
	case err == nil:
		err = c.online(ctx, env, m, srv, dst, st.Init)
	case errors.Is(err, engines.ErrNotExist):
		err = notThere(m.WhileStopped(ctx, src, func() error {
			return m.Make(ctx, dst, cluster.Making{Engine: st.Engine, Init: st.Init}, func(ctx context.Context, tmp string) error { return backup.Copy(ctx, src, tmp, !c.NoSync) })
		}), target{Name: c.From}, srcName)
	}
	if err != nil {
		return existing(err, target{Name: c.To}, dstName)
	}
	env.UI.Note("cloned %s; \"pgx-dev up %s\" starts it", srcName, target{Name: c.To}.args(dstName))
	env.UI.Printf("%s\n", dst)
	return nil
}

func (c *cloneCmd) online(ctx context.Context, env *Env, m *cluster.Manager, srv *cluster.Server, dst string, init []cluster.InitRun) error {
	show, stop := copyProgress(env, "clone")
	defer stop()
	err := m.Make(ctx, dst, cluster.Making{Engine: "native", Init: init}, func(ctx context.Context, tmp string) error {
		_, err := backup.Clone(ctx, srv, tmp, !c.NoSync, show)
		return err
	})
	return errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
}
