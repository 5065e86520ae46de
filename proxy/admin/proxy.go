package admin

import (
	"context"
	"errors"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/metrics"
)

// A Proxy is what the console shows and commands. Its methods are called from several
// goroutines.
type Proxy interface {
	// Snapshot returns figures of now. Parts says what is wanted beyond the pools' figures,
	// because there may be very many clients.
	Snapshot(parts Part) *Snapshot
	// Config returns the configuration in effect, which is not changed.
	Config() *conf.Config
	// Do carries a command out. The error is shown to the client; ErrUnsupported is for
	// commands that this proxy has not.
	Do(ctx context.Context, c Command) error
}

// A Prober is a Proxy that can try a server.
type Prober interface {
	// Probe logs in at the server of a URL and returns how long that took.
	Probe(ctx context.Context, url string) (time.Duration, error)
}

// ErrUnsupported reports a command that the proxy has not.
var ErrUnsupported = errors.New("is not supported")

// A Part is something that a snapshot may hold.
type Part uint

// The parts beyond the pools' figures.
const (
	Clients Part = 1 << iota
	Servers
	Statements // prepared ones
	Plans      // of the query cache
	Listeners
	Transactions // in two phases
)

// A Snapshot is the figures of one moment. Numbers that nobody counts are negative, or named
// in Metrics.Missing: they are shown as NULL.
type Snapshot struct {
	Metrics metrics.Snapshot
	// Pools are those of Metrics.Pools, in the same order, with what else is known of them.
	Pools        []Pool
	Clients      []Client
	Servers      []Server
	Statements   []Statement
	Plans        []Plan
	Listeners    []Listener
	Transactions []Transaction
	Peers        []Peer
	// Averager has the pools' averages; nil: there are none.
	Averager *metrics.Averager
	// InstanceID tells proxies apart; Started is when this one was.
	InstanceID string
	Started    time.Time
	// Suspended and Maintenance say that clients are held.
	Suspended, Maintenance bool
}

// A Pool is what is known of a pool beyond its figures.
type Pool struct {
	ID                     int64
	Mode                   conf.PoolerMode
	Paused, Disabled       bool
	Banned, Healthy        bool
	BanReason              string
	BanUntil               time.Time // zero: until UNBAN
	Online                 bool      // it serves clients
	Lag                    time.Duration
	SchemaAdmin            bool
	ReSynced, ForceClosed  int64
	Connecting             int
	Clients, MinSize, Size int
	Reserve                int
	ServerDatabase         string
}

// A Client is one connected client.
type Client struct {
	ID                              int64
	User, Database, Addr            string
	Port                            int
	State                           string // idle, active, waiting, idle in transaction
	Replication, Locked, TLS        bool
	ConnectTime, LastRequest        time.Time
	Queries, Transactions, Xacts2PC int64
	WaitTime, QueryTime, XactTime   time.Duration
	Received, Sent, Errors          int64
	ApplicationName                 string
	Memory                          int64 // bytes
	PreparedStatements              int
	// LocalAddr and LocalPort are the proxy's end. TLSVersion is empty without TLS. Physical says of
	// which kind a replicating client is.
	LocalAddr, TLSVersion string
	LocalPort             int
	Physical              bool
	FD                    int // of its connection; -1: none
	// Query is the beginning of what runs, or ran last; Since is how long ago it began.
	Query string
	Since time.Duration
}

// A Server is one connection to a server.
type Server struct {
	ID                               int64
	Database, User, Addr             string
	Port, Shard                      int
	Role, State                      string // idle, active, idle in transaction, connecting
	ConnectTime, RequestTime         time.Time
	PID                              uint32
	Transactions, Queries, Rollbacks int64
	PreparedStatements               int
	Healthchecks, Errors             int64
	Received, Sent                   int64
	ApplicationName                  string
	Memory                           int64
	TLS                              bool
	Client                           int64 // the client's ID; 0: none
	// LocalAddr and LocalPort are the proxy's end, RemoteAddr is the server's address. TLSVersion is
	// empty without TLS. Closing says that it is replaced as soon as it is free.
	LocalAddr, RemoteAddr, TLSVersion string
	LocalPort                         int
	Closing                           bool
	FD                                int // of it; -1: none
}

// A Statement is a prepared statement that clients share.
type Statement struct {
	Name, SQL string
	Users     int
	Memory    int64
}

// A Plan is an entry of the query cache.
type Plan struct {
	Query               string
	Hits, Direct, Cross int64
	// Refused is how often a dry run found that several shards could not answer it.
	Refused int64
}

// A Listener is a channel that clients listen on.
type Listener struct {
	Database, Channel string
	Clients           int
	Received, Dropped int64
}

// A Peer is another proxy that clients reach at the same address.
type Peer struct {
	ID     int
	Host   string
	Port   int
	Size   int // how many cancel requests may be on their way to it; 0: the default
	Active int
	Passed int64 // to it
	Failed int64 // could not be
}

// A Transaction is one that is being committed in two phases.
type Transaction struct {
	// ID is its name, and with "_" and a shard's number behind it the gid of what is prepared
	// there.
	ID, Database, State string
	Shards              []int
	// Pending are those of the shards that have still to carry the decision out.
	Pending []int
	Since   time.Time
}

// A Command is something to be done. Databases, servers and clients are named as the admin
// database shows them.
type Command struct {
	// Verb is in capitals, of several words perhaps: "RELOAD", "RESET PREPARED".
	Verb string
	// Args are the words behind it, as they were written, without quotes.
	Args []string
	// Config is the configuration to take into effect, for SET.
	Config *conf.Config
	// By is who said it.
	By string
}
