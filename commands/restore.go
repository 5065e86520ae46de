package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/backup"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A timeFlag is a moment, as people, programs and PostgreSQL write one. Its zone must be said:
// the server's, this machine's and the reader's need not be the same.
type timeFlag struct{ time.Time }

// Decode reads the flag's value.
func (f *timeFlag) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("time", &text); err != nil {
		return err
	}
	for _, zone := range []string{"Z07:00", "Z07", "Z0700"} {
		for _, between := range []string{"T", " "} {
			t, err := time.Parse(time.DateOnly+between+time.TimeOnly+zone, text)
			if err == nil && !t.IsZero() { // which would be no target
				f.Time = t
				return nil
			}
		}
	}
	return fmt.Errorf("%q is not a time with its zone, such as 2026-01-31T18:00:00Z or \"2026-01-31 20:00:00+02\"", text)
}

// restoreCmd makes a cluster from a backup.
type restoreCmd struct {
	target
	From       string   `required:"" placeholder:"DIR" type:"dir" complete:"dir" help:"The backup directory."`
	Base       *int     `placeholder:"N" help:"Begin with this base backup (default: the newest before the target)."`
	TargetTime timeFlag `xor:"target" placeholder:"TIME" help:"Up to this time, as 2026-01-31T18:00:00Z or '2026-01-31 20:00:00+02'."`
	TargetName *string  `xor:"target" placeholder:"NAME" help:"Up to this pg_create_restore_point."`
	NoSync     bool     `help:"Leave it to the operating system when the copy reaches the disk."`
	TargetLSN  *string  `name:"target-lsn" xor:"target" placeholder:"LSN" help:"Up to this position in the log."`
}

// Run makes the cluster and leaves it stopped.
func (c *restoreCmd) Run(ctx context.Context, env *Env) error {
	target, err := c.where()
	if err != nil {
		return err
	}
	from, err := filepath.Abs(c.From)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(from, "backup.json")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is no backup directory: %w", from, engines.ErrNotExist)
	}
	dir, name, err := c.resolve(env)
	if err != nil {
		return err
	}
	if c.inProject(env) {
		if _, err := env.MakeStateDir(); err != nil {
			return err
		}
	}
	conf, err := env.Config()
	if err != nil {
		return err
	}
	m, err := manager(env)
	if err != nil {
		return err
	}
	steps := &stepper{env: env}
	defer steps.stop()
	engine := native.New(conf.Runtime, native.WithLogger(env.Log), native.WithProgress(steps.show))
	err = m.Make(ctx, dir, cluster.Making{Engine: "native", Unknown: true}, func(ctx context.Context, tmp string) error {
		_, err := backup.Restore(ctx, engine, from, tmp, target, !c.NoSync, func(step string) { env.UI.Note("%s …", step) })
		return err
	})
	if err != nil {
		return existing(err, c.target, name)
	}
	env.UI.Note("restored; \"pgx-dev up %s\" starts it", c.args(name))
	env.UI.Printf("%s\n", dir)
	return nil
}

// where returns up to where to restore. An empty name, as of a variable that is not set, is
// no way to say "everything".
func (c *restoreCmd) where() (t backup.Target, err error) {
	t.Time = c.TargetTime.Time
	if c.TargetName != nil {
		if t.Name = *c.TargetName; t.Name == "" {
			return t, usageError("--target-name is empty; leave it out to restore everything")
		}
	}
	if c.TargetLSN != nil {
		if t.LSN = *c.TargetLSN; t.LSN == "" {
			return t, usageError("--target-lsn is empty; leave it out to restore everything")
		}
		if _, err := wire.ParseLSN(t.LSN); err != nil {
			return t, usageError("--target-lsn: %w", err)
		}
	}
	if c.Base != nil {
		if t.Base = *c.Base; t.Base < 1 {
			return t, usageError("--base must be at least 1; \"pgx-dev backup --list\" has the numbers")
		}
	}
	return t, nil
}

// existing explains that a cluster to be made is there already.
func existing(err error, t target, name string) error {
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return fmt.Errorf("%w; choose another name, or \"pgx-dev destroy %s\" first", err, t.args(name))
}
