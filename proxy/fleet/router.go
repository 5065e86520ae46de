package fleet

import (
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// router returns what tells reads from writes, or nil where there is nothing to choose.
func router(p Plan) *route.Router {
	for _, s := range p.Servers {
		if s.Role != pool.Replica {
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
