package native

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An Origin says in which kind of place a runtime was found.
type Origin string

// The origins, in the order in which they are searched.
const (
	OriginGiven  Origin = "given"  // the request named its directory
	OriginConfig Origin = "config" // Config.Bindirs
	OriginPath   Origin = "PATH"   // a directory of $PATH
	OriginSystem Origin = "system" // where distributions and installers put it
	OriginStore  Origin = "store"  // fetched by Install
)

// systemGlobs are the directories into which distributions and installers put PostgreSQL.
// Directories that do not exist cost one failed readdir each, so there is one list for all
// systems.
var systemGlobs = []string{
	"/usr/lib/postgresql/*/bin",      // Debian, Ubuntu
	"/usr/pgsql-*/bin",               // RHEL, Fedora: PGDG packages
	"/usr/lib/postgresql[0-9]*/bin",  // SUSE
	"/usr/libexec/postgresql*",       // Alpine
	"/usr/local/pgsql/bin",           // built from source
	"/usr/local/opt/postgresql*/bin", // Homebrew on Intel
	"/opt/homebrew/opt/postgresql*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	"/Library/PostgreSQL/*/bin", // EDB's installer
}

// A searchPlace is a set of directories that are equally good: the newest match wins.
type searchPlace struct {
	origin Origin
	dirs   []string
}

func (p searchPlace) describe() string {
	switch p.origin {
	case OriginPath:
		return "PATH"
	case OriginSystem:
		return "the usual system directories"
	case OriginStore:
		return "the store"
	case OriginConfig:
		return "runtime.bindirs"
	}
	return strings.Join(p.dirs, ", ")
}

// places returns where to look, in order, with the directories that hold a postgres.
func (e *Engine) places() []searchPlace {
	var places []searchPlace
	if len(e.cfg.Bindirs) > 0 {
		p := searchPlace{origin: OriginConfig}
		for _, glob := range e.cfg.Bindirs {
			p.dirs = append(p.dirs, e.expand(glob)...)
		}
		places = append(places, p)
	}
	p := searchPlace{origin: OriginPath}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) && isBindir(dir) {
			p.dirs = append(p.dirs, filepath.Clean(dir))
		}
	}
	places = append(places, p)
	p = searchPlace{origin: OriginSystem}
	for _, glob := range e.system {
		p.dirs = append(p.dirs, e.expand(glob)...)
	}
	places = append(places, p)
	p = searchPlace{origin: OriginStore}
	if store, err := e.store(); err == nil {
		p.dirs = store.bindirs()
	}
	return append(places, p)
}

// EmptyBindirs returns those of Config.Bindirs in which no PostgreSQL server is.
func (e *Engine) EmptyBindirs() []string {
	var empty []string
	for _, glob := range e.cfg.Bindirs {
		if len(e.expand(glob)) == 0 {
			empty = append(empty, glob)
		}
	}
	return empty
}

// expand returns the directories matching glob that hold a PostgreSQL server.
func (e *Engine) expand(glob string) []string {
	glob = expandHome(glob)
	if abs, err := filepath.Abs(glob); err == nil {
		glob = abs
	}
	var dirs []string
	for _, g := range expandBraces(glob) {
		// The only error is a bad pattern, which then is taken for a plain name.
		found, err := filepath.Glob(g)
		if err != nil || len(found) == 0 {
			found = []string{g}
		}
		for _, dir := range found {
			if isBindir(dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// isBindir reports whether dir holds the two programs that a cluster needs.
func isBindir(dir string) bool {
	for _, name := range []string{"postgres", "initdb"} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !fi.Mode().IsRegular() || fi.Mode().Perm()&0o111 == 0 {
			return false
		}
	}
	return true
}

// expandBraces returns the alternatives of the first {a,b} in glob, and so on; nested
// braces are not split.
func expandBraces(glob string) []string {
	before, rest, ok := strings.Cut(glob, "{")
	if !ok {
		return []string{glob}
	}
	choices, after, ok := strings.Cut(rest, "}")
	if !ok {
		return []string{glob}
	}
	var out []string
	for choice := range strings.SplitSeq(choices, ",") {
		out = append(out, expandBraces(fmt.Sprint(before, choice, after))...)
	}
	return out
}
