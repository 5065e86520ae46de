package engines

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

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
	text := "host=pgx-dev.invalid port=5432 sslmode=disable sslnegotiation=postgres sslcertmode=allow sslsni=1 " +
		"sslrootcert='' sslcert='' sslkey='' sslpassword='' password='' passfile='' " +
		"user=x dbname=x connect_timeout=0 target_session_attrs=any channel_binding=prefer require_auth='' " +
		"min_protocol_version=3.0 max_protocol_version=3.0"
	if os.Getenv("PGSERVICE") != "" {
		// pgconn has no way to say "no service", so it gets an empty one.
		file, err := emptyService()
		if err != nil {
			return nil, fmt.Errorf("build connection config: %w", err)
		}
		defer func() { _ = os.Remove(file) }()
		text += " service=none servicefile='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(file) + "'"
	}
	cfg, err := pgx.ParseConfig(text)
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

// emptyService writes a service file with a service that sets nothing.
func emptyService() (string, error) {
	f, err := os.CreateTemp("", "pgx-dev-service-")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString("[none]\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
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
