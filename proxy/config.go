package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/pubsub"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A Mode says for how long a client keeps a server connection.
type Mode uint8

// The modes.
const (
	Transaction Mode = iota
	Session          // until the client goes
	Statement        // for one statement: transaction blocks are refused
)

// String returns the mode's word in configurations.
func (m Mode) String() string { return [...]string{"transaction", "session", "statement"}[m] }

// A Config is what a Proxy needs. Zero durations and numbers mean no limit, unless they say
// otherwise.
type Config struct {
	// Lookup finds the database that a client, who has been let in, wants. Its error is
	// shown to the client. Required.
	Lookup func(ctx context.Context, c Client) (*Database, error)
	// Console serves the clients of the admin database, IsConsole says who they are. Nil:
	// there is none.
	Console   pgserver.Handler
	IsConsole func(user, database string) bool
	// Auth decides who is let in. Default: clients of this machine.
	Auth pgserver.Authenticator
	// TLS is used when a client asks for it, RequireTLS demands that it does.
	TLS        *tls.Config
	RequireTLS bool

	LoginTimeout time.Duration // default: 60 s
	// IdleTimeout ends sessions that ask for nothing, IdleInTransactionTimeout those that do
	// so in a transaction. QueryTimeout cancels what takes longer.
	IdleTimeout, IdleInTransactionTimeout, QueryTimeout time.Duration
	// TransactionTimeout ends sessions whose transaction lasts longer.
	TransactionTimeout time.Duration
	// WaitNotify tells a client by a notice that it has waited so long for a server
	// connection.
	WaitNotify time.Duration
	// DropClients ends the session of a client for whom no server connection could be had.
	// By default it gets an error, and goes on.
	DropClients bool
	// IgnoreStartup are startup parameters that are dropped.
	IgnoreStartup []string
	// NameHosts adds the client's address to its application_name.
	NameHosts bool
	// MaxClients is how many sessions there may be, ClientLimits how many of a client's user
	// and how many of its database; 0 is any number. Default: any number.
	MaxClients   int
	ClientLimits func(c Client) (user, database int)
	// MaxMessage is the longest message of a client, in bytes. Default: PostgreSQL's limit of
	// 1 GB.
	MaxMessage int
	// LongQuery is the length from which on a query is logged, in bytes. 0: none is.
	LongQuery int
	// Statements is how many prepared statements are remembered that no client uses. Default:
	// 10,000.
	Statements int
	// StatementTTL is for how long, give or take StatementJitter. 0: as long as there is room.
	StatementTTL, StatementJitter time.Duration
	// Loops drive the sessions that they can, and must be closed after the proxy. Nil: each
	// session has a goroutine.
	Loops *loop.Group
	// Log gets what goes wrong; nil discards it.
	Log *slog.Logger
	// CancelElsewhere gets the cancel requests that are for none of the clients here. Nil drops
	// them.
	CancelElsewhere func(pid uint32, key []byte)
	// FirstID is the first of the numbers that clients are told as a process id, IDs how many there
	// are; half as many clients are let in. Default: all positive ones.
	FirstID, IDs uint32
	// Queries gets every query, without parameters. It must be quick. Nil: nobody does.
	Queries func(c Client, sql string)
	// SampleLength is how many bytes of a query the log may hold. Default: none.
	SampleLength int
	// LogConnections and LogDisconnections also say who comes and goes.
	LogConnections, LogDisconnections bool
}

// mostClients is how many clients there may be; 0 is any number.
func (c *Config) mostClients() int {
	if most := int(c.IDs / 2); most > 0 && (c.MaxClients == 0 || c.MaxClients > most) {
		return most
	}
	return c.MaxClients
}

// A Client is who has logged in.
type Client struct {
	User, Database string
	Addr           net.Addr
	Identity       pgserver.Identity
	// Params are the startup message's parameters.
	Params []wire.Param
}

// Param returns a startup parameter.
func (c Client) Param(name string) string {
	v, _ := (&wire.StartupMessage{Params: c.Params}).Get(name)
	return v
}

// A Database is where the clients of one user and database are served. It must not change
// while it is used.
type Database struct {
	Name string
	Mode Mode
	// Servers finds the pool that a transaction is run by. Required.
	Servers Servers
	// Router tells reads from writes. Nil: all goes to the primary.
	Router *route.Router
	// KeepNames leaves the names of prepared statements as they are: with it they are found
	// in session mode only. (prepared_statements = disabled)
	KeepNames bool

	// Sharded serves the clients of a database on several shards, in transaction mode; then
	// Servers only tells what clients are greeted with. Nil: there is one shard.
	Sharded *scatter.Executor

	// Listener returns what listens for all clients, which LISTEN then does not keep the server
	// connection for. Notifications is how many of them wait for a client (default:
	// pubsub.DefaultSize). Nil: LISTEN keeps it.
	Listener      func() *pubsub.Hub
	Notifications int
	// Defer has a transaction begin where its first statement wants to run: BEGIN waits for that. It
	// holds in transaction mode, with a Router. (read_write_strategy = aggressive)
	Defer bool
	// Explain has EXPLAIN say which server ran it, and in which role. (expanded_explain)
	Explain bool

	welcome  welcomes
	observer atomic.Pointer[Observer]
}

// An Observer is told of each query that is about to be run: its text, and of the extended protocol
// the bodies of Parse (after the name) and Bind. It keeps nothing of them, and is quick.
type Observer func(sql string, parse, bind []byte)

// Observe has o told of the queries from now on; nil: nobody.
func (d *Database) Observe(o Observer) {
	if o == nil {
		d.observer.Store(nil)
		return
	}
	d.observer.Store(&o)
}

// Servers chooses among the servers of a database.
type Servers interface {
	// Pick returns the pool of a server in that role. It may wait for one to appear.
	Pick(ctx context.Context, role route.Role) (*pool.Pool, error)
}

// ready is a Servers that can often tell at once.
type ready interface {
	// Ready returns the pool of a server in that role, or nil if that takes longer.
	Ready(role route.Role) *pool.Pool
}

// One is the only server of a database.
type One struct{ Pool *pool.Pool }

// Ready returns the pool.
func (o One) Ready(route.Role) *pool.Pool { return o.Pool }

// Pick returns the pool.
func (o One) Pick(context.Context, route.Role) (*pool.Pool, error) { return o.Pool, nil }
