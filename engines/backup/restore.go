package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// Restore makes the data directory dir, which must be missing, from a backup directory,
// and recovers it up to a target. The cluster is left stopped, on a timeline of its own,
// and archives nowhere. engine must run the major version that made the backup, or find
// it. It returns the base backup that it began with. When it fails nothing is left at dir.
// sync flushes it to disk. progress is told each step and may be nil.
func Restore(ctx context.Context, engine *native.Engine, from, dir string, target Target, sync bool, progress func(step string)) (Base, error) {
	if progress == nil {
		progress = func(string) {}
	}
	bases, err := candidates(from, target)
	if err != nil {
		return Base{}, fmt.Errorf("restore: %w", err)
	}
	for i, base := range bases {
		progress(fmt.Sprintf("copy base backup %d of %s", base.Number, base.End.Format(time.RFC3339)))
		if err = restoreFrom(ctx, engine, from, base, dir, target, sync, progress); err == nil {
			return base, nil
		}
		if !errors.Is(err, errNotReached) {
			return base, fmt.Errorf("restore: %w", err)
		}
		if i+1 < len(bases) {
			progress(fmt.Sprintf("recovery from base backup %d does not come to %s; try an older one", base.Number, target))
		}
	}
	return Base{}, fmt.Errorf("restore: %s is not in the archived log behind base backup %s; is it right, and was the segment archived before the server stopped? %w", target, numbers(bases), err)
}

// restoreFrom is Restore with one base backup.
func restoreFrom(ctx context.Context, engine *native.Engine, from string, base Base, dir string, target Target, sync bool, progress func(string)) (err error) {
	// Flushed at the end, after recovery.
	if err := Copy(ctx, base.Dir, dir, false); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := os.Remove(filepath.Join(dir, baseFile)); err != nil {
		return err
	}
	progress("recover")
	if err := recoverTo(ctx, engine, from, dir, target); err != nil || !sync {
		return err
	}
	return syncTree(ctx, dir)
}

// recoverTo starts a server that recovers and promotes itself, waits for that, and stops
// it.
func recoverTo(ctx context.Context, engine *native.Engine, from, dir string, target Target) error {
	settings := map[string]string{
		"restore_command":          restoreCommand(from),
		"recovery_target_timeline": "latest",
	}
	switch {
	case !target.Time.IsZero():
		// With an offset: "Z" is an abbreviation, which the server does not know yet when it
		// reads its settings.
		settings["recovery_target_time"] = target.Time.UTC().Format("2006-01-02 15:04:05.999999-07:00")
	case target.Name != "":
		settings["recovery_target_name"] = target.Name
	case target.LSN != "":
		settings["recovery_target_lsn"] = target.LSN
	}
	targeted := len(settings) > 2
	if targeted {
		settings["recovery_target_action"] = "promote"
	}
	version, err := native.DirVersion(dir)
	if err != nil {
		return err
	}
	params, signal, err := recoveryFiles(dir, version, settings)
	if err != nil {
		return err
	}
	params["archive_mode"] = "off"
	params["log_min_messages"] = "log" // for stopped
	said, err := followLog(dir)
	if err != nil {
		return err
	}
	srv, err := engine.Start(ctx, engines.Spec{Dir: dir, MustExist: true, Params: params})
	if err != nil {
		return notReached(fmt.Errorf("recovery did not come to its end: %w", err), said())
	}
	err = awaitPromotion(ctx, srv)
	closeErr := srv.Close(context.WithoutCancel(ctx))
	if err != nil {
		return notReached(err, said()) // better than what Close says of a server that died
	}
	if targeted && !strings.Contains(said(), "recovery stopping ") {
		// Servers before 13 go on at the end of the log as if that had been asked for.
		return fmt.Errorf("the server ended recovery at the end of the log: %w", errNotReached)
	}
	for _, f := range signal {
		_ = os.Remove(filepath.Join(dir, f)) // the server did, unless it is old
	}
	return closeErr
}

// recoveryFiles asks for recovery: by recovery.signal and settings from version 12 on, by
// recovery.conf before.
func recoveryFiles(dir, version string, settings map[string]string) (params map[string]string, files []string, err error) {
	if old := strings.HasPrefix(version, "9.") || version == "10" || version == "11"; !old {
		return settings, []string{"recovery.signal"}, os.WriteFile(filepath.Join(dir, "recovery.signal"), nil, 0o600)
	}
	var b strings.Builder
	for name, value := range settings {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	return map[string]string{}, []string{"recovery.conf", "recovery.done"}, os.WriteFile(filepath.Join(dir, "recovery.conf"), []byte(b.String()), 0o600)
}

// awaitPromotion returns when the server has left recovery, or an error when it ended
// instead, as it does when the target is never reached.
func awaitPromotion(ctx context.Context, srv engines.Server) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if promoted(ctx, srv) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-srv.Done():
			err := srv.Err()
			if err == nil {
				err = errors.New("the server ended")
			}
			return fmt.Errorf("recovery did not come to its end: %w", err)
		}
	}
}

func promoted(ctx context.Context, srv engines.Server) bool {
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		return false // starting, or ended; Done says which
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var recovering bool
	err = conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&recovering)
	return err == nil && !recovering
}
