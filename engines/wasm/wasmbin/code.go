package wasmbin

import (
	"iter"
)

// Opcodes that callers look for.
const (
	OpUnreachable = 0x00
	OpIf          = 0x04
	OpEnd         = 0x0b
	OpBrIf        = 0x0d
	OpCall        = 0x10
	OpLocalGet    = 0x20
	OpLocalSet    = 0x21
	OpLocalTee    = 0x22
	OpGlobalGet   = 0x23
	OpGlobalSet   = 0x24
	OpI32Load     = 0x28
	OpI32Load8    = 0x2d // i32.load8_u
	OpI32Store    = 0x36
	OpI32Const    = 0x41
	OpI32Eqz      = 0x45
	OpI32LtS      = 0x48
	OpI32Sub      = 0x6b
	OpI32Or       = 0x72

	opI64Const = 0x42
)

// An Instr is one instruction: its opcode (prefixed ones as prefix<<8 | opcode), the
// immediate that matters: an index, a constant, or the offset of a memory access, and where
// in the function's body it ends.
type Instr struct {
	Op  uint32
	Imm int64
	End int
}

// Instructions yields the instructions of a defined function in order; nothing for an
// imported one. It stops at bytes it does not know.
func (m *Module) Instructions(index uint32) iter.Seq[Instr] {
	return func(yield func(Instr) bool) {
		i := int(index) - int(m.importedFuncs)
		if i < 0 || i >= len(m.bodies) {
			return
		}
		defer func() {
			if x := recover(); x != nil {
				if _, ok := x.(badModule); !ok {
					panic(x)
				}
			}
		}()
		r := &reader{b: m.bodies[i]}
		for range r.count() { // locals
			r.u32()
			r.u8()
		}
		for r.i < len(r.b) {
			in := r.instr()
			in.End = r.i
			if !yield(in) {
				return
			}
		}
	}
}

func (r *reader) instr() Instr {
	op := uint32(r.u8())
	in := Instr{Op: op}
	switch {
	case op == 0x02 || op == 0x03 || op == 0x04: // block, loop, if: a block type
		in.Imm = r.s64()
	case op == 0x0c || op == 0x0d || op == 0x10 || op >= 0x20 && op <= 0x26 || op == 0xd2:
		in.Imm = int64(r.u32())
	case op == 0x0e: // br_table
		for range r.count() {
			r.u32()
		}
		r.u32()
	case op == 0x11: // call_indirect
		in.Imm = int64(r.u32())
		r.u32()
	case op == 0x1c: // select t*
		r.bytes(r.count())
	case op >= 0x28 && op <= 0x3e: // loads and stores
		r.u32()
		in.Imm = int64(r.u32())
	case op == 0x3f || op == 0x40 || op == 0xd0:
		r.u8()
	case op == 0x41 || op == 0x42:
		in.Imm = r.s64()
	case op == 0x43:
		r.bytes(4)
	case op == 0x44:
		r.bytes(8)
	case op == 0xfc:
		sub := r.u32()
		in.Op = op<<8 | sub
		switch {
		case sub <= 7: // trunc_sat
		case sub == 8 || sub == 10 || sub == 12 || sub == 14: // two indexes
			r.u32()
			r.u32()
		default:
			r.u32()
		}
	case op == 0xfd || op == 0xfe || op == 0x06 || op == 0x07 || op == 0x08 || op == 0x09:
		r.fail("vector, atomic or exception instruction")
	}
	return in
}
