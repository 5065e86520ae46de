package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// A module is a compiled module.
type module struct {
	*wasmbin.Module // as it was compiled, perhaps without code
	compiled        wazero.CompiledModule
	symbols         Symbols
}

// A rewriter returns what is run in place of a module: code, or nil for the same. It says
// what the module's symbols are if that is asked of it.
type rewriter func(m *wasmbin.Module) (code []byte, s Symbols, err error)

// unchanged is the rewriter of modules that need not be changed.
func unchanged(*wasmbin.Module) ([]byte, Symbols, error) { return nil, Symbols{}, nil }

// errNotCached says that a module's machine code is not in the cache, or not whole.
var errNotCached = errors.New("it has not been compiled")

// module compiles a module, or takes it from the cache. When code is not in the cache and
// wait is false, it returns errNotCached.
func (rt *Runtime) module(ctx context.Context, code []byte, change rewriter, wait bool) (*module, error) {
	if rt.cacheDir == "" {
		if !wait {
			return nil, errNotCached
		}
		m, err := rewrite(code, change)
		if err == nil {
			err = m.compile(ctx, rt.wz)
		}
		return m, err
	}
	sum := sha256.Sum256(code)
	name := filepath.Join(rt.cacheDir, fmt.Sprintf("outline-%d-%s", rewriting, hex.EncodeToString(sum[:16])))
	m, err := rt.cached(ctx, name)
	if err == nil || !wait {
		return m, err
	}
	// Processes that start together, as tests do, compile once: the first, while the others
	// wait for its result.
	lock, err := dirlock.Exclusive(ctx, name+".lock")
	if err != nil {
		return nil, err
	}
	defer lock.Remove() //nolint:errcheck // nothing was written through it
	if m, err := rt.cached(ctx, name); err == nil {
		return m, nil
	}
	whole, err := rewrite(code, change)
	if err != nil {
		return nil, err
	}
	if err := rt.fill(ctx, name, whole); err != nil {
		return nil, err
	}
	if m, err = rt.cached(ctx, name); err != nil {
		return nil, fmt.Errorf("the compile cache in %s does not keep what it is given: %w", rt.cacheDir, err)
	}
	return m, nil
}

// rewrite returns the module that is to be compiled.
func rewrite(code []byte, change rewriter) (*module, error) {
	m, err := wasmbin.Decode(code)
	if err != nil {
		return nil, err
	}
	changed, symbols, err := change(m)
	if err == nil && changed != nil {
		m, err = wasmbin.Decode(changed)
	}
	return &module{Module: m, symbols: symbols}, err
}

func (m *module) compile(ctx context.Context, wz wazero.Runtime) (err error) {
	m.compiled, err = wz.CompileModule(experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0)), m.Bytes())
	return err
}

// cached returns the module whose outline has that name, if machine code is there for it. Every
// error means that it has to be compiled.
func (rt *Runtime) cached(ctx context.Context, name string) (*module, error) {
	o, err := readOutline(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotCached, err)
	}
	m, err := wasmbin.Decode(o.code)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotCached, err)
	}
	if list := o.damaged(rt.cacheDir, m); len(list) > 0 {
		return nil, fmt.Errorf("%w: %w: %q", errNotCached, errDamaged, list)
	}
	// wazero does not say whether it has found machine code or made it. But to make it is
	// what it does not begin, by several workers, when the context has ended.
	ctx, cancel := context.WithCancelCause(experimental.WithCompilationWorkers(context.WithoutCancel(ctx), 2))
	cancel(errNotCached)
	compiled, err := rt.wz.CompileModule(ctx, o.code)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotCached, err)
	}
	return &module{m, compiled, o.symbols}, nil
}

// fill compiles a module into the cache, with an outline of that name. The lock for the name
// is held.
func (rt *Runtime) fill(ctx context.Context, name string, whole *module) error {
	sum := sha256.Sum256(whole.Bytes())
	o := outline{code: whole.Edit().Outline(sum[:]), symbols: whole.symbols, files: map[string]string{}}
	// The machine code of other versions and processors stays good.
	if old, err := readOutline(name); err == nil && bytes.Equal(old.code, o.code) {
		maps.Copy(o.files, old.files)
		for _, damaged := range o.damaged(rt.cacheDir, whole.Module) {
			delete(o.files, damaged)
		}
	}
	tmp := name + ".tmp"
	if err := os.RemoveAll(tmp); err != nil { // of somebody who was killed
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // nothing of value is left in it
	// Each in an empty cache, in which it is the only file.
	from, err := compileTo(ctx, filepath.Join(tmp, "whole"), whole.Bytes())
	if err != nil {
		return err
	}
	to, err := compileTo(ctx, filepath.Join(tmp, "outline"), o.code)
	if err != nil {
		return err
	}
	file, err := filepath.Rel(filepath.Join(tmp, "outline"), to)
	if err != nil {
		return err
	}
	if o.files[filepath.ToSlash(file)], err = partsOf(from, whole.Module); err != nil {
		return err
	}
	place := filepath.Join(rt.cacheDir, file)
	if err := os.MkdirAll(filepath.Dir(place), 0o700); err != nil {
		return err
	}
	if err := os.Rename(from, place); err != nil { // wazero has synced it
		return err
	}
	return writeOutline(name, o)
}

// compileTo compiles a module into a new cache in dir, and returns the file that it has made.
func compileTo(ctx context.Context, dir string, code []byte) (file string, err error) {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return "", fmt.Errorf("open the compile cache: %w", err)
	}
	wz := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))
	m := module{}
	if m.Module, err = wasmbin.Decode(code); err == nil {
		err = m.compile(ctx, wz)
	}
	background := context.WithoutCancel(ctx)
	if err := errors.Join(err, wz.Close(background), cache.Close(background)); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err == nil && len(files) != 1 {
		err = fmt.Errorf("compiling has left %d files in %s, not one", len(files), dir)
	}
	if err != nil {
		return "", err
	}
	return files[0], nil
}
