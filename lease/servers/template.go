package servers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/lease/recipe"
)

// What is not used is removed after these.
const (
	keepTemplates = 7 * 24 * time.Hour
	moreTemplates = 3  // of one pool, however young
	allTemplates  = 12 // of all pools; each takes some 45 MB
)

// ready returns the engine and the template of now, which it makes if need be.
func (s *Source) ready(ctx context.Context) (e Engine, dir, version string, err error) {
	select {
	case s.building <- struct{}{}:
	case <-ctx.Done():
		return nil, "", "", context.Cause(ctx)
	}
	defer func() { <-s.building }()
	r, err := s.digest.Recipe()
	if err != nil {
		return nil, "", "", hopeless(err)
	}
	s.mu.Lock()
	if s.engine == nil {
		s.engine = s.cfg.Engine()
	}
	e, known := s.engine, s.template
	s.mu.Unlock()
	pack, err := e.Package(ctx)
	if err != nil {
		return nil, "", "", s.noEngine(err)
	}
	dir = filepath.Join(s.cfg.Store, s.family()+"-"+s.key(pack, r))
	if dir == known {
		return e, dir, r.Key, nil
	}
	if err := s.provide(ctx, e, dir, r); err != nil {
		return nil, "", "", err
	}
	s.mu.Lock()
	s.template = dir
	s.mu.Unlock()
	s.sweep(dir)
	return e, dir, r.Key, nil
}

// noEngine tells what somebody has to put right from what may be better next time.
func (s *Source) noEngine(err error) error {
	if errors.Is(err, engines.ErrNoRuntime) {
		return hopeless(err)
	}
	return err
}

func (s *Source) forgetTemplate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.template = ""
}

// family tells this pool's templates, in this project, from those of others.
func (s *Source) family() string {
	dir, err := filepath.Abs(s.cfg.Dir)
	if err != nil {
		dir = s.cfg.Dir
	}
	sum := sha256.Sum256([]byte(dir + "\x00" + s.cfg.Pool.Name))
	return fmt.Sprintf("%x", sum[:4])
}

// key is the hash of all that a template is made from.
func (s *Source) key(pack string, r *recipe.Recipe) string {
	h := sha256.New()
	part := func(text string) { fmt.Fprintf(h, "%d:%s", len(text), text) }
	part(pack)
	part(r.Key)
	part(s.database)
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Pool.Settings)) {
		part(name)
		part(s.cfg.Pool.Settings[name])
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

func exists(dir string) bool {
	_, err := os.Lstat(dir)
	return err == nil
}

// provide sees to it that a template is there, and used of late. Other processes that want
// the same one wait for it.
func (s *Source) provide(ctx context.Context, e Engine, dir string, r *recipe.Recipe) error {
	verify := s.cfg.Verify && !s.verified
	if exists(dir) && !verify {
		return touch(dir)
	}
	if err := os.MkdirAll(s.cfg.Store, 0o700); err != nil {
		return err
	}
	lock, err := dirlock.Exclusive(ctx, dir+".build")
	if err != nil {
		return err
	}
	defer lock.Remove() //nolint:errcheck // an empty file
	switch {
	case !exists(dir):
		err = s.build(ctx, e, dir, r)
	case verify:
		err = s.verify(ctx, e, dir, r)
	}
	if err != nil {
		return err
	}
	s.verified = true
	return touch(dir)
}

// touch notes that a template is used.
func touch(dir string) error {
	now := time.Now()
	err := os.Chtimes(dir, now, now)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: the template was removed just now", engines.ErrNotExist)
	}
	return err
}

// build makes a template.
func (s *Source) build(ctx context.Context, e Engine, dir string, r *recipe.Recipe) error {
	began := time.Now()
	err := s.fill(ctx, e, r, func(srv engines.Server) error {
		f, ok := srv.(Freezer)
		if !ok {
			return fmt.Errorf("a server of engine %q cannot be frozen: %w", srv.Info().Engine, engines.ErrUnsupported)
		}
		return f.Freeze(ctx, dir, s.database)
	})
	if err == nil {
		s.log.Info("template built", "template", filepath.Base(dir), "took", time.Since(began).Round(time.Millisecond))
	}
	return err
}

// fill carries the recipe out in a new server and hands that to use.
func (s *Source) fill(ctx context.Context, e Engine, r *recipe.Recipe, use func(engines.Server) error) (err error) {
	if s.cfg.Progress != nil {
		s.cfg.Progress("build the template of pool " + s.cfg.Pool.Name)
	}
	srv, err := e.Start(ctx, engines.Spec{Version: s.cfg.Pool.PG, Params: s.cfg.Pool.Settings})
	if err != nil {
		return s.noEngine(err)
	}
	g := &guest{source: s, name: "the template", srv: srv}
	if err := g.open(); err != nil {
		return errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
	}
	defer func() { err = errors.Join(err, g.close(context.WithoutCancel(ctx))) }()
	connect := func(ctx context.Context, database string) (*pgx.Conn, error) {
		return engines.Connect(ctx, srv, database)
	}
	c, err := connect(ctx, "")
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{s.database}.Sanitize())
	if err = errors.Join(err, c.Close(ctx)); err != nil {
		return err
	}
	k := recipe.Kitchen{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return connect(ctx, s.database) },
		Env:     environ(srv.Info(), g.dir, s.database), Environ: s.cfg.Environ,
	}
	if err := r.Fill(ctx, k); err != nil {
		return s.blame(ctx, srv, err)
	}
	// Whoever the command left behind does not see it become the template.
	if err := g.hangUp(); err != nil {
		return err
	}
	return use(srv)
}

// blame tells what is wrong with a recipe from what is wrong with the server.
func (s *Source) blame(ctx context.Context, srv engines.Server, err error) error {
	step, ok := errors.AsType[*recipe.StepError](err)
	if !ok {
		return err
	}
	dead := false
	select {
	case <-srv.Done():
		dead = true
	default:
	}
	pg, _ := errors.AsType[*pgconn.PgError](err)
	full := pg != nil && slices.Contains([]string{"53100", "53200"}, pg.Code) // disk_full, out_of_memory
	if ctx.Err() == nil && !dead && !full {
		return err
	}
	return fmt.Errorf("the template: %s: %w", step.Step, step.Err)
}

// verify builds the template once more and compares it with the one that is there.
func (s *Source) verify(ctx context.Context, e Engine, dir string, r *recipe.Recipe) error {
	var lists [2][]string
	outline := func(i int, srv engines.Server) error {
		c, err := engines.Connect(ctx, srv, s.database)
		if err != nil {
			return err
		}
		lists[i], err = recipe.Outline(ctx, c)
		return errors.Join(err, c.Close(ctx))
	}
	old, err := e.Thaw(ctx, dir)
	if err != nil {
		return err
	}
	if err := errors.Join(outline(0, old), old.Close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	if err := s.fill(ctx, e, r, func(srv engines.Server) error { return outline(1, srv) }); err != nil {
		return err
	}
	if diff := recipe.Compare(lists[0], lists[1]); len(diff) > 0 {
		return &recipe.StepError{Step: "verify", Err: fmt.Errorf("%s is not what its migrations make today; remove it to build it again:\n%s",
			dir, strings.Join(diff[:min(len(diff), 20)], "\n"))}
	}
	s.log.Info("template verified", "template", filepath.Base(dir))
	return nil
}

// sweep removes templates that nobody needs. What goes wrong is logged: there will be
// another sweep.
func (s *Source) sweep(used string) {
	entries, err := os.ReadDir(s.cfg.Store)
	if err != nil {
		s.log.Warn("sweep templates", "err", err)
		return
	}
	type old struct {
		dir  string
		used time.Time
	}
	var all []old
	for _, e := range entries {
		fi, err := e.Info()
		if err == nil && fi.IsDir() {
			all = append(all, old{filepath.Join(s.cfg.Store, e.Name()), fi.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b old) int { return b.used.Compare(a.used) })
	mine := 0
	for i, t := range all {
		family := strings.HasPrefix(filepath.Base(t.dir), s.family()+"-")
		if family {
			mine++
		}
		if t.dir == used || time.Since(t.used) < keepTemplates && (!family || mine <= 1+moreTemplates) && i < allTemplates {
			continue
		}
		if err := removeTemplate(t.dir); err != nil && !errors.Is(err, dirlock.ErrHeld) {
			s.log.Warn("sweep templates", "err", err)
		}
	}
}

// removeTemplate removes a template that no server runs from, or what a killed builder left
// of one.
func removeTemplate(dir string) error {
	name := ".lock"
	place, isTmp := strings.CutSuffix(dir, ".tmp")
	if isTmp {
		name = ".build"
	}
	lock, err := dirlock.TryExclusive(place + name)
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(dir), lock.Remove())
}
