package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
)

// confirm connects once, as the superuser, and completes the server's Info. Who that is
// was noted when we made the directory; in others the usual names are tried. The error is
// a *refusedError if none may connect.
func (s *server) confirm(ctx context.Context) error {
	var refused error
	for _, name := range s.superuserNames() {
		for _, database := range []string{"postgres", "template1"} {
			err := s.ask(ctx, name, database)
			var pgErr *pgconn.PgError
			switch {
			case err == nil:
				return nil
			case errors.As(err, &pgErr) && pgErr.Code == "3D000": // invalid_catalog_name
				continue
			case errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "28"), errors.Is(err, errNoSuperuser):
				refused = err
			default:
				return err
			}
			break
		}
	}
	return &refusedError{names: s.superuserNames(), hba: filepath.Join(s.info.Dir, "pg_hba.conf"), err: refused}
}

// A refusedError says that the server runs but lets none of the superusers in.
type refusedError struct {
	names []string
	hba   string
	err   error
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("the server lets no superuser in (tried %s): %v; put the line `local all all trust` first into %s (the socket is in a private directory)",
		strings.Join(e.names, ", "), e.err, e.hba)
}

func (e *refusedError) Unwrap() error { return e.err }

// superuserNames returns the candidates, likeliest first.
func (s *server) superuserNames() []string {
	if len(s.superusers) > 0 {
		return s.superusers
	}
	var names []string
	if text, err := os.ReadFile(filepath.Join(s.d.control, "superuser")); err == nil && len(text) > 0 {
		names = append(names, string(text))
	}
	if !slices.Contains(names, defaultUser) {
		names = append(names, defaultUser)
	}
	if u, err := user.Current(); err == nil && !slices.Contains(names, u.Username) {
		names = append(names, u.Username)
	}
	if uid, _, ok := owner(s.info.Dir); ok {
		if u, err := user.LookupId(strconv.Itoa(uid)); err == nil && !slices.Contains(names, u.Username) {
			names = append(names, u.Username)
		}
	}
	return names
}

// isHangup reports an error of the connection itself, rather than the server's answer.
func isHangup(err error) bool {
	var refused *refusedError
	var pgErr *pgconn.PgError
	return err != nil && !errors.As(err, &refused) && !errors.As(err, &pgErr) && !errors.Is(err, errEnded)
}

var errNoSuperuser = errors.New("not a superuser")

// ask makes one connection, waiting while the server starts up.
func (s *server) ask(ctx context.Context, name, database string) error {
	conn, err := s.connect(ctx, name, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if conn.ParameterStatus("is_superuser") != "on" {
		return fmt.Errorf("role %s: %w", name, errNoSuperuser)
	}
	query := "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
	if s.info.VersionNum >= 160000 {
		query += " - current_setting('reserved_connections')::int"
	}
	results, err := conn.Exec(ctx, query).ReadAll()
	if err != nil {
		return err
	}
	s.info.MaxConns, err = strconv.Atoi(string(results[0].Rows[0][0]))
	s.info.User, s.info.Database = name, database
	return err
}

// connect waits out "the database system is starting up", which servers before 10 answer
// until they are ready, and the socket that is not there yet.
func (s *server) connect(ctx context.Context, name, database string) (*pgconn.PgConn, error) {
	cfg, err := engines.ConnConfig(s, database, name)
	if err != nil {
		return nil, err
	}
	for {
		conn, err := pgconn.ConnectConfig(ctx, &cfg.Config)
		if err == nil {
			return conn, nil
		}
		var pgErr *pgconn.PgError
		starting := errors.As(err, &pgErr) && pgErr.Code == "57P03" // cannot_connect_now
		if !starting && !errors.Is(err, os.ErrNotExist) && !refusedConn(err) {
			return nil, err
		}
		select {
		case <-s.p.done:
			return nil, errEnded
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
