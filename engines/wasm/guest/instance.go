package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/pgx-dev/pgx-dev/engines/wasm/emscripten"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// Memory of pglite.wasm in pages of 64 kB, as it declares its import.
const (
	minPages = 2048
	maxPages = 32768
)

// An Instance is one running program: a backend, a bootstrapping postgres or initdb. Its
// methods are for one goroutine at a time, except those that say otherwise.
type Instance struct {
	Proc *emscripten.Process
	// Read gives the backend bytes from its client, blocking until there are some; 0 is
	// the end. Write takes bytes for the client. Set them before Startup.
	Read  func(b []byte) int
	Write func(b []byte)
	// OnInterrupts is called when PostgreSQL looks for interrupts and InterruptPending is
	// set, and now and then when it is not, before it looks at its own flags.
	OnInterrupts func()

	system func(cmd string) int32
	popen  func(cmd, mode string) uint32
	pclose func(file uint32) int32

	rt       *Runtime
	ctx      context.Context
	main     api.Module
	table    api.Module // which exports __indirect_function_table
	sp       api.MutableGlobal
	mem      *reservation
	funcs    map[string]api.Function
	free     [][]api.Function
	mods     []api.Module
	compiled []wazero.CompiledModule // of this instance only
	growFn   api.Function
	libs     []*library
	image    *imageFile        // what the memory was restored from
	slots    map[string]uint32 // of functions of main that got a slot for a side module

	polls poller

	threw, threwValue uint32
	latch             uint32 // address of MyLatch
	scratch, scratchN uint32
}

// A program is a module that can be run, and what it finds at its imports.
type program struct {
	*module
	host string                                        // name of the host module with its functions
	env  func(w *wasmbin.Builder, mod *wasmbin.Module) // defines what is no function; nil: nothing is
}

// postgres is pglite.wasm, which has been changed to have a memory of its own.
func (rt *Runtime) postgres() program { return program{rt.pg, hostMain, nil} }

// bootstrapper is initdb.wasm, which has a memory of its own.
func (rt *Runtime) bootstrapper(ctx context.Context) (program, error) {
	return rt.initdb.get(func() (program, error) {
		code, err := os.ReadFile(filepath.Join(filepath.Dir(rt.root), "initdb.wasm"))
		if err != nil {
			return program{}, err
		}
		m, err := rt.module(ctx, code, unchanged, true)
		if err != nil {
			return program{}, fmt.Errorf("compile initdb.wasm: %w", err)
		}
		return program{m, hostInitdb, nil}, nil
	})
}

// newInstance links a program.
func (rt *Runtime) newInstance(ctx context.Context, fs *guestfs.FS, env []string, p program) (in *Instance, err error) {
	in = &Instance{rt: rt, Proc: emscripten.New(fs, env), funcs: map[string]api.Function{}, slots: map[string]uint32{}, mem: &reservation{}}
	in.Proc.Guest = in
	defer func() {
		if x := recover(); x != nil {
			err = asError(x)
		}
		if err != nil {
			in.Close()
			in = nil
		}
	}()
	// The instance outlives the context it is made in; only its values are wanted.
	in.ctx = context.WithValue(context.WithoutCancel(ctx), instanceKey{}, in)
	envMod, err := in.link(withModules(experimental.WithMemoryAllocator(in.ctx, in.mem), nil), envModule(p))
	if err != nil {
		return in, err
	}
	mctx := withModules(experimental.WithMemoryAllocator(in.ctx, in.mem), map[string]api.Module{"env": envMod, "GOT.mem": envMod})
	if in.main, err = rt.wz.InstantiateModule(mctx, p.compiled, anonymous()); err != nil {
		return in, fmt.Errorf("instantiate: %w", err)
	}
	in.mods = append(in.mods, in.main)
	// Position independent code is given its stack and table; other code has them.
	in.table = in.main
	sp := in.main.ExportedGlobal("__stack_pointer")
	if sp == nil {
		sp, in.table = envMod.ExportedGlobal("__stack_pointer"), envMod
	}
	in.sp = sp.(api.MutableGlobal)
	in.polls.add(in.main)
	in.latch = in.Addr("MyLatch")
	in.threw, in.threwValue = in.Addr("__THREW__"), in.Addr("__threwValue")
	return in, in.installCallbacks()
}

func anonymous() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions()
}

// envModule re-exports the host's functions under the names that a program imports from
// env, with what else it imports.
func envModule(p program) []byte {
	var w wasmbin.Builder
	var names []string
	for _, im := range p.Imports {
		if im.Module == "env" && im.Kind == wasmbin.KindFunc {
			w.ImportFunc(p.host, im.Name, p.Types[im.Type])
			names = append(names, im.Name)
		}
	}
	for i, n := range names {
		w.Export(n, wasmbin.KindFunc, uint32(i))
	}
	if p.env != nil {
		p.env(&w, p.Module)
	}
	return w.Bytes()
}

// link instantiates generated code of which there are few variants.
func (in *Instance) link(ctx context.Context, code []byte) (api.Module, error) {
	c, err := in.rt.compiled(ctx, code)
	if err != nil {
		return nil, err
	}
	m, err := in.rt.wz.InstantiateModule(ctx, c, anonymous())
	if err == nil {
		in.mods = append(in.mods, m)
	}
	return m, err
}

// Close ends the instance and gives its memory back. It is not called while a call is
// under way.
func (in *Instance) Close() {
	in.Proc.Close()
	ctx := context.Background()
	for _, v := range slices.Backward(in.mods) {
		_ = v.Close(ctx)
	}
	for _, c := range in.compiled {
		_ = c.Close(ctx)
	}
	in.mods, in.compiled, in.funcs, in.free, in.libs = nil, nil, nil, nil, nil
	in.mem.Free()
	if in.image != nil {
		_ = in.image.release()
		in.image = nil
	}
}

// Memory implements emscripten.Guest.
func (in *Instance) Memory() api.Memory { return in.main.Memory() }

// Call implements emscripten.Guest: it calls an exported function and panics with its
// error.
func (in *Instance) Call(name string, args ...uint64) uint64 {
	v, err := in.try(name, args...)
	if err != nil {
		panic(err)
	}
	return v
}

// try calls an exported function. Handles are kept by name; a call of a function that is
// already running gets its own.
func (in *Instance) try(name string, args ...uint64) (uint64, error) {
	f := in.funcs[name]
	delete(in.funcs, name)
	if f == nil {
		if f = in.main.ExportedFunction(name); f == nil {
			return 0, fmt.Errorf("the guest has no function %s", name)
		}
	}
	var stack [8]uint64
	copy(stack[:], args)
	err := f.CallWithStack(in.ctx, stack[:])
	if in.funcs != nil && !overflow(err) { // whose stack has become very large
		in.funcs[name] = f
	}
	return stack[0], err
}

// CallSlot implements emscripten.Guest.
func (in *Instance) CallSlot(slot uint32, arg uint64) {
	f := in.takeSlot(slot, []byte{wasmbin.I32}, nil)
	stack := [1]uint64{arg}
	err := f.CallWithStack(in.ctx, stack[:])
	in.giveSlot(slot, f)
	if err != nil {
		panic(err)
	}
}

// Addr returns the address of an exported variable, 0 if there is none.
func (in *Instance) Addr(name string) uint32 {
	if g := in.main.ExportedGlobal(name); g != nil {
		return uint32(g.Get())
	}
	return 0
}

// word returns a word of guest memory for atomic use. The reservation never moves, so
// this is good until Close.
func (in *Instance) word(addr uint32) *uint32 {
	if uint64(addr)+4 > uint64(len(in.mem.buf)) || addr%4 != 0 {
		panic(&emscripten.Fault{Addr: addr, Size: 4})
	}
	return (*uint32)(unsafe.Pointer(&in.mem.buf[addr]))
}

// Load reads a word; it may be called from any goroutine until Close.
func (in *Instance) Load(addr uint32) uint32 { return atomic.LoadUint32(in.word(addr)) }

// Store writes a word; it may be called from any goroutine until Close.
func (in *Instance) Store(addr, v uint32) { atomic.StoreUint32(in.word(addr), v) }

// LoadByte and StoreByte access a C bool.
func (in *Instance) LoadByte(addr uint32) byte {
	b, _ := in.Memory().ReadByte(addr)
	return b
}

// StoreByte writes a C bool.
func (in *Instance) StoreByte(addr uint32, v byte) { in.Memory().WriteByte(addr, v) }

// cstrings puts strings into a reused piece of guest memory and returns their addresses,
// good until the next call.
func (in *Instance) cstrings(list ...string) []uint64 {
	need := uint32(0)
	for _, s := range list {
		need += uint32(len(s)) + 1
	}
	if need > in.scratchN {
		if in.scratch != 0 {
			in.Call("free", uint64(in.scratch))
		}
		in.scratchN = max(need, 4096)
		in.scratch = in.alloc(in.scratchN)
	}
	at := in.scratch
	out := make([]uint64, len(list))
	for i, s := range list {
		out[i] = uint64(at)
		in.Memory().WriteString(at, s+"\x00")
		at += uint32(len(s)) + 1
	}
	return out
}

func (in *Instance) alloc(n uint32) uint32 {
	p := uint32(in.Call("malloc", uint64(n)))
	if p == 0 {
		panic(errors.New("the guest is out of memory"))
	}
	return p
}

func (in *Instance) cstring(s string) uint64 {
	p := in.alloc(uint32(len(s)) + 1)
	in.Memory().WriteString(p, s+"\x00")
	return uint64(p)
}

// runMain calls main(argv) and returns its exit code.
func (in *Instance) runMain(argv []string) (code int, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = asError(x)
		}
	}()
	list := in.alloc(uint32(4 * (len(argv) + 1)))
	for i, a := range argv {
		in.Memory().WriteUint32Le(list+uint32(4*i), uint32(in.cstring(a)))
	}
	in.Memory().WriteUint32Le(list+uint32(4*len(argv)), 0)
	v, err := in.try("__main_argc_argv", uint64(len(argv)), uint64(list))
	if exit, ok := errors.AsType[*emscripten.Exit](err); ok {
		return exit.Code, nil
	}
	return int(int32(v)), err
}

func asError(x any) error {
	if err, ok := x.(error); ok {
		return err
	}
	return fmt.Errorf("%v", x)
}

// growTable makes n new slots and returns the first.
func (in *Instance) growTable(n uint32) (uint32, error) {
	v, err := in.growFn.Call(in.ctx, uint64(n))
	if err != nil {
		return 0, err
	}
	if int32(v[0]) < 0 {
		return 0, errors.New("the guest's function table cannot grow")
	}
	return uint32(v[0]), nil
}

// SpoilTable takes a slot of the function table and leaves it empty. It is for tests of what
// follows when a library failed to load.
func (in *Instance) SpoilTable() error {
	_, err := in.growTable(1)
	return err
}
