package fleet

import (
	"slices"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// router returns what tells reads from writes, and asks who wants to be asked about statements;
// nil where there is nothing to choose, and nobody to ask.
func router(p Plan, cfg route.Config) *route.Router {
	if p.Shards > 1 {
		return nil // it has one of its own
	}
	if cfg.Advise == nil {
		switch p.Parser {
		case conf.ParserOff, conf.ParserSessionControl, conf.ParserSessionControlAndLocks:
			return nil // what changes the session is found without a parser
		case conf.ParserOn:
		default:
			if !slices.ContainsFunc(p.Servers, func(s Server) bool { return s.ConfRole != conf.Primary }) {
				return nil
			}
		}
	}
	layout, err := sharding.Compile(sharding.Config{Shards: 1})
	if err != nil {
		panic(err) // one shard without tables always compiles
	}
	cfg.Layout, cfg.Aggressive = layout, p.Aggressive
	return route.New(cfg)
}

// routing is what routers of a user and database have in common, whatever their layout.
func (f *Fleet) routing(plan Plan, p pair) route.Config {
	cfg := route.Config{Advise: f.advise(plan, p), SlowParse: plan.SlowParse}
	if plan.SlowParse > 0 {
		cfg.Slow = func(sql string, took time.Duration) {
			log := f.log.With("user", p.user, "database", p.database, "took", took, "bytes", len(sql))
			if n := min(plan.Sample, len(sql)); n > 0 {
				log = log.With("query", strings.ToValidUTF8(sql[:n], ""))
			}
			log.Warn("a query took long to parse")
		}
	}
	return cfg
}
