package commands

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/lease/databases"
)

// A janitor is a process of ours that drops the databases of this one when it was killed,
// on a server that outlives it: somebody else's, or a cluster with other users. It waits for
// the end of its standard input.
type janitor struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

// A janitorJob is the first line that it reads. It may hold a password, so it is no
// argument.
type janitorJob struct {
	Pool lease.PoolConfig `json:"pool"`
	Tag  string           `json:"tag"`
}

// janitorPatience is how long a janitor tries: the server has to notice the death first.
const janitorPatience = 2 * time.Minute

// dismissed is what the janitor of a process reads that has dropped everything itself.
const dismissed = "dismissed\n"

// needsJanitor reports whether a pool's server outlives us with our databases on it. A
// temporary cluster ends with its last user.
func needsJanitor(p lease.PoolConfig) bool { return p.URL != "" || p.Cluster != "" }

// startJanitor starts the janitor of a pool.
func startJanitor(env *Env, p lease.PoolConfig, tag string) (*janitor, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find our own program: %w", err)
	}
	args := []string{"lease", "janitor"}
	if c, err := env.Config(); err == nil && c.Path != "" {
		args = append(args, "--config", absolute(c.Path))
	}
	if dir := env.globals.StateDir; dir != "" {
		args = append(args, "--state-dir", absolute(dir))
	}
	for _, o := range env.globals.Option {
		args = append(args, "-o", o)
	}
	j := &janitor{cmd: exec.Command(exe, args...)} // not CommandContext: it outlives us
	j.cmd.Env = env.Environ()
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no Ctrl-C, no hangup
	if j.in, err = j.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := j.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the process that cleans up after us: %w", err)
	}
	if err := json.NewEncoder(j.in).Encode(janitorJob{p, tag}); err != nil {
		return nil, errors.Join(fmt.Errorf("tell the process that cleans up after us: %w", err), j.dismiss())
	}
	return j, nil
}

// dismiss ends the janitor without its having to do anything.
func (j *janitor) dismiss() error {
	_, err := io.WriteString(j.in, dismissed)
	err = errors.Join(err, j.in.Close())
	if waitErr := j.cmd.Wait(); waitErr != nil {
		return fmt.Errorf("the process that cleans up after us: %w", waitErr)
	}
	return err
}

// leaseJanitorCmd is what a janitor runs.
type leaseJanitorCmd struct{}

// Run waits for the death of the process that started it.
func (*leaseJanitorCmd) Run(ctx context.Context, env *Env) error {
	closeInherited()
	in := bufio.NewReader(env.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return nil //nolint:nilerr // it died before it had a database
	}
	var job janitorJob
	if err := json.Unmarshal(line, &job); err != nil {
		return fmt.Errorf("read what there is to clean up: %w", err)
	}
	if rest, err := io.ReadAll(in); err != nil || string(rest) == dismissed {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, janitorPatience)
	defer cancel()
	p := job.Pool.WithDefaults()
	if p.URL == "" {
		if running, err := clusterRuns(ctx, env, p.Cluster); err != nil || !running {
			return err // whoever starts it next sweeps
		}
	}
	open, err := (&leaseFlags{Count: -1}).opener(env, p)
	if err != nil {
		return err
	}
	return databases.SweepDead(ctx, databases.Config{Pool: p, Logger: env.Log}, open, job.Tag)
}

func clusterRuns(ctx context.Context, env *Env, name string) (bool, error) {
	dir, _, err := target{Name: nameArg(name)}.resolve(env)
	if err != nil {
		return false, err
	}
	st, err := cluster.Inspect(ctx, dir)
	return st.State == cluster.Running, err
}
