package wasmbin_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

var (
	nullary = wasmbin.FuncType{}
	add     = wasmbin.FuncType{Params: []byte{wasmbin.I32, wasmbin.I32}, Results: []byte{wasmbin.I32}}
)

// sample imports a nullary function, and exports an adder, a forwarder to it, one through
// the table, a global and a memory.
func sample() []byte {
	var w wasmbin.Builder
	w.ImportFunc("host", "tick", nullary)
	w.ImportTable("host2", "table", 8)
	g := w.Global(false, -5)
	w.Memory(1, 2)
	sum := w.Func(add, []byte{wasmbin.OpLocalGet, 0, wasmbin.OpLocalGet, 1, 0x6a})
	fwd := w.Forward(add, sum)
	ind := w.ForwardSlot(add, 3)
	grow := w.TableGrow()
	w.Elements(3, []uint32{sum})
	w.Export("sum", wasmbin.KindFunc, sum)
	w.Export("fwd", wasmbin.KindFunc, fwd)
	w.Export("ind", wasmbin.KindFunc, ind)
	w.Export("grow", wasmbin.KindFunc, grow)
	w.Export("g", wasmbin.KindGlobal, g)
	w.Export("memory", wasmbin.KindMemory, 0)
	return w.Bytes()
}

func TestDecodeBuilt(t *testing.T) {
	m, err := wasmbin.Decode(sample())
	if err != nil {
		t.Fatal(err)
	}
	if got := m.ImportedFuncs(); got != 1 {
		t.Errorf("imported functions: %d, want 1", got)
	}
	if v, ok := m.ExportedGlobal("g"); !ok || v != -5 {
		t.Errorf("global g = %d, %v; want -5", v, ok)
	}
	sum, ok := m.Export("sum", wasmbin.KindFunc)
	if !ok {
		t.Fatal("sum is not exported")
	}
	if slot := m.Slots[sum.Index]; slot != 3 || m.Table[3] != sum.Index {
		t.Errorf("sum is in slot %d, want 3", slot)
	}
	ft, ok := m.FuncType(sum.Index)
	if !ok || !bytes.Equal(ft.Params, add.Params) || !bytes.Equal(ft.Results, add.Results) {
		t.Errorf("type of sum: %v", ft)
	}
	var ops []uint32
	for in := range m.Instructions(sum.Index) {
		ops = append(ops, in.Op)
	}
	want := []uint32{wasmbin.OpLocalGet, wasmbin.OpLocalGet, 0x6a, wasmbin.OpEnd}
	if len(ops) != len(want) || ops[2] != want[2] {
		t.Errorf("instructions of sum: %x, want %x", ops, want)
	}
}

// TestEdit runs a changed module, and counts the calls that were put into it and what its
// added global says.
func TestEdit(t *testing.T) {
	ctx := t.Context()
	m, err := wasmbin.Decode(sample())
	if err != nil {
		t.Fatal(err)
	}
	sum, _ := m.Export("sum", wasmbin.KindFunc)
	e := m.Edit()
	if err := e.PrependCall(sum.Index, 0); err != nil {
		t.Fatal(err)
	}
	// Behind the first argument: add 1 to it and to the global.
	first := true
	count := e.Global("count", 100)
	for in := range m.Instructions(sum.Index) {
		if first {
			if err := e.Insert(sum.Index, in.End, wasmbin.OpI32Const, 1, 0x6a, wasmbin.OpGlobalGet, byte(count), wasmbin.OpI32Const, 1, 0x6a, wasmbin.OpGlobalSet, byte(count)); err != nil {
				t.Fatal(err)
			}
		}
		first = false
	}
	patched := e.Bytes()
	if again, err := wasmbin.Decode(patched); err != nil {
		t.Error(err)
	} else if v, ok := again.ExportedGlobal("count"); !ok || v != 100 {
		t.Errorf("the added global is %d, %v", v, ok)
	}
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	ticks := 0
	if _, err := r.NewHostModuleBuilder("host").NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(context.Context, []uint64) { ticks++ }), nil, nil).Export("tick").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	var w wasmbin.Builder
	w.ImportFunc("host", "tick", nullary)
	table := []byte{0, 'a', 's', 'm', 1, 0, 0, 0, 4, 4, 1, 0x70, 0, 8, 7, 9, 1, 5, 't', 'a', 'b', 'l', 'e', 1, 0}
	if _, err := r.InstantiateWithConfig(ctx, table, wazero.NewModuleConfig().WithName("host2")); err != nil {
		t.Fatal(err)
	}
	mod, err := r.InstantiateWithConfig(ctx, patched, wazero.NewModuleConfig().WithName("m"))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"sum", "fwd", "ind"} {
		got, err := mod.ExportedFunction(name).Call(ctx, 40, 2)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got[0] != 43 || ticks != i+1 {
			t.Errorf("%s: %d after %d calls of the import, want 43 after %d", name, got[0], ticks, i+1)
		}
		if g := mod.ExportedGlobal("count"); g == nil || g.Get() != uint64(101+i) {
			t.Errorf("%s: the added global is %v, want %d", name, g, 101+i)
		}
	}
	if got, err := mod.ExportedFunction("grow").Call(ctx, 4); err != nil || got[0] != 8 {
		t.Errorf("grow: %v, %v; want the former size 8", got, err)
	}
	if err := e.PrependCall(0, 0); err == nil {
		t.Error("an imported function was patched")
	}
	if err := e.PrependCall(sum.Index, sum.Index); err == nil {
		t.Error("a call that needs arguments was put in")
	}
	if err := e.Insert(sum.Index, 1000, 1); err == nil {
		t.Error("something was put behind the end")
	}
}

// TestOutline checks that a module without its code has all else, and that no function of it
// does anything.
func TestOutline(t *testing.T) {
	ctx := t.Context()
	m, err := wasmbin.Decode(sample())
	if err != nil {
		t.Fatal(err)
	}
	e := m.Edit()
	e.Global("count", 100)
	code := e.Outline([]byte("mark"))
	if bytes.Equal(code, e.Outline([]byte("another"))) || len(code) >= len(e.Bytes())+len("outline")+len("mark")+3 {
		t.Errorf("%d bytes, %d with code", len(code), len(e.Bytes()))
	}
	o, err := wasmbin.Decode(code)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := wasmbin.Decode(e.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for what, same := range map[string]bool{
		"types": reflect.DeepEqual(o.Types, whole.Types), "imports": reflect.DeepEqual(o.Imports, whole.Imports),
		"functions": slices.Equal(o.Funcs, whole.Funcs), "exports": slices.Equal(o.Exports, whole.Exports),
		"globals": slices.Equal(o.Globals, whole.Globals), "table": reflect.DeepEqual(o.Table, whole.Table),
		"data": reflect.DeepEqual(o.Data, whole.Data), "dylink": reflect.DeepEqual(o.Dylink, whole.Dylink),
	} {
		if !same {
			t.Errorf("its %s differ", what)
		}
	}
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	if _, err := r.NewHostModuleBuilder("host").NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(context.Context, []uint64) {}), nil, nil).Export("tick").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	table := []byte{0, 'a', 's', 'm', 1, 0, 0, 0, 4, 4, 1, 0x70, 0, 8, 7, 9, 1, 5, 't', 'a', 'b', 'l', 'e', 1, 0}
	if _, err := r.InstantiateWithConfig(ctx, table, wazero.NewModuleConfig().WithName("host2")); err != nil {
		t.Fatal(err)
	}
	mod, err := r.InstantiateWithConfig(ctx, code, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mod.ExportedFunction("sum").Call(ctx, 40, 2); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("a function of it: %v, want a trap", err)
	}
}

// TestEditWithout adds a global to a module that has no globals and exports nothing.
func TestEditWithout(t *testing.T) {
	var w wasmbin.Builder
	w.Func(nullary, nil)
	m, err := wasmbin.Decode(w.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	e := m.Edit()
	e.Global("g", 7)
	r := wazero.NewRuntime(t.Context())
	defer r.Close(t.Context())
	mod, err := r.Instantiate(t.Context(), e.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if g := mod.ExportedGlobal("g"); g == nil || g.Get() != 7 {
		t.Errorf("the global is %v, want 7", g)
	}
}

// TestOwnMemory lets a module have the memory that it imported.
func TestOwnMemory(t *testing.T) {
	var w wasmbin.Builder
	w.ImportFunc("host", "tick", nullary)
	w.ImportMemory("env", "memory", 2, 3)
	w.ImportGlobal("env", "base", true)
	w.Export("get", wasmbin.KindFunc, w.Func(wasmbin.FuncType{Params: []byte{wasmbin.I32}, Results: []byte{wasmbin.I32}},
		[]byte{wasmbin.OpLocalGet, 0, wasmbin.OpI32Load, 2, 0, wasmbin.OpGlobalGet, 0, 0x6a}))
	m, err := wasmbin.Decode(w.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	e := m.Edit()
	if err := e.OwnMemory(); err != nil {
		t.Fatal(err)
	}
	if err := e.OwnMemory(); err == nil {
		t.Error("the memory was taken twice")
	}
	r := wazero.NewRuntime(t.Context())
	defer r.Close(t.Context())
	if _, err := r.NewHostModuleBuilder("host").NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(context.Context, []uint64) {}), nil, nil).Export("tick").Instantiate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var env wasmbin.Builder // has no memory
	env.Export("base", wasmbin.KindGlobal, env.Global(true, 1000))
	if _, err := r.InstantiateWithConfig(t.Context(), env.Bytes(), wazero.NewModuleConfig().WithName("env")); err != nil {
		t.Fatal(err)
	}
	mod, err := r.Instantiate(t.Context(), e.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	mem := mod.ExportedMemory("memory")
	if mem == nil || mem.Size() != 2<<16 {
		t.Fatalf("the memory is %v", mem)
	}
	mem.WriteUint32Le(8, 42)
	if got, err := mod.ExportedFunction("get").Call(t.Context(), 8); err != nil || got[0] != 1042 {
		t.Errorf("%v, %v, want 1042", got, err)
	}
	if _, grown := mem.Grow(2); grown {
		t.Error("the memory grew beyond its limit")
	}
	if m, err = wasmbin.Decode(sample()); err != nil {
		t.Fatal(err)
	}
	if err := m.Edit().OwnMemory(); err == nil {
		t.Error("a memory was taken that is not imported")
	}
}

func TestDecodeBad(t *testing.T) {
	good := sample()
	for name, b := range map[string][]byte{
		"empty":         nil,
		"text":          []byte("(module)"),
		"version":       {0, 'a', 's', 'm', 9, 0, 0, 0},
		"truncated":     good[:len(good)-3],
		"length":        append(bytes.Clone(good[:9]), 0xff, 0xff, 0xff, 0xff, 0x7f),
		"huge count":    {0, 'a', 's', 'm', 1, 0, 0, 0, 1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"missing code":  {0, 'a', 's', 'm', 1, 0, 0, 0, 3, 2, 1, 0},
		"endless leb":   {0, 'a', 's', 'm', 1, 0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
		"bad type form": {0, 'a', 's', 'm', 1, 0, 0, 0, 1, 4, 1, 0x50, 0, 0},
	} {
		if _, err := wasmbin.Decode(b); !errors.Is(err, wasmbin.ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample())
	f.Add([]byte{0, 'a', 's', 'm', 1, 0, 0, 0, 9, 7, 1, 0, 0x41, 0, 0x0b, 1, 0})
	f.Add([]byte{0, 'a', 's', 'm', 1, 0, 0, 0, 0, 15, 8, 'd', 'y', 'l', 'i', 'n', 'k', '.', '0', 1, 4, 8, 2, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wasmbin.Decode(b)
		if err != nil {
			return
		}
		for i := range uint32(len(m.Funcs)) {
			for range m.Instructions(m.ImportedFuncs() + i) {
			}
		}
		m.ReadData(0, make([]byte, 64))
	})
}
