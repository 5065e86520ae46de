package cluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// A spare is a temporary cluster that waits for its user: a data directory, or a pinned
// server in one. A marker file <root>/spares/<key>/<id> says that <root>/<id> may be taken
// by who asks for key; removing the marker, under the cluster's trans.lock, takes it.

const (
	spareIdle = 30 * time.Minute // a running spare that nobody took stops
	spareAge  = 24 * time.Hour   // a copied one is swept
)

// creator is an engine that can make a data directory for later without starting it.
type creator interface {
	CreateAside(ctx context.Context, spec engines.Spec) error
}

// spareKey says which requests one spare can serve. A running one has its settings
// already; a copied one does not.
func spareKey(mode, engine string, config json.RawMessage, spec engines.Spec) string {
	spec.Dir, spec.Discard = "", false
	if mode == "copied" {
		spec.Params, spec.Fast, spec.TCP = nil, false, ""
	}
	b, _ := json.Marshal(struct {
		Mode, Engine string
		Config       json.RawMessage
		Spec         engines.Spec
	}{mode, engine, config, spec}) // plain data
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// claimSpare returns a spare with its trans.lock held, or no lock if there is none.
func (m *Manager) claimSpare(ctx context.Context, root string, req Request) (files, *dirlock.Lock, error) {
	for _, mode := range []string{"running", "copied"} {
		engine := cmp.Or(req.Engine, DefaultEngine)
		dir := filepath.Join(root, "spares", spareKey(mode, engine, req.EngineConfigs[engine], req.Spec))
		f, trans, err := claimFrom(ctx, root, dir)
		if err != nil || trans != nil {
			return f, trans, err
		}
	}
	return files{}, nil, nil
}

// claimFrom is claimSpare among the markers in dir.
func claimFrom(ctx context.Context, root, dir string) (files, *dirlock.Lock, error) {
	markers, err := os.ReadDir(dir)
	if err != nil || len(markers) == 0 {
		return files{}, nil, nil //nolint:nilerr // none was ever made
	}
	claims, err := dirlock.Shared(ctx, claimsLock(root))
	if err != nil {
		return files{}, nil, err
	}
	defer func() { _ = claims.Unlock() }()
	for _, marker := range markers {
		if os.Remove(filepath.Join(dir, marker.Name())) != nil {
			continue // somebody was quicker
		}
		// Ours. Whoever made it gives the lock back soon.
		f := filesOf(filepath.Join(root, marker.Name()))
		trans, err := f.lockTrans(ctx)
		if err != nil {
			return files{}, nil, err
		}
		if f.exists() {
			return f, trans, nil
		}
		if err := errors.Join(removeCluster(f), trans.Unlock()); err != nil {
			return files{}, nil, err
		}
	}
	return files{}, nil, nil
}

// claimsLock is shared by those who have taken a marker and have no lock of the spare yet; to
// a sweeper, that looks like what a killed process left.
func claimsLock(root string) string { return filepath.Join(root, "spares", "claims.lock") }

// trySweep takes trans.lock of what may be a left-over, unless somebody has it, or it is a spare,
// or somebody is taking a spare, which this might be. A marker is looked for before the claims
// lock is given back: the next one to take it may remove the marker and wait for trans.lock.
func (f files) trySweep() (*dirlock.Lock, error) {
	claims, err := dirlock.TryExclusive(claimsLock(filepath.Dir(f.dir)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // no spare was ever made
		return nil, err
	}
	defer func() { _ = claims.Unlock() }()
	trans, err := dirlock.TryExclusive(f.trans())
	if err != nil {
		return nil, err
	}
	// Its maker held the lock, and may have marked it since the markers were read.
	if f.isSpare() {
		return nil, errors.Join(dirlock.ErrHeld, trans.Unlock())
	}
	return trans, nil
}

// prepareSpare makes a spare of the kind that j was, unless one waits already or none is
// wanted, removes old ones where too many wait, and sweeps what killed ones left. It is run
// in the background of a supervisor, which ends only when it is done.
func (m *Manager) prepareSpare(ctx context.Context, j job, log *slog.Logger) {
	if j.Spare == "" {
		return
	}
	if j.Spare != "none" {
		if err := m.makeSpare(ctx, j); err != nil {
			log.Warn("prepare a spare", "err", err)
		}
		for _, root := range place.TempRoots() {
			if err := m.trimSpares(ctx, root); err != nil {
				log.Warn("remove old spares", "err", err)
			}
		}
	}
	if n, err := SweepTemp(); n > 0 || err != nil {
		log.Info("sweep", "removed", n, "err", err)
	}
}

func (m *Manager) makeSpare(ctx context.Context, j job) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	root, err := place.Temp(tempRoom)
	if err != nil {
		return err
	}
	spec := j.Spec
	dir := filepath.Join(root, "spares", spareKey(j.Spare, j.Engine, j.EngineConfig, spec))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	only, err := dirlock.TryExclusive(dir + ".lock")
	if err != nil {
		return nil //nolint:nilerr // another supervisor is about it
	}
	defer func() { _ = only.Unlock() }()
	if waiting, err := os.ReadDir(dir); err != nil || len(waiting) > 0 {
		return err
	}
	f := filesOf(filepath.Join(root, randomID()))
	trans, err := f.lockTrans(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = trans.Unlock() }()
	spec.Dir, spec.Discard = f.dir, true
	err = f.updateRecord(func(r *record) { r.Temp = true })
	if err == nil && j.Spare == "running" {
		_, err = m.spawn(ctx, f, job{
			Engine: j.Engine, EngineConfig: j.EngineConfig, Spec: spec,
			Destroy: true, Pinned: true, Idle: spareIdle, Spare: "running", Waiting: true,
		})
	} else if err == nil {
		err = m.createOnly(ctx, j, spec)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, filepath.Base(f.dir)), nil, 0o600)
	}
	if err != nil {
		_, stopErr := m.stopLocked(context.WithoutCancel(ctx), f, StopOptions{Why: "destroy", Kill: true})
		return errors.Join(err, stopErr, removeCluster(f))
	}
	return nil
}

func (m *Manager) createOnly(ctx context.Context, j job, spec engines.Spec) error {
	engine, err := m.NewEngine(j.Engine, j.EngineConfig, m.log())
	if err != nil {
		return err
	}
	c, ok := engine.(creator)
	if !ok {
		return nil // nothing to prepare: its data directories are made in no time
	}
	return c.CreateAside(ctx, spec)
}

// isSpare reports whether a marker says that a temporary cluster waits for its user. The caller
// holds trans.lock.
func (f files) isSpare() bool {
	root, name := filepath.Split(f.dir)
	markers, _ := filepath.Glob(filepath.Join(globQuote(root), "spares", "*", name)) // the pattern is good
	return len(markers) > 0
}

// sweepMarkers removes the markers of spares that are too old or gone, and returns the
// names of the others.
func sweepMarkers(root string) map[string]bool {
	spared := map[string]bool{}
	markers, _ := filepath.Glob(filepath.Join(globQuote(root), "spares", "*", "*")) // the pattern is good
	for _, marker := range markers {
		name := filepath.Base(marker)
		fi, err := os.Stat(marker)
		f := filesOf(filepath.Join(root, name))
		if err == nil && f.exists() && time.Since(fi.ModTime()) < spareAge {
			spared[name] = true
			continue
		}
		_ = os.Remove(marker)
	}
	return spared
}
