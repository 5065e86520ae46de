package backup

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/wire/replication"
)

// Progress tells how far a copy is. Total is the server's estimate, which Bytes may pass.
type Progress struct{ Bytes, Total int64 }

// Clone copies a running server's cluster into dir, which must be missing or empty, by
// the replication protocol's BASE_BACKUP. The copy starts by itself: it recovers to the
// state at the end of the copying. sync flushes the files to disk. Errors wrap
// engines.ErrUnsupported where the engine has no walsender or the cluster has tablespaces.
// progress may be nil.
func Clone(ctx context.Context, srv engines.Server, dir string, sync bool, progress func(Progress)) (replication.BackupResult, error) {
	var none replication.BackupResult
	info := srv.Info()
	if !info.Can.Has(engines.CanReplicate) {
		return none, fmt.Errorf("copy the running cluster in %s: the %s engine has no walsender; stop it and copy it then: %w", info.Dir, info.Engine, engines.ErrUnsupported)
	}
	cfg, err := engines.ConnConfig(srv, "", "")
	if err != nil {
		return none, err
	}
	conn, err := replication.Connect(ctx, &cfg.Config, replication.Physical)
	if err != nil {
		return none, fmt.Errorf("open a replication connection: %w", err)
	}
	defer func() { _ = conn.Close() }()
	opts := replication.BaseBackupOptions{Label: "pgx-dev", Fast: true, WAL: true}
	opts.Progress = func(replication.Progress) {} // for the estimate of the size
	opts.Manifest = info.VersionNum >= 130000     // older ones make none
	if progress != nil {
		opts.Progress = func(p replication.Progress) { progress(Progress{p.Bytes, p.Total}) }
	}
	sink := roomySink{&replication.DirSink{Dir: dir, NoSync: !sync, MapTablespace: refuseTablespace}}
	return conn.BaseBackup(ctx, sink, opts)
}

// A roomySink takes a base backup if there is room for it.
type roomySink struct{ *replication.DirSink }

// Begin compares the server's estimate with what is free.
func (s roomySink) Begin(tablespaces []replication.Tablespace) error {
	const wal = 32 << 20 // two segments of the usual size: what is in a backup during which little is written
	need := int64(wal)
	for _, t := range tablespaces {
		need += t.Size
	}
	if err := checkRoom(filepath.Dir(s.Dir), need); err != nil {
		return err
	}
	return s.DirSink.Begin(tablespaces)
}

func refuseTablespace(t replication.Tablespace) (string, error) {
	return "", fmt.Errorf("the cluster has a tablespace in %s, which a copy on the same machine would share: %w", t.Location, engines.ErrUnsupported)
}
