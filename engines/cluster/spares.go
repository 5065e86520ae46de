package cluster

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pgx-dev/pgx-dev/engines/place"
)

// How many spares may wait at a time, whatever they are for: each set of options has its
// own, and somebody who tries many is not to be left with many.
const (
	maxRunningSpares = 2
	maxCopiedSpares  = 4
)

// A Spare is a temporary cluster that waits for the next OpenTemp of its kind.
type Spare struct {
	Dir     string    `json:"dir"`
	Running bool      `json:"running"` // a server, not only a data directory
	Since   time.Time `json:"since"`

	marker string
}

// Spares returns the spares of the calling user that wait, newest first.
func Spares() []Spare {
	var all []Spare
	for _, root := range place.TempRoots() {
		all = append(all, sparesIn(root)...)
	}
	slices.SortFunc(all, newerSpare)
	return all
}

func newerSpare(a, b Spare) int {
	return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.Dir, b.Dir))
}

// sparesIn returns the spares in a root, newest first.
func sparesIn(root string) []Spare {
	markers, _ := filepath.Glob(filepath.Join(globQuote(root), "spares", "*", "*")) // the pattern is good
	var all []Spare
	for _, marker := range markers {
		fi, err := os.Stat(marker)
		f := filesOf(filepath.Join(root, filepath.Base(marker)))
		if err != nil || !f.exists() {
			continue // taken this instant, or gone
		}
		running, err := f.supervised()
		if err != nil {
			continue
		}
		all = append(all, Spare{f.dir, running, fi.ModTime(), marker})
	}
	slices.SortFunc(all, newerSpare)
	return all
}

// trimSpares removes the oldest spares in a root until no more wait than may.
func (m *Manager) trimSpares(ctx context.Context, root string) error {
	left := map[bool]int{true: maxRunningSpares, false: maxCopiedSpares}
	var errs []error
	for _, spare := range sparesIn(root) {
		if left[spare.Running]--; left[spare.Running] >= 0 {
			continue
		}
		if os.Remove(spare.marker) != nil {
			continue // somebody was quicker, who takes or removes it
		}
		errs = append(errs, m.removeSpare(ctx, filesOf(spare.Dir)))
	}
	return errors.Join(errs...)
}

// removeSpare removes a spare whose marker the caller has removed.
func (m *Manager) removeSpare(ctx context.Context, f files) error {
	trans, err := f.lockTrans(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = trans.Unlock() }()
	_, err = m.stopLocked(ctx, f, StopOptions{Why: "destroy", Kill: true})
	return errors.Join(err, removeCluster(f))
}
