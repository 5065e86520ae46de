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

// IDs are what unique ids look like. The zero value is not a good one; see [DefaultIDs].
type IDs struct {
	Layout scatter.IDLayout
	// Node is this proxy's number, Least what is added to each id.
	Node  int
	Least uint64
}

// DefaultIDs are those of a proxy without a configuration: the number at the end of NODE_ID, as
// in proxy-3, is its own; 0 without it.
func DefaultIDs() (IDs, error) {
	out := IDs{Layout: scatter.StandardIDs()}
	if id := os.Getenv("NODE_ID"); id != "" {
		var err error
		if out.Node, err = strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:]); err != nil {
			return out, fmt.Errorf("NODE_ID %q does not end in a number, as proxy-3 does", id)
		}
	}
	return out, nil
}

// IDsOf are those that a configuration asks for.
func IDsOf(g *conf.General) (IDs, error) {
	out, err := DefaultIDs()
	if err != nil {
		return out, err
	}
	if g.UniqueIDFunction == conf.UniqueIDCompact {
		out.Layout = scatter.CompactIDs()
	}
	out.Least = g.UniqueIDMin
	_, err = scatter.NewUniqueIDs(out.Layout, out.Node, out.Least)
	return out, err
}

// generator is the one generator of ids of a kind: two would make the same ones.
func (f *Fleet) generator(i IDs) (*scatter.UniqueIDs, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g := f.ids[i]; g != nil {
		return g, nil
	}
	g, err := scatter.NewUniqueIDs(i.Layout, i.Node, i.Least)
	if err == nil {
		f.ids[i] = g
	}
	return g, err
}
