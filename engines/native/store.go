package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// A store is the directory of the runtimes that we fetched: <version>/bin, lib and share,
// and <version>.lock, which installers hold exclusively and running servers share.
type store struct{ dir string }

// store returns the configured store. It is not created.
func (e *Engine) store() (store, error) {
	if e.cfg.Store != "" {
		dir, err := filepath.Abs(expandHome(e.cfg.Store))
		return store{dir}, err
	}
	cache, err := place.Cache()
	if err != nil {
		return store{}, err
	}
	return store{filepath.Join(cache, "runtimes")}, nil
}

func (s store) path(v Version) string { return filepath.Join(s.dir, v.String()) }

func (s store) lockPath(v Version) string { return s.path(v) + ".lock" }

// bindirs returns the program directories of all installed runtimes.
func (s store) bindirs() []string {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil
	}
	var dirs []string
	for _, entry := range entries {
		if _, err := ParseVersion(entry.Name()); err != nil {
			continue
		}
		if dir := filepath.Join(s.dir, entry.Name(), "bin"); isBindir(dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// A receipt is what Install leaves beside a runtime's directories.
type receipt struct {
	Package   string  `json:"package"`   // npm package or file it came from
	Version   Version `json:"version"`   // PostgreSQL's
	Integrity string  `json:"integrity"` // sha512 of the package
	Pinned    bool    `json:"pinned"`    // whether that is one of ours
}

const receiptName = "pgx-dev.json"

func (s store) writeReceipt(dir string, r receipt) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, receiptName), append(b, '\n'), 0o644)
}

// hold keeps a runtime of the store from being removed until release is called.
func (e *Engine) hold(ctx context.Context, rt Runtime) (release func(), err error) {
	s, err := e.store()
	if err != nil {
		return func() {}, nil //nolint:nilerr // without a store nothing can be removed from it
	}
	rel, err := filepath.Rel(s.dir, rt.Bindir)
	if err != nil || !filepath.IsLocal(rel) {
		return func() {}, nil //nolint:nilerr // not of the store
	}
	name, _, _ := strings.Cut(rel, string(filepath.Separator))
	lock, err := dirlock.Shared(ctx, filepath.Join(s.dir, name)+".lock")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return func() {}, nil // somebody else's store, from which we could not remove anything either
	}
	if err != nil {
		return nil, err
	}
	if !isBindir(rt.Bindir) {
		return nil, errors.Join(fmt.Errorf("%s was removed meanwhile: %w", rt.Bindir, engines.ErrNoRuntime), lock.Unlock())
	}
	return func() { _ = lock.Unlock() }, nil
}

// Remove deletes a runtime that Install fetched. constraint must match exactly one; the
// error wraps engines.ErrNotExist if it matches none, and engines.ErrLocked if a running
// server uses it.
func (e *Engine) Remove(ctx context.Context, constraint string) (Runtime, error) {
	s, err := e.store()
	if err != nil {
		return Runtime{}, err
	}
	c, err := ParseConstraint(constraint)
	if err != nil {
		return Runtime{}, err
	}
	e.SweepStore()
	// A runtime that does not run any more must be removable too: go by the names.
	var have, match []Runtime
	for _, dir := range s.bindirs() {
		v, err := ParseVersion(filepath.Base(filepath.Dir(dir)))
		if err != nil {
			continue
		}
		rt := Runtime{Bindir: dir, Version: v, Origin: OriginStore}
		have = append(have, rt)
		if c.Match(rt) {
			match = append(match, rt)
		}
	}
	switch {
	case len(match) == 0:
		return Runtime{}, fmt.Errorf("remove runtime %s: %w; the store %s has %s", constraint, errNotInstalled{}, s.dir, versionList(have))
	case len(match) > 1:
		return Runtime{}, fmt.Errorf("remove runtime %s: that is %s; name one", constraint, versionList(match))
	}
	rt := match[0]
	lock, err := dirlock.TryExclusive(s.lockPath(rt.Version))
	if errors.Is(err, dirlock.ErrHeld) {
		return Runtime{}, fmt.Errorf("remove runtime %s: it is %w: a server runs with it", rt.Version, engines.ErrLocked)
	}
	if err != nil {
		return Runtime{}, fmt.Errorf("remove runtime %s: %w", rt.Version, err)
	}
	// Renamed first, so that a killed removal leaves no half of a runtime to be found.
	gone := fmt.Sprintf("%s.tmp-%d", s.path(rt.Version), os.Getpid())
	err = os.Rename(s.path(rt.Version), gone)
	if err == nil {
		err = os.RemoveAll(gone)
	}
	if err = errors.Join(err, lock.Remove()); err != nil {
		return Runtime{}, fmt.Errorf("remove runtime %s: %w", rt.Version, err)
	}
	return rt, ctx.Err()
}

// versionList writes runtimes' versions for a person.
func versionList(rts []Runtime) string {
	if len(rts) == 0 {
		return "nothing"
	}
	rts = slices.Clone(rts)
	slices.SortFunc(rts, func(a, b Runtime) int { return a.Version.Compare(b.Version) })
	var names []string
	for _, rt := range rts {
		names = append(names, rt.Version.String())
	}
	return strings.Join(names, ", ")
}

// ensure makes the store's directory.
func (s store) ensure() error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the store (set runtime.store or PGX_DEV_CACHE to choose another place): %w", err)
	}
	return nil
}

// errNotInstalled reports a runtime that is not in the store.
type errNotInstalled struct{}

func (errNotInstalled) Error() string { return "it is not installed there" }
func (errNotInstalled) Unwrap() error { return engines.ErrNotExist }
