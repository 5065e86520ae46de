package engines

import (
	"context"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5"
)

// ConnConfig returns a pgx configuration whose connections go through srv.Dial. database
// and user default to Info's. The caller may change it before pgx.ConnectConfig, or put it
// into a pgxpool.Config.
func ConnConfig(srv Server, database, user string) (*pgx.ConnConfig, error) {
	info := srv.Info()
	if database == "" {
		database = info.Database
	}
	if user == "" {
		user = info.User
	}
	// The host is never looked up or dialled; "sslmode" keeps pgconn from asking for TLS
	// on a stream that never leaves the machine. Everything that pgx would take from PG*
	// variables is set here, or unset below, because it means some other server.
	cfg, err := pgx.ParseConfig("host=pgx-dev.invalid port=5432 sslmode=disable password='' service='' user=x dbname=x")
	if err != nil {
		return nil, fmt.Errorf("build connection config: %w", err)
	}
	cfg.User, cfg.Database, cfg.Password = user, database, ""
	cfg.RuntimeParams = map[string]string{}
	cfg.Fallbacks = nil
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"pgx-dev.invalid"}, nil }
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return srv.Dial(ctx) }
	return cfg, nil
}

// Connect opens a pgx connection to a database of srv ("" = Info().Database) as its
// superuser. The caller closes it.
func Connect(ctx context.Context, srv Server, database string) (*pgx.Conn, error) {
	cfg, err := ConnConfig(srv, database, "")
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cfg)
}
