package pool

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/wire/auth"
)

// A Role says what a server is to its shard.
type Role uint8

// The roles. An Auto server is asked (pg_is_in_recovery).
const (
	Primary Role = iota
	Replica
	Auto
)

// String returns PgDog's word.
func (r Role) String() string { return [...]string{"primary", "replica", "auto"}[r] }

// A Backend is one server and the login there. It must not change while a pool uses it.
type Backend struct {
	// ID is comparable, and equal for backends whose connections are as good as each other:
	// it is how a reload recognises what did not change.
	ID    any
	Name  string // for people: host and port
	Role  Role
	Shard int
	// Dial opens a connection, which may be a pipe.
	Dial func(ctx context.Context) (net.Conn, error)
	// Login says who logs in.
	Login Credentials
	TLS   TLS
	// Params go into the startup message, beside user and database.
	Params map[string]string
}

// Credentials are a login.
type Credentials struct {
	User, Database string
	Password       string
	// Passwords are further ones, which are tried when the server refuses the first.
	Passwords []string
	// Keys log in by SCRAM without a password, MD5 (32 hexadecimal digits) by md5.
	Keys *auth.SCRAMKeys
	MD5  string
	// Demand refuses servers that let everybody in without a proof.
	Demand bool
	// Fetch is asked how to log in for each new connection, if it is set: its answer's
	// passwords, keys and hash hold.
	Fetch func(ctx context.Context) (Credentials, error)
}

// String leaves out what is secret.
func (c Credentials) String() string { return c.User + "@" + c.Database }

// GoString keeps %#v from printing secrets.
func (c Credentials) GoString() string { return c.String() }

// A TLSMode says how much TLS a server connection needs.
type TLSMode uint8

// The modes.
const (
	TLSDisable    TLSMode = iota // never
	TLSPrefer                    // if the server has it; nothing is verified
	TLSRequire                   // always; nothing is verified
	TLSVerifyCA                  // the chain is verified
	TLSVerifyFull                // the chain and the host name are
)

// A TLS says how server connections are encrypted. On Unix sockets and pipes there is no TLS,
// as in PostgreSQL; a mode that demands it is an error there.
type TLS struct {
	Mode TLSMode
	// Config holds roots, ServerName and the client's certificate. Default: the system's
	// roots. ServerName is needed for TLSVerifyFull.
	Config *tls.Config
}

// A Config says how large a pool is and how long things may take. Zero fields mean the
// default, negative durations no limit.
type Config struct {
	// Size is the most connections there are. Default: 10.
	Size int
	// Min is how many are kept open once there was a need for the pool. Default: none.
	Min int
	// Reserve is how many more there may be once somebody has waited for ReserveTimeout
	// (default: 5 s).
	Reserve        int
	ReserveTimeout time.Duration

	CheckoutTimeout time.Duration // how long Get waits; default: 5 s
	ConnectTimeout  time.Duration // dial, TLS and login together; default: 5 s
	ConnectAttempts int           // default: 1
	ConnectDelay    time.Duration // between attempts; default: none
	IdleTimeout     time.Duration // connections above Min are closed after it; default: 60 s
	Lifetime        time.Duration // connections older than that are replaced; default: 24 h
	LifetimeJitter  time.Duration // Lifetime is up to so much longer or shorter; default: none
	// HealthInterval is how long a connection may be unused before it is tried with an empty
	// query, while it is idle. Default: 30 s. HealthTimeout (5 s) is what that may take.
	HealthInterval, HealthTimeout time.Duration
	// CleanTimeout is how long an abandoned query and the rollback may take. Default: 5 s.
	CleanTimeout time.Duration
	// Statements is how many prepared statements a connection keeps. Default: 500.
	Statements int
	// StatementTTL is how long it keeps one that is not used, give or take StatementJitter. 0: as
	// long as there is room.
	StatementTTL, StatementJitter time.Duration
	// ConnectQuery is run on each new connection. One that fails closes it. Default: none.
	ConnectQuery string
	// Recovery is what becomes of connections that clients leave in the middle of something.
	Recovery Recovery
	// ResetQuery takes a session back to its start. What another one than DISCARD ALL leaves,
	// but for parameters and prepared statements, the next client finds. Default: DISCARD ALL.
	ResetQuery string
	// ResetAlways wants it run after each transaction; see [Pool.ResetsAlways].
	ResetAlways bool

	// Loops drive the connections that they can. Nil: each has a goroutine.
	Loops *loop.Group
}

// A Recovery is what is done with a connection that a client has left in the middle of
// something.
type Recovery uint8

// The recoveries.
const (
	Recover      Recovery = iota // what runs is cancelled or read to its end, transactions are rolled back
	RollbackOnly                 // it is closed if something runs; transactions are rolled back
	Drop                         // it is closed
)

// DefaultConfig returns the defaults, which are PgDog's but for Statements.
func DefaultConfig() Config {
	return Config{
		Size: 10, ReserveTimeout: 5 * time.Second, CheckoutTimeout: 5 * time.Second,
		ConnectTimeout: 5 * time.Second, ConnectAttempts: 1, IdleTimeout: time.Minute, Lifetime: 24 * time.Hour,
		HealthInterval: 30 * time.Second, HealthTimeout: 5 * time.Second, CleanTimeout: 5 * time.Second, Statements: 500,
	}
}

func (c Config) withDefaults() Config {
	d := DefaultConfig()
	integer := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	duration := func(v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		}
	}
	integer(&c.Size, d.Size)
	integer(&c.ConnectAttempts, 1)
	integer(&c.Statements, d.Statements)
	duration(&c.ReserveTimeout, d.ReserveTimeout)
	duration(&c.CheckoutTimeout, d.CheckoutTimeout)
	duration(&c.ConnectTimeout, d.ConnectTimeout)
	duration(&c.IdleTimeout, d.IdleTimeout)
	duration(&c.Lifetime, d.Lifetime)
	duration(&c.HealthInterval, d.HealthInterval)
	duration(&c.HealthTimeout, d.HealthTimeout)
	duration(&c.CleanTimeout, d.CleanTimeout)
	c.Min = min(max(c.Min, 0), c.Size)
	return c
}
