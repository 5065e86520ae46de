package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/proxy/check"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/plugin"
)

// proxyCheckCmd says what would fail.
type proxyCheckCmd struct {
	proxyFlags
	Timeout   time.Duration `placeholder:"TIME" help:"How long each login may take (default: general.connect_timeout)."`
	NoConnect bool          `help:"Only check the configuration; ask no server."`
	JSON      bool          `help:"Print JSON."`
}

// Help is the command's long help.
func (*proxyCheckCmd) Help() string {
	return `Mistakes in the configuration end it with code 2, and no server is asked. Otherwise it logs in at every server as every user would be, shows what each is, and ends with 1 if something would fail. See "pgx-dev help proxy".`
}

var errWouldFail = errors.New("something would fail; see above")

// Run checks.
func (c *proxyCheckCmd) Run(ctx context.Context, env *Env) error {
	if c.Timeout < 0 {
		return usageError("--timeout has to be a time such as 5s")
	}
	p, err := c.load(env)
	if err != nil {
		return err
	}
	if c.NoConnect {
		report := refusals(ctx, &check.Report{Problems: check.Files(&p.Config)}, &p.Config)
		if c.JSON {
			err := printJSON(env, map[string]any{
				"databases": len(p.Databases), "users": len(p.Config.Users), "warnings": warningTexts(p.Warnings), "problems": report.Problems,
			})
			if err == nil && !report.OK() {
				err = &ExitError{Code: ExitFailed, Err: errWouldFail}
			}
			return err
		}
		printProblems(env, report)
		if !report.OK() {
			return &ExitError{Code: ExitFailed, Err: errWouldFail}
		}
		env.UI.Note("the configuration is fine: %d servers, %d users", len(p.Databases), len(p.Config.Users))
		return nil
	}
	if len(p.Databases) == 0 {
		return usageError("there is no server to ask: no [[proxy.databases]] in the config file; name a configuration by --pgdog or --pgbouncer, or a server by --database-url")
	}
	report := refusals(ctx, check.Run(ctx, &p.Config, check.Options{Timeout: c.Timeout}), &p.Config)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if c.JSON {
		if err := printJSON(env, struct {
			OK bool `json:"ok"`
			*check.Report
			Warnings []string `json:"warnings"`
		}{report.OK(), report, warningTexts(p.Warnings)}); err != nil {
			return err
		}
	} else {
		printCheck(env, report)
	}
	if !report.OK() {
		return &ExitError{Code: ExitFailed, Err: errWouldFail}
	}
	return nil
}

// refusals adds why the proxy would not start with a configuration whose files are fine.
func refusals(ctx context.Context, r *check.Report, cfg *conf.Config) *check.Report {
	if slices.ContainsFunc(r.Problems, func(p check.Problem) bool { return p.Fatal }) {
		return r
	}
	_, err := fleet.FromConfig(cfg)
	if err == nil {
		var plugins plugin.Chain
		if plugins, err = plugin.FromConfig(ctx, cfg, nil); err == nil {
			err = plugins.Close()
		}
	}
	if err != nil {
		r.Problems = append(r.Problems, check.Problem{Fatal: true, Text: err.Error()})
	}
	return r
}

func warningTexts[T fmt.Stringer](all []T) []string {
	out := []string{}
	for _, w := range all {
		out = append(out, w.String())
	}
	return out
}

func printCheck(env *Env, r *check.Report) {
	t := ui.NewTable("DATABASE", ">SHARD", "SERVER", "ROLE", "VERSION", ">LATENCY", "TLS", ">POOLS", ">GRANTED", ">USERS", "STATUS")
	for i := range r.Servers {
		s := &r.Servers[i]
		role, latency, granted, version := s.Configured, "-", "-", "-"
		if s.Role != "" {
			if role = s.Role; s.Role != s.Configured && s.Configured != "auto" {
				role = s.Role + ", not " + s.Configured
			}
			latency, granted, version = fmt.Sprintf("%.2f ms", s.Latency), fmt.Sprint(s.Connections), s.Version
		}
		status := env.UI.Good("ok")
		for _, p := range s.Problems {
			if p.Fatal {
				status = env.UI.Bad("fails")
				break
			}
			status = env.UI.Caution("warning")
		}
		secure := "no"
		if s.TLS {
			secure = "yes"
		}
		t.Row(s.Database, fmt.Sprint(s.Shard), s.Address, role, version, latency, secure, fmt.Sprint(s.Pools), granted, fmt.Sprint(len(s.Logins)), status)
	}
	env.UI.Table(t)
	printProblems(env, r)
}

func printProblems(env *Env, r *check.Report) {
	line := func(where string, p check.Problem) {
		word := env.UI.Caution("warning")
		if p.Fatal {
			word = env.UI.Bad("fails")
		}
		env.UI.Printf("%s: %s%s\n", word, where, p.Text)
	}
	for i := range r.Servers {
		s := &r.Servers[i]
		for _, p := range s.Problems {
			line(fmt.Sprintf("%s at %s: ", s.Database, s.Address), p)
		}
	}
	for _, p := range r.Problems {
		line("", p)
	}
}
