package native

import (
	"log/slog"
	"sync"

	"github.com/pgx-dev/pgx-dev/engines"
)

// An Engine runs PostgreSQL's own programs as children of the calling process. It is an
// engines.Engine and safe for concurrent use.
type Engine struct {
	cfg      Config
	log      *slog.Logger
	progress func(Progress)
	system   []string // globs of the usual places
	pins     []Pin    // packages that can be fetched
	versions versionCache

	accountsFor func(dir string) ([]account, error) // ways to run programs, best first
	watchdog    bool                                // guard the postmaster by a helper process

	mu     sync.Mutex
	denied map[string]error // accounts that the system refused
}

var _ engines.Engine = (*Engine)(nil)

// An Option changes how New builds an Engine.
type Option func(*Engine)

// WithProgress has f called with each step of long work: installing a runtime, running
// initdb. It may be called from several goroutines. Default: nobody is told.
func WithProgress(f func(Progress)) Option { return func(e *Engine) { e.progress = f } }

// WithLogger gives the engine a logger. Default: none.
func WithLogger(l *slog.Logger) Option { return func(e *Engine) { e.log = l } }

// New returns an engine. It does no I/O.
func New(cfg Config, opts ...Option) *Engine {
	e := &Engine{
		cfg:         cfg,
		log:         slog.New(slog.DiscardHandler),
		progress:    func(Progress) {},
		system:      systemGlobs,
		pins:        allPins(),
		accountsFor: accounts,
		watchdog:    !parentDeathSignal,
		denied:      map[string]error{},
	}
	for _, opt := range opts {
		opt(e)
	}
	return e
}

// A Progress is one step of long work.
type Progress struct {
	// Phase is "download", "verify", "unpack", "check" or "initdb".
	Phase string
	// Text names what is worked on, for instance "PostgreSQL 17.10".
	Text string
	// Bytes and Total count the phase; Total is 0 where it is not known.
	Bytes, Total int64
}
