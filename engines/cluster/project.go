package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pgx-dev/pgx-dev/engines"
)

// DefaultName is the name of the cluster that is meant where none is given.
const DefaultName = "main"

// CheckName says what is wrong with a cluster's name, if anything.
func CheckName(name string) error {
	const limit = 64
	bad := ""
	switch {
	case name == "":
		bad = "it is empty"
	case len(name) > limit:
		bad = fmt.Sprintf("it has more than %d bytes", limit)
	case !utf8.ValidString(name):
		bad = "it is not UTF-8"
	case strings.ContainsAny(name, `/\`):
		bad = "it has a slash; to use a data directory elsewhere say --dir"
	case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-"):
		bad = "it begins with " + name[:1]
	case strings.Contains(name, ".tmp-"):
		bad = `it contains ".tmp-", which marks unfinished directories`
	case strings.ContainsFunc(name, unicode.IsControl):
		bad = "it has a control character"
	}
	if bad == "" {
		return nil
	}
	return fmt.Errorf("%q cannot be a cluster's name: %s", name, bad)
}

// MakeProject makes a state directory with mode 0700 and its own .gitignore, if it is
// missing.
func MakeProject(dir string) error {
	if fi, err := os.Stat(dir); err == nil && !fi.IsDir() {
		return fmt.Errorf("%s is a file where the state directory should be; move it away", dir)
	}
	switch left, err := os.ReadDir(dir); {
	case err == nil && len(left) > 0:
		return nil // not a new one, or somebody's own, which git is not to ignore
	case errors.Is(err, fs.ErrNotExist):
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o700)); err != nil { // whatever the umask is
			return fmt.Errorf("make the state directory: %w", err)
		}
	case err != nil:
		return fmt.Errorf("make the state directory: %w", err)
	}
	ignore := filepath.Join(dir, ".gitignore")
	if _, err := os.Lstat(ignore); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(ignore, []byte("*\n"), 0o600); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	return nil
}

// Find returns the data directory of a project's cluster: a temporary one of that name,
// else the one in the state directory, whether or not that exists.
func Find(project, name string) (dir string, err error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	dir, err = FindTemp(project, name)
	if errors.Is(err, engines.ErrNotExist) {
		return filepath.Join(project, name), nil
	}
	return dir, err
}

// Names returns the names of a project's clusters, sorted: temporary ones included, and those
// that somebody else owns and we may not read.
func Names(project string) ([]string, error) {
	var names []string
	entries, err := os.ReadDir(project)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if f := filesOf(filepath.Join(project, e.Name())); CheckName(e.Name()) == nil && (f.exists() || f.hidden()) {
			names = append(names, e.Name())
		}
	}
	for dir, r := range tempClusters() {
		if r.Project == project && r.Name != "" && filesOf(dir).live() {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
