package databases

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// How long to wait for the sessions of a database to end, and how often to look. A backend
// takes some milliseconds to go; DROP and RENAME would sleep 100 ms at a time for it
// (CountOtherDBBackends in storage/ipc/procarray.c).
const (
	evictTimeout = 15 * time.Second
	evictFirst   = time.Millisecond
	evictMost    = 25 * time.Millisecond
)

// sessions counts what is connected to a database, but for the server's own helpers, which
// make way by themselves.
const sessions = `SELECT count(*) FROM pg_stat_activity
	WHERE datname = $1 AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'`

// evict ends every session in a database and returns when they have gone.
func (l *life) evict(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, evictTimeout)
	defer cancel()
	return l.admin(ctx, func(c *pgx.Conn) error {
		return evict(ctx, c, name)
	})
}

func evict(ctx context.Context, c *pgx.Conn, name string) error {
	wait := evictFirst
	for {
		var n int
		if err := c.QueryRow(ctx, sessions, name).Scan(&n); err != nil {
			return fmt.Errorf("look for sessions in %s: %w", name, err)
		}
		if n == 0 {
			return nil
		}
		_, err := c.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = $1 AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'`, name)
		if err != nil {
			return fmt.Errorf("end the sessions in %s: %w", name, err)
		}
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("%d sessions in %s do not end%s: %w", n, name, whoIsThere(c, name), err)
		}
		wait = min(wait*2, evictMost)
	}
}

// whoIsThere describes a session that does not end.
func whoIsThere(c *pgx.Conn, name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var who string
	err := c.QueryRow(ctx, `SELECT format('%s %s, %s, waiting for %s/%s: %s', backend_type, pid, state, wait_event_type, wait_event, left(query, 80))
		FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid() LIMIT 1`, name).Scan(&who)
	if err != nil {
		return ""
	}
	return " (" + who + ")"
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isolate ends every session in a database, lets nobody in, not even a superuser, and
// clears what the sessions left behind.
func (l *life) isolate(ctx context.Context, name string) error {
	// Prepared transactions have to be ended from within, so there may be a second round.
	for {
		var left int
		err := l.admin(ctx, func(c *pgx.Conn) error {
			// A template could not be dropped.
			if _, err := c.Exec(ctx, "ALTER DATABASE "+ident(name)+" ALLOW_CONNECTIONS false IS_TEMPLATE false"); err != nil {
				return err
			}
			if err := evict(ctx, c, name); err != nil {
				return err
			}
			return c.QueryRow(ctx, leftovers, name).Scan(&left)
		})
		if err != nil || left == 0 {
			return err
		}
		if err := l.exec(ctx, "ALTER DATABASE "+ident(name)+" ALLOW_CONNECTIONS true"); err != nil {
			return err
		}
		if err := l.clearLeftovers(ctx, name); err != nil {
			return err
		}
	}
}

// seize isolates a database and renames it, so that no client comes back.
func (l *life) seize(ctx context.Context, name, scratch string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*evictTimeout)
	defer cancel()
	err := l.isolate(ctx, name)
	if err == nil {
		err = l.rename(ctx, name, scratch)
	}
	if err == nil {
		err = l.exec(ctx, "ALTER DATABASE "+ident(scratch)+" ALLOW_CONNECTIONS true")
	}
	if err != nil {
		return fmt.Errorf("take database %s: %w", name, err)
	}
	return nil
}

// renameTimeout is how long a rename may wait for a session before we end that. RENAME
// itself would wait for five seconds and end none.
const renameTimeout = 250 * time.Millisecond

// rename renames an isolated database. A session that was let in at the last moment may
// have appeared since.
func (l *life) rename(ctx context.Context, from, to string) error {
	return l.admin(ctx, func(c *pgx.Conn) error {
		if _, err := c.Exec(ctx, fmt.Sprintf("SET statement_timeout = %d", renameTimeout.Milliseconds())); err != nil {
			return err
		}
		for {
			_, err := c.Exec(ctx, "ALTER DATABASE "+ident(from)+" RENAME TO "+ident(to))
			if hasCode(err, codeInUse, "57014") { // query_canceled
				if err := evict(ctx, c, from); err != nil {
					return err
				}
				continue
			}
			_, resetErr := c.Exec(ctx, "RESET statement_timeout")
			return errors.Join(err, resetErr)
		}
	})
}

// remove drops a database with everything that is in the way, if it is there.
func (l *life) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*evictTimeout)
	defer cancel()
	err := l.isolate(ctx, name)
	if hasCode(err, codeNoDatabase) {
		return nil
	}
	if err == nil {
		err = l.dropUntilFree(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("remove database %s: %w", name, err)
	}
	return nil
}

// dropUntilFree drops a database, ending whatever sessions come in between.
func (l *life) dropUntilFree(ctx context.Context, name string) error {
	for {
		err := l.drop(ctx, name)
		if !hasCode(err, codeInUse) {
			return err
		}
		if err := l.evict(ctx, name); err != nil {
			return err
		}
		if err := pause(ctx, evictFirst); err != nil {
			return err
		}
	}
}

// leftovers counts what keeps a database from being dropped, or its next holder from being
// alone, when all its sessions have ended. These are shared catalogs.
const leftovers = `SELECT (SELECT count(*) FROM pg_prepared_xacts WHERE database = $1)
	+ (SELECT count(*) FROM pg_replication_slots WHERE database = $1)
	+ (SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = $1)`

// clearLeftovers rolls back prepared transactions, with the locks that they hold, and
// drops replication slots and subscriptions. All of that has to be done from within the
// database.
func (l *life) clearLeftovers(ctx context.Context, name string) error {
	var n int
	err := l.admin(ctx, func(c *pgx.Conn) error { return c.QueryRow(ctx, leftovers, name).Scan(&n) })
	if err != nil || n == 0 {
		return err
	}
	l.log.Info("leftovers", "name", name, "count", n)
	conn, err := l.connect(ctx, name)
	if err != nil {
		return err
	}
	err = clearIn(ctx, conn)
	closeConn(conn)
	if err != nil {
		return fmt.Errorf("clear what is left in %s: %w", name, err)
	}
	return nil
}

func clearIn(ctx context.Context, conn *pgx.Conn) error {
	if err := rollbackPrepared(ctx, conn); err != nil {
		return err
	}
	subs, err := column(ctx, conn, `SELECT subname FROM pg_subscription
		WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		// Without its slot, which is on another server or goes with the others below.
		for _, sql := range []string{"ALTER SUBSCRIPTION %s DISABLE", "ALTER SUBSCRIPTION %s SET (slot_name = NONE)", "DROP SUBSCRIPTION %s"} {
			if _, err := conn.Exec(ctx, fmt.Sprintf(sql, ident(sub))); err != nil {
				return err
			}
		}
	}
	return dropSlots(ctx, conn)
}

func rollbackPrepared(ctx context.Context, conn *pgx.Conn) error {
	gids, err := column(ctx, conn, `SELECT gid FROM pg_prepared_xacts WHERE database = current_database()`)
	if err != nil {
		return err
	}
	for _, gid := range gids {
		if _, err := conn.Exec(ctx, "ROLLBACK PREPARED "+literal(gid)); err != nil {
			return err
		}
	}
	return nil
}

// dropSlots drops the logical replication slots of the database; a walsender that was just
// ended may use one for another moment.
func dropSlots(ctx context.Context, conn *pgx.Conn) error {
	slots, err := column(ctx, conn, `SELECT slot_name FROM pg_replication_slots WHERE database = current_database()`)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, evictTimeout)
	defer cancel()
	for _, slot := range slots {
		for {
			_, err := conn.Exec(ctx, "SELECT pg_drop_replication_slot($1)", slot)
			if !hasCode(err, codeInUse) {
				if err != nil && !hasCode(err, "42704") { // undefined_object: gone by itself
					return err
				}
				break
			}
			_, err = conn.Exec(ctx, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`, slot)
			if err = errors.Join(err, pause(ctx, evictMost)); err != nil {
				return err
			}
		}
	}
	return nil
}

// column returns the one column of a query's rows.
func column(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([]string, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
