package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// A Target says up to where to restore. The zero value is all that is archived. At most
// one of Time, Name and LSN may be set.
type Target struct {
	Time time.Time // recovery_target_time
	Name string    // recovery_target_name: what pg_create_restore_point was given
	LSN  string    // recovery_target_lsn
	// Base is the number of the base backup to begin with. Default: the newest one that
	// was complete before Time.
	Base int
}

// Restore makes the data directory dir, which must be missing, from a backup directory,
// and recovers it up to a target. The cluster is left stopped, on a timeline of its own,
// and archives nowhere. engine must run the major version that made the backup, or find
// it. progress is told each step and may be nil.
func Restore(ctx context.Context, engine *native.Engine, from, dir string, target Target, progress func(step string)) (Base, error) {
	if progress == nil {
		progress = func(string) {}
	}
	base, err := chooseBase(from, target)
	if err != nil {
		return base, fmt.Errorf("restore: %w", err)
	}
	progress(fmt.Sprintf("copy base backup %d of %s", base.Number, base.End.Format(time.DateTime)))
	if err := native.CopyDir(ctx, base.Dir, dir); err != nil {
		return base, fmt.Errorf("restore: %w", err)
	}
	if err := os.Remove(filepath.Join(dir, baseFile)); err != nil {
		return base, fmt.Errorf("restore: %w", err)
	}
	progress("recover")
	if err := recoverTo(ctx, engine, from, dir, target); err != nil {
		return base, fmt.Errorf("restore: %w", err)
	}
	return base, nil
}

func chooseBase(from string, target Target) (Base, error) {
	set := 0
	for _, is := range []bool{!target.Time.IsZero(), target.Name != "", target.LSN != ""} {
		if is {
			set++
		}
	}
	if set > 1 {
		return Base{}, errors.New("give one target: a time, a name or an LSN")
	}
	bases, err := List(from)
	if err != nil {
		return Base{}, err
	}
	if len(bases) == 0 {
		return Base{}, fmt.Errorf("there is no base backup in %s", from)
	}
	var numbers []string
	for _, b := range slices.Backward(bases) {
		numbers = append(numbers, fmt.Sprint(b.Number))
		switch {
		case target.Base != 0:
			if b.Number == target.Base {
				return b, nil
			}
		case target.Time.IsZero() || !b.End.After(target.Time):
			return b, nil
		}
	}
	if target.Base != 0 {
		return Base{}, fmt.Errorf("there is no base backup %d in %s; there are %s", target.Base, from, strings.Join(numbers, ", "))
	}
	return Base{}, fmt.Errorf("the first base backup in %s was complete at %s, after the target", from, bases[0].End.Format(time.RFC3339))
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
		settings["recovery_target_time"] = target.Time.Format("2006-01-02 15:04:05.999999Z07:00")
	case target.Name != "":
		settings["recovery_target_name"] = target.Name
	case target.LSN != "":
		settings["recovery_target_lsn"] = target.LSN
	}
	if len(settings) > 2 {
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
	srv, err := engine.Start(ctx, engines.Spec{Dir: dir, MustExist: true, Params: params})
	if err != nil {
		return fmt.Errorf("recovery did not come to its target: %w", err)
	}
	err = awaitPromotion(ctx, srv)
	closeErr := srv.Close(context.WithoutCancel(ctx))
	if err != nil {
		return err // better than what Close says of a server that died
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
			return fmt.Errorf("recovery did not come to its target: %w", err)
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
