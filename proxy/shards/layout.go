package shards

import (
	"encoding/json"
	"fmt"
	"math"
	"os"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// Layout is the division that a configuration gives a database. Its check is
// sharding.Compile's.
func Layout(c *conf.Config, database string) (sharding.Config, error) {
	out := sharding.Config{Shards: max(1, c.Shards(database))}
	for i := range c.ShardedTables {
		t := &c.ShardedTables[i]
		if t.Database != database {
			continue
		}
		table, err := tableOf(c, t)
		if err != nil {
			return out, err
		}
		out.Tables = append(out.Tables, table)
	}
	for _, s := range c.ShardedSchemas {
		if s.Database == database {
			out.Schemas = append(out.Schemas, sharding.Schema{Name: s.Name, Shard: s.Shard, All: s.All})
		}
	}
	switch c.General.SystemCatalogs {
	case conf.CatalogsOmnisharded:
		out.Catalogs = sharding.CatalogsAny
	case conf.CatalogsSharded:
		out.Catalogs = sharding.CatalogsSharded
	}
	for _, o := range c.OmnishardedTables {
		if o.Database == database {
			out.Omni = append(out.Omni, o.Tables...)
		}
	}
	return out, nil
}

func tableOf(c *conf.Config, t *conf.ShardedTable) (sharding.Table, error) {
	out := sharding.Table{
		Schema: t.Schema, Name: t.Name, Columns: t.KeyColumns(), Centroids: t.Centroids, Probes: t.CentroidProbes,
		LookupQuery: t.LookupQuery, LookupValue: t.LookupResult == conf.LookupValue,
	}
	switch t.DataType {
	case conf.UUID:
		out.Types = []hash.OID{hash.UUID}
	case conf.Varchar:
		out.Types = []hash.OID{hash.Varchar}
	}
	if t.Hasher == conf.HasherSHA1 {
		out.Function = sharding.Sha1
	}
	if t.CentroidsPath != "" {
		b, err := os.ReadFile(t.CentroidsPath)
		if err != nil {
			return out, fmt.Errorf("read centroids: %w", err)
		}
		if err := json.Unmarshal(b, &out.Centroids); err != nil {
			return out, fmt.Errorf("read centroids from %s: %w", t.CentroidsPath, err)
		}
	}
	if len(out.Centroids) > 0 && out.Probes == 0 {
		out.Probes = int(math.Ceil(math.Sqrt(float64(len(out.Centroids)))))
	}
	for _, m := range c.Mappings(t) {
		r := sharding.Rule{Shard: m.Shard}
		switch m.KindOf() {
		case conf.MapRange:
			r.Kind = sharding.Range
			r.Start, r.End = (*string)(m.Start), (*string)(m.End)
		case conf.MapDefault:
			r.Kind = sharding.Default
		default:
			for _, v := range m.Values {
				r.Values = append(r.Values, string(v))
			}
		}
		out.Rules = append(out.Rules, r)
	}
	return out, nil
}
