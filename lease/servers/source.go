package servers

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/lease/recipe"
)

// An Engine starts servers in this process that can be frozen. *wasm.Engine is one.
type Engine interface {
	engines.Engine
	// Package names what the engine runs; another one cannot thaw what this one froze.
	Package(ctx context.Context) (string, error)
	// Thaw starts a server from what a Freezer wrote into dir, and holds the lock dir.lock
	// shared while it runs. The error wraps engines.ErrNotExist where nothing was frozen.
	Thaw(ctx context.Context, dir string) (engines.Server, error)
	// Close frees what the engine has. All its servers have been closed.
	Close() error
}

// A Freezer is a server that can be frozen.
type Freezer interface {
	Freeze(ctx context.Context, dir, database string) error
}

// Config says what a Source makes.
type Config struct {
	// Pool is the pool's configuration.
	Pool lease.PoolConfig
	// Engine makes the engine, when it is first needed, and again after a rest.
	Engine func() Engine
	// Store is the directory where templates are kept; it is made if it is missing.
	Store string
	// Dir is what the pool's files are relative to, and where its command runs.
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

// maxKept is how many servers are kept for somebody to look at: unlike a database, each
// takes memory.
const maxKept = 8

// A Source makes servers. It implements lease.Source and what goes with it, and is safe for
// concurrent use.
type Source struct {
	cfg      Config
	log      *slog.Logger
	digest   *recipe.Digest
	database string // in every server
	tag      string // of this process's servers
	next     atomic.Int64

	building chan struct{} // held while the template is looked for or built

	mu       sync.Mutex
	engine   Engine // nil until it is needed
	template string // the directory that was used last, known to be in order
	verified bool
	running  map[string]*guest
	kept     []string // of running, the oldest first
	notify   func()
}

var (
	_ lease.Source    = (*Source)(nil)
	_ lease.Versioned = (*Source)(nil)
	_ lease.Resetter  = (*Source)(nil)
	_ lease.Notifier  = (*Source)(nil)
	_ lease.Keeper    = (*Source)(nil)
	_ lease.Checker   = (*Source)(nil)
	_ lease.Describer = (*Source)(nil)
)

// New returns a source of servers. It does nothing yet.
func New(cfg Config) *Source {
	cfg.Pool = cfg.Pool.WithDefaults()
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	database := strings.TrimRight(cfg.Pool.Prefix, "_")
	if database == "" {
		database = "lease"
	}
	return &Source{
		cfg: cfg, log: log.With("pool", cfg.Pool.Name), digest: recipe.NewDigest(cfg.Pool, cfg.Dir), database: database,
		tag: hex.EncodeToString(b[:]), building: make(chan struct{}, 1), running: map[string]*guest{}, notify: func() {},
	}
}

// Notify has f called when a server ended by itself.
func (s *Source) Notify(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify = f
}

// Version changes with the migrations.
func (s *Source) Version() string { return s.digest.Version() }

// Describe says what is lent.
func (s *Source) Describe() string { return "servers, each a PostgreSQL as WebAssembly" }

// Alive reports whether an item's server runs.
func (s *Source) Alive(it *lease.Item) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.running[it.Name]
	return g != nil && g.alive()
}

// hopeless marks an error that will come again.
func hopeless(err error) error { return fmt.Errorf("%w (%w)", err, lease.ErrHopeless) }

// Create starts a server from the template.
func (s *Source) Create(ctx context.Context) (*lease.Item, error) {
	e, dir, version, err := s.ready(ctx)
	if err != nil {
		return nil, err
	}
	g, err := s.start(ctx, e, dir)
	if errors.Is(err, engines.ErrNotExist) { // somebody emptied the cache
		s.forgetTemplate()
		if e, dir, version, err = s.ready(ctx); err == nil {
			g, err = s.start(ctx, e, dir)
		}
	}
	if err != nil {
		return nil, err
	}
	g.name = s.cfg.Pool.Prefix + "lx" + s.tag + "_" + strconv.FormatInt(s.next.Add(1)-1, 10)
	s.mu.Lock()
	s.running[g.name] = g
	s.mu.Unlock()
	return g.item(version), nil
}

// Recycle closes a server after its lease, but for the policy "none".
func (s *Source) Recycle(ctx context.Context, it *lease.Item, _ lease.Use) (*lease.Item, error) {
	if s.cfg.Pool.Reset != lease.ResetNone || it.Version != s.Version() || !s.Alive(it) {
		return nil, s.Destroy(ctx, it)
	}
	if err := s.guest(it).hangUp(); err != nil {
		return nil, errors.Join(err, s.Destroy(ctx, it))
	}
	return it, nil
}

func (s *Source) guest(it *lease.Item) *guest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[it.Name]
}

// Destroy closes a server.
func (s *Source) Destroy(ctx context.Context, it *lease.Item) error { return s.end(ctx, it.Name) }

func (s *Source) end(ctx context.Context, name string) error {
	s.mu.Lock()
	g := s.running[name]
	delete(s.running, name)
	s.mu.Unlock()
	if g == nil {
		return nil
	}
	return g.close(ctx)
}

// Reset puts a new server behind an item's socket.
func (s *Source) Reset(ctx context.Context, it *lease.Item) error {
	e, dir, version, err := s.ready(ctx)
	if err != nil {
		return err
	}
	if version != it.Version {
		return errors.New("the template has changed since the lease began: end it and acquire another")
	}
	g := s.guest(it)
	if g == nil {
		return errors.New("the server is not there")
	}
	srv, err := e.Thaw(ctx, dir)
	if err != nil {
		return err
	}
	return g.replace(ctx, srv)
}

// Keep lets a server run on. Where there are too many the oldest is closed.
func (s *Source) Keep(ctx context.Context, it *lease.Item, _ string) error {
	s.mu.Lock()
	s.kept = append(s.kept, it.Name)
	old := ""
	if len(s.kept) > maxKept {
		old, s.kept = s.kept[0], s.kept[1:]
	}
	s.mu.Unlock()
	if old == "" {
		return nil
	}
	s.log.Info("too many servers are kept; the oldest ends", "name", old)
	return s.end(ctx, old)
}

// Close closes what is kept and the engine.
func (s *Source) Close(ctx context.Context) error {
	s.building <- struct{}{}
	defer func() { <-s.building }()
	s.digest.Rest()
	s.mu.Lock()
	names := make([]string, 0, len(s.running))
	for name := range s.running {
		names = append(names, name)
	}
	e := s.engine
	s.engine, s.template, s.kept = nil, "", nil
	s.mu.Unlock()
	var errs []error
	for _, name := range names {
		errs = append(errs, s.end(ctx, name))
	}
	if e != nil {
		errs = append(errs, e.Close())
	}
	return errors.Join(errs...)
}
