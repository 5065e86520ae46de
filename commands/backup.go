package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/backup"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// backupCmd backs a cluster up.
type backupCmd struct {
	target
	Into string `required:"" placeholder:"DIR" type:"dir" complete:"dir" help:"The backup directory; made if it is missing."`
	Keep *int   `placeholder:"N" help:"Afterwards remove all but the newest N base backups, and the log that only they need."`
	List bool   `xor:"what" help:"List what is there instead."`
	Stop bool   `xor:"what" help:"Stop archiving to it instead."`
	JSON bool   `help:"With --list: print JSON."`
}

// Run takes a base backup and sees to it that the cluster archives its log from now on.
func (c *backupCmd) Run(ctx context.Context, env *Env) (err error) {
	into, err := filepath.Abs(c.Into)
	if err != nil {
		return err
	}
	switch {
	case c.List:
		return listBackups(env, into, c.JSON)
	case c.Keep != nil && *c.Keep < 1:
		return usageError("--keep must be at least 1")
	}
	o, err := openExisting(ctx, env, c.target, nil, "backup")
	if err != nil {
		return err
	}
	srv, err := open(ctx, env, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close(context.WithoutCancel(ctx))) }()
	if info := srv.Info(); !info.Can.Has(engines.CanArchive | engines.CanReplicate) {
		return fmt.Errorf("back up: the %s engine archives no log; dump it instead: %w", info.Engine, engines.ErrUnsupported)
	}
	a, err := c.archive(ctx, env, o, srv, into)
	if a != nil {
		srv = a.srv
	}
	if err != nil || c.Stop {
		return err
	}
	show, stop := copyProgress(env, "back up")
	base, err := backup.Take(ctx, srv, into, show)
	stop()
	if err != nil && a != nil && a.before == nil {
		// Also when interrupted: a command that failed leaves the cluster as it was.
		return errors.Join(err, a.undo(context.WithoutCancel(ctx), env, &srv))
	}
	if err != nil {
		return err
	}
	env.UI.Printf("%s\n", base.Dir)
	if c.Keep == nil {
		return nil
	}
	removed, segments, err := backup.Prune(ctx, srv, into, *c.Keep)
	if len(removed) > 0 {
		env.UI.Note("removed %d older base backups and %d segments", len(removed), segments)
	}
	return err
}

// An archiving is a change of where a cluster archives to.
type archiving struct {
	m      *cluster.Manager
	srv    *cluster.Server  // restarted
	req    cluster.Request  // how
	before *cluster.Archive // nil: nowhere
}

// archive makes the cluster archive into the directory, or no more. A change needs a
// restart, of which the new server comes back; nil means that it is so already.
func (c *backupCmd) archive(ctx context.Context, env *Env, o opening, srv *cluster.Server, into string) (*archiving, error) {
	dir := srv.Info().Dir
	st, err := cluster.Inspect(ctx, dir)
	if err != nil {
		return nil, err
	}
	if st.Archive != nil && st.Archive.Dir != into {
		return nil, fmt.Errorf("the cluster archives to %s already; end that first: pgx-dev backup %s --into %s --stop", st.Archive.Dir, st.Name, shellQuote(st.Archive.Dir))
	}
	want, command := (*cluster.Archive)(nil), ""
	if !c.Stop {
		program, err := installArchiver(st.Control)
		if err != nil {
			return nil, err
		}
		command = backup.ArchiveCommand([]string{program, "archive-wal"}, into)
		want = &cluster.Archive{Dir: into, Command: command}
	}
	same := st.Spec != nil && st.Spec.Params["archive_command"] == command && (st.Archive == nil) == (want == nil)
	switch {
	case same:
	case st.Temp:
		return nil, fmt.Errorf("back up: a temporary cluster is gone when it stops; start it without --temp: %w", engines.ErrUnsupported)
	case len(st.Users) > 1:
		return nil, fmt.Errorf("archiving begins and ends with a restart, and %d others use the cluster: %w", len(st.Users)-1, engines.ErrLocked)
	}
	if !c.Stop {
		// Last, because it makes the directory.
		if err := backup.Check(ctx, srv, into); err != nil {
			return nil, err
		}
	}
	if same {
		return nil, nil
	}
	m, err := manager(env)
	if err != nil {
		return nil, err
	}
	req, err := o.request(ctx, env)
	if err != nil {
		return nil, err
	}
	running := srv.Spec()
	req.Spec.Params, req.Spec.Fast, req.Spec.TCP = withoutArchive(running.Params), running.Fast, running.TCP
	a := &archiving{m: m, req: req, before: st.Archive}
	if err := m.SetArchive(ctx, dir, want); err != nil {
		return nil, err
	}
	if a.srv, err = m.Restart(ctx, srv, req); err == nil {
		return a, nil
	}
	ctx = context.WithoutCancel(ctx)
	err = errors.Join(err, m.SetArchive(ctx, dir, a.before))
	if !st.Pinned || errors.Is(err, engines.ErrLocked) {
		return nil, err
	}
	// It was stopped, perhaps, and should run whether or not this goes well.
	again, openErr := m.Open(ctx, req)
	if openErr != nil {
		return nil, errors.Join(err, openErr)
	}
	a.srv = again
	return a, errors.Join(err, again.Pin(ctx, o.config.Idle))
}

// undo ends an archiving that was begun for nothing. srv is the server, and then the one
// that it is restarted as; with other users by now it goes on.
func (a *archiving) undo(ctx context.Context, env *Env, srv **cluster.Server) error {
	if err := a.m.SetArchive(ctx, (*srv).Info().Dir, a.before); err != nil {
		return err
	}
	switch next, err := a.m.Restart(ctx, *srv, a.req); {
	case err == nil:
		*srv = next
	case errors.Is(err, engines.ErrLocked):
		env.UI.Note("note: the cluster archives until it stops, because others use it by now")
	default:
		return fmt.Errorf("end archiving: %w", err)
	}
	return nil
}

func withoutArchive(params map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range params {
		if k != "archive_mode" && k != "archive_command" && k != "archive_timeout" {
			out[k] = v
		}
	}
	return out
}

// installArchiver puts a copy of this program beside the data directory, because the
// server runs it for as long as the cluster lives, and this one may be gone by then: "go
// run" deletes it at its end.
func installArchiver(control string) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	in, err := os.Open(exe)
	if err != nil {
		return "", fmt.Errorf("install the archiver: %w", err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(control, ".archiver.tmp-*")
	if err != nil {
		return "", fmt.Errorf("install the archiver: %w", err)
	}
	defer func() { _ = os.Remove(out.Name()) }()
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Chmod(0o700), out.Close()); err != nil {
		return "", fmt.Errorf("install the archiver: %w", err)
	}
	path := filepath.Join(control, "pgx-dev")
	return path, os.Rename(out.Name(), path)
}

func listBackups(env *Env, dir string, asJSON bool) error {
	bases, err := backup.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no backup directory %s: %w", dir, engines.ErrNotExist)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(env, bases)
	}
	t := ui.NewTable(">BASE", "BEGUN", "COMPLETE", "FIRST WAL", "DIRECTORY")
	for _, b := range bases {
		t.Row(fmt.Sprint(b.Number), b.Start.Format(time.RFC3339), b.End.Format(time.RFC3339), b.FirstWAL, b.Dir)
	}
	env.UI.Table(t)
	return nil
}

// copyProgress shows how far a copy is.
func copyProgress(env *Env, label string) (show func(backup.Progress), stop func()) {
	p := env.UI.Progress(label, ui.Bytes)
	return func(b backup.Progress) { p.Set(b.Bytes, max(b.Total, b.Bytes)) }, p.Stop
}

// archiveWALCmd is what a server's archive_command runs.
type archiveWALCmd struct {
	Src string `arg:""`
	Dst string `arg:""`
}

// Run copies one segment.
func (c *archiveWALCmd) Run() error { return backup.ArchiveWAL(c.Src, c.Dst) }
