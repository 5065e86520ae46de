package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/wholefile"
)

// An owner is backup.json.
type owner struct {
	SystemID uint64    `json:"system_id"` // database system identifier
	Dir      string    `json:"dir"`       // data directory
	Version  string    `json:"version"`   // major version
	Created  time.Time `json:"created"`
}

// A Base is one base backup in a backup directory.
type Base struct {
	Number int       `json:"number"`
	Dir    string    `json:"dir"`
	Start  time.Time `json:"start"` // when it was begun
	End    time.Time `json:"end"`   // when it was complete: the earliest time to restore to
	// FirstWAL is the first segment that restoring it needs.
	FirstWAL string `json:"first_wal"`
	Timeline uint32 `json:"timeline"`
	// StartLSN and EndLSN are where in the log it was begun and complete: EndLSN is the
	// earliest position to restore to.
	StartLSN string `json:"start_lsn"`
	EndLSN   string `json:"end_lsn"`
}

// baseFile is what a base backup says of itself, beside its data.
const baseFile = "pgx-dev-backup.json"

var baseName = regexp.MustCompile(`^data\.([0-9]{10})$`)

// List returns the complete base backups in a backup directory, oldest first.
func List(dir string) ([]Base, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	var bases []Base
	for _, e := range entries {
		m := baseName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		b := Base{Dir: filepath.Join(dir, e.Name())}
		if err := wholefile.ReadJSON(filepath.Join(b.Dir, baseFile), &b); err != nil {
			return nil, fmt.Errorf("list backups: %w", err)
		}
		b.Dir = filepath.Join(dir, e.Name()) // it may have been moved
		if b.Number, err = strconv.Atoi(m[1]); err != nil {
			return nil, err
		}
		bases = append(bases, b)
	}
	slices.SortFunc(bases, func(a, b Base) int { return a.Number - b.Number })
	return bases, nil
}

// prepare makes the backup directory, checks that it belongs to who, and locks it.
func prepare(ctx context.Context, dir string, who owner) (*dirlock.Lock, error) {
	for _, d := range []string{dir, walDir(dir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make the backup directory: %w", err)
		}
	}
	lock, err := dirlock.Exclusive(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	if err := checkOwner(dir, who); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	sweep(dir)
	return lock, nil
}

func checkOwner(dir string, who owner) error {
	path := filepath.Join(dir, "backup.json")
	var o owner
	switch err := wholefile.ReadJSON(path, &o); {
	case errors.Is(err, fs.ErrNotExist):
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Name() != "wal" && e.Name() != "lock" {
				return fmt.Errorf("%s is no backup directory and not empty (it has %s); choose another", dir, e.Name())
			}
		}
		return writeJSON(path, who)
	case err != nil:
		return err
	}
	if o.SystemID != who.SystemID || o.Dir != who.Dir || o.Version != who.Version {
		return fmt.Errorf("%s holds the backups of the cluster in %s (PostgreSQL %s, system %d), not of this one; choose another directory", dir, o.Dir, o.Version, o.SystemID)
	}
	return nil
}

// sweep removes what killed processes left; the caller holds the lock. Archivers hold no
// lock, so what may be theirs must be old: they write all the time.
func sweep(dir string) {
	const old = 10 * time.Minute
	for _, d := range temporary(dir) {
		_ = os.RemoveAll(d)
	}
	for _, f := range temporary(walDir(dir)) {
		if fi, err := os.Lstat(f); err == nil && time.Since(fi.ModTime()) > old {
			_ = os.Remove(f)
		}
	}
}

// temporary returns the unfinished files and directories in dir.
func temporary(dir string) (paths []string) {
	entries, _ := os.ReadDir(dir) // what cannot be read is left to the next time
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".tmp.") {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}

// WALDir returns the directory of the archived segments in a backup directory.
func WALDir(dir string) string { return walDir(dir) }

func walDir(dir string) string { return filepath.Join(dir, "wal") }

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'))
}
