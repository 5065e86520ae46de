package scatter

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/claim"
	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/proxy/pubsub"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
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
	// Explain has EXPLAIN say where it ran. (expanded_explain)
	Explain bool
	// SingleInTurn leaves single statements on several shards without two-phase commit.
	SingleInTurn bool
	// Memory is how many bytes of rows one statement may keep, in bytes. Default:
	// [merge.DefaultMemory].
	Memory int
	// UniqueID makes the values of pgdog.unique_id(). Nil: statements that call it are refused.
	UniqueID func() int64
	// Reload loads the schema anew after DDL. Nil: it is not.
	Reload func(ctx context.Context) error
	// Differences says how the shards' schemas differ, as of the last Reload, for the clients
	// that do DDL. Nil: it is not told.
	Differences func() []string
	// Fork makes a router like Router with another schema, for a transaction that has done
	// DDL. Nil: statements that follow DDL in a transaction are routed by the old schema.
	Fork func(*schema.Snapshot) *route.Router
	// RefuseSplit and RefuseMove refuse multi-row INSERTs of rows of several shards, and
	// UPDATEs of sharding keys. Default: both are done.
	RefuseSplit, RefuseMove bool
	// OmniSticky reads omnisharded tables always on the same shard for a session. Default:
	// each statement outside of a transaction takes the next shard.
	OmniSticky bool
	// Behind is how far replicas are behind at most: for so long after it has written on a
	// shard, a session reads there from the primary. Default: it is not known, and the session
	// does so until it ends, or DISCARD ALL.
	Behind time.Duration
	// Lookups is how many results of lookup queries are kept. Default: 100,000; negative:
	// none. LookupTimeout is how long one may take. Default: no limit.
	Lookups       int
	LookupTimeout time.Duration
	// Listeners listen on each shard for all sessions. Empty: LISTEN is refused.
	Listeners []*pubsub.Hub
	// Notifications is how many wait for a client at most. Default: [pubsub.DefaultSize].
	Notifications int
	// Waits asks a shard's primary for what [WaitsSQL] says; any goroutine may call it. Nil: nobody
	// finds out about sessions that wait for each other on several shards.
	Waits func(ctx context.Context, shard int) ([]Wait, error)
	// DeadlockTimeout is how long a session waits before it is looked whether it does so for
	// itself. Default: one second.
	DeadlockTimeout time.Duration
	// LookTimeout is how long a shard may take to answer Waits, or a request to cancel what a
	// deadlock is ended by. Default: 5 seconds.
	LookTimeout time.Duration
	// Claims is shared by the databases whose connections are limited together. Nil: no
	// other database's are.
	Claims *claim.Bank
	// Log takes what no client is told. Nil: nothing is logged.
	Log *slog.Logger
}

// An Executor is what all sessions of one sharded database share. It is safe for concurrent
// use.
type Executor struct {
	cfg     Config
	next    atomic.Uint64 // for the sticky shards of sessions
	lookups *lookups
	// generation counts reloads of the schema, which make descriptions stale.
	generation atomic.Uint64
	oids       atomic.Pointer[[]*oids]

	// claims are the connections that sessions hold of several shards, bounds how many there
	// are, patience how long one waits for them.
	claims   *claim.Table
	bounds   []atomic.Pointer[boundary]
	patience atomic.Int64

	deadlocks deadlocks

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
	if cfg.DeadlockTimeout <= 0 {
		cfg.DeadlockTimeout = defaultDeadlockTimeout
	}
	if cfg.LookTimeout <= 0 {
		cfg.LookTimeout = defaultLookTimeout
	}
	e := &Executor{
		cfg: cfg, types: map[typeKey]string{}, lookups: newLookups(cfg.Layout, cfg.Lookups),
		claims: claim.New(cfg.Layout.Shards, cfg.Claims), bounds: make([]atomic.Pointer[boundary], 2*cfg.Layout.Shards),
	}
	e.deadlocks = deadlocks{ex: e, after: cfg.DeadlockTimeout, spread: map[*Session]*spell{}}
	return e
}

// Servers are what lends connections.
func (e *Executor) Servers() Servers { return e.cfg.Servers }

// Advised reports that somebody is asked about each statement before it runs.
func (e *Executor) Advised() bool { return e.cfg.Router.Advised() }

// reload loads the schema anew.
func (e *Executor) reload(ctx context.Context) (told []string) {
	e.mu.Lock()
	clear(e.types)
	e.mu.Unlock()
	e.lookups.clear()
	if e.cfg.Reload != nil {
		if err := e.cfg.Reload(ctx); err != nil {
			e.cfg.Log.Error("the schema could not be loaded after DDL", "error", err)
			told = append(told, "the schema could not be read after the change, and statements are routed by the one of before: "+err.Error())
		} else if e.cfg.Differences != nil {
			told = e.cfg.Differences()
		}
	}
	e.generation.Add(1)
	return told
}

// maxTold is how many differences of schemas a client is told of at once.
const maxTold = 10

// tell warns the client of what DDL has left different between the shards.
func (s *Session) tell() error {
	told := s.told
	s.told = nil
	for i, d := range told {
		if i == maxTold {
			d = fmt.Sprintf("and %d differences more", len(told)-i)
		}
		if err := s.notice(wire.SeverityWarning, wire.CodeWarning, "the shards' schemas differ: "+d); err != nil || i == maxTold {
			return err
		}
	}
	return nil
}
