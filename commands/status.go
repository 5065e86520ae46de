package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// statusCmd shows what a cluster is at.
type statusCmd struct {
	target
	JSON bool `help:"Print JSON."`
}

// ExitStopped is status's exit code for a cluster that is there but does not run.
const ExitStopped = 1

// Run prints the status; the exit code is 0 if it runs, 1 if it is stopped, 3 if it is
// out of our hands, 4 if there is none.
func (c *statusCmd) Run(ctx context.Context, env *Env) error {
	dir, name, err := c.resolve(env)
	if err != nil {
		return err
	}
	st, err := cluster.Inspect(ctx, dir)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(env, st)
	} else {
		printStatus(env, st)
	}
	switch {
	case err != nil:
		return err
	case st.State == cluster.Missing && c.JSON:
		return &ExitError{Code: ExitNotExist}
	case st.State == cluster.Missing:
		return notThere(fmt.Errorf("%w", engines.ErrNotExist), c.target, name)
	case st.State == cluster.Stopped:
		return &ExitError{Code: ExitStopped}
	case st.State == cluster.Foreign:
		return fmt.Errorf("postmaster %d runs in %s, and pgx-dev did not start it: %w", st.Postmaster, st.Dir, engines.ErrLocked)
	case st.Supervisor != 0:
		return fmt.Errorf("the cluster's supervisor (process %d) does not answer: %w", st.Supervisor, engines.ErrLocked)
	}
	return nil
}

func printStatus(env *Env, st cluster.Status) {
	if st.State == cluster.Missing {
		return
	}
	t := ui.NewTable()
	t.Row("cluster", st.Name)
	t.Row("state", colourState(env, st.State))
	t.Row("version", st.Version)
	t.Row("directory", st.Dir)
	if st.Info != nil {
		t.Row("engine", st.Engine)
		t.Row("url", st.Info.URL(""))
		if st.Info.TCP != "" {
			t.Row("tcp", st.Info.TCP)
		}
		if st.Info.PID != 0 {
			t.Row("pid", fmt.Sprint(st.Info.PID))
		}
		if st.Info.LogFile != "" {
			t.Row("log", st.Info.LogFile)
		}
	}
	if st.Since != nil {
		t.Row("since", ago(*st.Since))
	}
	t.Row("kept", kept(st))
	for i, u := range st.Users {
		label := ""
		if i == 0 {
			label = "users"
		}
		t.Row(label, fmt.Sprintf("%s (pid %d) since %s", orDash(u.Label), u.PID, ago(u.Since)))
	}
	for i, run := range st.Init {
		label := ""
		if i == 0 {
			label = "init"
		}
		t.Row(label, run.File)
	}
	if st.Archive != nil {
		t.Row("archive", st.Archive.Dir)
	}
	env.UI.Table(t)
}

func kept(st cluster.Status) string {
	var words []string
	if st.Temp {
		words = append(words, "temporary")
	}
	if st.Pinned {
		words = append(words, "runs without users")
	}
	if st.Spec != nil && st.Spec.Fast {
		words = append(words, "fast, not durable")
	}
	return orDash(strings.Join(words, ", "))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func ago(t time.Time) string {
	return time.Since(t).Round(time.Second).String() + " ago"
}

func colourState(env *Env, s cluster.State) string {
	switch s {
	case cluster.Running:
		return env.UI.Good(string(s))
	case cluster.Busy:
		return env.UI.Caution(string(s))
	}
	return env.UI.Dim(string(s))
}

// lsCmd lists clusters.
type lsCmd struct {
	JSON bool `help:"Print JSON."`
}

// Run prints a line for each cluster of the project, temporary ones included.
func (c *lsCmd) Run(ctx context.Context, env *Env) error {
	dir, err := project(env)
	if err != nil {
		return err
	}
	names, err := cluster.Names(dir)
	if err != nil {
		return err
	}
	all := []cluster.Status{}
	var errs []error // of those that cannot be read; the others are listed all the same
	for _, name := range names {
		path, err := cluster.Find(dir, name)
		if err == nil {
			var st cluster.Status
			if st, err = cluster.Inspect(ctx, path); err == nil {
				all = append(all, st)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cluster %s: %w", name, err))
		}
	}
	if c.JSON {
		return errors.Join(append(errs, printJSON(env, all))...)
	}
	if len(names) == 0 {
		env.UI.Note("no clusters here; \"pgx-dev up\" makes one")
		return nil
	}
	t := ui.NewTable("NAME", "STATE", "VERSION", ">USERS", "KEPT", "URL")
	for _, st := range all {
		url := "-"
		if st.Info != nil {
			url = st.Info.URL("")
		}
		t.Row(st.Name, colourState(env, st.State), st.Version, fmt.Sprint(len(st.Users)), kept(st), url)
	}
	if len(all) > 0 {
		env.UI.Table(t)
	}
	return errors.Join(errs...)
}
