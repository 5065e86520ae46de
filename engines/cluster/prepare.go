package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/script"
)

// maxName is how long PostgreSQL's names may be, in bytes (NAMEDATALEN in
// pg_config_manual.h, less the zero).
const maxName = 63

// CheckDatabase returns an error if no database can have the name. PostgreSQL would cut a
// longer one, so that two that begin alike were one database.
func CheckDatabase(name string) error {
	switch {
	case name == "":
		return errors.New("the name of the database is empty")
	case len(name) > maxName:
		return fmt.Errorf("the name of the database, %q, has %d bytes and may have %d", name, len(name), maxName)
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("the name of the database, %q, has a zero byte", name)
	}
	return nil
}

// EnsureDatabase creates a database unless it is there, and reports whether it did. An empty
// name is the server's own database.
func EnsureDatabase(ctx context.Context, srv engines.Server, name string) (created bool, err error) {
	if name == "" || name == srv.Info().Database {
		return false, nil
	}
	if err := CheckDatabase(name); err != nil {
		return false, err
	}
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		return false, fmt.Errorf("create database %q: %w", name, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var there bool
	if err := conn.QueryRow(ctx, "SELECT true FROM pg_database WHERE datname = $1", name).Scan(&there); err == nil {
		return false, nil
	} else if !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("create database %q: %w", name, err)
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	switch {
	case hasCode(err, "42P04", "23505"): // duplicate_database, or its unique index in a race
		return false, nil
	case err != nil:
		return false, fmt.Errorf("create database %q: %w", name, err)
	}
	return true, nil
}

// DropDatabase drops a database if it is there, and reports whether it did.
func DropDatabase(ctx context.Context, srv engines.Server, name string) (dropped bool, err error) {
	if err := CheckDatabase(name); err != nil {
		return false, err // DROP DATABASE would cut it, too, and drop another
	}
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		return false, fmt.Errorf("drop database %q: %w", name, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, "DROP DATABASE "+pgx.Identifier{name}.Sanitize())
	switch {
	case hasCode(err, "3D000"): // invalid_catalog_name
		return false, nil
	case err != nil:
		return false, fmt.Errorf("drop database %q: %w", name, err)
	}
	return true, nil
}

// Databases returns the names of all databases, templates included, sorted.
func Databases(ctx context.Context, srv engines.Server) ([]string, error) {
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, "SELECT datname FROM pg_database ORDER BY datname")
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func hasCode(err error, codes ...string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, pg.Code)
}

// An InitLeft is an SQL file that Init did not run, and why.
type InitLeft struct{ File, Why string }

// Init runs SQL files in a database of s, in order, each once in the cluster's life: what
// was run is recorded, and one that failed is run again next time. Of the files that are not
// run, left lists those that people should be told of. Concurrent calls wait for one
// another. progress, if not nil, is told each file before it is run.
func (s *Server) Init(ctx context.Context, database string, paths []string, progress func(path string)) (left []InitLeft, err error) {
	if len(paths) == 0 {
		return nil, nil
	}
	files, err := readInputs(ctx, paths) // before the lock, which nobody is to hold while a pipe is silent
	if err != nil {
		return nil, err
	}
	lock, err := dirlock.Exclusive(ctx, filepath.Join(s.f.control, "init.lock"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Unlock() }()
	r, err := s.f.readRecord()
	if err != nil {
		return nil, err
	}
	if r.Filled {
		for _, path := range paths {
			left = append(left, InitLeft{path, "the cluster comes from a backup, which may have had it"})
		}
		return left, nil
	}
	done := map[string]string{}
	for _, run := range r.Init {
		done[run.File] = run.SHA256
	}
	for _, file := range files {
		path := file.path
		sum := sha256.Sum256(file.text)
		hash := hex.EncodeToString(sum[:])
		if before, ok := done[path]; ok {
			if before != hash {
				left = append(left, InitLeft{path, "it has changed since it was run in this cluster"})
			}
			continue
		}
		if progress != nil {
			progress(path)
		}
		if err := s.runFile(ctx, database, path, string(file.text)); err != nil {
			return left, err
		}
		err = s.f.updateRecord(func(r *record) {
			r.Init = append(r.Init, InitRun{path, hash, time.Now()})
		})
		if err != nil {
			return left, err
		}
	}
	return left, nil
}

// An input is an SQL file with its contents.
type input struct {
	path string // absolute
	text []byte
}

func readInputs(ctx context.Context, paths []string) ([]input, error) {
	var files []input
	for _, path := range paths {
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		text, err := readInput(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("read the SQL file to start with: %w", err)
		}
		files = append(files, input{path, text})
	}
	return files, nil
}

// runFile uses a connection of its own, so that no file's settings reach the next one.
func (s *Server) runFile(ctx context.Context, database, path, text string) error {
	conn, err := engines.Connect(ctx, s, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return script.Run(ctx, conn.PgConn(), path, text)
}
