// Package wasmbin reads and writes WebAssembly modules in their binary format, as far as
// linking needs it: imports, exports, globals, element and data segments, the dylink.0
// section, and the instructions of a function.
//
// It follows the WebAssembly core specification 2.0, section 5 (binary format), and the
// tool conventions' DynamicLinking.md for dylink.0.
package wasmbin

// Kinds of imports and exports.
const (
	KindFunc   byte = 0
	KindTable  byte = 1
	KindMemory byte = 2
	KindGlobal byte = 3
	KindTag    byte = 4
)

// Value types.
const (
	I32 byte = 0x7f
	I64 byte = 0x7e
	F32 byte = 0x7d
	F64 byte = 0x7c
)

// A FuncType is a function's signature; its bytes are value types.
type FuncType struct {
	Params, Results []byte
}

func (f FuncType) key() string { return string(f.Params) + ">" + string(f.Results) }

// An Import is one entry of the import section.
type Import struct {
	Module, Name string
	Kind         byte
	Type         uint32 // of a function: index into Module.Types
	ValType      byte   // of a global
	Mutable      bool   // of a global

	raw    []byte // the whole entry
	limits []byte // of a memory
}

// An Export is one entry of the export section.
type Export struct {
	Name  string
	Kind  byte
	Index uint32
}

// A section is where a section lies in the module's bytes.
type section struct {
	at, content, end int
	id               byte
}

// A Segment is an active data segment with a constant offset.
type Segment struct {
	Offset uint32
	Data   []byte
}

// A Dylink is what the dylink.0 section says of a side module.
type Dylink struct {
	MemSize, MemAlign     uint32 // bytes; log2 of the alignment
	TableSize, TableAlign uint32
	Needed                []string
}

// A Module is a decoded module. Its slices point into the bytes it was decoded from.
type Module struct {
	Types   []FuncType
	Imports []Import
	Funcs   []uint32 // type index of each defined function
	Exports []Export
	// Globals are the constant initial values of the defined globals; globals that are
	// initialised otherwise have 0.
	Globals []int64
	// Slots has, for each function in an active element segment, its first table slot.
	Slots map[uint32]uint32
	// Table is the inverse of Slots, for every slot.
	Table map[uint32]uint32
	Data  []Segment
	Dylink

	bodies   [][]byte // of the defined functions, locals included
	sections []section
	raw      []byte

	importedFuncs, importedGlobals uint32
	byName                         map[string]Export
}

// Bytes returns what the module was decoded from.
func (m *Module) Bytes() []byte { return m.raw }

// ImportedFuncs returns how many functions are imported; they have the first indexes.
func (m *Module) ImportedFuncs() uint32 { return m.importedFuncs }

// Export returns the export of that name and kind.
func (m *Module) Export(name string, kind byte) (Export, bool) {
	e, ok := m.byName[name]
	return e, ok && e.Kind == kind
}

// FuncType returns the signature of the function with that index, imported or defined.
func (m *Module) FuncType(index uint32) (FuncType, bool) {
	if index < m.importedFuncs {
		n := uint32(0)
		for _, im := range m.Imports {
			if im.Kind != KindFunc {
				continue
			}
			if n == index {
				return m.typ(im.Type)
			}
			n++
		}
	}
	if i := index - m.importedFuncs; int(i) < len(m.Funcs) {
		return m.typ(m.Funcs[i])
	}
	return FuncType{}, false
}

func (m *Module) typ(i uint32) (FuncType, bool) {
	if int(i) >= len(m.Types) {
		return FuncType{}, false
	}
	return m.Types[i], true
}

// ExportedGlobal returns the constant value of an exported, defined global: in position
// independent code that is a data address relative to the memory base.
func (m *Module) ExportedGlobal(name string) (int64, bool) {
	e, ok := m.Export(name, KindGlobal)
	if !ok || e.Index < m.importedGlobals || int(e.Index-m.importedGlobals) >= len(m.Globals) {
		return 0, false
	}
	return m.Globals[e.Index-m.importedGlobals], true
}

// ReadData copies what the data segments put at addr into b; bytes that no segment sets
// are zero.
func (m *Module) ReadData(addr uint32, b []byte) {
	clear(b)
	end := uint64(addr) + uint64(len(b))
	for _, s := range m.Data {
		from, to := uint64(s.Offset), uint64(s.Offset)+uint64(len(s.Data))
		lo, hi := max(from, uint64(addr)), min(to, end)
		if lo < hi {
			copy(b[lo-uint64(addr):hi-uint64(addr)], s.Data[lo-from:hi-from])
		}
	}
}
