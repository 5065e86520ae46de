package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
)

// Options say how Open opens a database. The zero value is usable.
type Options struct {
	// Engine runs the database; several can share one, and with it the compiled code.
	// Default: one of its own, with Config.
	Engine *Engine
	// Config is that engine's. Default: the zero value.
	Config Config
	// Params are server parameters, by name. With any, a temporary database is booted
	// rather than restored from the snapshot, which takes some 30 ms more.
	Params map[string]string
	// User is the superuser in a directory yet to be made. Default: postgres.
	User string
	// Database is what to connect to; it is created if it is missing. Default: postgres.
	Database string
	// Extensions are created, after having been compiled if need be. Default: none.
	Extensions []string
	// Relaxed gives durability up for speed: nothing is synced to disk. Implied for
	// temporary databases.
	Relaxed bool
	// Archive is a data directory that DumpDataDir wrote, to start from. The directory to
	// open must not exist or be empty. Default: none.
	Archive io.Reader
}

// A DB is an embedded database with a connection of its own. It is safe for concurrent
// use; its methods take turns on the connection. Close it.
type DB struct {
	srv      *Server
	engine   *ownEngine // to be closed with the DB; nil if it was given
	options  Options
	database string
	cleanup  []func() error

	mu   sync.Mutex
	conn *pgx.Conn

	notify notifier
}

// Open opens the database in dir, which is made if it is missing.
func Open(ctx context.Context, dir string, o Options) (*DB, error) {
	if dir == "" {
		return nil, errors.New("open a database: no directory is named; OpenTemp makes a temporary one")
	}
	return open(ctx, dir, o)
}

// OpenTemp opens a new database that goes away when it is closed.
func OpenTemp(ctx context.Context, o Options) (*DB, error) { return open(ctx, "", o) }

func open(ctx context.Context, dir string, o Options) (db *DB, err error) {
	d := &DB{options: o, database: o.Database}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close(context.WithoutCancel(ctx)))
			db = nil
		}
	}()
	e := o.Engine
	if e == nil {
		cfg := o.Config
		cfg.Extensions = append(append([]string(nil), cfg.Extensions...), o.Extensions...)
		e = New(cfg)
		d.engine = &ownEngine{e: e, refs: 1}
	} else if err := e.Prepare(ctx, o.Extensions...); err != nil {
		return nil, err
	}
	spec := engines.Spec{Dir: dir, Params: o.Params, User: o.User, Fast: o.Relaxed}
	if o.Archive != nil {
		if spec.Template, err = d.unpack(ctx, dir, o.Archive); err != nil {
			return nil, err
		}
	}
	srv, err := e.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	d.srv = srv.(*Server)
	if err := d.connect(ctx); err != nil {
		return nil, err
	}
	for _, name := range o.Extensions {
		if err := d.EnableExtension(ctx, name); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// unpack puts an archive into a directory that the database starts from.
func (d *DB) unpack(ctx context.Context, dir string, archive io.Reader) (string, error) {
	if dir != "" {
		if err := mayOpen(dir, checkVersion(dir), false); err != nil || checkVersion(dir) == nil {
			return "", errors.Join(fmt.Errorf("load an archive into %s: there is something already", dir), err)
		}
	}
	tmp, err := os.MkdirTemp("", "pgx-dev-load-")
	if err != nil {
		return "", err
	}
	d.cleanup = append(d.cleanup, func() error { return os.RemoveAll(tmp) })
	return tmp, unpackArchive(ctx, archive, tmp)
}

// connect opens the DB's own connection, creating its database first if need be.
func (d *DB) connect(ctx context.Context) error {
	conn, err := engines.Connect(ctx, d.srv, d.database)
	if d.database != "" && sqlState(err) == "3D000" { // invalid_catalog_name
		admin, err := engines.Connect(ctx, d.srv, "")
		if err != nil {
			return err
		}
		_, err = admin.Exec(ctx, "CREATE DATABASE "+Identifier(d.database))
		if err = errors.Join(err, admin.Close(ctx)); err != nil {
			return err
		}
		conn, err = engines.Connect(ctx, d.srv, d.database)
		if err != nil {
			return err
		}
		d.conn = conn
		return nil
	}
	d.conn = conn
	return err
}

// with runs f with the DB's connection.
func (d *DB) with(ctx context.Context, f func(conn *pgx.Conn) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil {
		return errors.New("the database has been closed")
	}
	if d.conn.IsClosed() { // a context that ended took it along
		if err := d.connect(ctx); err != nil {
			return err
		}
	}
	return f(d.conn)
}

// Server returns the server behind the database, for more connections and for
// engines.Serve.
func (d *DB) Server() *Server { return d.srv }

// Info describes the server.
func (d *DB) Info() engines.Info { return d.srv.Info() }

// Connect opens another connection, which the caller closes. It takes turns with the
// others (see the package comment).
func (d *DB) Connect(ctx context.Context) (*pgx.Conn, error) {
	return engines.Connect(ctx, d.srv, d.database)
}

// ConnConfig returns a pgx configuration for connections to the database, for a
// pgxpool.Config or for pgx/stdlib.
func (d *DB) ConnConfig() (*pgx.ConnConfig, error) { return engines.ConnConfig(d.srv, d.database, "") }

// DialFunc returns a function for pgconn.Config.DialFunc that reaches the database
// whatever network and address it is called with.
func (d *DB) DialFunc() func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return d.srv.Dial(ctx) }
}

// EnableExtension creates an extension and what it needs, unless it is there.
func (d *DB) EnableExtension(ctx context.Context, name string) error {
	if err := d.srv.e.Prepare(ctx, name); err != nil {
		return err
	}
	_, err := d.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS "+Identifier(name)+" CASCADE")
	return err
}

// Ready reports whether the database can be used; false when it was closed or has ended.
func (d *DB) Ready() bool {
	select {
	case <-d.srv.Done():
		return false
	default:
		return true
	}
}

// Close closes the DB's connections and its server. A second Close does nothing.
func (d *DB) Close(ctx context.Context) error {
	var errs []error
	errs = append(errs, d.notify.close())
	d.mu.Lock()
	if d.conn != nil {
		_ = d.conn.Close(ctx)
		d.conn = nil
	}
	d.mu.Unlock()
	if d.srv != nil {
		errs = append(errs, d.srv.Close(ctx))
	}
	for _, f := range d.cleanup {
		errs = append(errs, f())
	}
	d.cleanup = nil
	errs = append(errs, d.engine.close())
	d.engine = nil
	return errors.Join(errs...)
}
