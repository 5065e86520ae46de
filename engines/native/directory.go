package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/occupant"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// A directory is a data directory that we hold the lock of.
type directory struct {
	path    string // of the data directory: absolute, without symbolic links
	control string // place.Control(path)
	temp    string // what to remove at the end; empty unless the directory is temporary
	lock    *dirlock.Lock
	made    []string // what we made, to be taken away if the start fails; outermost first
	empty   bool     // the caller had an empty directory there
	aside   bool     // it is made for later
}

// logFile returns where the server's log goes.
func (d *directory) logFile() string { return filepath.Join(d.control, "postmaster.log") }

// ownerFile returns the lock file, which also holds what runs under the lock.
func (d *directory) ownerFile() string { return filepath.Join(d.control, "owner.lock") }

// openDirectory resolves the directory of spec, refuses what cannot be one, and locks it.
// The caller calls close or undo.
func (e *Engine) openDirectory(spec engines.Spec) (_ *directory, err error) {
	d := &directory{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.undo())
		}
	}()
	if spec.Dir == "" {
		if err := d.makeTemp(); err != nil {
			return nil, err
		}
	} else {
		if d.path, err = place.Resolve(spec.Dir); err != nil {
			return nil, err
		}
		d.control = place.Control(d.path)
		if spec.MustExist {
			if _, err := DirVersion(d.path); err != nil {
				return nil, notThere(d.path, err)
			}
		}
		if err := d.makeParents(); err != nil {
			return nil, err
		}
	}
	if err := d.makeControl(); err != nil {
		return nil, err
	}
	d.lock, err = dirlock.TryExclusive(d.ownerFile())
	if errors.Is(err, dirlock.ErrHeld) {
		return nil, fmt.Errorf("%w%s", engines.ErrLocked, holder(d.path))
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// notThere makes one error of the ways in which a directory that must exist may not.
func notThere(path string, err error) error {
	fi, statErr := os.Stat(path)
	switch {
	case statErr == nil && !fi.IsDir():
		return fmt.Errorf("it is not a directory: %w", engines.ErrNotExist)
	case errors.Is(err, engines.ErrNotExist):
		return engines.ErrNotExist
	}
	return err
}

// holder describes who runs the server in path, for an error text.
func holder(path string) string {
	if f, err := readPIDFile(path); err == nil {
		return fmt.Sprintf(" (postmaster %d)", f.pid)
	}
	return ""
}

// makeTemp makes a new directory for temporary clusters, after sweeping those of dead
// processes.
func (d *directory) makeTemp() error {
	root, err := place.Temp(tempNeed)
	if err != nil {
		return fmt.Errorf("find room for a temporary cluster (set PGX_DEV_TEMP to choose it): %w", err)
	}
	if root, err = filepath.Abs(root); err != nil {
		return err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return err
	}
	sweepTemporary(root)
	d.temp, err = os.MkdirTemp(root, tempPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return fmt.Errorf("make a directory for the temporary cluster: %w", err)
	}
	d.path = filepath.Join(d.temp, "data")
	d.control = place.Control(d.path)
	return nil
}

// makeParents makes the directories above the data directory, noting which were missing.
func (d *directory) makeParents() error {
	var missing []string
	for dir := filepath.Dir(d.path); ; dir = filepath.Dir(dir) {
		fi, err := os.Stat(dir)
		if err == nil && !fi.IsDir() {
			return fmt.Errorf("%s is a file, so there can be no directory %s", dir, d.path)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			break
		}
		missing = append(missing, dir)
	}
	for _, dir := range slices.Backward(missing) {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		d.made = append(d.made, dir)
	}
	return nil
}

func (d *directory) makeControl() error {
	if fi, err := os.Stat(d.path); err == nil && !fi.IsDir() {
		return errors.New("it is a file; a data directory cannot be made there")
	}
	err := os.Mkdir(d.control, 0o700)
	switch {
	case err == nil:
		d.made = append(d.made, d.control)
	case !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("make the control directory: %w", err)
	}
	return nil
}

// close gives the directory back, or destroys it if it is temporary.
func (d *directory) close() error {
	if d.temp == "" {
		return d.lock.Unlock()
	}
	occupant.FreeMemory(d.path)
	return errors.Join(removeAll(d.temp), d.lock.Unlock())
}

// undo takes away what was made and gives the directory back.
func (d *directory) undo() error {
	if d.temp != "" {
		return d.close()
	}
	var errs []error
	for _, dir := range slices.Backward(d.made) {
		switch dir {
		case d.path:
			errs = append(errs, removeAll(dir))
			if d.empty {
				errs = append(errs, os.Mkdir(dir, 0o700))
			}
		case d.control:
			// Only what is ours: coordination between processes keeps files here too. And
			// only under the lock: somebody else may have got it first.
			if d.lock != nil {
				for _, name := range []string{"postmaster.log", "superuser", "stale.pid"} {
					_ = os.Remove(filepath.Join(dir, name))
				}
				errs = append(errs, d.lock.Remove())
				d.lock = nil
			}
			_ = os.Remove(dir)
		default:
			_ = os.Remove(dir) // a parent: stays if somebody else uses it by now
		}
	}
	return errors.Join(append(errs, d.lock.Unlock())...)
}

// A condition is what is found at the path of a data directory.
type condition int

const (
	absent condition = iota // nothing, or an empty directory
	whole                   // a cluster
)

// examine says what is there, and refuses what is neither nothing nor a cluster.
func (d *directory) examine() (condition, error) {
	entries, err := os.ReadDir(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent, nil
	case err == nil && len(entries) == 0:
		d.empty = true
		return absent, nil
	case errors.Is(err, fs.ErrPermission):
		return 0, fmt.Errorf("%w (chown or chmod it)", err)
	case err != nil:
		return 0, err
	}
	if _, err := DirVersion(d.path); err != nil {
		if errors.Is(err, engines.ErrNotExist) {
			return 0, fmt.Errorf("the directory is not empty and no data directory (it has %s); name another one", entries[0].Name())
		}
		return 0, err
	}
	if _, err := ReadControlData(d.path); err != nil {
		return 0, fmt.Errorf("it is not a whole data directory, perhaps initdb was killed; move it away or remove it: %w", err)
	}
	return whole, nil
}

// checkMode refuses permissions that postgres refuses (checkDataDir in miscinit.c), saying
// what to do.
func (d *directory) checkMode(v Version) error {
	fi, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	mode, forbidden := fi.Mode().Perm(), fs.FileMode(0o077)
	if v.Num() >= 110000 {
		forbidden = 0o027
	}
	if mode&forbidden != 0 {
		return fmt.Errorf("data directory has mode %04o, and PostgreSQL wants it private: chmod 0700 '%s'", mode, d.path)
	}
	return nil
}
