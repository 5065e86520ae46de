package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/script"
)

// An embedding says which server to run in this process.
type embedding struct {
	engine     embedEngine
	dir        string // "": temporary
	must       bool   // it must exist
	template   string // a stopped directory to copy
	database   string
	user       string
	extensions []string
	init       []initFile
	params     map[string]string
	fast       bool
	asIs       bool // the database must be there too
}

// embedded is a server of this process. It implements engines.Server, with the addresses
// at which listen serves it.
type embedded struct {
	engines.Server
	closeEngine func() error

	info     engines.Info
	temp     bool
	database string
	user     string
	filled   bool // new, and filled by the first SQL files

	control string // directory of the password file and sockets of our own
	pgpass  string
	cleanup []string // files and directories of ours
	fronts  fronts
}

// openEmbedded starts a server, and makes it what e asks for. The caller closes it.
func openEmbedded(ctx context.Context, env *Env, e embedding) (*embedded, error) {
	spec := engines.Spec{Version: e.engine.PG, MustExist: e.must, Template: e.template, Params: e.params, User: e.user, Fast: e.fast || e.dir == ""}
	if e.dir == "" {
		name, err := e.engine.choose(ctx, env, "")
		if err != nil {
			return nil, err
		}
		db, err := e.start(ctx, env, name, spec)
		if err != nil {
			return nil, err
		}
		if err := db.prepare(ctx, env, e); err != nil {
			return nil, errors.Join(err, db.close(ctx))
		}
		return db, nil
	}
	var err error
	if spec.Dir, err = place.Resolve(e.dir); err != nil {
		return nil, err
	}
	return e.openDir(ctx, env, spec)
}

// openDir opens a database that lasts. A new one that --init does not fill is taken away
// again: it is not what was asked for.
func (e embedding) openDir(ctx context.Context, env *Env, spec engines.Spec) (*embedded, error) {
	name, err := e.engine.choose(ctx, env, spec.Dir)
	if err != nil {
		return nil, err
	}
	var db *embedded
	fill := false
	err = cluster.StartAlone(ctx, spec, name, func(exists bool) (err error) {
		if err := interrupted(spec.Dir); err != nil {
			return err
		}
		fill = !exists && len(e.init) > 0
		if fill {
			if err := os.WriteFile(initMark(spec.Dir), nil, 0o600); err != nil {
				return err
			}
		}
		db, err = e.start(ctx, env, name, spec)
		if err != nil && fill {
			_ = os.Remove(initMark(spec.Dir))
		}
		return err
	})
	if err != nil {
		if e.template != "" && !hasCluster(spec.Dir) {
			return nil, inUse(err, e.template)
		}
		return nil, inUse(err, spec.Dir)
	}
	db.filled = fill
	if !fill {
		e.init = nil
	}
	err = db.prepare(ctx, env, e)
	if err == nil && fill {
		err = os.Remove(initMark(spec.Dir))
	}
	if err == nil {
		return db, nil
	}
	err = errors.Join(err, db.close(ctx))
	if fill {
		m, merr := manager(env)
		if merr == nil {
			merr = m.Destroy(context.WithoutCancel(ctx), spec.Dir, false)
		}
		err = errors.Join(err, merr)
	}
	return nil, err
}

func (e embedding) start(ctx context.Context, env *Env, name string, spec engines.Spec) (*embedded, error) {
	engine, closeEngine, stopProgress, err := newEmbeddedEngine(env, name, e.extensions)
	if err != nil {
		return nil, err
	}
	defer stopProgress()
	srv, err := engine.Start(ctx, spec)
	if err != nil {
		return nil, errors.Join(err, closeEngine())
	}
	db := &embedded{
		Server: srv, closeEngine: closeEngine, info: srv.Info(), temp: spec.Dir == "", database: e.database, user: e.user,
		control: place.Control(srv.Info().Dir),
	}
	if db.temp {
		if db.control, err = place.Run(srv.Info().Dir); err != nil {
			return nil, errors.Join(err, db.close(ctx))
		}
		db.cleanup = append(db.cleanup, db.control)
		db.info.Dir = "" // nothing that another program could use
	}
	return db, nil
}

// prepare makes the database, its extensions, and what the first SQL files make.
func (d *embedded) prepare(ctx context.Context, env *Env, e embedding) error {
	if e.asIs {
		return nil
	}
	if _, err := cluster.EnsureDatabase(ctx, d, d.database); err != nil {
		return err
	}
	if len(e.extensions)+len(e.init) == 0 {
		return nil
	}
	conn, err := engines.Connect(ctx, d, d.database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, name := range e.extensions {
		if _, err := conn.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS "+pgx.Identifier{name}.Sanitize()+" CASCADE"); err != nil {
			return fmt.Errorf("create the extension %s: %w", name, err)
		}
	}
	for _, f := range e.init {
		env.Log.Info("run", "file", f.path)
		if _, err := conn.Exec(ctx, "DISCARD ALL"); err != nil {
			return err
		}
		if err := script.Run(ctx, conn.PgConn(), f.path, f.text); err != nil {
			return err
		}
	}
	return nil
}

// Info describes the server, at the addresses at which this process serves it.
func (d *embedded) Info() engines.Info { return d.info }

// Password returns the password for TCP, or "".
func (d *embedded) Password() (string, error) {
	if d.pgpass == "" {
		return "", nil
	}
	return cluster.ReadPassFile(d.pgpass)
}

// PassFile returns the path of the password file for TCP.
func (d *embedded) PassFile(context.Context) (string, error) { return d.pgpass, nil }

// TCPURL returns the URL of a database at the TCP listener, if there is one.
func (d *embedded) TCPURL(database, password string) string {
	return cluster.TCPURL(d.info, database, password, d.pgpass)
}

// closeWithin bounds the polite part of a stop; what was committed is recovered by the
// next start.
const closeWithin = 30 * time.Second

// close ends every connection and stops the server.
func (d *embedded) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	err := errors.Join(d.fronts.close(), d.Close(ctx), d.closeEngine())
	for _, path := range d.cleanup {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// hasCluster reports whether there is a data directory.
func hasCluster(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "PG_VERSION"))
	return err == nil
}

// inUse says what can be done about a directory that somebody else has.
func inUse(err error, dir string) error {
	if !errors.Is(err, engines.ErrLocked) {
		return err
	}
	return fmt.Errorf("%w (\"pgx-dev psql --dir %s\" connects to a running cluster, \"pgx-dev status --dir %s\" says who uses it)", err, dir, dir)
}

// An initFile is an SQL file of --init, read before anything is made.
type initFile struct{ path, text string }

func readInit(paths []string) ([]initFile, error) {
	var files []initFile
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read --init: %w", err)
		}
		files = append(files, initFile{path, string(b)})
	}
	return files, nil
}

// initMark is the file that stands beside a new directory until --init has filled it.
func initMark(dir string) string { return filepath.Join(place.Control(dir), "init.pending") }

// interrupted reports a database that a killed --init left half filled.
func interrupted(dir string) error {
	mark := initMark(dir)
	if _, err := os.Stat(mark); errors.Is(err, fs.ErrNotExist) || err == nil && !hasCluster(dir) {
		return nil
	} else if err != nil {
		return err
	}
	return fmt.Errorf("%s is filled by --init just now, or was left half filled by one that was killed; to use it as it is remove %s, to start anew remove both", dir, mark)
}
