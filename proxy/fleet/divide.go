package fleet

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
)

// divisions checks how the databases of a configuration are divided: gaps and overlaps of
// mappings are found before anybody comes.
func divisions(c *conf.Config) (errs []error) {
	checked := map[string]bool{}
	for i := range c.Databases {
		name := c.Databases[i].Name
		if checked[name] || c.Shards(name) < 2 {
			continue
		}
		checked[name] = true
		layout, err := shards.Layout(c, name)
		if err == nil {
			_, err = sharding.Compile(layout)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("database %q: %w", name, err))
		}
	}
	return errs
}

// uniqueIDs makes the generator that a configuration asks for. This proxy's number is at the
// end of NODE_ID, as in proxy-3; 0 without it.
func uniqueIDs(g *conf.General) (*scatter.UniqueIDs, error) {
	node := 0
	if id := os.Getenv("NODE_ID"); id != "" {
		var err error
		if node, err = strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:]); err != nil {
			return nil, fmt.Errorf("NODE_ID %q does not end in a number, as proxy-3 does", id)
		}
	}
	layout := scatter.StandardIDs()
	if g.UniqueIDFunction == conf.UniqueIDCompact {
		layout = scatter.CompactIDs()
	}
	return scatter.NewUniqueIDs(layout, node, g.UniqueIDMin)
}
