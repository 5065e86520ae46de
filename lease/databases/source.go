package databases

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/lease/recipe"
)

// Config says what a Source makes.
type Config struct {
	// Pool is the pool's configuration.
	Pool lease.PoolConfig
	// Dir is what the pool's files are relative to, and where its command runs. Default:
	// the working directory.
	Dir string
	// Environ is the environment of the pool's command. Default: the process's.
	Environ []string
	// Verify builds the template anew and compares it with the one that is there.
	Verify bool
	// Progress, if not nil, is told of work that takes long.
	Progress func(text string)
	// Logger gets what there is to say. Default: none.
	Logger *slog.Logger
}

// A Source makes databases. It implements lease.Source and all that goes with it, and is
// safe for concurrent use.
type Source struct {
	cfg    Config
	open   Opener
	log    *slog.Logger
	digest *recipe.Digest
	tag    string // of this process's databases
	next   atomic.Int64
	epoch  atomic.Int64

	costs costs

	opening chan struct{} // held while life is opened or a template is built

	mu     sync.Mutex
	life   *life // nil until it is needed
	known  map[string]bool
	lent   map[string]lent   // by the names of databases
	states map[string]*state // what a database is like, if it is not as the template
	notify func()
}

var (
	_ lease.Source    = (*Source)(nil)
	_ lease.Versioned = (*Source)(nil)
	_ lease.Resetter  = (*Source)(nil)
	_ lease.Notifier  = (*Source)(nil)
	_ lease.Keeper    = (*Source)(nil)
	_ lease.Describer = (*Source)(nil)
)

// New returns a source of databases on the server that open opens. It does nothing yet.
func New(cfg Config, open Opener) *Source {
	cfg.Pool = cfg.Pool.WithDefaults()
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return &Source{
		cfg: cfg, open: open, log: log.With("pool", cfg.Pool.Name), digest: recipe.NewDigest(cfg.Pool, cfg.Dir),
		tag: hex.EncodeToString(b[:]), opening: make(chan struct{}, 1),
		known: map[string]bool{}, lent: map[string]lent{}, states: map[string]*state{}, notify: func() {},
	}
}

// Notify has f called when the server is lost.
func (s *Source) Notify(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify = f
}

// Version changes with the migrations, and when the server is lost.
func (s *Source) Version() string {
	return s.digest.Version() + "/" + strconv.FormatInt(s.epoch.Load(), 10)
}

// Describe names the server.
func (s *Source) Describe() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.life != nil:
		return "databases on " + s.life.host.Describe()
	case s.cfg.Pool.Cluster != "":
		return "databases on cluster " + s.cfg.Pool.Cluster
	}
	return "databases"
}

// hopeless marks an error that will come again.
func hopeless(err error) error { return fmt.Errorf("%w (%w)", err, lease.ErrHopeless) }

// ready returns the server, opened, with the template of now.
func (s *Source) ready(ctx context.Context) (*life, *template, string, error) {
	select {
	case s.opening <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, "", context.Cause(ctx)
	}
	defer func() { <-s.opening }()
	r, err := s.digest.Recipe()
	if err != nil {
		return nil, nil, "", hopeless(err)
	}
	l, err := s.server(ctx)
	if err != nil {
		return nil, nil, "", err
	}
	version := r.Key + "/" + strconv.FormatInt(s.epoch.Load(), 10)
	l.mu.Lock()
	t := l.templates[r.Key]
	l.mu.Unlock()
	if t == nil {
		if t, err = s.makeTemplate(ctx, l, r); err != nil {
			return nil, nil, "", err
		}
		l.mu.Lock()
		l.templates[r.Key] = t
		l.mu.Unlock()
	}
	return l, t, version, nil
}

// lostGrace is how long a server that was lost may take to end in good order.
const lostGrace = 5 * time.Second

// server returns the server, opened. s.opening is held.
func (s *Source) server(ctx context.Context) (*life, error) {
	s.mu.Lock()
	l := s.life
	s.mu.Unlock()
	if l != nil && l.alive() {
		return l, nil
	}
	if l != nil {
		// A server whose disk is full tries its last checkpoint for as long as it is let.
		grace, cancel := context.WithTimeout(ctx, lostGrace)
		err := l.close(grace)
		cancel()
		if err != nil {
			s.log.Warn("let go of the lost server", "err", err)
		}
		s.mu.Lock()
		s.life = nil
		s.mu.Unlock()
	}
	l, err := openLife(ctx, s.open, s.tag, s.log, s.lost)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.life = l
	s.mu.Unlock()
	l.work.Go(func() {
		defer close(l.swept)
		s.sweep(l)
	})
	return l, nil
}

// lost is called when the server has gone.
func (s *Source) lost() {
	s.epoch.Add(1)
	s.mu.Lock()
	f := s.notify
	s.mu.Unlock()
	f()
}

// current returns the server if it is there.
func (s *Source) current() (*life, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil || !s.life.alive() {
		return nil, errors.New("the server is not there")
	}
	return s.life, nil
}

// Create clones the template.
func (s *Source) Create(ctx context.Context) (*lease.Item, error) {
	l, t, version, err := s.ready(ctx)
	if err != nil {
		return nil, err
	}
	name := s.newName()
	s.own(name)
	began := time.Now()
	err = l.createFrom(ctx, name, t.name)
	if err == nil {
		s.costs.note(&s.costs.create, time.Since(began))
	} else {
		if hasCode(err, codeNoDatabase) { // the template was dropped by somebody
			l.mu.Lock()
			delete(l.templates, t.key)
			l.mu.Unlock()
			closeConn(t.conn)
		}
		s.disown(context.WithoutCancel(ctx), l, name)
		return nil, err
	}
	if err := s.noteOID(ctx, l, name); err != nil {
		s.disown(context.WithoutCancel(ctx), l, name)
		return nil, err
	}
	if err := t.learn(ctx, l, name); err != nil {
		s.disown(context.WithoutCancel(ctx), l, name)
		return nil, fmt.Errorf("look at database %s: %w", name, err)
	}
	return s.item(l, name, version), nil
}

func (s *Source) item(l *life, name, version string) *lease.Item {
	env := l.host.Env(name)
	return &lease.Item{
		Name: name, Version: version, URL: urlIn(env), Env: env, Dial: l.host.Dial,
		Config: func() (*pgx.ConnConfig, error) { return l.host.Config(name) },
	}
}

// newName returns a name that was never used.
func (s *Source) newName() string {
	return s.cfg.Pool.Prefix + "lx" + s.tag + "_" + strconv.FormatInt(s.next.Add(1)-1, 10)
}

func (s *Source) own(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[name] = true
}

// disown drops what may be there of a database.
func (s *Source) disown(ctx context.Context, l *life, name string) {
	if err := s.remove(ctx, l, name); err != nil {
		s.log.Warn("remove", "name", name, "err", err)
		return // it stays known, and is swept
	}
	s.forget(name)
}

func (s *Source) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, name)
	delete(s.lent, name)
	delete(s.states, name)
}

// Destroy drops a database.
func (s *Source) Destroy(ctx context.Context, it *lease.Item) error {
	l, err := s.current()
	if err != nil {
		return fmt.Errorf("drop database %s: %w", it.Name, err)
	}
	began := time.Now()
	if err := s.remove(ctx, l, it.Name); err != nil {
		return err
	}
	s.costs.note(&s.costs.drop, time.Since(began))
	s.forget(it.Name)
	return nil
}

// Recycle cleans or drops a database after its lease, as the policy says.
func (s *Source) Recycle(ctx context.Context, it *lease.Item, use lease.Use) (*lease.Item, error) {
	l, err := s.current()
	if err != nil {
		return nil, fmt.Errorf("clean database %s: %w", it.Name, err)
	}
	policy := s.cfg.Pool.Reset
	if it.Version != s.Version() || policy == lease.ResetRecreate && !use.Clean ||
		policy == lease.ResetAuto && !use.Clean && !s.costs.provePays() {
		return nil, s.Destroy(ctx, it)
	}
	if now, err := s.renamed(ctx, l, it.Name); err != nil || now != "" {
		return nil, errors.Join(err, s.Destroy(ctx, it))
	}
	if policy == lease.ResetNone {
		if err := l.evict(ctx, it.Name); err != nil {
			return nil, errors.Join(err, s.Destroy(ctx, it))
		}
		if err := l.clearLeftovers(ctx, it.Name); err != nil {
			return nil, errors.Join(err, s.Destroy(ctx, it))
		}
		return it, nil
	}
	// Out of everybody's reach.
	began := time.Now()
	scratch := s.newName()
	s.own(scratch)
	if err := l.seize(ctx, it.Name, scratch); err != nil {
		s.forget(scratch)
		return nil, errors.Join(err, s.Destroy(ctx, it))
	}
	s.move(it.Name, scratch)
	again := s.item(l, scratch, it.Version)
	clean, emptied, err := s.tidy(ctx, l, scratch, policy)
	if err != nil {
		s.log.Warn("clean", "name", it.Name, "err", err)
	}
	s.costs.cleaned(time.Since(began), emptied, clean)
	if !clean {
		return nil, s.Destroy(ctx, again)
	}
	return again, nil
}

// move notes that a database has another name.
func (s *Source) move(from, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, from)
	s.lent[to] = s.lent[from]
	delete(s.lent, from)
	if st := s.states[from]; st != nil {
		s.states[to] = st
		delete(s.states, from)
	}
}

// Reset makes a database as new while it is lent, under its name.
func (s *Source) Reset(ctx context.Context, it *lease.Item) error {
	l, t, version, err := s.ready(ctx)
	if err != nil {
		return err
	}
	if version != it.Version {
		return errors.New("the template has changed, or the server was lost, since the lease began: end it and acquire another")
	}
	if err := s.remove(ctx, l, it.Name); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.states, it.Name)
	s.mu.Unlock()
	if err := l.createFrom(ctx, it.Name, t.name); err != nil {
		return err
	}
	return s.noteOID(ctx, l, it.Name)
}

// Keep marks a database so that no sweep takes it for a day.
func (s *Source) Keep(ctx context.Context, it *lease.Item, reason string) error {
	defer s.forget(it.Name)
	l, err := s.current()
	if err != nil {
		return err
	}
	name := it.Name
	if now, err := s.renamed(ctx, l, name); err != nil {
		return err
	} else if now != "" {
		s.log.Warn("the holder of a database that is kept had renamed it", "name", name, "now", now)
		name = now
	}
	return l.exec(ctx, "COMMENT ON DATABASE "+ident(name)+" IS "+literal(keptMark()+reason))
}

// Close lets go of the server. What could not be dropped before is tried once more.
func (s *Source) Close(ctx context.Context) error {
	s.opening <- struct{}{}
	defer func() { <-s.opening }()
	s.digest.Rest()
	s.mu.Lock()
	l := s.life
	s.life = nil
	names := make([]string, 0, len(s.known))
	for name := range s.known {
		names = append(names, name)
	}
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	if l.alive() {
		for _, name := range slices.Sorted(slices.Values(names)) {
			s.disown(ctx, l, name)
		}
	}
	return l.close(ctx)
}

// lockID is the second key of an advisory lock.
func lockID(kind, name string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(kind + " " + name))
	return int32(h.Sum32())
}

// ours matches the databases of any process for this pool; the first group is its tag.
func (s *Source) ours(name string) (tag string, ok bool) {
	rest, ok := strings.CutPrefix(name, s.cfg.Pool.Prefix+"lx")
	if !ok || len(rest) < 8 || rest[6] != '_' {
		return "", false
	}
	if _, err := hex.DecodeString(rest[:6]); err != nil {
		return "", false
	}
	if _, err := strconv.ParseUint(rest[7:], 10, 63); err != nil {
		return "", false
	}
	return rest[:6], true
}

// databaseNames lists what is on the server, with each one's comment.
func databaseNames(ctx context.Context, c *pgx.Conn, like string) (map[string]string, error) {
	rows, err := c.Query(ctx, `SELECT datname, coalesce(shobj_description(oid, 'pg_database'), '')
		FROM pg_database WHERE starts_with(datname::text, $1)`, like)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	var name, comment string
	_, err = pgx.ForEachRow(rows, []any{&name, &comment}, func() error {
		out[name] = comment
		return nil
	})
	return out, err
}
