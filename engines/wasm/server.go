package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm/emscripten"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
	"github.com/pgx-dev/pgx-dev/engines/wasm/pglite"
)

// A Server is a running guest. It implements engines.Server.
type Server struct {
	e    *Engine
	l    *loaded
	b    *backend
	m    *mounts
	lock *dirlock.Lock
	info engines.Info
	temp bool // nothing outlives Close

	tcp  net.Listener
	stop context.CancelFunc
	wg   sync.WaitGroup

	closing sync.Once
	done    chan struct{}
	err     error // why it ended by itself; set before done is closed
	closeE  error
}

// Start implements engines.Engine. Spec.Params may be any parameter of the server; those
// that need more processes have no effect.
func (e *Engine) Start(ctx context.Context, spec engines.Spec) (engines.Server, error) {
	srv, err := e.start(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("start the WebAssembly engine: %w", err)
	}
	return srv, nil
}

func (e *Engine) start(ctx context.Context, spec engines.Spec) (srv *Server, err error) {
	version, num, major := pglite.ServerVersion()
	if v := spec.Version; v != "" && v != major && v != version {
		return nil, fmt.Errorf("%w: version %q is wanted, and this engine has %s only", engines.ErrNoRuntime, v, version)
	}
	l, err := e.load(ctx)
	if err != nil {
		return nil, err
	}
	user := spec.User
	if user == "" {
		user = "postgres"
	}
	srv = &Server{e: e, l: l, temp: spec.Dir == "", done: make(chan struct{}), info: engines.Info{
		Engine: "wasm", Version: version, VersionNum: num, User: user, Database: "postgres", MaxConns: e.cfg.limits().maxClients,
	}}
	var in *guest.Instance
	defer func() {
		if err != nil {
			if in != nil {
				in.Close()
			}
			if srv.m != nil {
				err = errors.Join(err, srv.m.close())
			}
			err = errors.Join(err, srv.lock.Unlock())
		}
	}()
	o := guest.Options{User: user, Database: "postgres", NoSync: srv.temp || spec.Fast, Params: e.params(spec.Params, srv.temp || spec.Fast, e.buffers(srv.temp))}
	o.Setup = func(p *emscripten.Process) { p.Stderr = &logWriter{log: e.log, keep: p.Stderr.Write} }
	if srv.temp {
		in, err = srv.startTemp(ctx, spec, user, o)
	} else {
		in, err = srv.startDir(ctx, spec, user, o)
	}
	if err != nil {
		return nil, err
	}
	limits := e.cfg.limits()
	if srv.b, err = newBackend(in, "postgres", srv.info.User, limits, e.log); err != nil {
		return nil, err
	}
	srv.b.reboot = func(ctx context.Context, database string) (*guest.Instance, error) {
		old := srv.b.in
		if err := old.Shutdown(); err != nil {
			return nil, err
		}
		old.Close()
		o.Database, o.User = database, srv.info.User
		return l.rt.Boot(ctx, srv.m.fs, o)
	}
	if spec.TCP != "" {
		if err := srv.listen(spec.TCP); err != nil {
			return nil, err
		}
	}
	e.mu.Lock()
	e.servers++
	e.mu.Unlock()
	srv.wg.Go(srv.b.run)
	srv.wg.Go(func() {
		<-srv.b.done
		// A guest that ended by itself is put away at once; its directory is free.
		_ = srv.shut(context.Background())
	})
	e.log.Info("server started", "engine", "wasm", "dir", srv.info.Dir)
	return srv, nil
}

// startTemp starts from the snapshot, or where other parameters are wanted, boots over a
// copy-on-write view.
func (s *Server) startTemp(ctx context.Context, spec engines.Spec, user string, o guest.Options) (*guest.Instance, error) {
	if spec.MustExist {
		return nil, fmt.Errorf("%w: a temporary directory never exists before", engines.ErrNotExist)
	}
	e := s.e
	if spec.Template != "" {
		if err := checkVersion(spec.Template); err != nil {
			return nil, notExist(spec.Template, err)
		}
		if err := s.openMounts("", spec.Template); err != nil {
			return nil, err
		}
		return s.l.rt.Boot(ctx, s.m.fs, o)
	}
	t, err := e.template(ctx, s.l, user)
	if err != nil {
		return nil, err
	}
	if len(spec.Params) == 0 && e.cfg.SharedBuffers == "" {
		if err := s.openMounts("", t.live()); err != nil {
			return nil, err
		}
		in, err := s.l.rt.Restore(ctx, s.m.fs, t.snapshot())
		if err == nil {
			in.Proc.Stderr = &logWriter{log: e.log}
			return in, nil
		}
		e.log.Warn("the snapshot cannot be used; booting instead", "error", err)
		if err := s.m.close(); err != nil {
			return nil, err
		}
		s.m = nil
	}
	if err := s.openMounts("", t.data()); err != nil {
		return nil, err
	}
	return s.l.rt.Boot(ctx, s.m.fs, o)
}

func (s *Server) openMounts(dir, lower string) (err error) {
	s.m, err = s.e.mount(s.l, dir, lower)
	if err == nil && dir == "" {
		s.info.Dir = s.m.tmp
	}
	return err
}

// startDir starts in a directory that lasts, making it first if need be.
func (s *Server) startDir(ctx context.Context, spec engines.Spec, user string, o guest.Options) (*guest.Instance, error) {
	dir, err := filepath.Abs(spec.Dir)
	if err != nil {
		return nil, err
	}
	s.info.Dir = dir
	control := place.Control(dir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && spec.MustExist {
		return nil, fmt.Errorf("%w: %s", engines.ErrNotExist, dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	if err := place.Private(control); err != nil {
		return nil, err
	}
	if s.lock, err = dirlock.TryExclusive(filepath.Join(control, "owner.lock")); err != nil {
		if errors.Is(err, dirlock.ErrHeld) {
			err = fmt.Errorf("%w: %s; stop the other server, or choose another directory", engines.ErrLocked, dir)
		}
		return nil, err
	}
	switch err := checkVersion(dir); {
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case spec.MustExist:
		return nil, notExist(dir, err)
	default:
		if err := s.create(ctx, dir, spec.Template, user); err != nil {
			return nil, fmt.Errorf("create %s: %w", dir, err)
		}
	}
	if owner, err := os.ReadFile(filepath.Join(control, "user")); err == nil && len(owner) > 0 {
		user = string(trim(owner))
		s.info.User, o.User = user, user
	}
	if err := s.openMounts(dir, ""); err != nil {
		return nil, err
	}
	in, err := s.l.rt.Boot(ctx, s.m.fs, o)
	var boot *guest.BootError
	if errors.As(err, &boot) {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return in, err
}

func notExist(dir string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s has no PG_VERSION", engines.ErrNotExist, dir)
	}
	return err
}

// create makes a data directory beside its place and moves it there. What a killed
// creation left is taken away; the lock is held.
func (s *Server) create(ctx context.Context, dir, from, user string) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("the directory is not empty and holds no cluster (it has %s); name another one, or empty it", entries[0].Name())
	}
	tmp := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp")
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // gone after the rename
	if from == "" {
		t, err := s.e.template(ctx, s.l, user)
		if err != nil {
			return err
		}
		from = t.data()
	} else if err := checkVersion(from); err != nil {
		return notExist(from, err)
	}
	s.e.say("create " + dir)
	if err := copyDir(ctx, from, tmp, true); err != nil {
		return err
	}
	// The superuser's name is in the catalog, where nobody can ask before connecting.
	if user != "postgres" {
		if err := os.WriteFile(filepath.Join(place.Control(dir), "user"), []byte(user+"\n"), 0o600); err != nil {
			return err
		}
	}
	return os.Rename(tmp, dir)
}

func (e *Engine) buffers(temp bool) string {
	switch {
	case e.cfg.SharedBuffers != "":
		return e.cfg.SharedBuffers
	case temp:
		return "8MB"
	}
	return "16MB"
}

// params returns the server's parameters as for -c, ours first.
func (e *Engine) params(set map[string]string, fast bool, buffers string) []string {
	out := []string{"shared_buffers=" + buffers, "log_min_messages=fatal", "log_min_error_statement=panic", "min_wal_size=2MB", "max_wal_size=64MB"}
	if fast {
		out = append(out, "synchronous_commit=off", "full_page_writes=off")
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		out = append(out, name+"="+set[name])
	}
	return out
}

// logWriter hands the guest's log to a logger line by line.
type logWriter struct {
	log  *slog.Logger
	keep func(b []byte) (int, error)
	line []byte
}

func (w *logWriter) Write(b []byte) (int, error) {
	if w.keep != nil {
		_, _ = w.keep(b)
	}
	w.line = append(w.line, b...)
	for {
		i := bytes.IndexByte(w.line, '\n')
		if i < 0 {
			return len(b), nil
		}
		w.log.Debug("postgres", "line", strings.TrimSpace(string(w.line[:i])))
		w.line = w.line[i+1:]
	}
}
