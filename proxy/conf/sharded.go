package conf

import "slices"

// A ShardedTable says which column decides on which shard a table's rows are.
type ShardedTable struct {
	// Database is the database that is sharded.
	Database string `toml:"database"`
	// Name is the table. Default: every table that has the column.
	Name string `toml:"name"`
	// Schema is the table's schema. Default: any.
	Schema string `toml:"schema"`
	// Column is the column that decides.
	Column string `toml:"column"`
	// Columns are those of a key of several, which are hashed together, instead of column.
	// Not PgDog's.
	Columns []string `toml:"columns"`
	// DataType is the column's type: bigint (any integer), uuid, varchar or vector. Default:
	// bigint.
	DataType DataType `toml:"data_type"`
	// Hasher is postgres (as PARTITION BY HASH) or sha1. Default: postgres.
	Hasher Hasher `toml:"hasher"`
	// Primary marks the table whose key the others refer to. It makes no difference here.
	Primary bool `toml:"primary"`
	// Centroids are the vectors whose nearest decides, one for each shard in turn.
	Centroids [][]float32 `toml:"centroids"`
	// CentroidsPath is a JSON file with a list of them.
	CentroidsPath string `toml:"centroids_path"`
	// CentroidProbes is how many centroids' shards a search by distance asks. Default: 0,
	// the square root of how many there are.
	CentroidProbes int `toml:"centroid_probes"`
	// LookupQuery is SQL that finds what a key ($1) maps to, run on the first shard.
	LookupQuery string `toml:"lookup_query"`
	// LookupResult says what it returns: shard, or value, which is hashed. Default: shard.
	LookupResult LookupResult `toml:"lookup_result"`
	// Mapping maps the column's values to shards.
	Mapping []Mapping `toml:"mapping"`
}

// A Mapping puts some of a sharded column's values on a shard.
type Mapping struct {
	// Kind is list, range or default (all others). Default: list if there are values, range
	// if there are bounds.
	Kind MappingKind `toml:"kind"`
	// Values are those of a list.
	Values []Value `toml:"values"`
	// Start is the first value of a range. Default: no lower bound.
	Start *Value `toml:"start"`
	// End is the first value behind a range. Default: no upper bound.
	End *Value `toml:"end"`
	// Shard is where the rows are.
	Shard int `toml:"shard"`
}

// A ShardedMapping is a mapping with the names of what it is for.
type ShardedMapping struct {
	// Database is that of the [[sharded_tables]] it belongs to.
	Database string `toml:"database"`
	// Column is theirs.
	Column string `toml:"column"`
	// Table is theirs. Default: any.
	Table string `toml:"table"`
	// Schema is theirs. Default: any.
	Schema string `toml:"schema"`
	// Kind is list, range or default (all others).
	Kind MappingKind `toml:"kind"`
	// Values are those of a list.
	Values []Value `toml:"values"`
	// Start is the first value of a range. Default: no lower bound.
	Start *Value `toml:"start"`
	// End is the first value behind a range. Default: no upper bound.
	End *Value `toml:"end"`
	// Shard is where the rows are.
	Shard int `toml:"shard"`
}

// A ShardedSchema puts a schema's tables on one shard.
type ShardedSchema struct {
	// Database is the database that is sharded.
	Database string `toml:"database"`
	// Name is the schema. Default: all that have no entry.
	Name string `toml:"name"`
	// Shard is where its tables are.
	Shard int `toml:"shard"`
	// All says that every shard holds all of them. Default: false.
	All bool `toml:"all"`
}

// OmnishardedTables are tables of which every shard holds all rows.
type OmnishardedTables struct {
	// Database is the database that is sharded.
	Database string `toml:"database"`
	// Tables are the tables' names.
	Tables []string `toml:"tables"`
	// Sticky reads them always on the same shard for a client. Default: as
	// omnisharded_sticky.
	Sticky bool `toml:"sticky"`
}

// KeyColumns returns the columns of the sharding key.
func (t *ShardedTable) KeyColumns() []string {
	if len(t.Columns) > 0 {
		return t.Columns
	}
	if t.Column == "" {
		return nil
	}
	return []string{t.Column}
}

// Mappings returns the mappings of a sharded table: its own, and those of
// [[sharded_mappings]] that name it.
func (c *Config) Mappings(t *ShardedTable) []Mapping {
	out := t.Mapping
	for i := range c.ShardedMappings {
		if m := &c.ShardedMappings[i]; m.belongs(t) {
			out = append(slices.Clip(out), m.mapping())
		}
	}
	return out
}

// belongs reports whether a mapping is for a table.
func (m *ShardedMapping) belongs(t *ShardedTable) bool {
	cols := t.KeyColumns()
	return m.Database == t.Database && len(cols) == 1 && cols[0] == m.Column &&
		(m.Table == "" || m.Table == t.Name) && (m.Schema == "" || m.Schema == t.Schema)
}

func (m *ShardedMapping) mapping() Mapping {
	return Mapping{Kind: m.Kind, Values: m.Values, Start: m.Start, End: m.End, Shard: m.Shard}
}

// KindOf returns the mapping's kind, with its default.
func (m *Mapping) KindOf() MappingKind {
	switch {
	case m.Kind != "":
		return m.Kind
	case m.Start != nil || m.End != nil:
		return MapRange
	}
	return MapList
}
