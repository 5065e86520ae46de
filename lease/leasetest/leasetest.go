// Package leasetest gives each Go test a PostgreSQL database of its own.
//
//	func TestUsers(t *testing.T) {
//		pool := leasetest.Pool(t, leasetest.Migrations("../migrations/*.sql"))
//		…
//	}
//
// Where a lease server runs (PGM_SOCKET or PGMANAGER_SOCKET names its socket, as
// "pgx-dev lease wrap -- go test ./..." does), databases come from there. Otherwise the
// process serves a pool itself, on a temporary cluster that ends with it, or with [WASM] on
// servers inside it; call [Main] from TestMain to end it in good order.
//
// After a test its database is given back, and made as new for the next one. When the test
// has failed, the database stays, and its URL is logged; in a process that serves its own
// pool that is of use only while the process lives, so set PGX_DEV_LEASE_URL to a server
// that stays, or run under a lease server.
package leasetest

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/lease"
)

// TB is what of testing.TB is used.
type TB interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(func())
}

// An Option says how the databases are made, where the process serves its own pool. Each
// set of options has a pool of its own.
type Option func(*lease.PoolConfig)

// Migrations are SQL files that make the template, relative to the package's directory,
// globs allowed.
func Migrations(files ...string) Option {
	return func(c *lease.PoolConfig) { c.Migrations = append(c.Migrations, files...) }
}

// Command makes the template by a program, which finds the database in PGDATABASE and
// DATABASE_URL. key are the files on which the outcome depends.
func Command(argv []string, key ...string) Option {
	return func(c *lease.PoolConfig) { c.Command, c.KeyFiles = argv, key }
}

// Reset chooses how a database is cleaned after a test; see lease.Resets. Default:
// recreate.
func Reset(policy string) Option {
	return func(c *lease.PoolConfig) { c.Reset = policy }
}

// WASM makes every database a whole PostgreSQL 18 server inside this process, where nothing
// needs to be installed; see package servers. A lease server has its own mind about it.
func WASM() Option {
	return func(c *lease.PoolConfig) { c.Engine = "wasm" }
}

// Named chooses a pool of the lease server by its name; a process that serves itself has
// one of that name.
func Named(pool string) Option {
	return func(c *lease.PoolConfig) { c.Name = pool }
}

// acquireTimeout bounds the wait for a database, the first template included.
const acquireTimeout = 5 * time.Minute

// URL returns the connection URL of a database that is the test's own until it ends. Where
// a lease server lends names only, the URL leads to the server that PG* variables name.
func URL(t TB, opts ...Option) string {
	t.Helper()
	var cfg lease.PoolConfig
	for _, o := range opts {
		o(&cfg)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), acquireTimeout, fmt.Errorf("no database was free within %v", acquireTimeout))
	defer cancel()
	var got *loan
	var err error
	if socket := serverSocket(); socket != "" {
		got, err = fromServer(ctx, socket, cfg.Name, t.Name())
	} else {
		got, err = fromProcess(ctx, cfg, t.Name())
	}
	if err != nil {
		t.Fatalf("lease a database: %v", err)
		return ""
	}
	t.Cleanup(func() {
		keep := t.Failed()
		if keep {
			t.Logf("the test's database is kept: %s", got.url)
		}
		if err := got.end(keep, t.Name()); err != nil {
			t.Logf("give the database back: %v", err)
		}
	})
	return got.url
}

// DB returns a connection to a database that is the test's own until it ends. It is closed
// before.
func DB(t TB, opts ...Option) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), URL(t, opts...))
	if err != nil {
		t.Fatalf("connect to the leased database: %v", err)
		return nil
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Logf("close the connection: %v", err)
		}
	})
	return conn
}

// serverSocket returns the socket of the server to use, or "".
func serverSocket() string {
	for _, name := range []string{"PGM_SOCKET", "PGMANAGER_SOCKET"} {
		if s := os.Getenv(name); s != "" {
			return s
		}
	}
	return ""
}
