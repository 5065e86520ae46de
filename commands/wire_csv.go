package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/commands/csvd"
	"github.com/pgx-dev/pgx-dev/commands/sqlited"
	"github.com/pgx-dev/pgx-dev/commands/ui"
)

// wireCsvCmd serves CSV files.
type wireCsvCmd struct {
	Path []string `arg:"" complete:"file" help:"Files, or directories whose *.csv and *.tsv are taken."`
	wireServing
}

// Help is the command's long help.
func (*wireCsvCmd) Help() string {
	return `Each file becomes a table with its name: the first line has the columns' names, the first 1,000 rows suggest the types, an empty field is NULL. The files are read once, into memory, and stay as they are. LOAD 'x.csv' AS t adds a file of the (first) directory. See "pgx-dev help wire".`
}

// Run serves until interrupted, or as long as the command behind "--" runs.
func (c *wireCsvCmd) Run(ctx context.Context, env *Env) (err error) {
	if background, err := c.detaches(env); err != nil {
		return err
	} else if background {
		return detach(ctx, env)
	}
	files, dir, err := csvFiles(c.Path)
	if err != nil {
		return err
	}
	loader, err := sqlited.Open(ctx, sqlited.Memory, sqlited.Options{Name: "csv"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, loader.Close()) }()
	db, err := sqlited.Open(ctx, sqlited.Memory, sqlited.Options{Name: "csv", ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := loadCSV(ctx, env, files, func(path, table string) (csvd.Table, error) {
		return csvd.Load(ctx, loader, path, table)
	}); err != nil {
		return err
	}
	return c.serve(ctx, env, csvd.Handler(db, loader, "csv", dir), "csv", fmt.Sprintf("/csv/%d", os.Getpid()))
}

// csvFiles lists the files to load, and the directory that LOAD may take others from.
func csvFiles(paths []string) (files []string, dir string, err error) {
	for _, path := range paths {
		fi, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, "", &ExitError{ExitNotExist, fmt.Errorf("there is no %s", path)}
		}
		if err != nil {
			return nil, "", err
		}
		home := filepath.Dir(path)
		if fi.IsDir() {
			home = path
			for _, pattern := range []string{"*.csv", "*.tsv"} {
				found, err := filepath.Glob(filepath.Join(globQuote(path), pattern))
				if err != nil {
					return nil, "", err
				}
				files = append(files, found...)
			}
		} else {
			files = append(files, path)
		}
		if dir == "" {
			if dir, err = filepath.Abs(home); err != nil {
				return nil, "", err
			}
		}
	}
	return files, dir, nil
}

// globQuote takes a path's special characters their meaning.
func globQuote(path string) string {
	var out []rune
	for _, r := range path {
		switch r {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, r)
	}
	return string(out)
}

// loadCSV loads files one by one, with progress.
func loadCSV(ctx context.Context, env *Env, files []string, load func(path, table string) (csvd.Table, error)) error {
	from := map[string]string{}
	var line *ui.Progress
	if env.UI.Err() {
		line = env.UI.Progress("load", ui.Rows)
		defer line.Stop()
	}
	for _, path := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := csvd.TableName(path)
		if other, ok := from[name]; ok {
			return usageError("%s and %s would both be table %s; rename one, or LOAD it under another name", other, path, name)
		}
		from[name] = path
		t, err := load(path, name)
		if err != nil {
			return err
		}
		env.Log.Info("loaded", "file", path, "table", t.Name, "rows", t.Rows)
		if line != nil {
			line.Add(t.Rows)
		}
	}
	return nil
}
