package shards

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// compare says how the schemas of the shards differ from the first one's, and marks its tables
// that have other columns elsewhere, so that statements on them are refused.
func (c *Cluster) compare(snaps []*schema.Snapshot, types [][]scatter.Named) []string {
	first := snaps[0]
	var out []string
	for shard, other := range snaps {
		if shard == 0 || other == nil {
			continue
		}
		say := func(format string, args ...any) string {
			s := fmt.Sprintf("shard %d: ", shard) + fmt.Sprintf(format, args...)
			out = append(out, s)
			return s
		}
		for t := range first.All {
			if c.elsewhere(t) {
				continue
			}
			o := other.Table(t.Schema, t.Name, nil)
			if o == nil {
				t.Differs = say("there is no table %s.%s", t.Schema, t.Name)
				continue
			}
			if d := columns(t, o); d != "" {
				t.Differs = say("%s", d)
			} else if t.Definition != o.Definition {
				t.Differs = say("view %s.%s has another query", t.Schema, t.Name)
			} else if !slices.Equal(unique(t), unique(o)) {
				say("table %s.%s has other unique indexes", t.Schema, t.Name)
			}
		}
		for t := range other.All {
			if !c.elsewhere(t) && first.Table(t.Schema, t.Name, nil) == nil {
				t.Differs = say("table %s.%s is there, and not on shard 0", t.Schema, t.Name)
			}
		}
		here, there := typeNames(types[0]), typeNames(types[shard])
		for name := range here {
			if !there[name] && !c.rowType(first, name) {
				say("there is no type %s", name)
			}
		}
		for name := range there {
			if !here[name] && !c.rowType(other, name) {
				say("type %s is there, and not on shard 0", name)
			}
		}
	}
	slices.Sort(out)
	return out
}

func typeNames(list []scatter.Named) map[string]bool {
	out := map[string]bool{}
	for _, t := range list {
		if t.Kind != 'T' {
			out[t.Name] = true
		}
	}
	return out
}

// elsewhere reports whether a table need not be the same on all shards: the system's, and
// those of schemas that are on one.
func (c *Cluster) elsewhere(t *schema.Table) bool {
	if t.Schema == "pg_catalog" || t.Schema == "information_schema" {
		return true
	}
	_, pinned := c.Layout.Schema(t.Schema)
	return pinned
}

// rowType reports whether a type comes with a table, which is told of already, or with a
// schema that is on one shard.
func (c *Cluster) rowType(s *schema.Snapshot, name string) bool {
	schemaName, base, _ := strings.Cut(name, ".")
	if _, pinned := c.Layout.Schema(schemaName); pinned {
		return true
	}
	return strings.HasPrefix(schemaName, "pg_") || schemaName == "information_schema" || s.Table(schemaName, strings.TrimPrefix(base, "_"), nil) != nil ||
		strings.HasPrefix(base, "_")
}

// columns says how the columns of a table differ from another shard's; empty if they do not.
func columns(t, o *schema.Table) string {
	if len(o.Columns) != len(t.Columns) {
		return fmt.Sprintf("table %s.%s has %d columns, not %d", t.Schema, t.Name, len(o.Columns), len(t.Columns))
	}
	for i, col := range t.Columns {
		if o := o.Columns[i]; o.Name != col.Name || o.TypeName != col.TypeName {
			return fmt.Sprintf("column %d of table %s.%s is %s %s, not %s %s", i+1, t.Schema, t.Name, o.Name, o.TypeName, col.Name, col.TypeName)
		}
	}
	return ""
}

// unique are the column sets of a table's unique indexes, in order.
func unique(t *schema.Table) []string {
	var out []string
	for _, u := range t.Unique {
		out = append(out, strings.Join(u, ","))
	}
	slices.Sort(out)
	return out
}
