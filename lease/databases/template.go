package databases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines/script"
	"github.com/pgx-dev/pgx-dev/lease"
)

const (
	templatePrefix = "pgxdev_template_" // of databases that are complete
	buildPrefix    = "pgxdev_build_"    // of those that are being built
)

// A template is a database that others are copies of.
type template struct {
	key  string
	name string
	conn *pgx.Conn // holds a shared lock that keeps others from dropping it; nil if there is nothing to drop

	once     sync.Mutex
	baseline *baseline // nil until the first copy was looked at
}

// A BuildError says why a template could not be made. It wraps [lease.ErrHopeless].
type BuildError struct {
	Step string
	Err  error
}

func (e *BuildError) Error() string { return "the template: " + e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause and lease.ErrHopeless.
func (e *BuildError) Unwrap() []error { return []error{e.Err, lease.ErrHopeless} }

// makeTemplate finds or builds the template of a recipe. Other processes that want the
// same one wait for it; s.opening keeps our own goroutines apart.
func (s *Source) makeTemplate(ctx context.Context, l *life, r *recipe) (*template, error) {
	if r.key == "" {
		base := s.cfg.Pool.Base
		if base == "" {
			base = "template1"
		}
		return &template{name: base}, nil
	}
	t := &template{key: r.key, name: templatePrefix + r.key}
	conn, err := l.connect(ctx, "")
	if err != nil {
		return nil, err
	}
	if err := s.buildOnce(ctx, l, conn, t, r); err != nil {
		closeConn(conn)
		return nil, err
	}
	t.conn = conn
	return t, nil
}

func (s *Source) buildOnce(ctx context.Context, l *life, conn *pgx.Conn, t *template, r *recipe) error {
	id := lockID("template", t.key)
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1, $2)", lockClass, lockID("build", t.key)); err != nil {
		return err
	}
	there, err := databaseNames(ctx, conn, t.name)
	if err != nil {
		return err
	}
	_, exists := there[t.name]
	if exists && s.cfg.Verify {
		if err := s.verify(ctx, l, t, r); err != nil {
			return err
		}
	}
	if !exists {
		if err := s.build(ctx, l, t, r); err != nil {
			return err
		}
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock_shared($1, $2), pg_advisory_unlock($1, $3)", lockClass, id, lockID("build", t.key)); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "COMMENT ON DATABASE "+ident(t.name)+" IS "+literal(s.templateMark(time.Now())))
	return err
}

// build makes the template where nobody sees it, and renames it when all is done.
func (s *Source) build(ctx context.Context, l *life, t *template, r *recipe) error {
	began := time.Now()
	name := buildPrefix + t.key
	if err := s.fill(ctx, l, name, r); err != nil {
		return errors.Join(err, l.remove(context.WithoutCancel(ctx), name))
	}
	// Whoever the command left behind does not see it become the template.
	if err := l.isolate(ctx, name); err != nil {
		return err
	}
	if err := l.rename(ctx, name, t.name); err != nil {
		return fmt.Errorf("finish the template: %w", err)
	}
	s.log.Info("template built", "template", t.name, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// fill makes a database by a recipe. What a killed builder left of it is removed.
func (s *Source) fill(ctx context.Context, l *life, name string, r *recipe) error {
	if s.cfg.Progress != nil {
		s.cfg.Progress("build the template of pool " + s.cfg.Pool.Name)
	}
	if err := l.remove(ctx, name); err != nil {
		return err
	}
	base := s.cfg.Pool.Base
	if base == "" {
		base = "template1"
		if r.dump != "" {
			base = "template0" // as pg_restore's manual asks
		}
	}
	if err := l.createFrom(ctx, name, base); err != nil {
		if hasCode(err, codeNoDatabase) {
			return hopeless(err)
		}
		return err
	}
	if r.dump != "" {
		if err := s.restore(ctx, l, name, r.dump); err != nil {
			return s.buildError(ctx, l, "dump "+filepath.Base(r.dump), err)
		}
	}
	for _, path := range r.migrations {
		if err := l.runScript(ctx, name, path, r.texts[path]); err != nil {
			return s.buildError(ctx, l, "migration", err)
		}
	}
	if argv := s.cfg.Pool.Command; len(argv) > 0 {
		if err := s.run(ctx, l, name, argv); err != nil {
			return s.buildError(ctx, l, "command "+argv[0], err)
		}
	}
	return nil
}

// buildError tells what is wrong with a recipe from what is wrong with the server.
func (s *Source) buildError(ctx context.Context, l *life, step string, err error) error {
	if ctx.Err() != nil || !l.alive() || l.exec(ctx, "SELECT 1") != nil || hasCode(err, "53100", "57P01", "57P02", "57P03") {
		return fmt.Errorf("the template: %s: %w", step, err)
	}
	return &BuildError{step, err}
}

// runScript uses a connection of its own, so that no file's settings reach the next one.
func (l *life) runScript(ctx context.Context, database, path, text string) error {
	conn, err := l.connect(ctx, database)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	return script.Run(ctx, conn.PgConn(), path, text)
}

// restore fills a database from pg_dump's output. The custom, directory and tar formats
// need pg_restore.
func (s *Source) restore(ctx context.Context, l *life, database, path string) error {
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
			return l.runScript(ctx, database, path, script.NoTransaction+"\n"+string(b))
		}
	}
	return s.run(ctx, l, database, []string{"pg_restore", "--exit-on-error", "--no-owner", "-d", database, path})
}

// run runs a program that fills a database.
func (s *Source) run(ctx context.Context, l *life, database string, argv []string) error {
	bindir := ""
	if h, ok := l.host.(interface{ bindir() string }); ok {
		bindir = h.bindir()
	}
	env := environWith(s.cfg.Environ, l.host.Env(database), bindir)
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
	cmd.Env, cmd.Dir = env, s.cfg.Dir
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
