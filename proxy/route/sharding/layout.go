package sharding

import "slices"

// A Placement says where a table's rows are.
type Placement struct {
	// Key is the sharding key; nil if the table is not sharded by one.
	Key *Key
	// Pinned says that the whole table is on Shard.
	Pinned bool
	Shard  int
}

// Omni reports whether every shard has the whole table.
func (p Placement) Omni() bool { return p.Key == nil && !p.Pinned }

// Find returns the placement of a table. columns are its columns' names as far as they are
// known; nil, if they are not, matches only entries that name the table.
func (l *Layout) Find(schema, table string, columns []string) Placement {
	if l.omni[table] || l.omni != nil && l.omni[schema+"."+table] {
		return Placement{}
	}
	best, score := (*Key)(nil), 0
	for _, k := range l.tables {
		s := 1
		switch {
		case k.schema != "" && k.schema != schema, k.table != "" && k.table != table:
			continue
		case k.table == "" && !containsAll(columns, k.Columns):
			continue
		}
		if k.schema != "" {
			s++
		}
		if k.table != "" {
			s += 2
		}
		if s > score {
			best, score = k, s
		}
	}
	if best != nil {
		return Placement{Key: best}
	}
	if s, ok := l.schemas[schema]; ok {
		return Placement{Pinned: !s.All, Shard: s.Shard}
	}
	if l.otherwise != nil && schema != "" && schema != "pg_catalog" && schema != "information_schema" {
		return Placement{Pinned: !l.otherwise.All, Shard: l.otherwise.Shard}
	}
	return Placement{}
}

// Schema returns where objects of a schema are created: on all shards if it has none.
func (l *Layout) Schema(name string) (shard int, pinned bool) {
	if s, ok := l.schemas[name]; ok {
		return s.Shard, !s.All
	}
	if l.otherwise != nil && name != "" && name != "pg_catalog" && name != "information_schema" {
		return l.otherwise.Shard, !l.otherwise.All
	}
	return 0, false
}

// All are all shards.
func (l *Layout) All() Set { return First(l.Shards) }

// Keys are the sharding keys, in the order of the configuration.
func (l *Layout) Keys() []*Key { return l.tables }

func containsAll(all, some []string) bool {
	for _, s := range some {
		if !slices.Contains(all, s) {
			return false
		}
	}
	return len(some) > 0
}
