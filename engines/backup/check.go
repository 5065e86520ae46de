package backup

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
)

// Check makes the backup directory into if it is missing, and returns an error if it
// belongs to another cluster than the one in srv's data directory, or if that cannot be
// backed up: because it has tablespaces or an old version (the error wraps
// engines.ErrUnsupported), its settings are against it, or there is no room
// (syscall.ENOSPC). It changes nothing about the cluster, so it comes before archiving is
// begun.
func Check(ctx context.Context, srv engines.Server, into string) error {
	if err := check(ctx, srv, into); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

func check(ctx context.Context, srv engines.Server, into string) error {
	const oldest = 90400 // pg_stat_archiver, by which it is seen that archiving fails
	if info := srv.Info(); info.VersionNum < oldest {
		return fmt.Errorf("PostgreSQL %s is too old, it takes 9.4 or later: %w", info.Version, engines.ErrUnsupported)
	}
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := checkServer(ctx, conn); err != nil {
		return err
	}
	var size int64
	if err := conn.QueryRow(ctx, "SELECT sum(pg_database_size(oid))::bigint FROM pg_database").Scan(&size); err != nil {
		return fmt.Errorf("ask for the size of the cluster: %w", err)
	}
	if err := checkRoom(into, size); err != nil {
		return err
	}
	who, err := ownerOf(srv)
	if err != nil {
		return err
	}
	lock, err := prepare(ctx, into, who)
	if err != nil {
		return err
	}
	return lock.Unlock()
}

// checkServer returns why the server cannot be backed up.
func checkServer(ctx context.Context, conn *pgx.Conn) error {
	var name, location string
	err := conn.QueryRow(ctx, "SELECT spcname, pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1 LIMIT 1").Scan(&name, &location)
	switch {
	case err == nil:
		return fmt.Errorf("the cluster has the tablespace %s in %s, which a copy on the same machine would share; dump it instead: %w", name, location, engines.ErrUnsupported)
	case !errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("look for tablespaces: %w", err)
	}
	var level, senders string
	if err := conn.QueryRow(ctx, "SELECT current_setting('wal_level'), current_setting('max_wal_senders')").Scan(&level, &senders); err != nil {
		return fmt.Errorf("look at the settings: %w", err)
	}
	if level == "minimal" {
		return errors.New("its wal_level is minimal, which cannot be archived; set it to replica and start it again")
	}
	if n, err := strconv.Atoi(senders); err == nil && n < 1 {
		return errors.New("its max_wal_senders is 0; set it to at least 2 and start it again")
	}
	return nil
}
