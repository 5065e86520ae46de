package scatter

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A Config is what an [Executor] needs.
type Config struct {
	// Router decides. Required.
	Router *route.Router
	// Layout is the router's. Required.
	Layout *sharding.Layout
	// Servers lends connections. Required.
	Servers Servers
	// Committer commits transactions that wrote on several shards. Nil: one shard after the
	// other, without two-phase commit.
	Committer Committer
	// SingleInTurn leaves single statements on several shards without two-phase commit.
	SingleInTurn bool
	// Memory is how many bytes of rows one statement may keep, in bytes. Default:
	// [merge.DefaultMemory].
	Memory int
	// UniqueID makes the values of pgdog.unique_id(). Nil: statements that call it are refused.
	UniqueID func() int64
	// Reload loads the schema anew after DDL. Nil: it is not.
	Reload func(ctx context.Context) error
	// Fork makes a router like Router with another schema, for a transaction that has done
	// DDL. Nil: statements that follow DDL in a transaction are routed by the old schema.
	Fork func(*schema.Snapshot) *route.Router
	// RefuseSplit and RefuseMove refuse multi-row INSERTs of rows of several shards, and
	// UPDATEs of sharding keys. Default: both are done.
	RefuseSplit, RefuseMove bool
	// Log takes what no client is told. Nil: nothing is logged.
	Log *slog.Logger
}

// An Executor is what all sessions of one sharded database share. It is safe for concurrent
// use.
type Executor struct {
	cfg     Config
	next    atomic.Uint64 // for the sticky shards of sessions
	lookups lookups
	// generation counts reloads of the schema, which make descriptions stale.
	generation atomic.Uint64
	oids       atomic.Pointer[[]*oids]

	mu    sync.Mutex
	types map[typeKey]string
}

type typeKey struct {
	oid uint32
	mod int32
}

// New makes an executor. It does no I/O.
func New(cfg Config) *Executor {
	if cfg.Memory <= 0 {
		cfg.Memory = merge.DefaultMemory
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Executor{cfg: cfg, types: map[typeKey]string{}}
}

// reload loads the schema anew.
func (e *Executor) reload(ctx context.Context) {
	e.mu.Lock()
	clear(e.types)
	e.mu.Unlock()
	e.lookups.clear()
	if e.cfg.Reload != nil {
		if err := e.cfg.Reload(ctx); err != nil {
			e.cfg.Log.Error("the schema could not be loaded after DDL", "error", err)
		}
	}
	e.generation.Add(1)
}
