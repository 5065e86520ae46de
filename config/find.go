package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Name is the config file's name.
const Name = "pgx-dev.toml"

// EnvPath is the environment variable that names the config file.
const EnvPath = "PGX_DEV_CONFIG"

// ErrNoFile reports that a config file that was asked for is not there.
var ErrNoFile = errors.New("no such config file")

// find returns the config file to read, or "" if there is none: flag, $PGX_DEV_CONFIG, the
// nearest pgx-dev.toml from dir upward, the one in the user's config directory. project is
// whether it belongs to a project rather than to the user.
func find(flag, dir string, env lookup) (path string, project bool, err error) {
	named, from := flag, "--config"
	if named == "" {
		named, _ = env(EnvPath)
		from = "$" + EnvPath
	}
	if named != "" {
		path := named
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		fi, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", false, fmt.Errorf("%w: %s (from %s)", ErrNoFile, named, from)
		case err != nil:
			return "", false, fmt.Errorf("%s: %w", from, err)
		case fi.IsDir():
			return "", false, fmt.Errorf("%s: %s is a directory; name the file in it", from, named)
		}
		return path, fi.Mode().IsRegular(), nil
	}
	for d := dir; ; d = filepath.Dir(d) {
		path := filepath.Join(d, Name)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() {
			return path, true, trusted(path, fi)
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	path, err = UserPath(env)
	if err != nil {
		return "", false, nil //nolint:nilerr // no home directory is no reason to fail
	}
	if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() {
		return path, false, nil
	}
	return "", false, nil
}

// UserPath returns where a user's own config file is looked for, whether or not it exists.
func UserPath(env func(string) (string, bool)) (string, error) {
	if dir, _ := env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "pgx-dev", Name), nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "pgx-dev", Name), nil
}

// trusted refuses a file that was found on the way up but that somebody else has put
// there: a config names programs and SQL to run. Root reads other people's projects, as it
// does in containers, except out of directories such as /tmp where anybody may write.
func trusted(path string, fi fs.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Getuid() || st.Uid == 0 {
		return nil
	}
	if os.Getuid() == 0 {
		if dir, err := os.Stat(filepath.Dir(path)); err == nil && dir.Mode().Perm()&0o002 == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s belongs to user %d, not to you; pass it with --config if you trust it", path, st.Uid)
}
