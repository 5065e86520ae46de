package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/wire"
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
	segment, err := switchWAL(ctx, conn, srv.Info().VersionNum)
	if err != nil {
		return fmt.Errorf("begin a new segment: %w", err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := archived(srv.Info(), wal, segment); done || err != nil {
			return err
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

// archived reports whether a segment that is ended is in the archive and the server knows
// it: a file of its name alone might be another cluster's.
func archived(info engines.Info, wal, segment string) (bool, error) {
	own := "pg_wal"
	if info.VersionNum < 100000 {
		own = "pg_xlog"
	}
	// There from the end of the segment until it is archived (XLogArchiveNotify).
	switch _, err := os.Stat(filepath.Join(info.Dir, own, "archive_status", segment+".ready")); {
	case err == nil:
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	_, err := os.Stat(filepath.Join(wal, segment))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// switchWAL has the server begin a new segment and returns the name of the one before,
// whether it was ended by this or, if nothing was written since, earlier.
func switchWAL(ctx context.Context, conn *pgx.Conn, version int) (segment string, err error) {
	switchTo, nameOf := "pg_switch_wal", "pg_walfile_name"
	if version < 100000 { // WAL was called xlog
		switchTo, nameOf = "pg_switch_xlog", "pg_xlogfile_name"
	}
	var text string
	if err := conn.QueryRow(ctx, "SELECT "+switchTo+"()::text").Scan(&text); err != nil {
		return "", err
	}
	end, err := wire.ParseLSN(text)
	if err != nil {
		return "", err
	}
	// The position is the end of the switch record, or the beginning of the new segment if
	// no record was needed; to which segment a beginning belongs differs between versions
	// (since 17 to the one that begins there). If the record fills the segment to its last
	// byte, the position is behind the header of the next one (XLogInsertRecord), which no
	// record could end in otherwise.
	const longHeader = 40 // SizeOfXLogLongPHD
	inside := end - longHeader - 1
	err = conn.QueryRow(ctx, "SELECT "+nameOf+"('"+inside.String()+"')").Scan(&segment)
	return segment, err
}
