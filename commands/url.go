package commands

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// attach opens a cluster only if it runs already.
func attach(ctx context.Context, env *Env, t target, label string) (*cluster.Server, cluster.Config, error) {
	cfg, err := clusterConfig(env, t)
	if err != nil {
		return nil, cfg, err
	}
	dir, name, err := t.resolve(env)
	if err != nil {
		return nil, cfg, err
	}
	m, err := manager(env)
	if err != nil {
		return nil, cfg, err
	}
	srv, err := m.Open(ctx, cluster.Request{Spec: engines.Spec{Dir: dir}, Label: label, MustRun: true})
	if errors.Is(err, engines.ErrNotExist) {
		err = fmt.Errorf("cluster %s does not run; \"pgx-dev up %s -d\" starts it: %w", name, t.args(name), engines.ErrNotExist)
	}
	return srv, cfg, err
}

// urlCmd prints a URL.
type urlCmd struct {
	target
	DB       *string `name:"db" placeholder:"NAME" help:"Another database."`
	Password bool    `help:"Put the TCP listener's password into the URL."`
}

// Run prints the URL of a running cluster.
func (c *urlCmd) Run(ctx context.Context, env *Env) error {
	srv, cfg, err := attach(ctx, env, c.target, "url")
	if err != nil {
		return err
	}
	defer func() { _ = srv.Close(context.WithoutCancel(ctx)) }()
	if err := overrideDatabase(&cfg, c.DB); err != nil {
		return err
	}
	url, err := urlOf(srv, cfg.Database)
	if err != nil {
		return err
	}
	if c.Password {
		if srv.Info().TCP == "" {
			_, name, _ := c.resolve(env) // attach has resolved it
			return usageError("cluster %s has no TCP listener, so no password; see up --tcp", name)
		}
		if _, err := srv.PassFile(ctx); err != nil { // somebody may have removed it
			return err
		}
		password, err := srv.Password()
		if err != nil {
			return err
		}
		url = srv.TCPURL(cfg.Database, password)
	}
	env.UI.Printf("%s\n", url)
	return nil
}

// envCmd prints the environment.
type envCmd struct {
	target
	DB   *string `name:"db" placeholder:"NAME" help:"Another database."`
	JSON bool    `help:"Print JSON."`
}

// Run prints shell commands that make any client use the cluster.
func (c *envCmd) Run(ctx context.Context, env *Env) error {
	srv, cfg, err := attach(ctx, env, c.target, "env")
	if err != nil {
		return err
	}
	defer func() { _ = srv.Close(context.WithoutCancel(ctx)) }()
	if err := overrideDatabase(&cfg, c.DB); err != nil {
		return err
	}
	vars, err := clusterEnv(srv, cfg.Database)
	if err != nil {
		return err
	}
	if c.JSON {
		m := map[string]string{}
		for _, v := range vars {
			m[v.name] = v.value
		}
		return printJSON(env, m)
	}
	for _, v := range vars {
		env.UI.Printf("export %s=%s\n", v.name, shellQuote(v.value))
	}
	return nil
}
