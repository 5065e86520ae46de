// Package place says where the companions of a data directory live: its control
// directory, its sockets, the cache and the room for temporary clusters.
package place

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Resolve returns the one name of a directory that is or will be at dir: absolute and
// without symbolic links, so that everybody who means the directory finds the same
// companions.
func Resolve(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the absolute name of %s: %w", dir, err)
	}
	rest := ""
	for {
		real, err := filepath.EvalSymlinks(abs)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || abs == filepath.Dir(abs) {
			return "", fmt.Errorf("resolve %s: %w", dir, err)
		}
		if fi, lerr := os.Lstat(abs); lerr == nil && fi.Mode()&fs.ModeSymlink != 0 {
			return "", fmt.Errorf("%s is a symbolic link to nothing", abs)
		}
		rest = filepath.Join(filepath.Base(abs), rest)
		abs = filepath.Dir(abs)
	}
}

// Control returns the directory beside the data directory dir that holds its locks,
// record and log: "/x/main" has "/x/.main.pgx-dev". It is not created.
func Control(dir string) string {
	return filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".pgx-dev")
}

// Key returns the 8 hex digits that stand for a path in short directory names.
func Key(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:4])
}

// Cache returns the cache directory: $PGX_DEV_CACHE, else pgx-dev in the user's cache
// directory, which without $HOME, as services and some containers run, is that of the home
// directory in the user database. It is not created; everything in it may be deleted at any
// time.
func Cache() (string, error) {
	if dir := os.Getenv("PGX_DEV_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		if u, uerr := user.Current(); uerr == nil && filepath.IsAbs(u.HomeDir) {
			dir, err = filepath.Join(u.HomeDir, ".cache"), nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("find the cache directory (set PGX_DEV_CACHE to choose one): %w", err)
	}
	return filepath.Join(dir, "pgx-dev"), nil
}

// MaxSocketDir is how many bytes the name of a socket's directory may have: what
// sun_path holds less its NUL and "/.s.PGSQL.65535" (unix(7); macOS has 104 bytes).
func MaxSocketDir() int {
	sunPath := 108
	if runtime.GOOS == "darwin" || runtime.GOOS == "freebsd" {
		sunPath = 104
	}
	return sunPath - 1 - len("/.s.PGSQL.5432")
}

// Run makes and returns the short private directory in which the server of the data
// directory dir puts its sockets: $XDG_RUNTIME_DIR/pgx-dev/<8 hex> or
// /tmp/pgx-dev-<uid>/<8 hex>. Every directory of ours on the way is 0700 and the
// caller's; a symbolic link or somebody else's directory in its place is an error.
func Run(dir string) (string, error) {
	base := runBase()
	run := filepath.Join(base, Key(dir))
	for _, d := range []string{base, run} {
		if err := Private(d); err != nil {
			return "", err
		}
	}
	// So that it is not taken for one that nobody uses before the socket is there.
	now := time.Now()
	return run, os.Chtimes(run, now, now)
}

// runBase is the directory that Run makes its own in.
func runBase() string {
	if xdg := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(xdg) {
		if err := checkOwned(xdg); err == nil && len(xdg)+len("/pgx-dev/")+8 <= MaxSocketDir() {
			return filepath.Join(xdg, "pgx-dev")
		}
	}
	return filepath.Join("/tmp", "pgx-dev-"+strconv.Itoa(os.Getuid()))
}

// Private makes dir with mode 0700 if it is missing; its parent must exist. It returns an
// error when dir is a symbolic link, no directory, or another user's; another mode is put
// right, be it one that lets others in or, by the umask, not even us.
func Private(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make private directory: %w", err)
	}
	if err := checkOwned(dir); err != nil {
		return err
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if fi.Mode().Perm() != 0o700 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

func checkOwned(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return fmt.Errorf("%s is not a directory (a %s); move it away", dir, fi.Mode().Type())
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s belongs to %s, not to you; run pgx-dev as that user, or choose another directory", dir, userName(st.Uid))
	}
	return nil
}

// userName names a user for people.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return "user " + u.Username
	}
	return "user " + id
}

// Temp makes and returns the private directory for temporary clusters: on /dev/shm where
// at least need bytes are free there, else in the system's directory for temporary files.
// $PGX_DEV_TEMP names another directory, which must exist, to make it in.
func Temp(need int64) (string, error) {
	name := "pgx-dev-temp-" + strconv.Itoa(os.Getuid())
	if parent := os.Getenv("PGX_DEV_TEMP"); parent != "" {
		// A supervisor does not have our working directory.
		dir, err := filepath.Abs(filepath.Join(parent, name))
		if err == nil {
			err = Private(dir)
		}
		if err != nil {
			err = fmt.Errorf("%w; PGX_DEV_TEMP must name a directory that is there", err)
		}
		return dir, err
	}
	if free, err := Free("/dev/shm"); err == nil && free >= need {
		dir := filepath.Join("/dev/shm", name)
		if err := Private(dir); err == nil {
			return dir, nil
		}
	}
	dir, err := filepath.Abs(filepath.Join(os.TempDir(), name))
	if err == nil {
		err = Private(dir)
	}
	return dir, err
}

// TempRoots returns every directory that Temp may have chosen before, existing or not.
func TempRoots() []string {
	name := "pgx-dev-temp-" + strconv.Itoa(os.Getuid())
	if parent := os.Getenv("PGX_DEV_TEMP"); parent != "" {
		return []string{absolute(filepath.Join(parent, name))}
	}
	return []string{filepath.Join("/dev/shm", name), absolute(filepath.Join(os.TempDir(), name))}
}

// absolute returns path itself where there is no working directory.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// Free returns how many bytes the caller may still write to the file system of path.
func Free(path string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("ask for free space on %s: %w", path, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // the types differ between systems
}
