package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/commands/sqlited"
)

// wireSqliteCmd serves a SQLite database.
type wireSqliteCmd struct {
	File     string `arg:"" complete:"file" help:"The database; :memory: is a new one that goes with the command."`
	Create   bool   `help:"Make the file if it is missing."`
	ReadOnly bool   `help:"Let nothing be changed."`
	Attach   bool   `help:"Let clients reach other files, by ATTACH; VACUUM needs it too."`
	wireServing
}

// Help is the command's long help.
func (*wireSqliteCmd) Help() string {
	return `SQL is SQLite's; the protocol, prepared statements, cursors, COPY, transactions and psql's \l, \d and \dt are PostgreSQL's. On a Unix socket, the default, you are let in; over TCP by a password that is made for the run and stands in the file that the URL names. See "pgx-dev help wire" and "pgx-dev help auth".`
}

// Run serves until interrupted, or as long as the command behind "--" runs.
func (c *wireSqliteCmd) Run(ctx context.Context, env *Env) (err error) {
	if background, err := c.detaches(env); err != nil {
		return err
	} else if background {
		return detach(ctx, env)
	}
	path, key := c.File, fmt.Sprintf("/sqlite/%d", os.Getpid())
	if path != sqlited.Memory {
		if path, err = filepath.Abs(path); err != nil {
			return err
		}
		key = path
	}
	db, err := sqlited.Open(ctx, path, sqlited.Options{ReadOnly: c.ReadOnly, Create: c.Create && !c.ReadOnly, Attach: c.Attach})
	if errors.Is(err, fs.ErrNotExist) {
		return &ExitError{ExitNotExist, fmt.Errorf("there is no %s; --create makes it", c.File)}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	name := "memory"
	if path != sqlited.Memory {
		name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	return c.serve(ctx, env, sqlited.Handler(db, name), name, key)
}
