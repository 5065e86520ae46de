package backup

import (
	"bufio"
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

// Take takes a base backup of srv into the backup directory into, to whose wal directory
// the server archives already. It returns when the backup is complete and on disk.
// Several may be taken one after the other; a second one at the same time waits.
// progress may be nil.
func Take(ctx context.Context, srv engines.Server, into string, progress func(Progress)) (Base, error) {
	who, err := ownerOf(srv)
	if err != nil {
		return Base{}, fmt.Errorf("back up: %w", err)
	}
	lock, err := prepare(ctx, into, who)
	if err != nil {
		return Base{}, fmt.Errorf("back up: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	bases, err := List(into)
	if err != nil {
		return Base{}, err
	}
	b := Base{Number: 1, Start: time.Now()}
	if n := len(bases); n > 0 {
		b.Number = bases[n-1].Number + 1
	}
	tmp, err := os.MkdirTemp(into, ".tmp.data.")
	if err != nil {
		return b, fmt.Errorf("back up: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }() // gone already if all went well
	result, err := Clone(ctx, srv, tmp, true, progress)
	if err != nil {
		return b, fmt.Errorf("back up: %w", err)
	}
	b.End, b.Timeline = time.Now(), result.Timeline
	b.StartLSN, b.EndLSN = result.Start.String(), result.End.String()
	if err := awaitArchive(ctx, srv, walDir(into), archivePatience); err != nil {
		return b, fmt.Errorf("back up: %w", err)
	}
	if b.FirstWAL, err = firstWAL(tmp); err != nil {
		return b, fmt.Errorf("back up: %w", err)
	}
	if err := writeJSON(filepath.Join(tmp, baseFile), b); err != nil {
		return b, fmt.Errorf("back up: %w", err)
	}
	b.Dir = filepath.Join(into, fmt.Sprintf("data.%010d", b.Number))
	if err := os.Rename(tmp, b.Dir); err != nil {
		return b, fmt.Errorf("back up: %w", err)
	}
	return b, syncFile(into)
}

func ownerOf(srv engines.Server) (owner, error) {
	info := srv.Info()
	control, err := native.ReadControlData(info.Dir)
	if err != nil {
		return owner{}, err
	}
	version, err := native.DirVersion(info.Dir)
	return owner{SystemID: control.SystemID, Dir: info.Dir, Version: version, Created: time.Now()}, err
}

// firstWAL reads from backup_label which segment recovery begins with, for instance in
// "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)".
func firstWAL(dir string) (string, error) {
	f, err := os.Open(filepath.Join(dir, "backup_label"))
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "START WAL LOCATION: ")
		if !ok {
			continue
		}
		if _, name, ok := strings.Cut(rest, "(file "); ok {
			return strings.TrimSuffix(name, ")"), nil
		}
	}
	return "", errors.Join(fmt.Errorf("%s names no first segment", f.Name()), lines.Err())
}

// Prune removes all base backups but the newest keep, and the archived segments that only
// they needed. It returns what it removed.
func Prune(ctx context.Context, srv engines.Server, dir string, keep int) (removed []Base, segments int, err error) {
	if keep < 1 {
		return nil, 0, errors.New("prune backups: at least one must be kept")
	}
	who, err := ownerOf(srv)
	if err != nil {
		return nil, 0, err
	}
	lock, err := prepare(ctx, dir, who)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = lock.Unlock() }()
	bases, err := List(dir)
	if err != nil || len(bases) <= keep {
		return nil, 0, err
	}
	for _, b := range bases[:len(bases)-keep] {
		// Renamed first: half a base backup must not look like one.
		doomed := filepath.Join(dir, ".tmp."+filepath.Base(b.Dir))
		if err := os.Rename(b.Dir, doomed); err != nil {
			return removed, 0, err
		}
		removed = append(removed, b)
		if err := os.RemoveAll(doomed); err != nil {
			return removed, 0, err
		}
	}
	segments, err = pruneWAL(dir, bases[len(bases)-keep].FirstWAL)
	return removed, segments, err
}

// pruneWAL removes the segments before first, as pg_archivecleanup does: by the part of
// the name behind the timeline. History files stay.
func pruneWAL(dir, first string) (int, error) {
	const nameLength, timeline = 24, 8 // XLOG_FNAME_LEN, and its first part
	entries, err := os.ReadDir(walDir(dir))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range entries {
		name := e.Name()
		if len(name) < nameLength || strings.Trim(name[:nameLength], "0123456789ABCDEF") != "" {
			continue
		}
		if name[timeline:nameLength] >= first[timeline:] {
			continue
		}
		if err := os.Remove(filepath.Join(walDir(dir), name)); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
