// Package sqldriver registers PostgreSQL in this process with database/sql, under the
// name "pgx-dev-wasm":
//
//	import _ "github.com/pgx-dev/pgx-dev/engines/wasm/sqldriver"
//
//	db, err := sql.Open("pgx-dev-wasm", "/path/to/data")
//
// The data source name is a directory, or empty for a temporary database. Parameters
// follow a question mark: user, database, extension (any number) and relaxed are those of
// wasm.Options; all others are parameters of the server:
//
//	sql.Open("pgx-dev-wasm", "data?database=app&extension=vector&work_mem=16MB")
//
// The server is started by the first use and closed by sql.DB.Close. Its connections
// take turns on the one backend (see package wasm); SetMaxOpenConns(1) spares the turns.
package sqldriver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// Name is the driver's name.
const Name = "pgx-dev-wasm"

// Importing a driver registers it: that is how database/sql is made.
func init() { sql.Register(Name, Driver{}) } //nolint:gochecknoinits // see above

// A Driver implements driver.Driver and driver.DriverContext.
type Driver struct{}

// Open implements driver.Driver; database/sql uses OpenConnector.
func (d Driver) Open(name string) (driver.Conn, error) {
	return nil, errors.New(Name + ": use sql.Open, whose Close ends the server")
}

// OpenConnector implements driver.DriverContext. It starts nothing yet.
func (d Driver) OpenConnector(name string) (driver.Connector, error) {
	dir, o, err := parse(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	return NewConnector(dir, o), nil
}

// parse reads a data source name.
func parse(name string) (dir string, o wasm.Options, err error) {
	dir, query, _ := strings.Cut(name, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", o, err
	}
	for key, vs := range values {
		v := vs[len(vs)-1]
		switch key {
		case "user":
			o.User = v
		case "database":
			o.Database = v
		case "extension":
			o.Extensions = vs
		case "relaxed":
			if o.Relaxed, err = strconv.ParseBool(v); err != nil {
				return "", o, fmt.Errorf("relaxed=%s: want true or false", v)
			}
		default:
			if o.Params == nil {
				o.Params = map[string]string{}
			}
			o.Params[key] = v
		}
	}
	return dir, o, nil
}

// A Connector implements driver.Connector for sql.OpenDB.
type Connector struct {
	dir     string
	options wasm.Options

	mu     sync.Mutex
	db     *wasm.DB
	inner  driver.Connector
	closed bool
}

// NewConnector returns a connector to the database in dir, "" for a temporary one.
func NewConnector(dir string, o wasm.Options) *Connector { return &Connector{dir: dir, options: o} }

// Driver implements driver.Connector.
func (c *Connector) Driver() driver.Driver { return Driver{} }

// Connect implements driver.Connector.
func (c *Connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.start(ctx)
	if err != nil {
		return nil, err
	}
	return inner.Connect(ctx)
}

func (c *Connector) start(ctx context.Context) (driver.Connector, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.New(Name + ": the database has been closed")
	}
	if c.inner != nil {
		return c.inner, nil
	}
	open := func() (*wasm.DB, error) { return wasm.Open(ctx, c.dir, c.options) }
	if c.dir == "" {
		open = func() (*wasm.DB, error) { return wasm.OpenTemp(ctx, c.options) }
	}
	db, err := open()
	if err != nil {
		return nil, err
	}
	cfg, err := db.ConnConfig()
	if err != nil {
		return nil, errors.Join(err, db.Close(ctx))
	}
	c.db, c.inner = db, stdlib.GetConnector(*cfg)
	return c.inner, nil
}

// Close ends the server; sql.DB.Close calls it.
func (c *Connector) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.db == nil {
		return nil
	}
	db := c.db
	c.db, c.inner = nil, nil
	return db.Close(context.Background())
}
