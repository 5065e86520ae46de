package wasm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
	"github.com/pgx-dev/pgx-dev/engines/wasm/pglite"
)

// An Engine starts PostgreSQL servers in this process. It implements engines.Engine. The
// compiled code is loaded by the first Start and shared by all servers of the engine,
// which may be many. It is safe for concurrent use.
type Engine struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	loading chan struct{} // closed when a loading has ended
	loaded  *loaded
	servers int
	closed  bool
	scratch string        // private store of an engine without a cache
	hold    *dirlock.Lock // says that the scratch is somebody's
	use     *dirlock.Lock // says that the store is in use
}

// loaded is a package that is ready to run.
type loaded struct {
	files pglite.Files
	rt    *guest.Runtime
	store string
}

// New returns an engine. It does nothing yet.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, log: cfg.Log}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	return e
}

// Close frees the compiled code. Every server must have been closed; an engine that is
// never closed keeps some 60 MB of address space until the process ends.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.servers > 0 {
		return fmt.Errorf("close the WebAssembly engine: %d servers still run", e.servers)
	}
	e.closed = true
	var errs []error
	if e.loaded != nil {
		errs = append(errs, e.loaded.rt.Close())
		e.loaded = nil
	}
	if e.scratch != "" {
		errs = append(errs, os.RemoveAll(e.scratch), e.hold.Unlock())
		e.scratch, e.hold = "", nil
	}
	return errors.Join(append(errs, e.use.Unlock())...)
}

// load returns the compiled package, loading it once.
func (e *Engine) load(ctx context.Context) (*loaded, error) {
	for {
		e.mu.Lock()
		if e.closed {
			e.mu.Unlock()
			return nil, errors.New("the WebAssembly engine has been closed")
		}
		if l := e.loaded; l != nil {
			e.mu.Unlock()
			return l, nil
		}
		wait := e.loading
		if wait == nil {
			e.loading = make(chan struct{})
		}
		e.mu.Unlock()
		if wait == nil {
			break
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	l, err := e.loadNow(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.loading)
	e.loading = nil
	if err == nil {
		e.loaded = l
	}
	return l, err
}

func (e *Engine) loadNow(ctx context.Context) (*loaded, error) {
	if err := e.cfg.Validate(); err != nil {
		return nil, err
	}
	if !supported() {
		return nil, fmt.Errorf("%w: the WebAssembly engine has no compiler for %s/%s", engines.ErrNoRuntime, runtime.GOOS, runtime.GOARCH)
	}
	store, err := e.store()
	if err != nil {
		return nil, err
	}
	compiled := filepath.Join(store, "compiled")
	if !e.cfg.cached() {
		if store, err = e.scratchStore(); err != nil {
			return nil, err
		}
		compiled = ""
	}
	if e.cfg.cached() {
		if err := e.useStore(ctx, store); err != nil {
			return nil, err
		}
	}
	files, err := e.source(store, false).Open(ctx)
	if err != nil {
		return nil, noRuntime(err)
	}
	sweepTemp()
	e.say("load " + pglite.Main().Provides)
	rt, err := guest.Load(ctx, files.Dir, compiled)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", pglite.Main().Spec(), err)
	}
	l := &loaded{files: files, rt: rt, store: store}
	if err := e.compile(ctx, l, e.cfg.Extensions); err != nil {
		return nil, errors.Join(err, rt.Close())
	}
	return l, nil
}

// store returns the directory for everything that is kept.
func (e *Engine) store() (string, error) {
	if e.cfg.Store != "" {
		return e.cfg.Store, nil
	}
	cache, err := place.Cache()
	return filepath.Join(cache, "wasm"), err
}

// scratchStore returns a store that goes away with the engine; that of a process that was
// killed, sweepTemp removes. It is not in /dev/shm, where it would take memory.
func (e *Engine) scratchStore() (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.scratch != "" { // of a loading that failed
		return e.scratch, nil
	}
	roots := place.TempRoots()
	base := roots[len(roots)-1]
	if err := place.Private(base); err != nil {
		return "", err
	}
	dir, lock, err := tempDir(base)
	if err != nil {
		return "", err
	}
	e.scratch, e.hold = dir, lock
	return dir, nil
}

// useLock is the file in the store that is locked shared while somebody uses it.
const useLock = "use.lock"

// useStore keeps the store from being removed until Close. One that nobody may write to
// needs no lock.
func (e *Engine) useStore(ctx context.Context, store string) error {
	e.mu.Lock()
	held := e.use != nil
	e.mu.Unlock()
	if held {
		return nil
	}
	err := os.MkdirAll(store, 0o700)
	var lock *dirlock.Lock
	if err == nil {
		lock, err = dirlock.Shared(ctx, filepath.Join(store, useLock))
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		e.log.Debug("the store is used without a lock", "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("use the runtime store: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.use != nil || e.closed {
		return lock.Unlock()
	}
	e.use = lock
	return nil
}

// LockStore takes a store (Config.Store) for whoever is to remove it. The error wraps
// engines.ErrLocked while an engine, of whatever process, uses it.
func LockStore(store string) (unlock func() error, err error) {
	lock, err := dirlock.TryExclusive(filepath.Join(store, useLock))
	if errors.Is(err, dirlock.ErrHeld) {
		return nil, fmt.Errorf("%w: programs run from %s; stop them first", engines.ErrLocked, store)
	}
	if err != nil {
		return nil, err
	}
	return lock.Unlock, nil
}

func (e *Engine) source(dir string, complete bool) pglite.Source {
	return pglite.Source{Dir: dir, Tarballs: e.cfg.Packages, Offline: e.cfg.Offline, Complete: complete, Progress: e.cfg.Progress}
}

// localSource is the source of what is in the store or named by the configuration.
func (e *Engine) localSource(dir string) pglite.Source {
	s := e.source(dir, false)
	s.Offline = true
	return s
}

func noRuntime(err error) error {
	if errors.Is(err, pglite.ErrNotFetched) {
		return fmt.Errorf("%w: %w", engines.ErrNoRuntime, err)
	}
	return err
}

// supported reports whether wazero compiles for this machine; interpreted, PostgreSQL
// would be of no use.
func supported() bool {
	switch runtime.GOARCH {
	case "amd64", "arm64":
		switch runtime.GOOS {
		case "linux", "darwin", "freebsd", "netbsd", "windows":
			return true
		}
	}
	return false
}

func (e *Engine) say(step string) {
	if e.cfg.Progress != nil {
		e.cfg.Progress(step)
	}
	e.log.Debug("progress", "step", step)
}

func (e *Engine) compile(ctx context.Context, l *loaded, names []string) error {
	for _, name := range names {
		lib, err := l.files.Library(name)
		if err != nil {
			return err
		}
		if lib == "" || l.rt.Compiled(lib) {
			continue
		}
		e.say("compile the extension " + name)
		if err := l.rt.Compile(ctx, lib); err != nil {
			return err
		}
	}
	return nil
}

// Prepare compiles extensions that are not compiled yet, so that creating them does not
// wait for it. An unknown name is an error that wraps pglite.ErrNoExtension.
func (e *Engine) Prepare(ctx context.Context, extensions ...string) error {
	if len(extensions) == 0 {
		return nil
	}
	l, err := e.load(ctx)
	if err != nil {
		return err
	}
	return e.compile(ctx, l, extensions)
}

// Install fetches the packages and compiles everything in them, extensions included, into
// the cache, so that no server has to. progress is told how many of the modules are done;
// it may be nil. pgcrypto takes a minute of CPU time.
func (e *Engine) Install(ctx context.Context, progress func(module string, done, total int)) error {
	store, err := e.store()
	if err != nil {
		return err
	}
	if e.cfg.cached() {
		if err := e.useStore(ctx, store); err != nil {
			return err
		}
		if _, err := e.source(store, true).Open(ctx); err != nil {
			return noRuntime(err)
		}
		if _, _, err := e.source(store, true).PgDump(ctx); err != nil {
			// Of use without it, and there are other ways to get a dump: said when one is wanted.
			e.log.Warn("pg_dump for WebAssembly cannot be had", "error", err)
		}
	}
	l, err := e.load(ctx)
	if err != nil {
		return err
	}
	libs, err := l.files.Libraries()
	if err != nil {
		return err
	}
	for i, lib := range libs {
		if progress != nil {
			progress(filepath.Base(lib), i, len(libs))
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if l.rt.Compiled(lib) {
			continue
		}
		if err := l.rt.Compile(ctx, lib); err != nil {
			return err
		}
	}
	if program, _, err := e.localSource(store).PgDump(ctx); err == nil && e.cfg.cached() {
		if err := l.rt.CompileDump(ctx, program); err != nil {
			return err
		}
	}
	if progress != nil {
		progress("", len(libs), len(libs))
	}
	_, err = e.template(ctx, l, "postgres")
	return err
}

// Extensions lists the extensions that CREATE EXTENSION knows.
func (e *Engine) Extensions(ctx context.Context) ([]string, error) {
	l, err := e.load(ctx)
	if err != nil {
		return nil, err
	}
	return l.files.Extensions()
}
