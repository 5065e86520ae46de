package native

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wholefile"
)

// What a server in a copy of the initdb cache answers to confirm is known from the first
// such copy. The first start of another one does without that connection, which would have
// to fill the server's catalog caches: a sixth of the time until it is ready.

// facts are what confirm found out, kept in the cache entry.
type facts struct {
	User     string `json:"user"`
	Database string `json:"database"`
	MaxConns int    `json:"max_conns"`
}

// A freshness says that a data directory is an unchanged copy of a cache entry in which no
// server has run. It is in the control directory until the first start.
type freshness struct {
	Entry   string           `json:"entry"` // of the cache
	Bindir  string           `json:"bindir"`
	Version string           `json:"version"`
	Files   map[string]stamp `json:"files"`
}

// A stamp tells whether a file was edited or replaced.
type stamp struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

// configFiles are the files of a new data directory that decide who may connect, and how
// many.
func configFiles() []string {
	return []string{"postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf"}
}

func stamps(dir string) (map[string]stamp, error) {
	files := map[string]stamp{}
	for _, name := range configFiles() {
		fi, err := os.Lstat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // postgresql.auto.conf is of 9.4
		}
		if err != nil {
			return nil, err
		}
		files[name] = stamp{fi.Size(), fi.ModTime().UTC()}
	}
	return files, nil
}

func (d *directory) freshFile() string { return filepath.Join(d.control, "fresh.json") }

// markFresh notes that d was just copied from a cache entry.
func (d *directory) markFresh(entry string, rt Runtime) error {
	files, err := stamps(d.path)
	if err != nil {
		return err
	}
	return wholefile.WriteJSON(d.freshFile(), freshness{entry, rt.Bindir, rt.Version.String(), files})
}

// takeFresh returns the cache entry that d is a copy of, for the one start that may rely on
// that, or "": then nothing is known about d.
func (d *directory) takeFresh(rt Runtime, spec engines.Spec) (entry string) {
	var fresh freshness
	if wholefile.ReadJSON(d.freshFile(), &fresh) != nil || os.Remove(d.freshFile()) != nil {
		return ""
	}
	// Before 10 only a connection tells that the server is ready.
	if rt.Version.Num() < 100000 || len(spec.Params) > 0 || fresh.Bindir != rt.Bindir || fresh.Version != rt.Version.String() {
		return ""
	}
	for name, was := range fresh.Files {
		fi, err := os.Lstat(filepath.Join(d.path, name))
		if err != nil || fi.Size() != was.Size || !fi.ModTime().Equal(was.Modified) {
			return ""
		}
	}
	return fresh.Entry
}

func factsFile(entry string) string { return filepath.Join(entry, "facts.json") }

// known completes the server's Info by the facts of a cache entry, and reports whether they
// are there.
func (s *server) known(entry string) bool {
	var f facts
	if wholefile.ReadJSON(factsFile(entry), &f) != nil || f.User == "" || f.Database == "" || f.MaxConns < 1 {
		return false
	}
	s.info.User, s.info.Database, s.info.MaxConns = f.User, f.Database, f.MaxConns
	return true
}

// teach keeps what confirm found out for the next copy of the same cache entry.
func (s *server) teach(entry string) error {
	return wholefile.WriteJSON(factsFile(entry), facts{s.info.User, s.info.Database, s.info.MaxConns})
}
