package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wholefile"
)

// A Manager opens clusters that are shared between processes. It is safe for concurrent
// use. Processes that share a cluster need Managers alike in Command and NewEngine.
type Manager struct {
	// Command runs a supervisor: a program and its arguments that call Supervise with
	// the process's standard input and output. Required for Open.
	Command []string
	// Env is added to the supervisor's environment.
	Env []string
	// NewEngine returns the engine of a name, configured by what
	// Request.EngineConfigs said. Required for Supervise.
	NewEngine func(name string, config json.RawMessage, log *slog.Logger) (engines.Engine, error)
	// Logger gets what the Manager and its supervisors have to say. Default: none.
	Logger *slog.Logger
}

func (m *Manager) log() *slog.Logger {
	if m.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Logger
}

// A Request says which cluster to open and how to start it if it does not run.
type Request struct {
	// Engine is the engine's name, as NewEngine knows it. Default: the one that made the
	// cluster, else native. Another than the one that made it is an error.
	Engine string
	// EngineConfigs hold, by the engine's name, what is handed to NewEngine in the
	// supervisor.
	EngineConfigs map[string]json.RawMessage
	// Spec is the server to start. Its Dir must be set; see Manager.OpenTemp for
	// temporary ones.
	Spec engines.Spec
	// Label says in a status what the user does, for instance "up" or "psql".
	Label string
	// MustRun makes a cluster that does not run an error wrapping engines.ErrNotExist.
	MustRun bool
}

// DefaultEngine makes clusters where no other is asked for.
const DefaultEngine = "native"

// engineFor returns the engine for a cluster of which r is remembered.
func (r Request) engineFor(rec record) (string, error) {
	if rec.Engine != "" && r.Engine != "" && r.Engine != rec.Engine {
		return "", fmt.Errorf("it was made by the %s engine, whose files the %s engine cannot read; leave --engine out, or choose another name", rec.Engine, r.Engine)
	}
	return cmp.Or(r.Engine, rec.Engine, DefaultEngine), nil
}

// Accept returns an error if the cluster of which st tells cannot be opened by the engine
// that r asks for.
func (r Request) Accept(st Status) error {
	if _, err := r.engineFor(record{Engine: st.Engine}); err != nil {
		return fmt.Errorf("open cluster %s: %w", st.Dir, err)
	}
	return nil
}

// Open returns the running server of a data directory, which it creates and starts where
// need be. The caller is a user of it until it calls Close or ends. Open waits while
// another process starts, stops or destroys the cluster. Errors wrap those of
// engines.Engine.Start.
func (m *Manager) Open(ctx context.Context, req Request) (*Server, error) {
	if req.Spec.Dir == "" {
		return nil, errors.New("open cluster: no data directory given")
	}
	f, err := at(req.Spec.Dir)
	if err != nil {
		return nil, fmt.Errorf("open cluster: %w", err)
	}
	req.Spec.Dir = f.dir
	if req.Spec.MustExist || req.MustRun {
		// Nothing is made, not even a control directory, for what is not there.
		if !f.exists() {
			return nil, fmt.Errorf("open cluster %s: %w", f.dir, engines.ErrNotExist)
		}
	}
	_, err = os.Lstat(f.control)
	fresh := errors.Is(err, fs.ErrNotExist)
	trans, err := m.lockTrans(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("open cluster %s: %w", f.dir, err)
	}
	defer func() { _ = trans.Unlock() }()
	srv, err := m.openLocked(ctx, f, req, job{Spec: req.Spec})
	if err != nil && fresh {
		err = errors.Join(err, f.leaveNothing())
	}
	return srv, err
}

// leaveNothing removes the control directory of a cluster that could not be made, unless its
// supervisor has not quite ended. The caller holds trans.lock.
func (f files) leaveNothing() error {
	if alive, err := f.supervised(); err != nil || alive || f.exists() {
		return err
	}
	return f.removeControl()
}

// openLocked is Open under trans.lock. j says what is special about a new supervisor.
func (m *Manager) openLocked(ctx context.Context, f files, req Request, j job) (*Server, error) {
	for {
		run, err := m.current(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("open cluster %s: %w", f.dir, err)
		}
		if run == nil {
			break
		}
		if !f.exists() {
			return nil, fmt.Errorf("open cluster %s: its data directory is gone while its server runs; end that first (pgx-dev down): %w", f.dir, engines.ErrLocked)
		}
		srv, err := m.attach(ctx, f, run, req)
		if err == nil {
			return srv, nil
		}
		if !gone(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("open cluster %s: %w", f.dir, err)
		}
		// It broke just now, or its socket did; when it has gone it is started again.
		if err := f.endBroken(ctx, run); err != nil {
			return nil, fmt.Errorf("open cluster %s: %w", f.dir, err)
		}
	}
	if req.MustRun {
		return nil, fmt.Errorf("cluster %s does not run: %w", f.dir, engines.ErrNotExist)
	}
	if req.Spec.MustExist && !f.exists() {
		return nil, fmt.Errorf("open cluster %s: %w", f.dir, engines.ErrNotExist)
	}
	r, err := f.readRecord()
	if err != nil {
		return nil, err
	}
	if r.Temp && !j.Destroy {
		return nil, fmt.Errorf("open cluster %s: it is temporary, and about to be destroyed: %w", f.dir, engines.ErrNotExist)
	}
	run, err := m.start(ctx, f, req, j)
	if err != nil {
		return nil, err
	}
	return m.attach(ctx, f, run, req)
}

// start starts a supervisor, under trans.lock.
func (m *Manager) start(ctx context.Context, f files, req Request, j job) (*running, error) {
	if !f.exists() {
		if err := f.forget(); err != nil {
			return nil, err
		}
	}
	if err := f.sweepControls(); err != nil {
		m.log().Warn("remove what killed processes left", "err", err)
	}
	r, err := f.readRecord()
	if err != nil {
		return nil, err
	}
	if j.Engine, err = req.engineFor(r); err != nil {
		return nil, fmt.Errorf("start cluster %s: %w", f.dir, err)
	}
	j.EngineConfig = req.EngineConfigs[j.Engine]
	j.Spec.TCP = tcpOr(j.Spec.TCP, r.Port)
	if r.Archive != nil {
		if err := r.Archive.contradicted(j.Spec.Params); err != nil {
			return nil, fmt.Errorf("start cluster %s: %w", f.dir, err)
		}
		j.Spec.Params = maps.Clone(j.Spec.Params)
		if j.Spec.Params == nil {
			j.Spec.Params = map[string]string{}
		}
		j.Spec.Params["archive_mode"] = "on"
		j.Spec.Params["archive_command"] = r.Archive.Command
		if _, set := j.Spec.Params["archive_timeout"]; !set {
			j.Spec.Params["archive_timeout"] = "60s" // what a lost disk may cost
		}
	}
	run, err := m.spawn(ctx, f, j)
	if err != nil {
		return nil, err
	}
	return run, f.remember(j.Engine, run.Info)
}

// current returns what runs now, or nil, having waited for the end of a supervisor that
// is not going to be ready. The caller holds trans.lock.
func (m *Manager) current(ctx context.Context, f files) (*running, error) {
	alive, err := f.supervised()
	if err != nil {
		return nil, err
	}
	if alive {
		run, err := readRunning(f)
		if err != nil {
			return nil, err
		}
		if run != nil {
			return run, nil
		}
		// Its starter died: else the starter would hold trans.lock. It gives up, or
		// stops, by itself.
		if err := f.awaitEnd(ctx); err != nil {
			return nil, err
		}
	}
	// What a killed supervisor left.
	if err := os.Remove(f.run()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return nil, nil
}

func readRunning(f files) (*running, error) {
	var run running
	switch err := wholefile.ReadJSON(f.run(), &run); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &run, nil
}

// attach makes the caller a user of what runs. The caller holds trans.lock.
func (m *Manager) attach(ctx context.Context, f files, run *running, req Request) (*Server, error) {
	c, err := dialControl(ctx, run.Socket)
	if err != nil {
		return nil, err
	}
	user := &User{PID: os.Getpid(), Label: req.Label, Since: time.Now()}
	if _, err := run.ask(ctx, c, request{Cmd: "attach", User: user}); err != nil {
		_ = c.Close()
		return nil, err
	}
	return newServer(m, f, run, c), nil
}

// StopOptions say whom a Stop may harm. The zero value cuts off the users of a cluster whose
// supervisor answers.
type StopOptions struct {
	// Why is what the users are told. Default: "down".
	Why string
	// OnlyIdle leaves a cluster alone that has users.
	OnlyIdle bool
	// Kill ends a supervisor that does not answer, a postmaster that is stopped (SIGSTOP) and
	// one that does not shut down in 5 s, in the end by SIGKILL: the server then recovers from
	// its write-ahead log at the next start. Without it a stopped postmaster is an error.
	Kill bool
}

// Stop stops a running cluster, whoever uses it. It returns how many users were cut off,
// and an error wrapping engines.ErrNotExist where there is no cluster. Stopping a stopped
// cluster does nothing.
//
// A server that pgx-dev did not start, and what opts do not allow, is left alone: the error
// wraps engines.ErrLocked.
func (m *Manager) Stop(ctx context.Context, dir string, opts StopOptions) (users int, err error) {
	f, err := at(dir)
	if err != nil {
		return 0, err
	}
	if !f.exists() {
		// A server may outlive its data directory, which somebody removed.
		if alive, err := f.supervised(); err != nil || !alive {
			return 0, fmt.Errorf("stop cluster %s: %w", dir, cmp.Or(err, engines.ErrNotExist))
		}
	}
	if opts.Kill {
		if err := f.killSilent(ctx); err != nil {
			return 0, fmt.Errorf("stop cluster %s: %w", dir, err)
		}
	}
	trans, err := m.lockTrans(ctx, f)
	if err != nil {
		return 0, fmt.Errorf("stop cluster %s: %w", dir, err)
	}
	defer func() { _ = trans.Unlock() }()
	if opts.OnlyIdle {
		if err := m.checkUnused(ctx, f); err != nil {
			return 0, fmt.Errorf("stop cluster %s: %w", dir, err)
		}
	}
	opts.Why = cmp.Or(opts.Why, "down")
	users, err = m.stopLocked(ctx, f, opts)
	if err == nil && f.exists() {
		err = f.unoccupied(ctx)
	}
	return users, err
}

// checkUnused returns an error wrapping engines.ErrLocked if the cluster has users. The
// caller holds trans.lock.
func (m *Manager) checkUnused(ctx context.Context, f files) error {
	run, err := m.current(ctx, f)
	if err != nil || run == nil {
		return err
	}
	status, err := run.askOnce(ctx, request{Cmd: "status"})
	if err != nil && !gone(err) {
		return err
	}
	if n := len(status.Users); n > 0 {
		return fmt.Errorf("it has %d users: %w", n, engines.ErrLocked)
	}
	return nil
}

// stopLocked is Stop under trans.lock.
func (m *Manager) stopLocked(ctx context.Context, f files, opts StopOptions) (users int, err error) {
	run, err := m.current(ctx, f)
	if err != nil || run == nil {
		return 0, err
	}
	status, err := run.askOnce(ctx, request{Cmd: "status"})
	if err == nil {
		users = len(status.Users)
		if pid := run.frozen(); pid != 0 && !opts.Kill {
			return users, fmt.Errorf("stop cluster %s: %w", f.dir, &frozenError{pid})
		}
		_, err = run.askOnce(ctx, request{Cmd: "stop", Why: opts.Why, Kill: opts.Kill})
	}
	switch {
	case err == nil:
		err = f.awaitEnd(ctx)
	case gone(err):
		err = f.endBroken(ctx, run)
	}
	if _, silent := errors.AsType[*silentError](err); silent && opts.Kill {
		err = f.killSupervisor(ctx, run)
	}
	if err != nil {
		return users, fmt.Errorf("stop cluster %s: %w", f.dir, err)
	}
	return users, nil
}

// Destroy stops a cluster and removes its data directory and all that goes with it. While
// it has users, or its supervisor does not answer, it does so only if force is set, else the
// error wraps engines.ErrLocked.
func (m *Manager) Destroy(ctx context.Context, dir string, force bool) error {
	f, err := at(dir)
	if err != nil {
		return err
	}
	if err := f.acceptable(); err != nil {
		return fmt.Errorf("destroy cluster: %w", err)
	}
	if _, err := os.Lstat(f.control); err != nil && !f.exists() {
		return fmt.Errorf("destroy cluster %s: %w", dir, engines.ErrNotExist)
	}
	if force {
		if err := f.killSilent(ctx); err != nil {
			return fmt.Errorf("destroy cluster %s: %w", dir, err)
		}
	}
	trans, err := m.lockTrans(ctx, f)
	if err != nil {
		return fmt.Errorf("destroy cluster %s: %w", dir, err)
	}
	defer func() { _ = trans.Unlock() }()
	return m.destroyLocked(ctx, f, force)
}

func (m *Manager) destroyLocked(ctx context.Context, f files, force bool) error {
	if !force {
		if err := m.checkUnused(ctx, f); err != nil {
			return fmt.Errorf("destroy cluster %s: %w", f.dir, err)
		}
	}
	if _, err := m.stopLocked(ctx, f, StopOptions{Why: "destroy", Kill: force}); err != nil {
		return err
	}
	if err := f.unoccupied(ctx); err != nil {
		return fmt.Errorf("destroy cluster %s: %w", f.dir, err)
	}
	return removeCluster(f)
}
