package sqlited

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"modernc.org/sqlite"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Memory is the name of a database that goes with the process.
const Memory = ":memory:"

// Options say how to open a database.
type Options struct {
	ReadOnly bool // nothing can be changed
	Create   bool // the file is made if it is missing
	// Attach lets clients reach other files, by ATTACH and VACUUM INTO.
	Attach bool
	// Name names a database in memory: handles with the same name share it, within this
	// process. Default: a name that nobody else has.
	Name string
}

// A connector opens connections of a driver of our own, which knows PostgreSQL's functions.
type connector struct {
	driver *sqlite.Driver
	dsn    string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c connector) Driver() driver.Driver                        { return c.driver }

// Open opens a SQLite database, or one in memory that all its connections share. The error
// wraps fs.ErrNotExist if the file is missing.
func Open(ctx context.Context, path string, o Options) (*sql.DB, error) {
	query := url.Values{"_pragma": {"busy_timeout(5000)", "foreign_keys(1)"}}
	dsn := "file:/" + url.PathEscape(cmp.Or(o.Name, rand.Text())) + "?vfs=memdb&"
	if path != Memory {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(abs); err != nil && !o.Create {
			return nil, err
		}
		query.Set("mode", "rwc")
		if o.ReadOnly {
			query.Set("mode", "ro")
		}
		dsn = "file:" + (&url.URL{Path: abs}).EscapedPath() + "?"
	} else if o.ReadOnly {
		query.Add("_pragma", "query_only(1)")
	}
	d := &sqlite.Driver{}
	if err := registerFunctions(d, cmp.Or(o.Name, strings.TrimSuffix(strings.Trim(filepath.Base(path), ":"), filepath.Ext(path)))); err != nil {
		return nil, err
	}
	d.RegisterConnectionHook(confine(o))
	db := sql.OpenDB(connector{d, dsn + query.Encode()})
	db.SetMaxIdleConns(8)
	db.SetConnMaxIdleTime(0)
	// The first connection stays: a database in memory ends with its last one.
	var n int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return db, nil
}

// ServerVersion is what clients are told. The number is the version of PostgreSQL whose
// psql commands the catalog answers.
const ServerVersion = "15.0 (pgx-dev, SQLite)"

// ownState finds the SQLSTATE in an error of one of our functions; see stateError.
var ownState = regexp.MustCompile(`^SQLSTATE ([0-9A-Z]{5}): (?s)(.*)$`)

// ownError is an error of one of our functions with the SQLSTATE that is in its text.
func ownError(err error) error {
	if err == nil {
		return nil
	}
	if m := ownState.FindStringSubmatch(err.Error()); m != nil {
		return wire.Errorf(wire.Code(m[1]), "%s", m[2])
	}
	return err
}

// sqliteError gives SQLite's errors the SQLSTATE that PostgreSQL has for them.
func sqliteError(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	msg := strings.TrimPrefix(strings.TrimSuffix(e.Error(), fmt.Sprintf(" (%d)", e.Code())), "SQL logic error: ")
	if own := ownError(errors.New(msg)); wire.AsError(own).Code != wire.CodeInternalError {
		return own
	}
	code := wire.CodeInternalError
	switch e.Code() { // https://www.sqlite.org/rescode.html
	case 1555, 2067: // SQLITE_CONSTRAINT_PRIMARYKEY, _UNIQUE
		code = wire.CodeUniqueViolation
	case 787: // SQLITE_CONSTRAINT_FOREIGNKEY
		code = wire.CodeForeignKeyViolation
	case 1299: // SQLITE_CONSTRAINT_NOTNULL
		code = wire.CodeNotNullViolation
	case 275: // SQLITE_CONSTRAINT_CHECK
		code = wire.CodeCheckViolation
	}
	switch e.Code() & 0xff {
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		code = wire.CodeSerializationFailure
	case 23: // SQLITE_AUTH
		return wire.Errorf(wire.CodeInsufficientPrivilege, "clients may not leave this database: ATTACH and VACUUM need --attach; some settings of the server are not for clients")
	case 8: // SQLITE_READONLY
		code = wire.CodeReadOnlySQLTransaction
	case 9: // SQLITE_INTERRUPT
		code = wire.CodeQueryCanceled
	case 7: // SQLITE_NOMEM
		code = wire.CodeOutOfMemory
	case 10: // SQLITE_IOERR
		code = wire.CodeIOError
	case 18: // SQLITE_TOOBIG
		code = wire.CodeProgramLimitExceeded
	case 20: // SQLITE_MISMATCH
		code = wire.CodeDatatypeMismatch
	case 11, 26: // SQLITE_CORRUPT, SQLITE_NOTADB
		code = wire.CodeDataCorrupted
	case 13: // SQLITE_FULL
		code = wire.CodeDiskFull
	case 1: // SQLITE_ERROR
		switch {
		case strings.Contains(msg, "no such table"):
			code = wire.CodeUndefinedTable
		case strings.Contains(msg, "no such column"), strings.Contains(msg, "has no column"):
			code = wire.CodeUndefinedColumn
		case strings.Contains(msg, "no such function"):
			code = wire.CodeUndefinedFunction
		case strings.Contains(msg, "already exists"):
			code = wire.CodeDuplicateTable
		case strings.Contains(msg, "overflow"):
			code = wire.CodeNumericValueOutOfRange
		default:
			code = wire.CodeSyntaxError
		}
	}
	return wire.Errorf(code, "%s", msg)
}
