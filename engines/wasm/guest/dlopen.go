package guest

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// Offsets in musl's struct dso as Emscripten 6 has it; pinned with the package.
const (
	dsoMemAllocated = 8
	dsoMemAddr      = 12
	dsoMemSize      = 16
	dsoTableAddr    = 20
	dsoTableSize    = 24
	dsoName         = 36
)

func (in *Instance) dlopen(s []uint64) {
	handle := uint32(s[0])
	name := path.Clean(in.Proc.String(handle + dsoName))
	if err := in.load(handle, name); err != nil {
		in.dlerror(fmt.Sprintf("could not load library %s: %v", name, err))
		s[0] = 0
		return
	}
	s[0] = 1
}

func (in *Instance) dlsym(s []uint64) {
	handle, symbol := uint32(s[0]), in.Proc.String(uint32(s[1]))
	for _, l := range in.libs {
		if l.at.Handle == handle {
			if v, ok := l.exports[symbol]; ok {
				s[0] = uint64(v)
				return
			}
		}
	}
	in.dlerror("undefined symbol: " + symbol)
	s[0] = 0
}

// dlerror sets what dlerror(3) returns; the guest takes it as a format.
func (in *Instance) dlerror(msg string) {
	in.Call("__dl_seterr", in.cstring(strings.ReplaceAll(msg, "%", "%%")), 0)
}

// A linking is one dlopen under way.
type linking struct {
	in   *Instance
	side *sideModule
	lib  *library
	mod  api.Module

	memBase, tableBase uint32
	own, needed        []function // functions of the library, and of main, that get slots
	mainSlots          map[string]uint32
}

type function struct {
	name string
	typ  wasmbin.FuncType
}

// load links a side module as Emscripten's dynamic loader does: its data and its part of
// the function table are given places, imports are resolved against the main module, the
// libraries loaded before, and the host, in this order.
func (in *Instance) load(handle uint32, name string) error {
	code, err := in.readGuest(name)
	if err != nil {
		return err
	}
	side, err := in.rt.sideModule(in.ctx, code, len(code) < largeModule)
	if errors.Is(err, errNotCached) {
		err = fmt.Errorf("%w: run «pgx-dev runtime install», or name the extension when the server is started", ErrNotCompiled)
	}
	if err != nil {
		return err
	}
	l := newLinking(in, side)
	if err := l.room(); err != nil {
		return err
	}
	if err := l.place(); err != nil {
		return err
	}
	l.lib.at = placed{handle, name, l.memBase, l.tableBase}
	if err := l.instantiate(); err != nil {
		return err
	}
	if err := l.start(); err != nil {
		return err
	}
	mem, m := in.Memory(), side.Module
	mem.WriteByte(handle+dsoMemAllocated, 1)
	for off, v := range map[uint32]uint32{dsoMemAddr: l.memBase, dsoMemSize: m.MemSize, dsoTableAddr: l.tableBase, dsoTableSize: m.TableSize} {
		mem.WriteUint32Le(handle+off, v)
	}
	in.libs = append(in.libs, l.lib)
	return nil
}

func newLinking(in *Instance, side *sideModule) *linking {
	return &linking{in: in, side: side, lib: &library{exports: map[string]uint32{}}, mainSlots: map[string]uint32{}}
}

// relink links a library where it was in the instance whose memory this one is to have:
// that memory says what the library's data are, and that its constructors have run.
func (in *Instance) relink(at placed) error {
	code, err := in.readGuest(at.Name)
	if err != nil {
		return err
	}
	side, err := in.rt.sideModule(in.ctx, code, true)
	if err != nil {
		return err
	}
	l := newLinking(in, side)
	l.memBase, l.lib.at = at.Memory, at
	if err := l.place(); err != nil {
		return err
	}
	if l.tableBase != at.Table {
		// Something failed to load in between, and left its slots.
		return fmt.Errorf("its place in the table is %d, not %d", l.tableBase, at.Table)
	}
	if err := l.instantiate(); err != nil {
		return err
	}
	in.libs = append(in.libs, l.lib)
	return nil
}

// room finds memory for the library's data.
func (l *linking) room() error {
	m := l.side.Module
	if m.MemSize == 0 {
		return nil
	}
	align := uint32(1) << m.MemAlign
	p := uint32(l.in.Call("calloc", uint64(m.MemSize)+uint64(align), 1))
	if p == 0 {
		return fmt.Errorf("the guest has no %d bytes for it", m.MemSize)
	}
	l.memBase = (p + align - 1) &^ (align - 1)
	return nil
}

// place gives the library's functions slots of the table, and its symbols their values.
func (l *linking) place() error {
	in, m := l.in, l.side.Module
	for _, e := range m.Exports {
		switch e.Kind {
		case wasmbin.KindFunc:
			t, _ := m.FuncType(e.Index)
			l.own = append(l.own, function{e.Name, t})
		case wasmbin.KindGlobal:
			if v, ok := m.ExportedGlobal(e.Name); ok {
				l.lib.exports[e.Name] = uint32(v) + l.memBase
			}
		}
	}
	// A function of main whose address is taken keeps the slot that main itself uses, so
	// that pointers to it are equal everywhere.
	pg := in.rt.pg
	for _, im := range m.Imports {
		if im.Module != "GOT.func" {
			continue
		}
		e, ok := pg.Export(im.Name, wasmbin.KindFunc)
		if !ok {
			continue
		}
		if slot, ok := pg.Slots[e.Index]; ok {
			l.mainSlots[im.Name] = slot
		} else if slot, ok := in.slots[im.Name]; ok {
			l.mainSlots[im.Name] = slot
		} else {
			t, _ := pg.FuncType(e.Index)
			l.needed = append(l.needed, function{im.Name, t})
		}
	}
	base, err := in.growTable(m.TableSize + uint32(len(l.own)+len(l.needed)))
	if err != nil {
		return err
	}
	l.tableBase = base
	for i, f := range l.own {
		l.lib.exports[f.name] = base + m.TableSize + uint32(i)
	}
	for i, f := range l.needed {
		slot := base + m.TableSize + uint32(len(l.own)+i)
		in.slots[f.name], l.mainSlots[f.name] = slot, slot
	}
	return nil
}

// find returns a symbol of the library or of one loaded before.
func (l *linking) find(symbol string) (uint32, bool) {
	if v, ok := l.lib.exports[symbol]; ok {
		return v, true
	}
	for _, o := range l.in.libs {
		if v, ok := o.exports[symbol]; ok {
			return v, true
		}
	}
	return 0, false
}

func (l *linking) instantiate() error {
	in := l.in
	bases, err := l.basesModule()
	if err != nil {
		return err
	}
	env, err := in.link(withModules(in.ctx, map[string]api.Module{"pg": in.main, "bases": bases}), l.envModule())
	if err != nil {
		return fmt.Errorf("link its environment: %w", err)
	}
	got := map[string]api.Module{}
	mods := map[string]api.Module{"env": env}
	for _, table := range []string{"GOT.func", "GOT.mem"} {
		if got[table], err = in.link(withModules(in.ctx, nil), gotModule(l.side.Module, table)); err != nil {
			return err
		}
		mods[table] = got[table]
	}
	side, err := in.rt.wz.InstantiateModule(withModules(in.ctx, mods), l.side.compiled, anonymous())
	if err != nil {
		return fmt.Errorf("instantiate it: %w", err)
	}
	in.mods = append(in.mods, side)
	in.polls.add(side)
	if code := l.elemModule(); code != nil {
		if _, err := in.link(withModules(in.ctx, map[string]api.Module{"pg": in.main, "side": side, "bases": bases}), code); err != nil {
			return fmt.Errorf("fill the function table: %w", err)
		}
	}
	for _, im := range l.side.Imports {
		var v uint32
		var ok bool
		switch im.Module {
		case "GOT.func":
			if v, ok = l.mainSlots[im.Name]; !ok {
				v, ok = l.find(im.Name)
			}
		case "GOT.mem":
			if v = in.Addr(im.Name); v != 0 {
				ok = true
			} else {
				v, ok = l.find(im.Name)
			}
		default:
			continue
		}
		if !ok {
			return fmt.Errorf("undefined symbol: %s", im.Name)
		}
		got[im.Module].ExportedGlobal(im.Name).(api.MutableGlobal).Set(uint64(v))
	}
	l.mod = side
	return nil
}

// start lets a library that is new put its data right and run its constructors.
func (l *linking) start() error {
	for _, start := range []string{"__wasm_apply_data_relocs", "__wasm_call_ctors"} {
		if f := l.mod.ExportedFunction(start); f != nil {
			if _, err := f.Call(l.in.ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
