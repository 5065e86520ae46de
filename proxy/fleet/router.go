package fleet

import (
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// router returns what tells reads from writes, and asks who wants to be asked about statements;
// nil where there is nothing to choose, and nobody to ask.
func router(p Plan, advise func(*route.Question) (route.Hint, error)) *route.Router {
	if p.Shards > 1 {
		return nil // it has one of its own
	}
	if advise == nil && !slices.ContainsFunc(p.Servers, func(s Server) bool { return s.ConfRole != conf.Primary }) {
		return nil
	}
	layout, err := sharding.Compile(sharding.Config{Shards: 1})
	if err != nil {
		panic(err) // one shard without tables always compiles
	}
	return route.New(route.Config{Layout: layout, Aggressive: p.Aggressive, Advise: advise})
}
