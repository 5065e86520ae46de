package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// tomlHeader is a line that begins a table, tomlKey one that gives a key a value.
var (
	tomlHeader = regexp.MustCompile(`^\s*\[+\s*([A-Za-z0-9_.\-" ]+?)\s*\]+\s*(#.*)?$`)
	tomlKey    = regexp.MustCompile(`^(\s*)([A-Za-z0-9_]+)\s*=\s*(.*)$`)
)

// ExchangeNames rewrites files of the proxy's configuration, TOML ones, so that two databases have each
// other's name there. Nothing else of the files changes. What they were is kept beside them: of pgdog.toml
// as pgdog.bak.toml. check is asked whether the files are right now; if not, they are put back.
func ExchangeNames(files []string, a, b string, check func() error) error {
	type file struct {
		path     string
		was      []byte
		mode     fs.FileMode
		replaced bool
	}
	var all []*file
	restore := func() error {
		var errs []error
		for _, f := range all {
			if f.replaced {
				errs = append(errs, replaceFile(f.path, f.was, f.mode))
			}
		}
		return errors.Join(errs...)
	}
	for _, path := range files {
		if filepath.Ext(path) != ".toml" {
			return fmt.Errorf("%s is no TOML file: exchange the names of %q and %q there", path, a, b)
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all = append(all, &file{path: path, was: text, mode: info.Mode().Perm()})
	}
	for _, f := range all {
		text := exchangeNames(string(f.was), a, b)
		if text == string(f.was) {
			continue
		}
		kept := strings.TrimSuffix(f.path, ".toml") + ".bak.toml"
		err := replaceFile(kept, f.was, f.mode)
		if err == nil {
			f.replaced = true
			err = replaceFile(f.path, []byte(text), f.mode)
		}
		if err != nil {
			return errors.Join(err, restore())
		}
	}
	if err := check(); err != nil {
		return errors.Join(fmt.Errorf("the files are put back, since they would not say what is in effect: %w", err), restore())
	}
	return nil
}

// exchangeNames rewrites one file.
func exchangeNames(text, a, b string) string {
	swap := strings.NewReplacer(`"`+a+`"`, `"`+b+`"`, `"`+b+`"`, `"`+a+`"`, `'`+a+`'`, `'`+b+`'`, `'`+b+`'`, `'`+a+`'`)
	lines := strings.SplitAfter(text, "\n")
	out := make([]string, 0, len(lines))
	section, array := "", false
	for i, line := range lines {
		if m := tomlHeader.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil {
			section, array = m[1][strings.LastIndexByte(m[1], '.')+1:], false
			out = append(out, line)
			continue
		}
		m := tomlKey.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		switch {
		case array:
			line = swap.Replace(line)
			array = !strings.Contains(line, "]")
		case m == nil:
		case section == "databases" && m[2] == "name":
			named := swap.Replace(line)
			if named != line && !hasKey(lines[i+1:], "database_name") && !hasKeyBefore(lines[:i], "database_name") {
				end := ""
				if !strings.HasSuffix(named, "\n") {
					end = "\n"
				}
				named += end + m[1] + "database_name = " + strings.TrimSpace(strings.SplitN(m[3], "#", 2)[0]) + "\n"
			}
			line = named
		case slices.Contains([]string{"users", "sharded_tables", "sharded_mappings", "sharded_schemas", "omnisharded_tables", "mirroring", "query_parsers"}, section) &&
			slices.Contains([]string{"database", "databases", "replication_sharding", "source_db", "destination_db"}, m[2]):
			line = swap.Replace(line)
			array = m[2] == "databases" && strings.HasPrefix(m[3], "[") && !strings.Contains(m[3], "]")
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}

// hasKey reports whether the rest of a table gives a key a value, hasKeyBefore whether its beginning does.
func hasKey(rest []string, key string) bool {
	for _, line := range rest {
		if tomlHeader.MatchString(strings.TrimRight(line, "\r\n")) {
			return false
		}
		if m := tomlKey.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil && m[2] == key {
			return true
		}
	}
	return false
}

func hasKeyBefore(before []string, key string) bool {
	for _, line := range slices.Backward(before) {
		if tomlHeader.MatchString(strings.TrimRight(line, "\r\n")) {
			return false
		}
		if m := tomlKey.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil && m[2] == key {
			return true
		}
	}
	return false
}

// replaceFile writes a file in one step.
func replaceFile(path string, text []byte, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}
