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
	*module
	extra string // name of its host module for functions that only it imports
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

// Compiled reports whether the side module in a file is ready, and makes it so if it is in the
// compile cache.
func (rt *Runtime) Compiled(file string) bool {
	code, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	_, err = rt.sideModule(context.Background(), code, false)
	return err == nil
}

// sideModule returns a side module that has been compiled, or compiles it if it may take its
// time; the error is errNotCached when it may not.
func (rt *Runtime) sideModule(ctx context.Context, code []byte, wait bool) (*sideModule, error) {
	key := sha256.Sum256(code)
	rt.mu.Lock()
	side := rt.side[key]
	rt.mu.Unlock()
	if side != nil {
		return side, nil
	}
	// Not under the lock: other instances go on meanwhile. Of two that compile the same, the
	// later result is dropped.
	m, err := rt.module(ctx, code, pollSide, wait)
	if err != nil {
		return nil, err
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if side := rt.side[key]; side != nil {
		return side, nil
	}
	side = &sideModule{m, hostExtra + hex.EncodeToString(key[:8])}
	if err := rt.buildExtra(ctx, side); err != nil {
		return nil, err
	}
	rt.side[key] = side
	return side, nil
}

// buildExtra makes the host module for what a side module imports and the main module
// neither exports nor imports.
func (rt *Runtime) buildExtra(ctx context.Context, side *sideModule) error {
	b := rt.wz.NewHostModuleBuilder(side.extra)
	done := map[string]bool{}
	for _, im := range side.Imports {
		if im.Module == "env" && im.Kind == wasmbin.KindFunc && !done[im.Name] {
			done[im.Name] = true
			rt.export(b, im.Name, side.Types[im.Type])
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
