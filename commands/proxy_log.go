package commands

import (
	"errors"
	"log/slog"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/journal"
)

// proxyLog writes the log as the configuration says, until it is closed.
type proxyLog struct {
	env     *Env
	before  *slog.Logger
	deduper *journal.Deduper // nil: every line is written
	queries *journal.Queries // nil: queries are not logged
}

// newProxyLog takes over env's log. Flags are stronger than log_level.
func newProxyLog(env *Env, g *conf.General) (*proxyLog, error) {
	p := &proxyLog{env: env, before: env.Log}
	if err := p.setLevel(g); err != nil {
		return nil, err
	}
	h := env.UI.LogHandler(&env.level)
	if g.LogFormat == conf.LogJSON || g.LogFormat == conf.LogJSONFlattened {
		h = journal.NewJSON(env.UI.Stderr(), &env.level, g.LogFormat)
	}
	plain := slog.New(h)
	if g.LogDedupWindow > 0 {
		p.deduper = journal.NewDeduper(g.LogDedupWindow, g.LogDedupThreshold)
		h = p.deduper.Handler(h)
	}
	env.Log = slog.New(h)
	if g.QueryLog == "" && !g.QueryLogStdout {
		return p, nil
	}
	var err error
	var log *slog.Logger
	if g.QueryLogStdout {
		log = plain // each of them is wanted
	}
	p.queries, err = journal.OpenQueries(g.QueryLog, log, env.Log)
	return p, err
}

// setLevel sets the level anew, after a reload.
func (p *proxyLog) setLevel(g *conf.General) error {
	if p.env.globals.Verbose > 0 || g.LogLevel == "" && !g.QueryLogStdout {
		return nil
	}
	level, err := g.Level()
	if err != nil {
		return err
	}
	p.env.level.Set(level)
	return nil
}

// again opens files anew.
func (p *proxyLog) again(g *conf.General) {
	err := p.setLevel(g)
	if p.queries != nil {
		err = errors.Join(err, p.queries.Reopen())
	}
	if err != nil {
		p.env.Log.Warn("the log stays as it is", "error", err)
	}
}

// each is a proxy's Config.Queries.
func (p *proxyLog) each() func(c proxy.Client, sql string) {
	if p.queries == nil {
		return nil
	}
	return func(c proxy.Client, sql string) {
		client := ""
		if c.Addr != nil {
			client = c.Addr.String()
		}
		p.queries.Write(journal.Query{Time: time.Now(), User: c.User, Database: c.Database, Client: client, Query: sql})
	}
}

func (p *proxyLog) close() (err error) {
	if p.deduper != nil {
		p.deduper.Close()
	}
	if p.queries != nil {
		err = p.queries.Close()
	}
	p.env.Log = p.before
	return err
}
