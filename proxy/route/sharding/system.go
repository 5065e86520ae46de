package sharding

import "strings"

// Catalogs says on which shards the system catalogs are read.
type Catalogs uint8

// The ways to read catalogs.
const (
	// CatalogsSticky reads them on the first shard, whose numbers of types and tables are
	// those that all clients see. It is the default.
	CatalogsSticky Catalogs = iota
	// CatalogsAny reads them on whichever shard.
	CatalogsAny
	// CatalogsSharded reads those of all shards, as if each had a part of one catalog.
	CatalogsSharded
)

// perShard is the key of what every server has of its own: no column holds it, rows of one
// server are joined with those of the same server, and no condition says where they are.
func perShard(shards int) *Key {
	return &Key{Columns: []string{"\x00server"}, Function: PerShard, shards: shards, id: "\x00server"}
}

// statistics are the catalogs that describe what one server is doing, by the beginnings of
// their names.
var statistics = []string{
	"pg_stat_", "pg_statio_", "pg_locks", "pg_prepared_xacts", "pg_prepared_statements", "pg_cursors", "pg_replication_",
	"pg_stat_statements", "pg_buffercache", "pg_shmem_allocations", "pg_backend_memory_contexts",
}

// System returns the placement of a table of pg_catalog or information_schema: views of
// statistics have rows on every shard, all else is the same everywhere unless it is
// configured as sharded.
func (l *Layout) System(table string) Placement {
	if l.Shards == 1 || len(l.tables) == 0 {
		return Placement{}
	}
	if l.Catalogs == CatalogsSharded {
		return Placement{Key: l.own}
	}
	for _, s := range statistics {
		if strings.HasPrefix(table, s) {
			return Placement{Key: l.own}
		}
	}
	return Placement{}
}

// PerShard reports whether the key is that of what every server has of its own.
func (k *Key) PerShard() bool { return k.Function == PerShard }
