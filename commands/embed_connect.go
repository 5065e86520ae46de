package commands

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
)

// connector returns what a shell makes its connections by. Where there is one backend, and
// with it one database at a time, the shell's connection to one database is ended before
// it connects to another.
func (d *embedded) connector() func(database, user string) (*pgconn.Config, error) {
	var current net.Conn
	used := ""
	return func(database, user string) (*pgconn.Config, error) {
		if user == "" {
			user = d.user
		}
		cfg, err := engines.ConnConfig(d, database, user)
		if err != nil {
			return nil, err
		}
		if d.info.Can.Has(engines.CanSessions) {
			return &cfg.Config, nil
		}
		if current != nil && cfg.Database != used && d.hasDatabase(used, cfg.Database) {
			_ = current.Close()
		}
		dial, first := cfg.DialFunc, true
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if err == nil && first { // later ones are requests to cancel
				first, current, used = false, c, cfg.Database
			}
			return c, err
		}
		return &cfg.Config, nil
	}
}

// hasDatabase reports whether a database is there, asking while another one is in use.
func (d *embedded) hasDatabase(used, name string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // its transaction may be open
	defer cancel()
	conn, err := engines.Connect(ctx, d.Server, used)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close(ctx) }()
	var found bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)", name).Scan(&found)
	return err == nil && found
}
