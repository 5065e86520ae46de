package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// Create makes the data directory that Start would make for spec, without starting a
// server. An existing cluster is left alone. Errors are those of Start.
func (e *Engine) Create(ctx context.Context, spec engines.Spec) error {
	return e.create(ctx, spec, false)
}

// CreateAside is Create for later use: it copies on one thread, of the lowest priority, so
// that whoever uses the machine now hardly notices.
func (e *Engine) CreateAside(ctx context.Context, spec engines.Spec) error {
	return e.create(ctx, spec, true)
}

func (e *Engine) create(ctx context.Context, spec engines.Spec, aside bool) error {
	if spec.Dir == "" {
		return errors.New("create cluster: no directory given")
	}
	d, err := e.openDirectory(spec)
	if err != nil {
		return fmt.Errorf("create cluster %s: %w", spec.Dir, err)
	}
	d.aside = aside
	_, release, err := e.prepare(ctx, d, spec)
	if err != nil {
		return errors.Join(fmt.Errorf("create cluster %s: %w", d.path, err), d.undo())
	}
	release()
	return d.close()
}

// prepare chooses the runtime for d, making the cluster if there is none. The runtime
// cannot be removed until release is called.
func (e *Engine) prepare(ctx context.Context, d *directory, spec engines.Spec) (rt Runtime, release func(), err error) {
	found, err := d.examine()
	if err != nil {
		return rt, nil, err
	}
	source := d.path
	if found == absent {
		if spec.MustExist {
			return rt, nil, engines.ErrNotExist
		}
		source = spec.Template
	}
	switch source {
	case "":
		rt, err = e.Select(ctx, spec.Version)
	case d.path:
		rt, err = e.runtimeOf(ctx, source, spec.Version)
	default:
		if rt, err = e.runtimeOf(ctx, source, spec.Version); err != nil {
			err = fmt.Errorf("template %s: %w", source, err)
		}
	}
	if err != nil {
		return rt, nil, err
	}
	if release, err = e.hold(ctx, rt); err != nil {
		return rt, nil, err
	}
	if found == absent {
		err = e.make(ctx, d, rt, spec)
	} else {
		err = d.checkMode(rt.Version)
	}
	if err != nil {
		release()
		return rt, nil, err
	}
	return rt, release, nil
}

// runtimeOf returns the runtime for an existing data directory: one of its own major
// version, and of the constraint if there is one.
func (e *Engine) runtimeOf(ctx context.Context, dir, constraint string) (Runtime, error) {
	major, err := DirVersion(dir)
	if err != nil {
		return Runtime{}, err
	}
	if constraint == "" {
		// The configured default need not be of this version, a plain search is.
		rt, err := e.Select(ctx, major)
		if err != nil {
			return rt, fmt.Errorf("it was made by PostgreSQL %s: %w", major, err)
		}
		return rt, nil
	}
	c, err := ParseConstraint(constraint)
	if err != nil {
		return Runtime{}, err
	}
	if own, err := ParseVersion(major); err == nil && !c.allowsMajor(own) {
		return Runtime{}, notAllowed(major, constraint)
	}
	rt, err := e.Select(ctx, constraint)
	if err != nil {
		return rt, err
	}
	if rt.Version.Major() != major {
		return Runtime{}, fmt.Errorf("it was made by PostgreSQL %s, and %s is %s: %w; ask for %s or name another directory",
			major, rt.Bindir, rt.Version, engines.ErrVersion, major)
	}
	return rt, nil
}

// CheckVersion returns an error wrapping engines.ErrVersion if the data directory dir, should
// there be one, was made by a major version that the constraint does not allow. It runs no
// program and needs no runtime.
func CheckVersion(dir, constraint string) error {
	major, err := DirVersion(dir)
	if err != nil || constraint == "" {
		return nil //nolint:nilerr // nothing there, or nothing asked
	}
	c, err := ParseConstraint(constraint)
	if err != nil {
		return err
	}
	if own, err := ParseVersion(major); err == nil && !c.allowsMajor(own) {
		return notAllowed(major, constraint)
	}
	return nil
}

func notAllowed(major, constraint string) error {
	return fmt.Errorf("it was made by PostgreSQL %s, not %s: %w; ask for %s, name another directory, "+
		"or dump it with %s and load the dump into a new one", major, constraint, engines.ErrVersion, major, major)
}

// make makes the cluster beside its place and renames it there, so that a killed process
// never leaves half of one.
func (e *Engine) make(ctx context.Context, d *directory, rt Runtime, spec engines.Spec) error {
	user, err := userOf(spec)
	if err != nil {
		return err
	}
	var entry string
	sweepTemp(d.path)
	tmp := fmt.Sprintf("%s.tmp-%d", d.path, os.Getpid())
	switch {
	case spec.Template != "":
		user, err = e.fromTemplate(ctx, spec.Template, tmp)
	case e.cfg.FreshID:
		err = e.fromInitdb(ctx, rt, user, tmp)
	default:
		entry, err = e.fromCache(ctx, rt, user, tmp, d.aside)
		if errors.Is(err, errNoCache) {
			e.log.Warn("a new cluster takes seconds where it cannot be copied", "error", err)
			err = e.fromInitdb(ctx, rt, user, tmp)
		}
	}
	if err != nil {
		return err
	}
	// os.Rename would not replace an empty directory, rename(2) does.
	if err := syscall.Rename(tmp, d.path); err != nil {
		err = &os.LinkError{Op: "rename", Old: tmp, New: d.path, Err: err}
		if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) {
			err = fmt.Errorf("%w; a mount point cannot be a data directory itself, name a directory below it", err)
		}
		return errors.Join(err, os.RemoveAll(tmp))
	}
	d.made = append(d.made, d.path)
	if user != "" {
		if err := os.WriteFile(filepath.Join(d.control, "superuser"), []byte(user), 0o600); err != nil {
			return err
		}
	}
	if entry != "" {
		return d.markFresh(entry, rt)
	}
	return nil
}

// fromInitdb runs initdb for this one cluster.
func (e *Engine) fromInitdb(ctx context.Context, rt Runtime, user, tmp string) error {
	if err := checkFree(filepath.Dir(tmp), freshNeed); err != nil {
		return err
	}
	return e.withAccount(filepath.Dir(tmp), func(a account) error { return e.initdb(ctx, a, rt, user, tmp) })
}

// fromCache copies the cached result of initdb, and returns the cache entry.
func (e *Engine) fromCache(ctx context.Context, rt Runtime, user, tmp string, aside bool) (entry string, err error) {
	dir, size, release, err := e.template(ctx, rt, user)
	if err != nil {
		return "", err
	}
	defer release()
	if err := checkFree(filepath.Dir(tmp), size); err != nil {
		return "", err
	}
	return filepath.Dir(dir), copyDir(ctx, dir, tmp, aside)
}

// fromTemplate copies the caller's data directory, holding its lock so that nobody starts
// a server in it meanwhile. It returns the superuser's name, if that was noted there.
func (e *Engine) fromTemplate(ctx context.Context, template, tmp string) (user string, err error) {
	dir, err := place.Resolve(template)
	if err != nil {
		return "", err
	}
	lock, err := dirlock.TryShared(filepath.Join(place.Control(dir), "owner.lock"))
	switch {
	case errors.Is(err, dirlock.ErrHeld):
		return "", fmt.Errorf("template %s is %w%s", dir, engines.ErrLocked, holder(dir))
	case err == nil:
		defer func() { _ = lock.Unlock() }()
	case !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission):
		return "", err
	}
	if f, err := readPIDFile(dir); err == nil && f.serves(dir) {
		return "", fmt.Errorf("template %s is %w (postmaster %d)", dir, engines.ErrLocked, f.pid)
	}
	if err := checkCluster(dir); err != nil {
		return "", fmt.Errorf("template %s: %w", dir, err)
	}
	size, err := dirSize(dir)
	if err != nil {
		return "", err
	}
	if err := checkFree(filepath.Dir(tmp), size); err != nil {
		return "", err
	}
	// Without the note it is found out at the first start.
	name, err := os.ReadFile(filepath.Join(place.Control(dir), "superuser"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return string(name), CopyDir(ctx, dir, tmp)
}

// freshNeed is how much initdb writes, about, with 1 MB WAL segments.
const freshNeed = 48 << 20

// checkFree refuses to begin what cannot end: a server needs some room beside its files.
func checkFree(dir string, need int64) error {
	free, err := place.Free(dir)
	if err != nil {
		return err
	}
	if need += 8 << 20; free < need {
		return fmt.Errorf("%s has %d MB free, and the cluster needs %d MB: %w", dir, free>>20, need>>20, syscall.ENOSPC)
	}
	return nil
}
