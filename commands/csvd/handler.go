package csvd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pgx-dev/pgx-dev/commands/sqlited"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A handler serves the tables that have been loaded, and LOAD.
type handler struct {
	pgserver.Handler
	loader *sql.DB
	dir    string
}

// Handler serves a database that Load has filled, by a handle that cannot change it. LOAD
// 'file' AS name adds a file of the directory dir, or below it, for all sessions, through
// loader, another handle of the same database.
func Handler(db, loader *sql.DB, database, dir string) pgserver.Handler {
	return &handler{sqlited.Handler(db, database), loader, dir}
}

// Unwrap returns the handler inside.
func (h *handler) Unwrap() pgserver.Handler { return h.Handler }

var (
	loadStatement = regexp.MustCompile(`(?is)^\s*load\s+'((?:[^']|'')+)'(?:\s+as\s+("(?:[^"]|"")+"|[a-z_][a-z0-9_]*))?\s*;?\s*$`)
	readStatement = regexp.MustCompile(`(?is)^(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(select|values|with|explain|show|set|reset|begin|start|commit|end|rollback|abort|declare|fetch|move|close|copy|discard|deallocate|savepoint|release|listen|unlisten|notify)\b`)
)

// check refuses what would change something.
func check(text string) error {
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(text)), "load") {
		return wire.Errorf(wire.CodeSyntaxError, "write LOAD 'file.csv', or LOAD 'file.csv' AS name")
	}
	if !readStatement.MatchString(text) {
		return wire.Errorf(wire.CodeReadOnlySQLTransaction, "these are CSV files: they can be read, and LOAD 'file.csv' AS name adds one")
	}
	if c, ok, err := pgserver.ParseCopy(text); ok && err == nil && c.From {
		return wire.Errorf(wire.CodeReadOnlySQLTransaction, "these are CSV files: COPY FROM would change one")
	}
	return nil
}

// ServeQuery answers a query.
func (h *handler) ServeQuery(w pgserver.ResponseWriter, q *pgserver.Query) error {
	if m := loadStatement.FindStringSubmatch(q.SQL); m != nil {
		if q.DescribeOnly {
			return nil
		}
		return h.load(w, q, m)
	}
	if err := check(q.SQL); err != nil {
		return err
	}
	return h.Handler.ServeQuery(w, q)
}

// Prepare prepares a query.
func (h *handler) Prepare(ctx context.Context, s *pgserver.Session, text string, types []uint32) (pgserver.Stmt, error) {
	if m := loadStatement.FindStringSubmatch(text); m != nil {
		return loadStmt{h, m}, nil
	}
	if err := check(text); err != nil {
		return nil, err
	}
	return h.Handler.(pgserver.Preparer).Prepare(ctx, s, text, types)
}

// A loadStmt is a prepared LOAD.
type loadStmt struct {
	h     *handler
	match []string
}

func (s loadStmt) Params() []uint32           { return nil }
func (s loadStmt) Columns() []pgserver.Column { return nil }

// Query loads.
func (s loadStmt) Query(w pgserver.ResponseWriter, q *pgserver.Query) error {
	return s.h.load(w, q, s.match)
}

// load serves LOAD. Only files below the directory can be had, whatever links say: a client
// may be less trusted than whoever serves.
func (h *handler) load(w pgserver.ResponseWriter, q *pgserver.Query, match []string) error {
	if q.Session.TxStatus() != wire.TxIdle || q.More {
		return wire.Errorf(wire.CodeActiveSQLTransaction, "LOAD cannot run inside a transaction")
	}
	path := strings.ReplaceAll(match[1], "''", "'")
	name := TableName(path)
	switch {
	case strings.HasPrefix(match[2], `"`):
		name = strings.ReplaceAll(match[2][1:len(match[2])-1], `""`, `"`)
	case match[2] != "":
		name = strings.ToLower(match[2])
	}
	if filepath.IsAbs(path) {
		rel, err := filepath.Rel(h.dir, path)
		if err != nil {
			return wire.Errorf(wire.CodeInsufficientPrivilege, "%s is not in %s", path, h.dir)
		}
		path = rel
	}
	root, err := os.OpenRoot(h.dir)
	if err != nil {
		return wire.Errorf(wire.CodeIOError, "%w", err)
	}
	defer func() { _ = root.Close() }() // nothing was written
	f, err := root.Open(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return wire.Errorf(wire.CodeUndefinedFile, "there is no file %s in %s", path, h.dir)
	case err != nil:
		return wire.Errorf(wire.CodeInsufficientPrivilege, "%w", err)
	}
	defer func() { _ = f.Close() }() // it is only read
	t, err := load(q.Context(), h.loader, f, name)
	if err != nil {
		if strings.Contains(err.Error(), "already exists") {
			return wire.Errorf(wire.CodeDuplicateTable, "there is a table %s already; LOAD '%s' AS another name", name, path)
		}
		return wire.Errorf(wire.CodeBadCopyFileFormat, "load %s: %w", path, err)
	}
	return w.Complete(fmt.Sprintf("LOAD %d", t.Rows))
}
