package recipe

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines/script"
	"github.com/pgx-dev/pgx-dev/lease"
)

// A StepError says which step of a recipe failed, and why. It wraps [lease.ErrHopeless]:
// whose fault it was is for the caller to find out.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return "the template: " + e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause and lease.ErrHopeless.
func (e *StepError) Unwrap() []error { return []error{e.Err, lease.ErrHopeless} }

// A Kitchen is the database in which a recipe is carried out.
type Kitchen struct {
	// Connect opens a connection to it.
	Connect func(ctx context.Context) (*pgx.Conn, error)
	// Env leads programs to it, as NAME=VALUE: PGDATABASE, DATABASE_URL and so on.
	Env []string
	// Environ is the rest of their environment. Default: the process's.
	Environ []string
	// Bindir is where the server's own programs are. Default: on PATH.
	Bindir string
}

// Fill carries out the recipe in an empty database: the dump, the migrations, the command.
// The error is a *StepError.
func (r *Recipe) Fill(ctx context.Context, k Kitchen) error {
	if r.dump != "" {
		if err := k.restore(ctx, r.dir, r.dump); err != nil {
			return &StepError{"dump " + filepath.Base(r.dump), err}
		}
	}
	for _, path := range r.migrations {
		if err := k.runScript(ctx, path, r.texts[path]); err != nil {
			return &StepError{"migration", err}
		}
	}
	if len(r.command) > 0 {
		if err := k.run(ctx, r.dir, r.command); err != nil {
			return &StepError{"command " + r.command[0], err}
		}
	}
	return nil
}

func (k Kitchen) database() string {
	for _, kv := range k.Env {
		if name, ok := strings.CutPrefix(kv, "PGDATABASE="); ok {
			return name
		}
	}
	return ""
}

// runScript uses a connection of its own, so that no file's settings reach the next one.
func (k Kitchen) runScript(ctx context.Context, path, text string) error {
	conn, err := k.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // it ends in any case
	}()
	return script.Run(ctx, conn.PgConn(), path, text)
}

// restore fills a database from pg_dump's output. The custom, directory and tar formats
// need pg_restore.
func (k Kitchen) restore(ctx context.Context, dir, path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		isTar := len(b) > 262 && string(b[257:262]) == "ustar"
		if !bytes.HasPrefix(b, []byte("PGDMP")) && !isTar {
			return k.runScript(ctx, path, script.NoTransaction+"\n"+string(b))
		}
	}
	return k.run(ctx, dir, []string{"pg_restore", "--exit-on-error", "--no-owner", "-d", k.database(), path})
}

// run runs a program that fills a database.
func (k Kitchen) run(ctx context.Context, dir string, argv []string) error {
	env := environWith(k.Environ, k.Env, k.Bindir)
	path := argv[0]
	if !strings.ContainsRune(path, '/') {
		for _, kv := range env {
			if list, ok := strings.CutPrefix(kv, "PATH="); ok {
				path = lookIn(list, argv[0])
			}
		}
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Args[0] = argv[0]
	cmd.Env, cmd.Dir = env, dir
	cmd.WaitDelay = 5 * time.Second
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w%s", err, out.text())
	}
	return nil
}

// lookIn finds a program in a PATH that is not our own; what it does not find is left for
// the error of starting it.
func lookIn(list, name string) string {
	for _, dir := range filepath.SplitList(list) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil && filepath.IsAbs(dir) {
			return path
		}
	}
	return name
}

// A tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	const most = 4 << 10
	t.b = append(t.b, b...)
	if over := len(t.b) - most; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(b), nil
}

func (t *tail) text() string {
	s := strings.TrimSpace(string(t.b))
	if s == "" {
		return ""
	}
	lines := strings.Split(s, "\n")
	return "\n" + strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// environWith returns an environment in which only env leads to a server.
func environWith(environ, env []string, bindir string) []string {
	if environ == nil {
		environ = os.Environ()
	}
	var out []string
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case name == "PATH" && bindir != "":
			out = append(out, "PATH="+bindir+string(os.PathListSeparator)+value)
		case name == "DATABASE_URL", strings.HasPrefix(name, "PG") && !strings.HasPrefix(name, "PGX_DEV_"):
		default:
			out = append(out, kv)
		}
	}
	return append(out, env...)
}
