package databases

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A life is the time between opening a host and losing it or letting go of it.
type life struct {
	host    Host
	tag     string
	log     *slog.Logger
	version int // server_version_num
	fsync   bool
	super   bool // our role is a superuser

	owner  *pgx.Conn // holds the lock that says that we live; nobody uses it else
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	swept chan struct{} // closed after the first sweep

	mu        sync.Mutex
	idle      []*pgx.Conn // to the maintenance database
	templates map[string]*template
	lost      bool
}

// lockClass is the first key of our advisory locks: "pgxd".
const lockClass = 0x70677864

func openLife(ctx context.Context, open Opener, tag string, log *slog.Logger, lost func()) (*life, error) {
	host, err := open(ctx)
	if err != nil {
		return nil, err
	}
	l := &life{host: host, tag: tag, log: log, templates: map[string]*template{}, swept: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := l.begin(ctx, tag); err != nil {
		l.cancel()
		return nil, errors.Join(err, host.Close(context.WithoutCancel(ctx)))
	}
	l.work.Go(func() { l.watch(lost) })
	return l, nil
}

func (l *life) begin(ctx context.Context, tag string) error {
	conn, err := l.connect(ctx, "")
	if err != nil {
		return err
	}
	var version, fsync string
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version_num'), current_setting('fsync'),
		coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false)`).Scan(&version, &fsync, &l.super)
	if err == nil {
		l.fsync = fsync == "on"
		l.version, err = strconv.Atoi(version)
	}
	if err == nil {
		_, err = conn.Exec(ctx, "SELECT pg_advisory_lock($1, $2)", lockClass, lockID("owner", tag))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("look at the server: %w", err), conn.Close(context.WithoutCancel(ctx)))
	}
	l.owner = conn
	return nil
}

// watch waits for the end of the owner's connection, which is the end of the server as
// well, or the network's.
func (l *life) watch(lost func()) {
	_, err := l.owner.WaitForNotification(l.ctx)
	for err == nil {
		_, err = l.owner.WaitForNotification(l.ctx)
	}
	if l.ctx.Err() != nil {
		return
	}
	l.log.Warn("lost the server", "server", l.host.Describe(), "err", err)
	l.mu.Lock()
	l.lost = true
	l.mu.Unlock()
	lost()
}

func (l *life) alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.lost
}

// close ends every connection and lets go of the host.
func (l *life) close(ctx context.Context) error {
	l.cancel()
	l.work.Wait()
	closeConn(l.owner)
	l.mu.Lock()
	conns := l.idle
	for _, t := range l.templates {
		conns = append(conns, t.conn)
	}
	l.idle, l.templates = nil, map[string]*template{}
	l.mu.Unlock()
	for _, c := range conns {
		closeConn(c)
	}
	return l.host.Close(ctx)
}

func closeConn(c *pgx.Conn) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx) // it ends in any case
}

func (l *life) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	cfg, err := l.host.Config(database)
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["application_name"] = applicationName(l.tag)
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec // nothing is asked often enough to be prepared
	return pgx.ConnectConfig(ctx, cfg)
}

// admin calls f with a connection to the maintenance database.
func (l *life) admin(ctx context.Context, f func(*pgx.Conn) error) error {
	l.mu.Lock()
	var conn *pgx.Conn
	if n := len(l.idle); n > 0 {
		conn, l.idle = l.idle[n-1], l.idle[:n-1]
	}
	l.mu.Unlock()
	if conn == nil {
		var err error
		if conn, err = l.connect(ctx, ""); err != nil {
			return err
		}
	}
	err := f(conn)
	if conn.IsClosed() || l.ctx.Err() != nil {
		closeConn(conn)
		return err
	}
	l.mu.Lock()
	l.idle = append(l.idle, conn)
	l.mu.Unlock()
	return err
}

// exec runs one statement in the maintenance database.
func (l *life) exec(ctx context.Context, sql string, args ...any) error {
	return l.admin(ctx, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, sql, args...)
		return err
	})
}

// createFrom clones a database.
func (l *life) createFrom(ctx context.Context, name, from string) error {
	err := l.exec(ctx, "CREATE DATABASE "+ident(name)+" TEMPLATE "+ident(from)+strategy(l.version, l.fsync))
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// strategy says how to clone. Copying files takes two checkpoints, which are quick where
// nothing is flushed and shared by those who copy at the same time; with fsync they are
// what costs most.
func strategy(version int, fsync bool) string {
	switch {
	case version < 150000:
		return "" // files, there is nothing else
	case fsync:
		return " STRATEGY wal_log"
	}
	return " STRATEGY file_copy"
}

// drop drops a database if it is there. Nobody may be connected to it.
func (l *life) drop(ctx context.Context, name string) error {
	sql := "DROP DATABASE IF EXISTS " + ident(name)
	var err error
	if l.version >= 130000 {
		// A session that was let in at the last moment is ended rather than waited for.
		err = l.exec(ctx, sql+" WITH (FORCE)")
	}
	if l.version < 130000 || hasCode(err, "42501") { // insufficient_privilege
		err = l.exec(ctx, sql)
	}
	if err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// hasCode reports whether an error is PostgreSQL's, with one of these codes.
func hasCode(err error, codes ...string) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	return slices.Contains(codes, pg.Code)
}

const (
	codeNoDatabase = "3D000" // invalid_catalog_name
	codeInUse      = "55006" // object_in_use
	codeDuplicate  = "42P04" // duplicate_database
)
