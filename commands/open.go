package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// opening is how a command opens a cluster.
type opening struct {
	target target
	config cluster.Config // already overlaid with flags
	strict bool           // a running cluster must be as config says
	temp   bool
	label  string
	must   bool // it must exist
}

// clusterConfig returns the configuration of a target, before flags.
func clusterConfig(env *Env, t target) (cluster.Config, error) {
	c, err := env.Config()
	if err != nil {
		return cluster.Config{}, err
	}
	name := string(t.Name)
	if name == "" {
		name = cluster.DefaultName
	}
	if !t.inProject(env) {
		return c.File.Cluster, nil
	}
	cfg, err := c.Cluster(name)
	if db := env.Getenv("PGDATABASE"); db != "" && cfg.Database == "" {
		cfg.Database = db
	}
	return cfg, err
}

// overrideDatabase sets the database to a --db flag's value, if the flag was given.
func overrideDatabase(cfg *cluster.Config, db *string) error {
	if db == nil {
		return nil
	}
	if *db == "" {
		return usageError("--db needs a name")
	}
	if err := cluster.CheckDatabase(*db); err != nil {
		return usageError("--db: %w", err)
	}
	cfg.Database = *db
	return nil
}

// open opens a cluster, creating and starting it where need be, and makes it what config
// asks for: its database, its first SQL files, its password. The caller closes it.
func open(ctx context.Context, env *Env, o opening) (*cluster.Server, error) {
	m, err := manager(env)
	if err != nil {
		return nil, err
	}
	if db := o.config.Database; db != "" { // from the configuration, or PGDATABASE
		if err := cluster.CheckDatabase(db); err != nil {
			return nil, usageError("%w", err)
		}
	}
	for _, path := range o.config.Init {
		if _, err := os.Stat(path); err != nil {
			return nil, usageError("the SQL file to start with: %w", err)
		}
	}
	req, err := o.request(ctx, env)
	if err != nil {
		return nil, err
	}
	srv, err := o.openServer(ctx, env, m, req)
	if err != nil {
		return nil, err
	}
	if err := o.prepare(ctx, env, srv, req); err != nil {
		return nil, errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
	}
	return srv, nil
}

func (o opening) request(ctx context.Context, env *Env) (cluster.Request, error) {
	c, err := env.Config()
	if err != nil {
		return cluster.Request{}, err
	}
	configs, err := engineConfigs(c.File)
	if err != nil {
		return cluster.Request{}, err
	}
	req := cluster.Request{
		Engine: o.config.Engine, EngineConfigs: configs, Label: o.label,
		Spec: engines.Spec{Version: o.config.PG, Params: o.config.Settings, MustExist: o.must},
	}
	if o.config.Fast != nil {
		req.Spec.Fast = *o.config.Fast
	} else {
		req.Spec.Fast = o.temp
	}
	if o.config.TCP {
		req.Spec.TCP = net.JoinHostPort("127.0.0.1", strconv.Itoa(o.config.Port))
	}
	if !o.temp {
		if req.Spec.Dir, _, err = o.target.resolve(env); err != nil {
			return req, err
		}
	}
	return req, ensureRuntime(ctx, env, c.Runtime, req)
}

// ensureRuntime fetches a PostgreSQL here, where progress can be shown, rather than in the
// supervisor.
func ensureRuntime(ctx context.Context, env *Env, cfg native.Config, req cluster.Request) error {
	made, constraint := req.Engine, req.Spec.Version
	if req.Spec.Dir != "" {
		st, err := cluster.Inspect(ctx, req.Spec.Dir)
		if err != nil || st.State == cluster.Running || st.State == cluster.Missing && req.Spec.MustExist {
			return err
		}
		if err := req.Accept(st); err != nil {
			return err
		}
		made = cmp.Or(made, st.Engine)
		if st.Version != "" && cmp.Or(made, cluster.DefaultEngine) == "native" {
			major, err := native.DirVersion(req.Spec.Dir)
			if err != nil {
				return err
			}
			constraint = cmp.Or(constraint, major)
		}
	}
	if cmp.Or(made, cluster.DefaultEngine) != "native" {
		return nil
	}
	if req.Spec.Dir != "" {
		if err := native.CheckVersion(req.Spec.Dir, req.Spec.Version); err != nil {
			return err
		}
	}
	steps := &stepper{env: env}
	defer steps.stop()
	engine := native.New(cfg, native.WithLogger(env.Log), native.WithProgress(steps.show))
	engine.SweepStore()
	_, err := engine.Select(ctx, constraint)
	return err
}

func (o opening) openServer(ctx context.Context, env *Env, m *cluster.Manager, req cluster.Request) (*cluster.Server, error) {
	if o.temp {
		project, err := project(env)
		if err != nil {
			return nil, err
		}
		if name := string(o.target.Name); name != "" {
			if _, err := os.Stat(filepath.Join(project, name)); err == nil {
				return nil, usageError("there is a cluster %s already, which is not temporary and would be hidden; choose another name, or leave --temp out", name)
			}
		}
		return m.OpenTemp(ctx, req, cluster.TempOptions{Name: string(o.target.Name), Project: project, Spare: o.config.Spare})
	}
	if o.target.inProject(env) && !o.must {
		if _, err := env.MakeStateDir(); err != nil {
			return nil, err
		}
	}
	srv, err := m.Open(ctx, req)
	if err != nil {
		_, name, _ := o.target.resolve(env)
		return nil, notThere(err, o.target, name)
	}
	return srv, nil
}

func (o opening) prepare(ctx context.Context, env *Env, srv *cluster.Server, req cluster.Request) error {
	if !o.strict {
		req.Spec.Fast = srv.Spec().Fast // what this command did not ask for
	}
	for _, d := range srv.Differs(req) {
		if o.strict {
			return fmt.Errorf("the cluster runs already and %s; stop it first (pgx-dev down), or leave that out: %w", d, engines.ErrLocked)
		}
		env.UI.Note("note: the cluster runs already and %s", d)
	}
	if port := srv.PortTaken(req); port != "" {
		env.UI.Note("note: another program has the TCP port; the cluster listens on %s", port)
	}
	if _, err := cluster.EnsureDatabase(ctx, srv, o.config.Database); err != nil {
		return err
	}
	if srv.Info().TCP != "" {
		if _, err := srv.PassFile(ctx); err != nil {
			return err
		}
	}
	left, err := srv.Init(ctx, o.config.Database, o.config.Init, func(path string) {
		env.Log.Info("run", "file", path)
	})
	for _, l := range left {
		env.UI.Note("note: %s is not run: %s", filepath.Base(l.File), l.Why)
	}
	return err
}

// A stepper shows the native engine's long work: a line for fetching a PostgreSQL, with
// its phases, and one for initdb. The engine may call it from several goroutines.
type stepper struct {
	env *Env

	mu   sync.Mutex
	work string
	line *ui.Progress
}

func (s *stepper) show(step native.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	work := "fetch PostgreSQL"
	switch {
	case step.Phase == "initdb":
		work = "initdb"
	case step.Phase == "download":
		work = "fetch " + step.Text
	case s.line != nil:
		work = s.work // the phases after the download
	}
	if work != s.work || s.line == nil {
		if s.line != nil {
			s.line.Stop()
		}
		s.work, s.line = work, s.env.UI.Progress(work, ui.Bytes)
	}
	s.line.Detail(step.Phase)
	s.line.Set(step.Bytes, step.Total)
}

func (s *stepper) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != nil {
		s.line.Stop()
	}
}
