package wasmbin

// A Builder writes a small module: imports first, then globals, functions and at most one
// table, one memory and one element segment. Imports of functions must come before functions, those
// of globals before globals. The zero value is ready for use.
type Builder struct {
	types   []FuncType
	typeIDs map[string]uint32
	imports [][]byte
	exports [][]byte
	funcs   []uint32
	bodies  [][]byte
	globals [][]byte
	table   []byte
	memory  []byte
	elem    []byte

	nFuncs, nGlobals uint32
}

// Type returns the index of a function type.
func (w *Builder) Type(f FuncType) uint32 {
	k := f.key()
	if i, ok := w.typeIDs[k]; ok {
		return i
	}
	if w.typeIDs == nil {
		w.typeIDs = map[string]uint32{}
	}
	i := uint32(len(w.types))
	w.types = append(w.types, f)
	w.typeIDs[k] = i
	return i
}

// ImportFunc imports a function and returns its index.
func (w *Builder) ImportFunc(module, name string, f FuncType) uint32 {
	w.imports = append(w.imports, cat(str(module), str(name), []byte{KindFunc}, leb(w.Type(f))))
	w.nFuncs++
	return w.nFuncs - 1
}

// ImportTable imports a table of functions with at least size slots.
func (w *Builder) ImportTable(module, name string, size uint32) {
	w.imports = append(w.imports, cat(str(module), str(name), []byte{KindTable, 0x70, 0}, leb(size)))
}

// ImportMemory imports a memory of size to limit pages.
func (w *Builder) ImportMemory(module, name string, size, limit uint32) {
	w.imports = append(w.imports, cat(str(module), str(name), []byte{KindMemory, 1}, leb(size), leb(limit)))
}

// ImportGlobal imports an i32 global and returns its index.
func (w *Builder) ImportGlobal(module, name string, mutable bool) uint32 {
	w.imports = append(w.imports, cat(str(module), str(name), []byte{KindGlobal, I32, boolByte(mutable)}))
	w.nGlobals++
	return w.nGlobals - 1
}

// Table defines the module's table of functions, of at least size slots.
func (w *Builder) Table(size uint32) { w.table = cat([]byte{0x70, 0}, leb(size)) }

// Memory defines the module's memory of size to limit pages.
func (w *Builder) Memory(size, limit uint32) { w.memory = cat([]byte{1}, leb(size), leb(limit)) }

// Global defines an i32 global and returns its index.
func (w *Builder) Global(mutable bool, v int32) uint32 {
	w.globals = append(w.globals, cat([]byte{I32, boolByte(mutable), OpI32Const}, sleb(int64(v)), []byte{OpEnd}))
	w.nGlobals++
	return w.nGlobals - 1
}

// Export exports the item of that kind and index.
func (w *Builder) Export(name string, kind byte, index uint32) {
	w.exports = append(w.exports, cat(str(name), []byte{kind}, leb(index)))
}

// Func defines a function without locals; code is its instructions without the final
// end. It returns the function's index.
func (w *Builder) Func(f FuncType, code []byte) uint32 {
	w.funcs = append(w.funcs, w.Type(f))
	body := cat([]byte{0}, code, []byte{OpEnd})
	w.bodies = append(w.bodies, cat(leb(uint32(len(body))), body))
	w.nFuncs++
	return w.nFuncs - 1
}

// Forward defines a function that passes its arguments on to another, and returns its
// index.
func (w *Builder) Forward(f FuncType, to uint32) uint32 {
	return w.Func(f, cat(arguments(f), []byte{OpCall}, leb(to)))
}

// ForwardSlot defines a function that passes its arguments on to whatever is in a slot of
// table 0 at the time, and returns its index.
func (w *Builder) ForwardSlot(f FuncType, slot uint32) uint32 {
	return w.Func(f, cat(arguments(f), []byte{OpI32Const}, sleb(int64(int32(slot))), []byte{0x11}, leb(w.Type(f)), []byte{0}))
}

// ForwardBased is ForwardSlot for the slot that lies offset behind the value of the global
// base.
func (w *Builder) ForwardBased(f FuncType, base, offset uint32) uint32 {
	return w.Func(f, cat(arguments(f), []byte{OpGlobalGet}, leb(base), []byte{OpI32Const}, sleb(int64(offset)), []byte{0x6a, 0x11}, leb(w.Type(f)), []byte{0}))
}

// TableGrow defines a function (i32) -> i32 that grows table 0 by its argument and
// returns the former size or -1, and returns its index.
func (w *Builder) TableGrow() uint32 {
	refNullFunc := []byte{0xd0, 0x70}
	return w.Func(FuncType{Params: []byte{I32}, Results: []byte{I32}},
		cat(refNullFunc, []byte{OpLocalGet, 0, 0xfc, 0x0f, 0}))
}

// Elements puts functions into table 0 from offset on, at instantiation.
func (w *Builder) Elements(offset uint32, funcs []uint32) {
	b := cat([]byte{0, OpI32Const}, sleb(int64(int32(offset))), []byte{OpEnd}, leb(uint32(len(funcs))))
	for _, f := range funcs {
		b = append(b, leb(f)...)
	}
	w.elem = b
}

// ElementsAt is Elements with the value of the imported global base as the offset.
func (w *Builder) ElementsAt(base uint32, funcs []uint32) {
	b := cat([]byte{0, OpGlobalGet}, leb(base), []byte{OpEnd}, leb(uint32(len(funcs))))
	for _, f := range funcs {
		b = append(b, leb(f)...)
	}
	w.elem = b
}

// Bytes returns the module.
func (w *Builder) Bytes() []byte {
	out := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	section := func(id byte, items [][]byte) {
		if len(items) == 0 {
			return
		}
		b := cat(append([][]byte{leb(uint32(len(items)))}, items...)...)
		out = append(out, id)
		out = append(out, leb(uint32(len(b)))...)
		out = append(out, b...)
	}
	one := func(b []byte) [][]byte {
		if b == nil {
			return nil
		}
		return [][]byte{b}
	}
	var types, funcs [][]byte
	for _, t := range w.types {
		types = append(types, cat([]byte{0x60}, leb(uint32(len(t.Params))), t.Params, leb(uint32(len(t.Results))), t.Results))
	}
	for _, f := range w.funcs {
		funcs = append(funcs, leb(f))
	}
	section(1, types)
	section(2, w.imports)
	section(3, funcs)
	section(4, one(w.table))
	section(5, one(w.memory))
	section(6, w.globals)
	section(7, w.exports)
	section(9, one(w.elem))
	section(10, w.bodies)
	return out
}

func arguments(f FuncType) []byte {
	var code []byte
	for i := range f.Params {
		code = append(code, OpLocalGet)
		code = append(code, leb(uint32(i))...)
	}
	return code
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func leb(v uint32) []byte {
	var out []byte
	for {
		c := byte(v & 0x7f)
		if v >>= 7; v == 0 {
			return append(out, c)
		}
		out = append(out, c|0x80)
	}
}

func sleb(v int64) []byte {
	var out []byte
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(out, c)
		}
		out = append(out, c|0x80)
	}
}

func str(s string) []byte { return append(leb(uint32(len(s))), s...) }

func cat(parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := make([]byte, 0, n)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
