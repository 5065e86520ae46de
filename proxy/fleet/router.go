package fleet

import (
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// router returns what tells reads from writes, or nil where there is nothing to choose.
func router(p Plan) *route.Router {
	if p.Shards > 1 {
		return nil // it has one of its own
	}
	for _, s := range p.Servers {
		if s.ConfRole == conf.Primary {
			continue
		}
		layout, err := sharding.Compile(sharding.Config{Shards: 1})
		if err != nil {
			return nil // one shard without tables always compiles; without a router all goes to the primary
		}
		return route.New(route.Config{Layout: layout, Aggressive: p.Aggressive})
	}
	return nil
}
