package guest

import (
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// The modules generated around a side module hold no addresses, so that their compiled
// code is found again; the addresses are in "bases", which has no code.

// basesModule exports where the library's data, its part of the table and its exported
// functions begin.
func (l *linking) basesModule() (api.Module, error) {
	in := l.in
	var w wasmbin.Builder
	for _, b := range []struct {
		name  string
		value uint32
	}{{"memory", l.memBase}, {"table", l.tableBase}, {"exports", l.exportBase()}} {
		w.Export(b.name, wasmbin.KindGlobal, w.Global(false, int32(b.value)))
	}
	c, err := in.rt.wz.CompileModule(in.ctx, w.Bytes())
	if err != nil {
		return nil, err
	}
	in.compiled = append(in.compiled, c)
	m, err := in.rt.wz.InstantiateModule(withModules(in.ctx, nil), c, anonymous())
	if err == nil {
		in.mods = append(in.mods, m)
	}
	return m, err
}

// exportBase is the first slot of the library's exported functions.
func (l *linking) exportBase() uint32 { return l.tableBase + l.side.TableSize }

// envModule gives the side module what it imports from env: functions of main as they
// are, those of the host, and symbols of libraries through the table.
func (l *linking) envModule() []byte {
	in, m := l.in, l.side.Module
	type export struct {
		name  string
		index uint32
	}
	type thunk struct {
		name string
		typ  wasmbin.FuncType
		slot uint32
	}
	var w wasmbin.Builder
	var exports []export
	var thunks []thunk
	host := map[string]bool{}
	for _, im := range in.rt.pg.Imports {
		host[im.Name] = host[im.Name] || im.Module == "env" && im.Kind == wasmbin.KindFunc
	}
	for _, im := range m.Imports {
		if im.Module != "env" || im.Kind != wasmbin.KindFunc {
			continue
		}
		t := m.Types[im.Type]
		_, call := in.rt.calls[im.Name]
		slot, found := l.find(im.Name)
		switch _, ok := in.rt.pg.Export(im.Name, wasmbin.KindFunc); {
		case ok:
			exports = append(exports, export{im.Name, w.ImportFunc("pg", im.Name, t)})
		case host[im.Name]:
			exports = append(exports, export{im.Name, w.ImportFunc(hostMain, im.Name, t)})
		case !call && !strings.HasPrefix(im.Name, "invoke_") && found:
			thunks = append(thunks, thunk{im.Name, t, slot})
		default: // including libc functions that exist nowhere: they fail with ENOSYS
			exports = append(exports, export{im.Name, w.ImportFunc(l.side.extra, im.Name, t)})
		}
	}
	w.ImportMemory("pg", "memory", minPages, maxPages)
	w.ImportTable("pg", "__indirect_function_table", 1)
	sp := w.ImportGlobal("pg", "__stack_pointer", true)
	memory, table := w.ImportGlobal("bases", "memory", false), w.ImportGlobal("bases", "table", false)
	own := w.ImportGlobal("bases", "exports", false)
	for _, e := range exports {
		w.Export(e.name, wasmbin.KindFunc, e.index)
	}
	first := l.exportBase()
	for _, t := range thunks {
		if i := t.slot - first; int(i) < len(l.own) {
			w.Export(t.name, wasmbin.KindFunc, w.ForwardBased(t.typ, own, i))
		} else {
			w.Export(t.name, wasmbin.KindFunc, w.ForwardSlot(t.typ, t.slot))
		}
	}
	w.Export("memory", wasmbin.KindMemory, 0)
	w.Export("__indirect_function_table", wasmbin.KindTable, 0)
	w.Export("__stack_pointer", wasmbin.KindGlobal, sp)
	w.Export("__memory_base", wasmbin.KindGlobal, memory)
	w.Export("__table_base", wasmbin.KindGlobal, table)
	return w.Bytes()
}

// gotModule has a mutable global for each entry of a global offset table; the values are
// set once everything has its place.
func gotModule(m *wasmbin.Module, table string) []byte {
	var w wasmbin.Builder
	for _, im := range m.Imports {
		if im.Module == table {
			w.Export(im.Name, wasmbin.KindGlobal, w.Global(true, 0))
		}
	}
	return w.Bytes()
}

// elemModule puts the library's exported functions, and those of main that need a slot,
// into the table, through functions of its own (see installCallbacks).
func (l *linking) elemModule() []byte {
	if len(l.own)+len(l.needed) == 0 {
		return nil
	}
	var w wasmbin.Builder
	var imported, forwards []uint32
	all := append(append([]function{}, l.own...), l.needed...)
	for i, f := range all {
		from := "side"
		if i >= len(l.own) {
			from = "pg"
		}
		imported = append(imported, w.ImportFunc(from, f.name, f.typ))
	}
	w.ImportTable("pg", "__indirect_function_table", 1)
	base := w.ImportGlobal("bases", "exports", false)
	for i, f := range all {
		forwards = append(forwards, w.Forward(f.typ, imported[i]))
	}
	w.ElementsAt(base, forwards)
	return w.Bytes()
}
