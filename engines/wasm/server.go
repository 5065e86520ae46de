package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
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

	params map[string]string // of the Spec

	madeControl, madeDir string        // what a Start that fails takes away again
	wasEmpty             bool          // madeDir was an empty directory before
	freeTemplate         func() error  // gives a template back
	boot                 guest.Options // how to boot it anew
	last                 *moment       // what the last Clone was made from; used on the guest's goroutine

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
	srv, err := e.start(ctx, spec, nil)
	if err != nil {
		return nil, fmt.Errorf("start the WebAssembly engine: %w", err)
	}
	return srv, nil
}

// start starts a server as spec says, or, where that is not nil, from what was frozen.
func (e *Engine) start(ctx context.Context, spec engines.Spec, from *frozen) (_ *Server, err error) {
	version, num, major := pglite.ServerVersion()
	if v := spec.Version; v != "" && v != major && v != version {
		return nil, fmt.Errorf("%w: version %q is wanted, and this engine has %s only", engines.ErrNoRuntime, v, version)
	}
	user, database := spec.User, "postgres"
	if user == "" {
		user = "postgres"
	}
	if from != nil {
		database = from.Database
	}
	if err := errors.Join(checkUser(user), checkParams(spec.Params)); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	l, err := e.load(ctx)
	if err != nil {
		return nil, err
	}
	srv := &Server{e: e, l: l, temp: spec.Dir == "", params: spec.Params, done: make(chan struct{}), info: engines.Info{
		Engine: "wasm", Version: version, VersionNum: num, User: user, Database: database, MaxConns: e.cfg.limits().maxClients,
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
			err = errors.Join(err, srv.undo())
		}
	}()
	o := guest.Options{User: user, Database: database, NoSync: srv.temp || spec.Fast, Params: e.params(spec.Params, srv.temp || spec.Fast, e.buffers(srv.temp))}
	o.Setup = func(p *emscripten.Process) {
		p.HeapMax = uint64(e.cfg.MaxMemory) << 20
		p.Stderr = &logWriter{log: e.log, keep: p.Stderr.Write}
	}
	switch {
	case from != nil:
		in, err = srv.thaw(ctx, from)
	case srv.temp:
		in, err = srv.startTemp(ctx, spec, user, o)
	default:
		in, err = srv.startDir(ctx, spec, user, o)
	}
	if err != nil {
		return nil, err
	}
	srv.boot = o
	if err = srv.attach(in, database); err != nil {
		return nil, err
	}
	if spec.TCP != "" {
		if err := srv.listen(spec.TCP); err != nil {
			return nil, err
		}
	}
	srv.launch()
	return srv, nil
}

// attach makes the backend of a guest that is connected to a database.
func (s *Server) attach(in *guest.Instance, database string) (err error) {
	if s.b, err = newBackend(in, database, s.info.User, s.e.cfg.limits(), s.e.log); err != nil {
		return err
	}
	s.b.reboot = func(ctx context.Context, database string) (*guest.Instance, error) {
		old := s.b.in
		if err := old.Shutdown(); err != nil {
			return nil, err
		}
		old.Close()
		o := s.boot
		o.Database, o.User = database, s.info.User
		return s.l.rt.Boot(ctx, s.m.fs, o)
	}
	return nil
}

// launch lets the backend run.
func (s *Server) launch() {
	s.e.mu.Lock()
	s.e.servers++
	s.e.mu.Unlock()
	s.wg.Go(s.b.run)
	s.wg.Go(func() {
		<-s.b.done
		// A guest that ended by itself is put away at once; its directory is free.
		_ = s.shut(context.Background())
	})
	s.e.log.Info("server started", "engine", "wasm", "dir", s.info.Dir)
}

// startTemp starts from the snapshot, or where other parameters are wanted, boots over a
// copy-on-write view.
func (s *Server) startTemp(ctx context.Context, spec engines.Spec, user string, o guest.Options) (*guest.Instance, error) {
	if spec.MustExist {
		return nil, fmt.Errorf("%w: a temporary directory never exists before", engines.ErrNotExist)
	}
	e := s.e
	if spec.Template != "" {
		free, err := lockTemplate(spec.Template)
		if err != nil {
			return nil, err
		}
		s.freeTemplate = free // the guest goes on reading it
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
		in, err := s.restore(ctx, t)
		if err == nil || s.m == nil {
			return in, err
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

// revive makes a guest from an image.
func (s *Server) revive(ctx context.Context, img *guest.Image) (*guest.Instance, error) {
	in, err := s.l.rt.Restore(ctx, s.m.fs, img)
	if err == nil {
		in.Proc.HeapMax = uint64(s.e.cfg.MaxMemory) << 20
		in.Proc.Stderr = &logWriter{log: s.e.log}
	}
	return in, err
}

func (s *Server) openMounts(dir, lower string) (err error) {
	s.m, err = s.e.mount(s.l, dir, lower)
	if err == nil && dir == "" {
		s.info.Dir = s.m.tmp
	}
	return err
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

// checkParams refuses parameters that ask for what the guest has not, and PostgreSQL would not
// refuse.
func checkParams(set map[string]string) error {
	for name, value := range set {
		if strings.EqualFold(name, "archive_mode") && !slices.Contains([]string{"off", "false", "no", "0"}, strings.ToLower(value)) {
			return fmt.Errorf("archive_mode = %s: the wasm engine archives no log: %w", value, engines.ErrUnsupported)
		}
	}
	return nil
}

// params returns the server's parameters as for -c, ours first.
func (e *Engine) params(set map[string]string, fast bool, buffers string) []string {
	// Nobody would archive what archive_mode keeps, wherever it is set.
	out := []string{"shared_buffers=" + buffers, "log_min_messages=fatal", "log_min_error_statement=panic", "min_wal_size=2MB", "max_wal_size=64MB", "archive_mode=off"}
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
