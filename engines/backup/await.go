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

// archivePatience is how long a server that archives nothing is waited for. The archiver looks
// every minute even if nobody wakes it (PGARCH_AUTOWAKE_INTERVAL), and copies a segment in a
// moment.
const archivePatience = 3 * time.Minute

// awaitArchive has the server begin a new segment and returns when the one before is in
// the archive: a backup whose log does not arrive is none. It returns an error as soon as
// the server reports that its archive_command failed, and when nothing has been archived for
// patience.
func awaitArchive(ctx context.Context, srv engines.Server, wal string, patience time.Duration) error {
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	type figures struct{ failed, archived int64 }
	var last string
	look := func() (f figures, err error) {
		err = conn.QueryRow(ctx, "SELECT failed_count, archived_count, coalesce(last_failed_wal, '') FROM pg_stat_archiver").Scan(&f.failed, &f.archived, &last)
		return f, err
	}
	before, err := look()
	if err != nil {
		return fmt.Errorf("look at the archiver: %w", err)
	}
	segment, err := switchWAL(ctx, conn, srv.Info().VersionNum)
	if err != nil {
		return fmt.Errorf("begin a new segment: %w", err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	count, since := before.archived, time.Now()
	for {
		if done, err := archived(srv.Info(), wal, segment); done || err != nil {
			return err
		}
		now, err := look()
		switch {
		case err != nil:
			return fmt.Errorf("look at the archiver: %w", err)
		case now.failed > before.failed:
			return fmt.Errorf("the server could not archive segment %s; the end of its log, %s, says why", last, srv.Info().LogFile)
		case now.archived != count:
			count, since = now.archived, time.Now()
		case time.Since(since) > patience:
			return fmt.Errorf("the server has archived nothing for %v, and segment %s (%s) is to be archived; does its archive_command hang? Its log is %s",
				patience, segment, statusOf(srv.Info(), segment), srv.Info().LogFile)
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

// statusDir is where the server notes what is to be archived and what has been.
func statusDir(info engines.Info) string {
	own := "pg_wal"
	if info.VersionNum < 100000 {
		own = "pg_xlog"
	}
	return filepath.Join(info.Dir, own, "archive_status")
}

// statusOf says what the server has noted of a segment.
func statusOf(info engines.Info, segment string) string {
	for _, status := range []string{"ready", "done"} {
		if _, err := os.Stat(filepath.Join(statusDir(info), segment+"."+status)); err == nil {
			return status
		}
	}
	return "of which the server says nothing"
}

// archived reports whether a segment that is ended is in the archive and the server knows
// it: a file of its name alone might be another cluster's.
func archived(info engines.Info, wal, segment string) (bool, error) {
	// There from the end of the segment until it is archived (XLogArchiveNotify).
	switch _, err := os.Stat(filepath.Join(statusDir(info), segment+".ready")); {
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
