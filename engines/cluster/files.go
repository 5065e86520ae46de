package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wholefile"
)

// files names the companions of one data directory.
type files struct{ dir, control string }

func filesOf(dir string) files { return files{dir, place.Control(dir)} }

// at resolves a directory that a caller named, so that every name of it means the same
// cluster.
func at(dir string) (files, error) {
	real, err := place.Resolve(dir)
	if err != nil {
		return files{}, err
	}
	return filesOf(real), nil
}

func (f files) trans() string      { return filepath.Join(f.control, "trans.lock") }
func (f files) supervisor() string { return filepath.Join(f.control, "supervisor.lock") }
func (f files) run() string        { return filepath.Join(f.control, "run.json") }
func (f files) record() string     { return filepath.Join(f.control, "record.json") }
func (f files) pgpass() string     { return filepath.Join(f.control, "pgpass") }
func (f files) log() string        { return filepath.Join(f.control, "supervisor.log") }

// exists reports whether there is a cluster: PG_VERSION is there only in a complete data
// directory, because directories are made under another name and renamed.
func (f files) exists() bool {
	fi, err := os.Stat(filepath.Join(f.dir, "PG_VERSION"))
	return err == nil && fi.Mode().IsRegular()
}

// hidden reports whether the data directory is there and we may not look into it.
func (f files) hidden() bool {
	_, err := os.Stat(filepath.Join(f.dir, "PG_VERSION"))
	return errors.Is(err, fs.ErrPermission)
}

// running is run.json.
type running struct {
	PID     int          `json:"pid"` // the supervisor's
	Socket  string       `json:"control_socket"`
	Since   time.Time    `json:"since"`
	Engine  string       `json:"engine"`
	Spec    engines.Spec `json:"spec"`
	Info    engines.Info `json:"info"`
	Destroy bool         `json:"destroy,omitempty"`
}

// record is record.json.
type record struct {
	Name    string    `json:"name,omitempty"`    // of a temporary cluster
	Project string    `json:"project,omitempty"` // its state directory
	Temp    bool      `json:"temp,omitempty"`
	Engine  string    `json:"engine,omitempty"` // that made it
	Port    int       `json:"port,omitempty"`   // TCP port that was bound last
	Init    []InitRun `json:"init,omitempty"`   // SQL files that were run
	Filled  bool      `json:"filled,omitempty"` // it was made from a backup: which files were run is not known
	Archive *Archive  `json:"archive,omitempty"`
}

// InitRun remembers an SQL file that was run when the cluster was new.
type InitRun struct {
	File   string    `json:"file"`
	SHA256 string    `json:"sha256"`
	At     time.Time `json:"at"`
}

// Archive is where a cluster's write-ahead log is archived to.
type Archive struct {
	Dir     string `json:"dir"`     // backup directory
	Command string `json:"command"` // archive_command
}

// contradicted returns an error if settings ask for another archive than a.
func (a *Archive) contradicted(params map[string]string) error {
	for _, name := range []string{"archive_mode", "archive_command", "archive_library"} {
		value, set := params[name]
		if !set || name == "archive_mode" && value == "on" || name == "archive_command" && value == a.Command {
			continue
		}
		return fmt.Errorf("it archives its log to %s, and %s = %q would end that unsaid; leave the setting out, or end archiving by \"pgx-dev backup --stop --into %s\"", a.Dir, name, value, a.Dir)
	}
	return nil
}

// readRecord returns an empty record where there is none.
func (f files) readRecord() (record, error) {
	var r record
	err := wholefile.ReadJSON(f.record(), &r)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return r, err
}

// updateRecord changes the record. Callers hold trans.lock or init.lock, which do not
// exclude each other.
func (f files) updateRecord(change func(*record)) (err error) {
	lock, err := dirlock.Exclusive(context.Background(), filepath.Join(f.control, "record.lock")) // held for an instant
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	r, err := f.readRecord()
	if err != nil {
		return err
	}
	change(&r)
	return wholefile.WriteJSON(f.record(), r)
}
