package wasmbin

import (
	"fmt"
	"iter"
)

// Opcodes that callers look for.
const (
	OpIf       = 0x04
	OpCall     = 0x10
	OpLocalGet = 0x20
	OpLocalTee = 0x22
	OpI32Load  = 0x28
	OpI32Load8 = 0x2d // i32.load8_u
	OpI32Store = 0x36
	OpI32Const = 0x41
	OpI32Eqz   = 0x45
	OpEnd      = 0x0b

	opI64Const  = 0x42
	opGlobalGet = 0x23
)

// An Instr is one instruction: its opcode (prefixed ones as prefix<<8 | opcode) and the
// immediate that matters: an index, a constant, or the offset of a memory access.
type Instr struct {
	Op  uint32
	Imm int64
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
			if !yield(r.instr()) {
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

// PrependCall returns the module's bytes with a call of function callee, which takes and
// returns nothing, put before the first instruction of the defined function target.
func (m *Module) PrependCall(target, callee uint32) ([]byte, error) {
	i := int(target) - int(m.importedFuncs)
	if i < 0 || i >= len(m.bodies) {
		return nil, fmt.Errorf("function %d is not defined in the module", target)
	}
	if t, ok := m.FuncType(callee); !ok || len(t.Params)+len(t.Results) != 0 {
		return nil, fmt.Errorf("function %d cannot be called without arguments", callee)
	}
	body := m.bodies[i]
	r := &reader{b: body}
	for range r.count() {
		r.u32()
		r.u8()
	}
	call := append([]byte{OpCall}, leb(callee)...)
	patched := cat(body[:r.i], call, body[r.i:])
	bodyAt := m.bodyAt[i]
	bodyEnd := bodyAt + len(leb32At(m.raw, bodyAt)) + len(body)
	section := cat(m.raw[m.codeCountAt:bodyAt], leb(uint32(len(patched))), patched, m.raw[bodyEnd:m.codeEnd])
	return cat(m.raw[:m.codeAt], leb(uint32(len(section))), section, m.raw[m.codeEnd:]), nil
}

// leb32At returns the bytes of the LEB128 number at i.
func leb32At(b []byte, i int) []byte {
	j := i
	for b[j] >= 0x80 {
		j++
	}
	return b[i : j+1]
}
