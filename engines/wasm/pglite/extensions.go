package pglite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ErrNoExtension reports an extension that no package has.
var ErrNoExtension = errors.New("no such extension")

// Extensions lists the extensions that can be created, by their control files.
func (f Files) Extensions() ([]string, error) {
	found, err := filepath.Glob(filepath.Join(f.share(), "*.control"))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(found))
	for _, c := range found {
		names = append(names, strings.TrimSuffix(filepath.Base(c), ".control"))
	}
	slices.Sort(names)
	return names, nil
}

func (f Files) share() string {
	return filepath.Join(f.Dir, "root", "pglite", "share", "postgresql", "extension")
}

// Library returns the file of an extension's or a preload library's module, "" if it has
// none of its own.
func (f Files) Library(name string) (string, error) {
	lib := name
	control, err := os.ReadFile(filepath.Join(f.share(), name+".control"))
	if err == nil {
		if m := regexp.MustCompile(`(?m)^\s*module_pathname\s*=\s*'\$libdir/([^']+)'`).FindSubmatch(control); m != nil {
			lib = string(m[1])
		}
	}
	file := filepath.Join(f.Dir, "root", "pglite", "lib", "postgresql", lib+".so")
	if _, serr := os.Stat(file); serr == nil {
		return file, nil
	}
	if err != nil {
		known, lerr := f.Extensions()
		return "", errors.Join(fmt.Errorf("%w: %q; there are %s", ErrNoExtension, name, strings.Join(known, ", ")), lerr)
	}
	return "", nil
}

// Libraries lists the module files of all extensions.
func (f Files) Libraries() ([]string, error) {
	return filepath.Glob(filepath.Join(f.Dir, "root", "pglite", "lib", "postgresql", "*.so"))
}
