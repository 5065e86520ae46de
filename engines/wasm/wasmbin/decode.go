package wasmbin

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrFormat reports bytes that are no WebAssembly module this package understands.
var ErrFormat = errors.New("not a valid WebAssembly module")

// maxItems bounds every count read from a module, so that bad bytes cannot ask for more
// memory than they are worth.
const maxItems = 1 << 20

// Decode reads a module. The result refers to b, which must not change.
func Decode(b []byte) (m *Module, err error) {
	if len(b) < 8 || binary.LittleEndian.Uint32(b) != 0x6d736100 || binary.LittleEndian.Uint32(b[4:]) != 1 {
		return nil, fmt.Errorf("%w: no magic number", ErrFormat)
	}
	defer func() {
		if x := recover(); x != nil {
			bad, ok := x.(badModule)
			if !ok {
				panic(x)
			}
			m, err = nil, fmt.Errorf("%w: %s", ErrFormat, string(bad))
		}
	}()
	m = &Module{raw: b, Slots: map[uint32]uint32{}, Table: map[uint32]uint32{}, byName: map[string]Export{}}
	r := &reader{b: b, i: 8}
	for r.i < len(b) {
		sec := section{at: r.i}
		sec.id = r.u8()
		n := int(r.u32())
		s := r.sub(n)
		sec.content, sec.end = s.i, s.i+n
		m.sections = append(m.sections, sec)
		m.section(sec.id, s)
	}
	if len(m.bodies) != len(m.Funcs) {
		return nil, fmt.Errorf("%w: %d functions, %d bodies", ErrFormat, len(m.Funcs), len(m.bodies))
	}
	for _, e := range m.Exports {
		m.byName[e.Name] = e
	}
	return m, nil
}

func (m *Module) section(id byte, s *reader) {
	switch id {
	case 0:
		if s.str() == "dylink.0" {
			m.dylink(s)
		}
	case 1:
		for range s.count() {
			if s.u8() != 0x60 {
				s.fail("type that is no function type")
			}
			m.Types = append(m.Types, FuncType{Params: s.bytes(int(s.u32())), Results: s.bytes(int(s.u32()))})
		}
	case 2:
		for range s.count() {
			m.importEntry(s)
		}
	case 3:
		for range s.count() {
			m.Funcs = append(m.Funcs, s.u32())
		}
	case 6:
		for range s.count() {
			s.u8() // value type
			s.u8() // mutability
			m.Globals = append(m.Globals, s.constExpr())
		}
	case 7:
		for range s.count() {
			m.Exports = append(m.Exports, Export{Name: s.str(), Kind: s.u8(), Index: s.u32()})
		}
	case 9:
		m.elements(s)
	case 10:
		for range s.count() {
			m.bodies = append(m.bodies, s.bytes(int(s.u32())))
		}
	case 11:
		m.data(s)
	}
}

func (m *Module) dylink(s *reader) {
	for s.i < len(s.b) {
		kind := s.u8()
		sub := s.sub(int(s.u32()))
		switch kind {
		case 1: // WASM_DYLINK_MEM_INFO
			m.MemSize, m.MemAlign, m.TableSize, m.TableAlign = sub.u32(), sub.u32(), sub.u32(), sub.u32()
			if m.MemAlign > 31 {
				s.fail("alignment in dylink.0")
			}
		case 2: // WASM_DYLINK_NEEDED
			for range sub.count() {
				m.Needed = append(m.Needed, sub.str())
			}
		}
	}
}

func (m *Module) importEntry(s *reader) {
	at := s.i
	im := Import{Module: s.str(), Name: s.str(), Kind: s.u8()}
	from := s.i
	switch im.Kind {
	case KindFunc:
		im.Type = s.u32()
		m.importedFuncs++
	case KindTable:
		s.u8()
		s.limits()
	case KindMemory:
		s.limits()
		im.limits = s.b[from:s.i]
	case KindGlobal:
		im.ValType, im.Mutable = s.u8(), s.u8() == 1
		m.importedGlobals++
	case KindTag:
		s.u8()
		s.u32()
	default:
		s.fail("import of unknown kind")
	}
	im.raw = s.b[at:s.i]
	m.Imports = append(m.Imports, im)
}

// elements keeps active segments of plain function indexes (flag 0): what linkers write.
func (m *Module) elements(s *reader) {
	for range s.count() {
		if s.u32() != 0 {
			return
		}
		offset := uint32(s.constExpr())
		for k := range uint32(s.count()) {
			f := s.u32()
			m.Table[offset+k] = f
			if _, ok := m.Slots[f]; !ok {
				m.Slots[f] = offset + k
			}
		}
	}
}

func (m *Module) data(s *reader) {
	for range s.count() {
		switch s.u32() {
		case 0:
			offset := uint32(s.constExpr())
			m.Data = append(m.Data, Segment{offset, s.bytes(int(s.u32()))})
		case 1:
			s.bytes(int(s.u32()))
		default:
			return
		}
	}
}
