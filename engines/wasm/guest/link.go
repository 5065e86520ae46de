package guest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// ErrNotCompiled reports a side module too large to be compiled while a statement waits.
// Runtime.Compile does it beforehand.
var ErrNotCompiled = errors.New("the extension's module has not been compiled yet")

// largeModule is the size from which a side module is never compiled inside a statement:
// up to it, compiling takes about a second at most.
const largeModule = 1 << 20

// A sideModule is a shared library of an extension, compiled.
type sideModule struct {
	mod      *wasmbin.Module
	compiled wazero.CompiledModule
	extra    string // name of its host module for functions that only it imports
}

// Compile compiles the side module in a file of the package, if it has not been done, and
// keeps it in the compile cache.
func (rt *Runtime) Compile(ctx context.Context, file string) error {
	code, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	_, err = rt.sideModule(ctx, code, true)
	if err != nil {
		return fmt.Errorf("compile %s: %w", filepath.Base(file), err)
	}
	return nil
}

// Compiled reports whether the side module in a file would be ready at once.
func (rt *Runtime) Compiled(file string) bool {
	code, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	rt.mu.Lock()
	ready := rt.side[sha256.Sum256(code)] != nil
	rt.mu.Unlock()
	if ready || rt.marks == "" {
		return ready
	}
	_, hooked, err := prepare(code)
	return err == nil && rt.marked(sha256.Sum256(hooked))
}

// prepare reads a side module, and returns with it the code that is run in its place.
func prepare(code []byte) (*wasmbin.Module, []byte, error) {
	mod, err := wasmbin.Decode(code)
	if err != nil {
		return nil, nil, err
	}
	hooked, err := pollSide(mod)
	if err != nil {
		return nil, nil, err
	}
	if hooked == nil {
		hooked = code
	}
	return mod, hooked, nil
}

// versionDir returns the directory below the compile cache that wazero uses. It is named
// after wazero's version as the running program has it, which differs between programs:
// test binaries do not know it. "" when it is not where we think, and then nothing passes
// for compiled.
func versionDir(cacheDir string) string {
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/tetratelabs/wazero" {
				version = dep.Version
			}
		}
		if version == "" || version == "(devel)" {
			version = info.Main.Version
		}
	}
	if version == "" || version == "(devel)" {
		version = "dev"
	}
	dir := filepath.Join(cacheDir, "wazero-"+version+"-"+runtime.GOARCH+"-"+runtime.GOOS)
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// marked reports whether the disk cache has the compiled module. wazero does not tell, so
// a file of our own beside its does.
func (rt *Runtime) marked(key [32]byte) bool {
	if rt.marks == "" {
		return false
	}
	_, err := os.Stat(rt.mark(key))
	return err == nil
}

func (rt *Runtime) mark(key [32]byte) string {
	return filepath.Join(rt.marks, ".compiled-"+hex.EncodeToString(key[:16]))
}

func (rt *Runtime) sideModule(ctx context.Context, code []byte, patient bool) (*sideModule, error) {
	key := sha256.Sum256(code)
	rt.mu.Lock()
	side := rt.side[key]
	rt.mu.Unlock()
	if side != nil {
		return side, nil
	}
	mod, hooked, err := prepare(code)
	if err != nil {
		return nil, err
	}
	mark := sha256.Sum256(hooked)
	if !patient && len(code) >= largeModule && !rt.marked(mark) {
		return nil, fmt.Errorf("%w: run «pgx-dev runtime install», or name the extension when the server is started", ErrNotCompiled)
	}
	// Not under the lock: other instances go on meanwhile. Two that compile the same do it
	// twice, and the later result is dropped.
	compiled, err := rt.wz.CompileModule(experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0)), hooked)
	if err != nil {
		return nil, err
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if side := rt.side[key]; side != nil {
		return side, nil
	}
	side = &sideModule{mod: mod, compiled: compiled, extra: hostExtra + hex.EncodeToString(key[:8])}
	if err := rt.buildExtra(ctx, side); err != nil {
		return nil, err
	}
	rt.side[key] = side
	if rt.marks != "" {
		if err := os.WriteFile(rt.mark(mark), nil, 0o600); err != nil {
			return nil, err
		}
	}
	return side, nil
}

// buildExtra makes the host module for what a side module imports and the main module
// neither exports nor imports.
func (rt *Runtime) buildExtra(ctx context.Context, side *sideModule) error {
	b := rt.wz.NewHostModuleBuilder(side.extra)
	done := map[string]bool{}
	for _, im := range side.mod.Imports {
		if im.Module == "env" && im.Kind == wasmbin.KindFunc && !done[im.Name] {
			done[im.Name] = true
			rt.export(b, im.Name, side.mod.Types[im.Type])
		}
	}
	_, err := b.Instantiate(ctx)
	return err
}

// A library is a side module in an instance: where its symbols are.
type library struct {
	at      placed
	exports map[string]uint32 // slot of a function, address of a variable
}

// readGuest reads a whole file of the guest.
func (in *Instance) readGuest(name string) ([]byte, error) {
	f, err := in.Proc.FS.Open(name, 0, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, st.Size)
	n, err := f.ReadAt(b, 0)
	return b[:n], err
}
