package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/lease/front"
)

// leaseServeCmd serves pools.
type leaseServeCmd struct {
	leaseFlags
	detachFlag
}

func (*leaseServeCmd) takesCommand() {}

// Help is the command's long help.
func (*leaseServeCmd) Help() string {
	return `With PGM_DATABASE_PREFIX and PGM_DATABASE_COUNT it lends names, exactly as pgmanager does. Otherwise it makes databases: of the config file's [[lease.pool]]s, or of one pool by these flags. See "pgx-dev help leases".`
}

// Run serves until interrupted, until a client asks it to end, or as long as the command
// behind "--" runs.
func (c *leaseServeCmd) Run(ctx context.Context, env *Env) error {
	if background, err := c.detaches(env); err != nil {
		return err
	} else if background {
		return detach(ctx, env)
	}
	return serveLeases(ctx, env, &c.leaseFlags, env.Command)
}

// leaseWrapCmd serves around a command.
type leaseWrapCmd struct {
	leaseFlags
}

func (*leaseWrapCmd) takesCommand() {}

// Help is the command's long help.
func (*leaseWrapCmd) Help() string {
	return `Usage: pgx-dev lease wrap -- CMD…. The command finds the socket in PGM_SOCKET and PGMANAGER_SOCKET.`
}

// Run runs the command behind "--" and ends with its exit code.
func (c *leaseWrapCmd) Run(ctx context.Context, env *Env) error {
	if len(env.Command) == 0 {
		return usageError("say which command to run: pgx-dev lease wrap -- CMD…")
	}
	return serveLeases(ctx, env, &c.leaseFlags, env.Command)
}

// serveLeases serves pools, alone or around a command.
func serveLeases(ctx context.Context, env *Env, f *leaseFlags, command []string) (err error) {
	plans, c, err := f.plan(env)
	if err != nil {
		return err
	}
	s := lease.NewServer(env.Log)
	closeCtx := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, s.Close(closeCtx)) }()
	var fronts []*front.Front
	defer func() {
		for _, fr := range fronts {
			err = errors.Join(err, fr.Close())
		}
	}()
	for _, plan := range plans {
		src, err := f.source(env, c, plan.config)
		if err != nil {
			return err
		}
		pool := lease.NewPool(plan.config, src, env.Log)
		if err := s.Add(plan.socket, pool); err != nil {
			return addError(err)
		}
		if plan.config.Listen != "" {
			fr, err := front.Listen(ctx, pool, front.Config{Address: plan.config.Listen, Dir: plan.socket + ".d", Grace: plan.config.Grace, Logger: env.Log})
			if err != nil {
				return fmt.Errorf("pool %s: %w", plan.config.Name, err)
			}
			fronts = append(fronts, fr)
			s.SetListen(plan.config.Name, fr.URL())
			if command == nil {
				env.UI.Note("pool %s also at %s", plan.config.Name, fr.URL())
			}
		}
	}
	if command != nil {
		vars := wrapEnv(plans[0].socket)
		if len(fronts) > 0 {
			vars = append(vars, fronts[0].Env()...)
		}
		return runLeased(ctx, env, command, vars, nil)
	}
	if err := env.ready(plans[0].socket); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-s.Draining():
	}
	drain := c.Lease.Drain
	if drain == 0 {
		drain = lease.DefaultDrain
	}
	timeout, cancel := context.WithTimeoutCause(closeCtx, drain, fmt.Errorf("leases were still held after %v", drain))
	defer cancel()
	if drainErr := s.Drain(timeout); drainErr != nil {
		env.UI.Warn("%v", drainErr)
	}
	summary(env, s.Status())
	return nil
}

// addError turns what Add says into advice.
func addError(err error) error {
	if errors.Is(err, engines.ErrLocked) {
		return fmt.Errorf("%w; see \"pgx-dev lease status\", or choose another by --socket", err)
	}
	return err
}

// summary says at the end, as pgmanager does, how much the pools were used.
func summary(env *Env, st lease.Status) {
	for _, p := range st.Pools {
		env.Log.Info("served", "pool", p.Name, "grants", p.Grants, "peak", p.Peak, "waited", seconds(p.WaitSum), "created", p.Created, "reused", p.Reused)
	}
}

// wrapEnv leads a command to a lease server. An inherited PGM_SOCKET would be stronger
// with pgmanager's client, so both are set.
func wrapEnv(socket string) []string {
	return []string{"PGM_SOCKET=" + socket, "PGMANAGER_SOCKET=" + socket}
}

// leaseFD is the descriptor that a command has of its lease: beyond those that scripts use.
const leaseFD = 40

// runLeased runs a command with a leased environment. leaseEnv may say DATABASE_URL; then
// nothing else may lead to a server.
//
// When this process is killed, Linux kills the command as well. What that has started goes
// on; it has inherited connection, if that is not nil, and with it the lease, so that
// nobody else gets the database meanwhile. When the command ends by itself the lease is
// ended by saying so, whatever the command may have left behind.
func runLeased(ctx context.Context, env *Env, argv, leaseEnv []string, connection *os.File) error {
	vars := leasedEnviron(env, leaseEnv)
	path, err := lookPath(argv[0], vars)
	if err != nil {
		return err
	}
	cmd := exec.Command(path)
	cmd.Args, cmd.Env = argv, vars
	if connection != nil {
		cmd.ExtraFiles = make([]*os.File, leaseFD-3+1)
		cmd.ExtraFiles[leaseFD-3] = connection
	}
	return runForeground(ctx, env, cmd)
}

func leasedEnviron(env *Env, leaseEnv []string) []string {
	server := false
	for _, kv := range leaseEnv {
		server = server || strings.HasPrefix(kv, "DATABASE_URL=")
	}
	var out []string
	for _, kv := range env.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		own := strings.HasPrefix(name, "PGM_") || strings.HasPrefix(name, "PGMANAGER_") || strings.HasPrefix(name, "PGX_DEV_")
		if server && (name == "DATABASE_URL" || strings.HasPrefix(name, "PG") && !own) {
			continue
		}
		if !setIn(leaseEnv, name) {
			out = append(out, kv)
		}
	}
	return append(out, leaseEnv...)
}

func setIn(vars []string, name string) bool {
	for _, kv := range vars {
		if strings.HasPrefix(kv, name+"=") {
			return true
		}
	}
	return false
}
