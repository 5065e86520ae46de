package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/lease"
)

// A Digest knows what a template is made from, and its hash. Files are looked at again when
// it is asked and something has happened in their directories, at the latest after
// trustWatch; where that cannot be watched, whenever it is asked, but not more often than
// every lookAgain. They are read again when their size or time has changed. It is safe for
// concurrent use.
type Digest struct {
	cfg lease.PoolConfig
	dir string // what paths are relative to

	mu     sync.Mutex
	looked time.Time
	watch  *watch // nil where it cannot be
	stamps []stamp
	recipe *Recipe
	err    error
}

const (
	lookAgain  = 100 * time.Millisecond
	trustWatch = time.Second
)

// A stamp tells whether a file may have changed.
type stamp struct {
	path string
	size int64
	time time.Time
}

// A Recipe is what a template is made from, as the files were at one time.
type Recipe struct {
	// Key is the hash of all of it, 16 hex digits; "" where there is nothing to make.
	Key string
	// Base is the database to begin with, "" being the server's choice.
	Base string

	dump       string // path
	migrations []string
	texts      map[string]string // of migrations
	command    []string
	dir        string // where the command runs
}

// HasDump reports whether the recipe begins with a dump, which wants an empty database.
func (r *Recipe) HasDump() bool { return r.dump != "" }

// layout is part of every key, so that a change in how templates are made makes new ones.
const layout = "pgx-dev template 1"

// NewDigest returns the digest of a pool's template. dir is what paths are relative to, and
// where the pool's command runs.
func NewDigest(cfg lease.PoolConfig, dir string) *Digest {
	return &Digest{cfg: cfg, dir: dir}
}

// Recipe returns the recipe as the files are now.
func (d *Digest) Recipe() (*Recipe, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	quiet, age := d.watch.quiet(), time.Since(d.looked)
	if quiet && age < trustWatch || d.watch == nil && age < lookAgain {
		return d.recipe, d.err
	}
	dirty := d.watch != nil && !quiet // whatever sizes and times say
	d.looked = time.Now()
	d.rewatch() // before looking: what happens meanwhile is seen the next time
	stamps, err := d.stat()
	if err != nil {
		d.recipe, d.err, d.stamps = nil, err, nil
		return nil, err
	}
	if d.err == nil && d.recipe != nil && !dirty && slices.Equal(stamps, d.stamps) {
		return d.recipe, nil
	}
	d.stamps = stamps
	d.recipe, d.err = d.read()
	return d.recipe, d.err
}

// Rest lets go of what the digest has of the system until it is asked again.
func (d *Digest) Rest() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watch.close()
	d.watch, d.looked = nil, time.Time{}
}

// rewatch watches the directories of all files, where that tells everything. d.mu is held.
func (d *Digest) rewatch() {
	dirs, ok := d.dirs()
	if ok && d.watch.watches(dirs) {
		return
	}
	d.watch.close()
	d.watch = nil
	if ok {
		d.watch = newWatch(dirs)
	}
}

// dirs returns the directories in which everything is that the digest depends on; ok is
// false where they are not all of it.
func (d *Digest) dirs() (dirs []string, ok bool) {
	paths := slices.Concat(d.cfg.Migrations, d.cfg.KeyFiles)
	if d.cfg.Dump != "" {
		paths = append(paths, d.cfg.Dump)
	}
	for _, pattern := range paths {
		path := d.abs(pattern)
		if fi, err := os.Stat(path); err == nil && fi.IsDir() {
			path = filepath.Join(path, "*.sql")
		}
		if !watchable(path) {
			return nil, false
		}
		found, err := filepath.Glob(path)
		if err != nil {
			return nil, false
		}
		for _, name := range found {
			if fi, err := os.Lstat(name); err != nil || !fi.Mode().IsRegular() {
				return nil, false
			}
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	return dirs, len(dirs) > 0
}

// Version is the key of the recipe of now, or a text that is no key.
func (d *Digest) Version() string {
	r, err := d.Recipe()
	if err != nil {
		return "?" + err.Error()
	}
	return r.Key
}

// stat finds all files and their stamps.
func (d *Digest) stat() ([]stamp, error) {
	var out []stamp
	add := func(paths []string) error {
		for _, path := range paths {
			fi, err := os.Stat(path)
			if err != nil {
				return fmt.Errorf("look at what the template is made from: %w", err)
			}
			out = append(out, stamp{path, fi.Size(), fi.ModTime()})
		}
		return nil
	}
	for _, list := range [][]string{d.cfg.Migrations, d.cfg.KeyFiles} {
		paths, err := d.find(list)
		if err == nil {
			err = add(paths)
		}
		if err != nil {
			return nil, err
		}
	}
	if d.cfg.Dump != "" {
		if err := add([]string{d.abs(d.cfg.Dump)}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// find resolves patterns, in their order; a directory means the SQL files in it.
func (d *Digest) find(patterns []string) ([]string, error) {
	var out []string
	for _, pattern := range patterns {
		path := d.abs(pattern)
		if fi, err := os.Stat(path); err == nil && fi.IsDir() {
			path = filepath.Join(path, "*.sql")
		}
		found, err := filepath.Glob(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pattern, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("no file is called %s (in %s)", pattern, d.dir)
		}
		slices.Sort(found)
		out = append(out, found...)
	}
	return out, nil
}

func (d *Digest) abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.dir, path)
}

// read hashes everything. d.mu is held.
func (d *Digest) read() (*Recipe, error) {
	r := &Recipe{texts: map[string]string{}, Base: d.cfg.Base, command: d.cfg.Command, dir: d.dir}
	if !d.cfg.HasTemplate() {
		return r, nil
	}
	h := sha256.New()
	part(h, layout, d.cfg.Base, strings.Join(d.cfg.Command, "\x00"))
	var err error
	if d.cfg.Dump != "" {
		r.dump = d.abs(d.cfg.Dump)
		if _, err = d.hashFile(h, "dump", r.dump); err != nil {
			return nil, err
		}
	}
	if r.migrations, err = d.find(d.cfg.Migrations); err != nil {
		return nil, err
	}
	for _, path := range r.migrations {
		if r.texts[path], err = d.hashFile(h, "migration", path); err != nil {
			return nil, err
		}
	}
	keys, err := d.find(d.cfg.KeyFiles)
	if err != nil {
		return nil, err
	}
	for _, path := range keys {
		if _, err = d.hashFile(h, "key", path); err != nil {
			return nil, err
		}
	}
	r.Key = hex.EncodeToString(h.Sum(nil)[:8])
	return r, nil
}

func (d *Digest) hashFile(h hash.Hash, kind, path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read what the template is made from: %w", err)
	}
	name := path
	if rel, err := filepath.Rel(d.dir, path); err == nil {
		name = rel
	}
	part(h, kind, name, string(b))
	return string(b), nil
}

// part adds texts to a hash so that no two lists of them are the same.
func part(h hash.Hash, texts ...string) {
	for _, s := range texts {
		_, _ = fmt.Fprintf(h, "%d:", len(s))
		_, _ = h.Write([]byte(s))
	}
}
