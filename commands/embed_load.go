package commands

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/script"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// embedLoadCmd reads what embedDumpCmd writes.
type embedLoadCmd struct {
	embedEngine
	Source string `arg:"" name:"file" complete:"file" help:"SQL as pg_dump writes it, plain or gzipped, or an archive of \"embed dump --archive\"; - is standard input."`
	Dir    string `required:"" placeholder:"DIR" type:"dir" complete:"dir" help:"The database's directory; it is made if it is missing."`
	DB     string `name:"db" placeholder:"NAME" help:"Create this database if it is missing, and load SQL into it ($$PGDATABASE; default: postgres)."`
}

// Help is the command's long help.
func (*embedLoadCmd) Help() string {
	return `SQL takes effect as a whole or not at all, unless its first line begins with "-- no-transaction". An archive needs a directory that is not there or empty. What fails leaves a new directory away.`
}

// Run loads it.
func (c *embedLoadCmd) Run(ctx context.Context, env *Env) error {
	in := env.Stdin
	if c.Source != "-" {
		f, err := os.Open(c.Source)
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	r := bufio.NewReaderSize(in, 64<<10)
	archive, err := isArchive(r)
	if err != nil {
		return fmt.Errorf("load %s: %w", c.Source, err)
	}
	if archive {
		err = c.archive(ctx, env, r)
	} else {
		err = c.sql(ctx, env, r)
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", c.Source, err)
	}
	return nil
}

// gzipMagic begins what gzip has packed.
var gzipMagic = []byte{0x1f, 0x8b}

// isArchive looks ahead: what is gzipped and then has tar's magic in its place (POSIX
// ustar) is an archive.
func isArchive(r *bufio.Reader) (bool, error) {
	head, err := r.Peek(32 << 10)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if !bytes.HasPrefix(head, gzipMagic) {
		return false, nil
	}
	gz, err := gzip.NewReader(bytes.NewReader(head))
	if err != nil {
		return false, notWhole(err)
	}
	const magicAt = 257
	var block [magicAt + 5]byte
	if _, err := io.ReadFull(gz, block[:]); err != nil {
		return false, nil //nolint:nilerr // too short for one; whoever reads it says what is wrong
	}
	return string(block[magicAt:]) == "ustar", nil
}

// notWhole says what an error of gzip's means.
func notWhole(err error) error {
	return fmt.Errorf("the file is damaged or cut short: %w", err)
}

func (c *embedLoadCmd) archive(ctx context.Context, env *Env, r io.Reader) error {
	if c.DB != "" {
		return usageError("--db is for SQL; an archive holds every database")
	}
	name, err := c.choose(ctx, env, c.Dir)
	if err != nil {
		return err
	}
	if err := onlyWasm(name, "load an archive", "archives are of the wasm engine"); err != nil {
		return err
	}
	return withWasm(ctx, env, engines.Spec{Dir: c.Dir}, func(exists bool, e *wasm.Engine, dir string) error {
		if exists {
			return fmt.Errorf("there is a database in %s already; an archive needs a new directory", dir)
		}
		db, err := wasm.Open(ctx, dir, wasm.Options{Engine: e, Archive: r})
		if err != nil {
			return err
		}
		return db.Close(ctx)
	})
}

func (c *embedLoadCmd) sql(ctx context.Context, env *Env, r *bufio.Reader) error {
	var in io.Reader = r
	if head, _ := r.Peek(len(gzipMagic)); bytes.Equal(head, gzipMagic) {
		gz, err := gzip.NewReader(r)
		if err != nil {
			return notWhole(err)
		}
		in = gz
	}
	text, err := io.ReadAll(in)
	if err != nil {
		if in != io.Reader(r) {
			err = notWhole(err)
		}
		return err
	}
	database := c.DB
	if database == "" {
		database = env.Getenv("PGDATABASE")
	}
	e := embedding{engine: c.embedEngine, dir: c.Dir, database: database, init: []initFile{{c.Source, string(text)}}}
	db, err := openEmbedded(ctx, env, e)
	if err != nil {
		return newerDump(err, text)
	}
	if !db.filled {
		err = newerDump(load(ctx, db, e.init[0]), text)
	}
	return errors.Join(err, db.close(ctx))
}

// dumpedBy is how pg_dump says its version, in the first lines.
var dumpedBy = regexp.MustCompile(`(?m)^-- Dumped by pg_dump version ([0-9]+)`)

// newerDump adds to an error over a parameter that the server does not know what is to be done
// when that is in a dump: newer pg_dumps set newer parameters.
func newerDump(err error, text []byte) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	by := dumpedBy.FindSubmatch(text[:min(len(text), 4096)])
	if !ok || pg.Code != "42704" || by == nil { // undefined_object
		return err
	}
	return fmt.Errorf("%w; pg_dump %[2]s wrote it, for PostgreSQL %[2]s or newer: --pg %[2]s takes such a server", err, by[1])
}

func load(ctx context.Context, db *embedded, f initFile) error {
	conn, err := engines.Connect(ctx, db, db.database)
	if err != nil {
		return err
	}
	return errors.Join(script.Run(ctx, conn.PgConn(), f.path, f.text), conn.Close(context.WithoutCancel(ctx)))
}

// archiveDir writes a stopped directory of the wasm engine as an archive.
func archiveDir(ctx context.Context, env *Env, dir string, w io.Writer) error {
	return withWasm(ctx, env, engines.Spec{Dir: dir, MustExist: true}, func(_ bool, e *wasm.Engine, dir string) error {
		db, err := wasm.Open(ctx, dir, wasm.Options{Engine: e})
		if err != nil {
			return err
		}
		return errors.Join(db.DumpDataDir(ctx, w), db.Close(context.WithoutCancel(ctx)))
	})
}

// withWasm calls f with an engine while nobody else may use the directory.
func withWasm(ctx context.Context, env *Env, spec engines.Spec, f func(exists bool, e *wasm.Engine, dir string) error) error {
	dir, err := place.Resolve(spec.Dir)
	if err != nil {
		return err
	}
	spec.Dir = dir
	e, stop, err := newWasm(env, nil)
	if err != nil {
		return err
	}
	defer stop()
	err = cluster.StartAlone(ctx, spec, "wasm", func(exists bool) error { return f(exists, e, dir) })
	return errors.Join(inUse(err, dir), e.Close())
}

// embedCloneCmd copies a directory.
type embedCloneCmd struct {
	embedEngine
	From string `arg:"" type:"dir" complete:"dir" help:"The directory to copy; it must not be in use."`
	To   string `arg:"" type:"dir" complete:"dir" help:"The new one."`
}

// Run copies it, by the engine that made it.
func (c *embedCloneCmd) Run(ctx context.Context, env *Env) error {
	from, err := place.Resolve(c.From)
	if err != nil {
		return err
	}
	to, err := place.Resolve(c.To)
	if err != nil {
		return err
	}
	switch {
	case from == to:
		return usageError("a database cannot be cloned onto itself")
	case !hasCluster(from):
		return fmt.Errorf("there is no database in %s: %w", c.From, engines.ErrNotExist)
	case hasCluster(to):
		return fmt.Errorf("there is a database in %s already; name a new directory", c.To)
	}
	if c.Engine, err = c.choose(ctx, env, from); err != nil {
		return err
	}
	c.Wasm, c.Native = false, false
	db, err := openEmbedded(ctx, env, embedding{engine: c.embedEngine, dir: to, template: from})
	if err != nil {
		return fmt.Errorf("clone %s: %w", c.From, err)
	}
	if err := db.close(ctx); err != nil {
		return err
	}
	env.UI.Printf("%s\n", to)
	return nil
}
