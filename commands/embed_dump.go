package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// embedDumpCmd writes a database out.
type embedDumpCmd struct {
	embedEngine
	Dir     string `required:"" placeholder:"DIR" type:"dir" complete:"dir" help:"The database's directory."`
	DB      string `name:"db" placeholder:"NAME" help:"The database to dump ($$PGDATABASE; default: postgres)."`
	File    string `short:"f" placeholder:"FILE" complete:"file" help:"Where to write the SQL (default: standard output)."`
	Archive string `placeholder:"FILE" complete:"file" help:"Write the whole directory as a gzipped tar archive instead; - for standard output."`
}

func (*embedDumpCmd) takesCommand() {}

// Help is the command's long help.
func (*embedDumpCmd) Help() string {
	return `SQL is written by PostgreSQL's pg_dump; arguments behind "--" go to it. For the wasm engine it is compiled to WebAssembly too, and fetched once; for the native one it is the server's version or a newer one, from PATH or any installed runtime. An archive holds every database of the directory, and is for "embed load" with the same version. A file is replaced when the dump is complete, and not before.`
}

// Run dumps it.
func (c *embedDumpCmd) Run(ctx context.Context, env *Env) error {
	if c.Archive == "" {
		return c.sql(ctx, env)
	}
	if c.File != "" || c.DB != "" || env.Command != nil {
		return usageError("--archive writes the whole directory: --file, --db and arguments for pg_dump are for SQL")
	}
	name, err := c.choose(ctx, env, c.Dir)
	if err != nil {
		return err
	}
	if err := onlyWasm(name, "archive "+c.Dir, "\"pgx-dev backup\" and \"pgx-dev embed clone\" copy it"); err != nil {
		return err
	}
	return writeOut(env, c.Archive, func(w io.Writer) error { return archiveDir(ctx, env, c.Dir, w) })
}

func (c *embedDumpCmd) sql(ctx context.Context, env *Env) error {
	database := c.DB
	if database == "" {
		database = env.Getenv("PGDATABASE")
	}
	db, err := openEmbedded(ctx, env, embedding{engine: c.embedEngine, dir: c.Dir, must: true, database: database, asIs: true})
	if err != nil {
		return err
	}
	if guest, ok := db.Server.(*wasm.Server); ok {
		err = writeOut(env, c.File, func(w io.Writer) error {
			return guest.DumpSQL(ctx, database, w, wasm.DumpOptions{Args: env.Command, Warnings: env.UI.Stderr()})
		})
		return errors.Join(err, db.close(ctx))
	}
	err = func() error {
		program, err := findPgDump(ctx, env, db.Info().Bindir, db.Info().VersionNum/10000)
		if err != nil {
			return fmt.Errorf("%w, or copy the directory by \"pgx-dev embed clone\", which needs no program", err)
		}
		if err := db.listen(ctx, listenFlag{}); err != nil {
			return err
		}
		return writeOut(env, c.File, func(w io.Writer) error {
			cmd := exec.CommandContext(ctx, program, append([]string{"--no-password"}, env.Command...)...)
			if cmd.Env, err = childEnviron(env, db, database); err != nil {
				return err
			}
			cmd.Stdout, cmd.Stderr = w, env.UI.Stderr()
			return ChildError(cmd.Run())
		})
	}()
	return errors.Join(err, db.close(ctx))
}

// writeOut hands f standard output ("" or "-"), or a file that takes path's place when f
// has succeeded.
func writeOut(env *Env, path string, f func(w io.Writer) error) (err error) {
	if path == "" || path == "-" {
		return f(env.Stdout)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // unless it was renamed
	if err = f(tmp); err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

var dumpVersion = regexp.MustCompile(`\(PostgreSQL\) ([0-9]+)`)

// findPgDump returns a pg_dump that can dump a server of a major version: an older one
// refuses to.
func findPgDump(ctx context.Context, env *Env, bindir string, major int) (string, error) {
	dirs := append([]string{bindir}, filepath.SplitList(env.Getenv("PATH"))...)
	cfg, err := env.Config()
	if err != nil {
		return "", err
	}
	runtimes, err := native.New(cfg.Runtime, native.WithLogger(env.Log)).Runtimes(ctx)
	if err != nil {
		return "", err
	}
	for _, rt := range runtimes {
		dirs = append(dirs, rt.Bindir)
	}
	var old []string
	for _, dir := range slices.Compact(dirs) {
		if !filepath.IsAbs(dir) {
			continue
		}
		program, err := exec.LookPath(filepath.Join(dir, "pg_dump"))
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, program, "--version").Output()
		m := dumpVersion.FindSubmatch(out)
		if err != nil || m == nil {
			env.Log.Info("not a pg_dump", "program", program, "err", err)
			continue
		}
		if v, err := strconv.Atoi(string(m[1])); err == nil && v >= major {
			return program, nil
		}
		if found := fmt.Sprintf("%s is of %s", program, m[1]); !slices.Contains(old, found) {
			old = append(old, found)
		}
	}
	found := "none is on PATH or in an installed runtime"
	if len(old) > 0 {
		found = strings.Join(old, ", ")
	}
	return "", fmt.Errorf("a dump as SQL needs pg_dump of PostgreSQL %d or newer (%s); install one (Debian: postgresql-client-%d)", major, found, major)
}
