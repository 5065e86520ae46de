package commands

import (
	"cmp"
	"context"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/commands/shell"
	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
)

// proxyTarget says where a running proxy's admin database is.
type proxyTarget struct {
	proxyFlags
	To   string `placeholder:"URL" help:"The proxy, as it printed its URL (default: host and port of the configuration)."`
	User string `placeholder:"NAME" help:"Be this user (default: admin.user of the configuration; without one, the URL's)."`
}

// config returns how to reach the admin database.
func (t *proxyTarget) config(env *Env) (*pgconn.Config, error) {
	p, err := t.load(env)
	if err != nil {
		return nil, err
	}
	text := t.To
	if text == "" {
		if len(p.Databases) == 0 {
			return nil, usageError("say which proxy by --to URL, as it printed it, or name its configuration")
		}
		text = "sslmode=prefer"
	}
	cfg, err := pgconn.ParseConfig(text)
	if err != nil {
		return nil, &ExitError{ExitUsage, err} // without its password
	}
	cfg.RuntimeParams = map[string]string{"application_name": "pgx-dev"}
	if t.To == "" {
		cfg.Host, cfg.Port = p.General.Host, p.General.Port
		if ip := net.ParseIP(cfg.Host); ip != nil && ip.IsUnspecified() {
			cfg.Host = "127.0.0.1"
		}
		for _, f := range cfg.Fallbacks {
			f.Host, f.Port = cfg.Host, cfg.Port
		}
		cfg.Password = ""
	}
	cfg.Database = p.Admin.Name
	if t.User != "" || len(p.Databases) > 0 {
		user := cmp.Or(t.User, p.Admin.User)
		if user != cfg.User {
			cfg.Password = ""
		}
		cfg.User = user
	}
	if cfg.User == p.Admin.User && p.Admin.Password != "" {
		cfg.Password = p.Admin.Password
	}
	for i := range p.Config.Users {
		if u := &p.Config.Users[i]; u.Name == cfg.User && cfg.Password == "" {
			cfg.Password = u.Password
		}
	}
	return cfg, nil
}

// proxyAdminCmd is a shell in the admin database.
type proxyAdminCmd struct {
	proxyTarget
	Statement []string `arg:"" optional:"" help:"Statements to run, as \"SHOW POOLS\"; without any, a shell."`
	Format    string   `placeholder:"FORMAT" enum:",table,csv,json,jsonl" default:"" help:"Show results as table, csv, json or jsonl."`
}

// Help is the command's long help.
func (*proxyAdminCmd) Help() string {
	return `SHOW HELP lists what there is to show and to do. Any client of PostgreSQL can connect to the same database.`
}

// Run opens the shell.
func (c *proxyAdminCmd) Run(ctx context.Context, env *Env) error {
	target, err := c.config(env)
	if err != nil {
		return err
	}
	cfg := shell.Config{
		Database: target.Database,
		Server: func(database, user string) (*pgconn.Config, error) {
			out := target.Copy()
			out.Database, out.User = cmp.Or(database, out.Database), cmp.Or(user, out.User)
			return out, nil
		},
		Rows:  rows.Options{Format: rows.Format(c.Format)},
		Stdin: env.Stdin, Stdout: env.Stdout, Stderr: env.Stderr,
		Environ: env.Environ(),
		Logger:  env.Log,
	}
	for _, sql := range c.Statement {
		if strings.TrimSpace(sql) != "" {
			cfg.Steps = append(cfg.Steps, shell.Step{Command: sql})
		}
	}
	return runShell(ctx, cfg)
}
