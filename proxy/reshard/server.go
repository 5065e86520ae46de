package reshard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication"
)

// A Server is the primary of a shard, and how to log in there.
type Server struct {
	// Config is how to connect. It is copied before it is changed.
	Config *pgconn.Config
	// Passwords are further passwords to try.
	Passwords []string
	// Env is what pg_dump needs beside host, port, user, password and database: PGSSLMODE and the like.
	Env []string
}

// String names the server for people: HOST:PORT.
func (s *Server) String() string { return fmt.Sprintf("%s:%d", s.Config.Host, s.Config.Port) }

// A Database is one side of a move.
type Database struct {
	Name string
	// Shards are the primaries, by their numbers.
	Shards []Server
	// Layout divides the rows. Its number of shards is that of Shards.
	Layout *sharding.Layout
}

// same reports whether two databases have the same servers, and divide rows alike.
func (d *Database) same(o *Database) bool {
	a, b := *d.Layout, *o.Layout
	a.LocalFunctions, b.LocalFunctions, a.Catalogs, b.Catalogs = nil, nil, sharding.Catalogs(0), sharding.Catalogs(0)
	return slices.EqualFunc(d.Shards, o.Shards, func(x, y Server) bool { return x.same(&y) }) && reflect.DeepEqual(a, b)
}

// shares reports whether two databases have a server's database in common.
func (d *Database) shares(o *Database) bool {
	return slices.ContainsFunc(d.Shards, func(x Server) bool {
		return slices.ContainsFunc(o.Shards, func(y Server) bool { return x.same(&y) })
	})
}

func (s *Server) same(o *Server) bool {
	return s.String() == o.String() && s.Config.Database == o.Config.Database
}

// settings make texts the same on every server, and let nothing end that takes long. What is committed is on
// disk: the source is told that it need not be kept.
func settings(version int) string {
	s := `SET client_encoding = 'UTF8'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET extra_float_digits = 3;
SET bytea_output = 'hex'; SET standard_conforming_strings = on; SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
SET default_transaction_read_only = off; SET row_security = off; SET synchronous_commit = on; SET search_path = ''; SET xmloption = 'content'`
	if version >= 140000 {
		s += "; SET idle_session_timeout = 0"
	}
	if version >= 170000 {
		s += "; SET transaction_timeout = 0"
	}
	return s
}

// connect opens a session.
func (s *Server) connect(ctx context.Context) (*pgconn.PgConn, error) {
	var conn *pgconn.PgConn
	err := s.login(func(cfg *pgconn.Config) (err error) {
		conn, err = pgconn.ConnectConfig(ctx, cfg)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s, err)
	}
	version, err := replication.ParseVersion(conn.ParameterStatus("server_version"))
	if err == nil {
		err = do(ctx, conn, settings(version))
	}
	if err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("set up a session at %s: %w", s, err)
	}
	return conn, nil
}

// replicate opens a replication connection.
func (s *Server) replicate(ctx context.Context) (*replication.Conn, error) {
	var conn *replication.Conn
	err := s.login(func(cfg *pgconn.Config) (err error) {
		// These are part of how values are written.
		maps.Copy(cfg.RuntimeParams, map[string]string{
			"client_encoding": "UTF8", "datestyle": "ISO", "intervalstyle": "postgres", "timezone": "UTC", "extra_float_digits": "3", "bytea_output": "hex",
			"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0", "search_path": "",
		})
		conn, err = replication.Connect(ctx, cfg, replication.Logical)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s for replication: %w", s, err)
	}
	return conn, nil
}

// login tries each password.
func (s *Server) login(try func(cfg *pgconn.Config) error) error {
	var first error
	for _, password := range append([]string{s.Config.Password}, s.Passwords...) {
		cfg := s.Config.Copy()
		cfg.Password = password
		if cfg.RuntimeParams == nil {
			cfg.RuntimeParams = map[string]string{}
		}
		cfg.RuntimeParams["application_name"] = "pgx-dev reshard"
		err := try(cfg)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
		if !strings.HasPrefix(code(err), "28") {
			break // no other password would help
		}
	}
	return first
}

// code is the SQLSTATE of a server's error, or empty.
func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return string(e.Code)
	}
	return ""
}

// shut closes a session, whatever became of ctx.
func shut(ctx context.Context, conn *pgconn.PgConn) {
	if conn != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
	}
}

// do runs statements.
func do(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}

// A row is one of a result, in text; nil is NULL.
type row [][]byte

func (r row) str(i int) string { return string(r[i]) }

func (r row) int(i int) int64 {
	n, _ := strconv.ParseInt(string(r[i]), 10, 64) // the server writes numbers
	return n
}

func (r row) bool(i int) bool { return string(r[i]) == "t" }

// query runs one query, with parameters in text.
func query(ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) ([]row, error) {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	res := conn.ExecParams(ctx, sql, params, nil, nil, nil).Read()
	if res.Err != nil {
		return nil, res.Err
	}
	out := make([]row, len(res.Rows))
	for i, r := range res.Rows {
		out[i] = row(r)
	}
	return out, nil
}

// one runs a query of one value.
func one(ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) (string, error) {
	rows, err := query(ctx, conn, sql, args...)
	if err != nil {
		return "", err
	}
	if len(rows) == 0 {
		return "", nil
	}
	return rows[0].str(0), nil
}

func ident(name string) string { return replication.QuoteIdent(name) }

func literal(s string) string { return replication.QuoteLiteral(s) }
