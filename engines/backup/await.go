package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
)

// awaitArchive has the server begin a new segment and returns when the one before is in
// the archive: a backup whose log does not arrive is none. It returns an error as soon as
// the server reports that its archive_command failed.
func awaitArchive(ctx context.Context, srv engines.Server, wal string) error {
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	failures := func() (n int64, last string, err error) {
		err = conn.QueryRow(ctx, "SELECT failed_count, coalesce(last_failed_wal, '') FROM pg_stat_archiver").Scan(&n, &last)
		return n, last, err
	}
	before, _, err := failures()
	if err != nil {
		return fmt.Errorf("look at the archiver: %w", err)
	}
	sql := "SELECT pg_walfile_name(pg_switch_wal())"
	if srv.Info().VersionNum < 100000 { // WAL was called xlog
		sql = "SELECT pg_xlogfile_name(pg_switch_xlog())"
	}
	var segment string
	if err := conn.QueryRow(ctx, sql).Scan(&segment); err != nil {
		return fmt.Errorf("begin a new segment: %w", err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(filepath.Join(wal, segment)); err == nil {
			return nil
		}
		n, last, err := failures()
		switch {
		case err != nil:
			return fmt.Errorf("look at the archiver: %w", err)
		case n > before:
			return fmt.Errorf("the server could not archive segment %s; the end of its log, %s, says why", last, srv.Info().LogFile)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-srv.Done():
			return errors.Join(errors.New("the server ended before its log was archived"), srv.Err())
		}
	}
}
