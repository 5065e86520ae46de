package guest

import (
	"context"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/pgx-dev/pgx-dev/engines/wasm/emscripten"
	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// Names of the Go host modules. Wasm modules are anonymous and found through a resolver;
// these are not, because wazero's resolver must not return a host module.
const (
	hostMain      = "host.main"
	hostInitdb    = "host.initdb"
	hostCallbacks = "host.callbacks"
	hostDump      = "host.dump"
	hostExtra     = "host.extra."
	wasi          = "wasi_snapshot_preview1"
)

// callbacks are the functions that PGlite wants to be told of, in the order of their
// table slots.
var callbacks = [...]struct {
	name string
	typ  wasmbin.FuncType
}{
	{"read", wasmbin.FuncType{Params: []byte{wasmbin.I32, wasmbin.I32}, Results: []byte{wasmbin.I32}}},
	{"write", wasmbin.FuncType{Params: []byte{wasmbin.I32, wasmbin.I32}, Results: []byte{wasmbin.I32}}},
	{"system", wasmbin.FuncType{Params: []byte{wasmbin.I32}, Results: []byte{wasmbin.I32}}},
	{"popen", wasmbin.FuncType{Params: []byte{wasmbin.I32, wasmbin.I32}, Results: []byte{wasmbin.I32}}},
	{"pclose", wasmbin.FuncType{Params: []byte{wasmbin.I32}, Results: []byte{wasmbin.I32}}},
}

// buildHost makes the functions that the main modules and all the generated ones import; init
// is initdb.wasm.
func (rt *Runtime) buildHost(ctx context.Context, init *wasmbin.Module) error {
	for _, h := range []struct {
		name, from string
		mods       []*wasmbin.Module
	}{
		{hostMain, "env", []*wasmbin.Module{rt.pg.Module}},
		{hostInitdb, "env", []*wasmbin.Module{init}},
		{wasi, wasi, []*wasmbin.Module{rt.pg.Module, init}},
	} {
		b := rt.wz.NewHostModuleBuilder(h.name)
		done := map[string]bool{}
		for _, m := range h.mods {
			for _, im := range m.Imports {
				if im.Kind == wasmbin.KindFunc && im.Module == h.from && !done[im.Name] {
					done[im.Name] = true
					rt.export(b, im.Name, m.Types[im.Type])
				}
			}
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return err
		}
	}
	b := rt.wz.NewHostModuleBuilder(hostCallbacks)
	for _, c := range callbacks {
		f := callback(c.name)
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, s []uint64) {
			f(instanceOf(ctx), s)
		}), c.typ.Params, c.typ.Results).Export(c.name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// export adds the host's function for an import.
func (rt *Runtime) export(b wazero.HostModuleBuilder, name string, t wasmbin.FuncType) {
	var f api.GoModuleFunc
	special, ok := instanceCalls(name)
	switch {
	case strings.HasPrefix(name, "invoke_"):
		f = invoke(t)
	case ok:
		f = func(ctx context.Context, _ api.Module, s []uint64) { special(instanceOf(ctx), s) }
	default:
		call, ok := rt.calls[name]
		if !ok {
			call = emscripten.Unsupported(name, t.Results)
		}
		if call == nil { // a function of PostgreSQL's that is nowhere
			f = func(ctx context.Context, _ api.Module, _ []uint64) {
				panic(instanceOf(ctx).raise("0A000", "this build of PostgreSQL has no function "+name))
			}
			break
		}
		// The guest's memory is the main module's, whichever module calls.
		f = func(ctx context.Context, _ api.Module, s []uint64) { call(instanceOf(ctx).Proc, s) }
	}
	b.NewFunctionBuilder().WithGoModuleFunction(f, t.Params, t.Results).Export(name)
}

// instanceCalls are the imports that need the instance rather than the system.
func instanceCalls(name string) (func(in *Instance, s []uint64), bool) {
	switch name {
	case "_emscripten_throw_longjmp":
		return func(*Instance, []uint64) { panic(errLongjmp) }, true
	case "_dlopen_js":
		return (*Instance).dlopen, true
	case "_dlsym_js":
		return (*Instance).dlsym, true
	case "pg_encoding_to_char":
		return (*Instance).encodingToChar, true
	case "emscripten_exit_with_live_runtime":
		return func(*Instance, []uint64) { panic(&emscripten.Exit{Code: exitAlive}) }, true
	case hookImport:
		return func(in *Instance, _ []uint64) {
			in.polls.polled()
			if in.OnInterrupts != nil {
				in.OnInterrupts()
			}
		}, true
	}
	return conversionCalls(name)
}

// withModules lets the imports of the next instantiation be found in mods.
func withModules(ctx context.Context, mods map[string]api.Module) context.Context {
	return experimental.WithImportResolver(ctx, func(name string) api.Module {
		if m, ok := mods[name]; ok {
			return m
		}
		return nil // a host module, by name
	})
}
