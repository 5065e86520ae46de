// Package guest runs PostgreSQL as WebAssembly: it links the modules of a PGlite package
// to the host, makes data directories, and boots, steps and clones backends.
//
// A [Runtime] holds the compiled modules and may be shared; an [Instance] is one running
// program with a memory of its own, used by one goroutine at a time. An instance that
// traps, aborts or exits is over, but only it.
package guest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/tetratelabs/wazero"

	"github.com/pgx-dev/pgx-dev/engines/wasm/emscripten"
	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// A Runtime is a PGlite package compiled for this machine. It is safe for concurrent use.
type Runtime struct {
	root     string // host directory shown read-only as /, holding pglite/ and home/
	pg       *module
	cacheDir string // of compiled code; "" without a disk cache

	wz    wazero.Runtime
	cache wazero.CompilationCache
	calls map[string]emscripten.Call

	initdb, dumper lazyProgram

	mu    sync.Mutex
	small map[[32]byte]wazero.CompiledModule
	side  map[[32]byte]*sideModule
}

// Load compiles the package that was unpacked into dir (pglite.wasm, initdb.wasm and
// root/), taking compiled code from cacheDir and leaving it there; "" compiles in memory.
// A package whose modules lack something we need is an error that names it.
func Load(ctx context.Context, dir, cacheDir string) (rt *Runtime, err error) {
	rt = &Runtime{
		root:     filepath.Join(dir, "root"),
		cacheDir: cacheDir,
		calls:    emscripten.Calls(),
		small:    map[[32]byte]wazero.CompiledModule{},
		side:     map[[32]byte]*sideModule{},
	}
	pg, err := os.ReadFile(filepath.Join(dir, "pglite.wasm"))
	if err != nil {
		return nil, err
	}
	initdb, err := os.ReadFile(filepath.Join(dir, "initdb.wasm"))
	if err != nil {
		return nil, err
	}
	init, err := wasmbin.Decode(initdb)
	if err != nil {
		return nil, fmt.Errorf("read initdb.wasm: %w", err)
	}
	if cacheDir == "" {
		rt.cache = wazero.NewCompilationCache()
	} else if rt.cache, err = wazero.NewCompilationCacheWithDir(cacheDir); err != nil {
		return nil, fmt.Errorf("open the compile cache: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, rt.Close())
		}
	}()
	rt.wz = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(rt.cache))
	if rt.pg, err = rt.module(ctx, pg, changed, true); err != nil {
		return nil, fmt.Errorf("compile pglite.wasm: %w", err)
	}
	return rt, rt.buildHost(ctx, init)
}

// changed returns the code that is run in place of pglite.wasm.
func changed(pg *wasmbin.Module) ([]byte, Symbols, error) {
	s, err := findSymbols(pg)
	e := pg.Edit()
	if err == nil {
		err = hookInterrupts(pg, e)
	}
	if err == nil {
		// To a memory of its own, compiled code finds its way with one load less, after every
		// call: that makes up to a tenth of the time that SQL takes.
		err = e.OwnMemory()
	}
	if err != nil {
		return nil, s, fmt.Errorf("it is not the build that this program knows: %w", err)
	}
	return e.Bytes(), s, nil
}

// Close frees the compiled code. Every instance must have been closed.
func (rt *Runtime) Close() error {
	ctx := context.Background()
	var errs []error
	if rt.wz != nil {
		errs = append(errs, rt.wz.Close(ctx))
	}
	if rt.cache != nil {
		errs = append(errs, rt.cache.Close(ctx))
	}
	return errors.Join(errs...)
}

// Root returns the host directory with the package's files.
func (rt *Runtime) Root() string { return rt.root }

// A lazyProgram is a program that is compiled when it is first wanted.
type lazyProgram struct {
	mu sync.Mutex
	p  program
}

// get returns the program, making it if it has not been made.
func (l *lazyProgram) get(make func() (program, error)) (program, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.p.module != nil {
		return l.p, nil
	}
	p, err := make()
	if err == nil {
		l.p = p
	}
	return p, err
}

// compiled returns generated code, compiled once. It is for modules of which there are
// few: they stay until Close.
func (rt *Runtime) compiled(ctx context.Context, code []byte) (wazero.CompiledModule, error) {
	key := sha256.Sum256(code)
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if c := rt.small[key]; c != nil {
		return c, nil
	}
	c, err := rt.wz.CompileModule(ctx, code)
	if err == nil {
		rt.small[key] = c
	}
	return c, err
}

// instanceKey finds the instance in the context of a host call.
type instanceKey struct{}

func instanceOf(ctx context.Context) *Instance { return ctx.Value(instanceKey{}).(*Instance) }
