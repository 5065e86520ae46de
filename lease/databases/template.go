package databases

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/lease/recipe"
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

// makeTemplate finds or builds the template of a recipe. Other processes that want the
// same one wait for it; s.opening keeps our own goroutines apart.
func (s *Source) makeTemplate(ctx context.Context, l *life, r *recipe.Recipe) (*template, error) {
	if r.Key == "" {
		base := cmp.Or(r.Base, "template1")
		return &template{name: base}, nil
	}
	t := &template{key: r.Key, name: templatePrefix + r.Key}
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

func (s *Source) buildOnce(ctx context.Context, l *life, conn *pgx.Conn, t *template, r *recipe.Recipe) error {
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
func (s *Source) build(ctx context.Context, l *life, t *template, r *recipe.Recipe) error {
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
func (s *Source) fill(ctx context.Context, l *life, name string, r *recipe.Recipe) error {
	if s.cfg.Progress != nil {
		s.cfg.Progress("build the template of pool " + s.cfg.Pool.Name)
	}
	if err := l.remove(ctx, name); err != nil {
		return err
	}
	base := r.Base
	if base == "" {
		base = "template1"
		if r.HasDump() {
			base = "template0" // as pg_restore's manual asks
		}
	}
	if err := l.createFrom(ctx, name, base); err != nil {
		if hasCode(err, codeNoDatabase) {
			return hopeless(err)
		}
		return err
	}
	return s.buildError(ctx, l, r.Fill(ctx, s.kitchen(l, name)))
}

// kitchen says how to reach a database in which a recipe is carried out.
func (s *Source) kitchen(l *life, name string) recipe.Kitchen {
	k := recipe.Kitchen{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return l.connect(ctx, name) },
		Env:     l.host.Env(name), Environ: s.cfg.Environ,
	}
	if h, ok := l.host.(interface{ bindir() string }); ok {
		k.Bindir = h.bindir()
	}
	return k
}

// buildError tells what is wrong with a recipe from what is wrong with the server.
func (s *Source) buildError(ctx context.Context, l *life, err error) error {
	var step *recipe.StepError
	if !errors.As(err, &step) || ctx.Err() == nil && l.alive() && l.exec(ctx, "SELECT 1") == nil && !hasCode(err, serverCodes()...) {
		return err
	}
	return fmt.Errorf("the template: %s: %w", step.Step, step.Err)
}

// serverCodes are of errors for which a recipe is not to blame: disk_full,
// out_of_memory, too_many_connections, admin_shutdown, crash_shutdown, cannot_connect_now.
func serverCodes() []string {
	return []string{"53100", "53200", "53300", "57P01", "57P02", "57P03"}
}
