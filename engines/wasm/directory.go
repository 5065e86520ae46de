package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/occupant"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
)

// ownerLock is the file in the control directory that is locked while a server runs.
const ownerLock = "owner.lock"

// startDir starts in a directory that lasts, making it first if need be.
func (s *Server) startDir(ctx context.Context, spec engines.Spec, user string, o guest.Options) (*guest.Instance, error) {
	dir, err := resolve(spec.Dir)
	if err != nil {
		return nil, err
	}
	s.info.Dir = dir
	switch fi, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist) && spec.MustExist:
		return nil, fmt.Errorf("%w: %s", engines.ErrNotExist, dir)
	case err == nil && !fi.IsDir():
		return nil, fmt.Errorf("%s is not a directory; name another one", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	version := checkVersion(dir)
	if err := mayOpen(dir, version, spec.MustExist); err != nil {
		return nil, err
	}
	if err := checkBuild(dir); err != nil {
		return nil, err
	}
	if err := s.own(dir); err != nil {
		return nil, err
	}
	// One that pgx-dev did not start knows nothing of our lock.
	if pid := occupant.Postmaster(dir); pid != 0 {
		return nil, fmt.Errorf("%w: PostgreSQL runs in %s as process %d; stop it first", engines.ErrLocked, dir, pid)
	}
	if errors.Is(version, fs.ErrNotExist) {
		// Somebody else may have been quicker while we had no lock.
		if version = checkVersion(dir); errors.Is(version, fs.ErrNotExist) {
			if err := s.create(ctx, dir, spec.Template, user); err != nil {
				return nil, fmt.Errorf("create %s: %w", dir, err)
			}
		} else if version != nil {
			return nil, version
		}
	}
	if owner, err := os.ReadFile(filepath.Join(place.Control(dir), "user")); err == nil && len(owner) > 0 {
		user = string(trim(owner))
	} else if s.madeDir == "" {
		user = "postgres"
	}
	s.info.User, o.User = user, user
	if err := s.openMounts(dir, ""); err != nil {
		return nil, err
	}
	in, err := s.l.rt.Boot(ctx, s.m.fs, o)
	if _, ok := errors.AsType[*guest.BootError](err); ok {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return in, err
}

// resolve returns the directory that a name stands for, links followed, so that one
// directory has one lock.
func resolve(name string) (string, error) {
	if strings.ContainsAny(name, "\n\r\x00") {
		return "", fmt.Errorf("the directory's name %q has a line break in it", name)
	}
	dir, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real, nil
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		return filepath.Join(parent, filepath.Base(dir)), nil
	}
	return dir, nil
}

// checkBuild refuses the directory of a native PostgreSQL of our version, before the guest
// touches it. The guest's pointers have 32 bits, so that it passes float8 by reference,
// which no native build for the machines that we run on does.
func checkBuild(dir string) error {
	const (
		versionAt   = 8    // ControlFileData.pg_control_version
		version     = 1800 // PG_CONTROL_VERSION of PostgreSQL 18
		float8ByVal = 248  // ControlFileData.float8ByVal of that version
	)
	b, err := os.ReadFile(filepath.Join(dir, "global", "pg_control"))
	if err != nil || len(b) <= float8ByVal || binary.LittleEndian.Uint32(b[versionAt:]) != version || b[float8ByVal] == 0 {
		return nil //nolint:nilerr // PostgreSQL itself says what is wrong with it
	}
	return fmt.Errorf("%w: %s was made by a native PostgreSQL, whose files the WebAssembly engine cannot read; dump it there and load the dump", engines.ErrVersion, dir)
}

// mayOpen says whether a directory, of which checkVersion said version, can be opened or
// created in.
func mayOpen(dir string, version error, mustExist bool) error {
	switch {
	case version == nil:
		return nil
	case !errors.Is(version, fs.ErrNotExist):
		return version
	case mustExist:
		return notExist(dir, version)
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty and holds no cluster (it has %s); name another directory, or empty it", dir, entries[0].Name())
	}
	return nil
}

func notExist(dir string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s has no PG_VERSION", engines.ErrNotExist, dir)
	}
	return err
}

// own takes the directory's lock.
func (s *Server) own(dir string) error {
	control := place.Control(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	_, err := os.Lstat(control)
	made := errors.Is(err, fs.ErrNotExist)
	if err := place.Private(control); err != nil {
		return err
	}
	if s.lock, err = dirlock.TryExclusive(filepath.Join(control, ownerLock)); err != nil {
		if errors.Is(err, dirlock.ErrHeld) {
			err = fmt.Errorf("%w: %s; stop the other server, or choose another directory", engines.ErrLocked, dir)
		}
		return err
	}
	if made {
		s.madeControl = control
	}
	return nil
}

// undo takes away what a Start that failed has made.
func (s *Server) undo() error {
	var errs []error
	if s.freeTemplate != nil {
		errs = append(errs, s.freeTemplate())
	}
	if s.madeDir != "" {
		errs = append(errs, os.RemoveAll(s.madeDir))
		if s.wasEmpty {
			errs = append(errs, os.Mkdir(s.madeDir, 0o700))
		}
	}
	if s.madeControl != "" {
		errs = append(errs, os.RemoveAll(s.madeControl))
	}
	return errors.Join(append(errs, s.lock.Unlock())...)
}

// create makes a data directory beside its place and moves it there. What a killed
// creation left is taken away; the lock is held.
func (s *Server) create(ctx context.Context, dir, from, user string) error {
	tmp := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp")
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // gone after the rename
	if from == "" {
		t, err := s.e.template(ctx, s.l, user)
		if err != nil {
			return err
		}
		from = t.data()
	} else {
		free, err := lockTemplate(from)
		if err != nil {
			return err
		}
		defer free() //nolint:errcheck // nothing was written
		if owner, err := os.ReadFile(filepath.Join(place.Control(from), "user")); err == nil {
			user = string(trim(owner))
		} else {
			user = "postgres"
		}
	}
	s.e.say("create " + dir)
	if err := copyDir(ctx, from, tmp); err != nil {
		return err
	}
	if err := syncTree(tmp); err != nil {
		return err
	}
	// The superuser's name is in the catalog, where nobody can look before connecting.
	if user != "postgres" {
		if err := os.WriteFile(filepath.Join(place.Control(dir), "user"), []byte(user+"\n"), 0o600); err != nil {
			return err
		}
	}
	switch err := os.Remove(dir); { // it is empty
	case err == nil:
		s.wasEmpty = true
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	s.madeDir = dir
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return nil
}

// lockTemplate keeps servers off a data directory while it is read.
func lockTemplate(dir string) (free func() error, err error) {
	if dir, err = resolve(dir); err != nil {
		return nil, err
	}
	if err := checkVersion(dir); err != nil {
		return nil, notExist(dir, err)
	}
	lock, err := dirlock.TryShared(filepath.Join(place.Control(dir), ownerLock))
	switch {
	case errors.Is(err, dirlock.ErrHeld):
		return nil, fmt.Errorf("%w: the template %s; stop the server first", engines.ErrLocked, dir)
	case errors.Is(err, fs.ErrNotExist):
		return func() error { return nil }, nil // nobody ever ran a server there
	case err != nil:
		return nil, err
	}
	return lock.Unlock, nil
}

// checkUser refuses names that initdb would refuse, or could not be told of.
func checkUser(user string) error {
	switch {
	case len(user) > 63: // NAMEDATALEN - 1
		return fmt.Errorf("the user name %.20q… is longer than 63 bytes", user)
	case strings.HasPrefix(user, "pg_"):
		return fmt.Errorf(`the user name %q begins with "pg_", which PostgreSQL keeps to itself`, user)
	case strings.ContainsAny(user, "\"'\\\n\r\x00`$"):
		return fmt.Errorf("the user name %q has a quote or another character in it that initdb cannot take", user)
	}
	return nil
}
