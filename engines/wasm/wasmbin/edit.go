package wasmbin

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// An Edit collects changes of a module that leave every index in it as it is: instructions
// put into functions, globals added behind the others, the memory defined instead of imported.
type Edit struct {
	m       *Module
	inserts map[int][]insertion // by position in m.bodies
	memory  [][]byte            // at most one, which is no longer imported
	globals [][]byte
	exports [][]byte
}

// An insertion is code to be put into a body.
type insertion struct {
	at   int
	code []byte
}

// Edit begins a change of m. Nothing has changed until Bytes.
func (m *Module) Edit() *Edit { return &Edit{m: m, inserts: map[int][]insertion{}} }

// Insert puts instructions into a defined function, behind the instruction whose Instr.End is
// at. They must leave the stack as they find it, or with one value replaced by another of its
// type. What is inserted at one place keeps the order of the calls.
func (e *Edit) Insert(fn uint32, at int, code ...byte) error {
	i := int(fn) - int(e.m.importedFuncs)
	if i < 0 || i >= len(e.m.bodies) || at < 0 || at > len(e.m.bodies[i]) {
		return fmt.Errorf("function %d has no place %d", fn, at)
	}
	e.inserts[i] = append(e.inserts[i], insertion{at, code})
	return nil
}

// PrependCall puts a call of function callee, which takes and returns nothing, before the
// first instruction of the defined function target.
func (e *Edit) PrependCall(target, callee uint32) error {
	if t, ok := e.m.FuncType(callee); !ok || len(t.Params)+len(t.Results) != 0 {
		return fmt.Errorf("function %d cannot be called without arguments", callee)
	}
	i := int(target) - int(e.m.importedFuncs)
	if i < 0 || i >= len(e.m.bodies) {
		return fmt.Errorf("function %d is not defined in the module", target)
	}
	return e.Insert(target, afterLocals(e.m.bodies[i]), cat([]byte{OpCall}, leb(callee))...)
}

// afterLocals returns where the instructions of a body begin.
func afterLocals(body []byte) int {
	r := &reader{b: body}
	for range r.count() {
		r.u32()
		r.u8()
	}
	return r.i
}

// Global adds a mutable i32, exported by that name, and returns its index.
func (e *Edit) Global(name string, v int32) uint32 {
	index := e.m.importedGlobals + uint32(len(e.m.Globals)+len(e.globals))
	e.globals = append(e.globals, cat([]byte{I32, 1, OpI32Const}, sleb(int64(v)), []byte{OpEnd}))
	e.exports = append(e.exports, cat(str(name), []byte{KindGlobal}, leb(index)))
	return index
}

// OwnMemory makes the module define and export, by its name, the memory that it imports, with
// the limits of the import.
func (e *Edit) OwnMemory() error {
	for _, im := range e.m.Imports {
		if im.Kind == KindMemory && e.memory == nil {
			e.memory = [][]byte{im.limits}
			e.exports = append(e.exports, cat(str(im.Name), []byte{KindMemory, 0}))
			return nil
		}
	}
	return errors.New("the module imports no memory")
}

// imports returns the content of the import section without the memory.
func (e *Edit) imports() []byte {
	out := leb(uint32(len(e.m.Imports) - len(e.memory)))
	for _, im := range e.m.Imports {
		if im.Kind != KindMemory {
			out = append(out, im.raw...)
		}
	}
	return out
}

// Bytes returns the changed module.
func (e *Edit) Bytes() []byte { return e.assemble(e.code) }

// Outline returns the changed module without its code: every function traps as soon as it is
// called, and all else is as in Bytes. The bytes in mark go into a custom section, and so make
// outlines differ whose modules differ in nothing but code.
func (e *Edit) Outline(mark []byte) []byte {
	name := str("outline")
	size := leb(uint32(len(name) + len(mark)))
	return cat(e.assemble(e.noCode), []byte{0}, size, name, mark)
}

// assemble puts the sections together; code returns the content of the code section.
func (e *Edit) assemble(code func() []byte) []byte {
	m := e.m
	out := slices.Clone(m.raw[:8])
	write := func(id byte, content []byte) {
		out = append(append(append(out, id), leb(uint32(len(content)))...), content...)
	}
	add := func(s section, count int, items [][]byte) []byte {
		if len(items) == 0 {
			return m.raw[s.content:s.end]
		}
		r := &reader{b: m.raw, i: s.content}
		r.u32() // the count
		return cat(leb(uint32(count+len(items))), m.raw[r.i:s.end], cat(items...))
	}
	// Sections come in the order of their ids, except that 13 follows 5 and 12 follows 9. What
	// the module does not have is written before the first that comes later.
	missing := []struct {
		id    byte
		items [][]byte
	}{{5, e.memory}, {6, e.globals}, {7, e.exports}}
	flush := func(before byte) {
		for len(missing) > 0 && missing[0].id < before {
			if items := missing[0].items; len(items) > 0 {
				write(missing[0].id, cat(leb(uint32(len(items))), cat(items...)))
			}
			missing = missing[1:]
		}
	}
	for _, s := range m.sections {
		switch s.id {
		case 0: // anywhere
		case 13:
			flush(6)
		default:
			flush(s.id)
		}
		if len(missing) > 0 && missing[0].id == s.id {
			missing = missing[1:]
		}
		switch s.id {
		case 2:
			if e.memory == nil {
				out = append(out, m.raw[s.at:s.end]...)
			} else {
				write(2, e.imports())
			}
		case 6:
			write(6, add(s, len(m.Globals), e.globals))
		case 7:
			write(7, add(s, len(m.Exports), e.exports))
		case 10:
			write(10, code())
		default:
			out = append(out, m.raw[s.at:s.end]...)
		}
	}
	flush(0xff)
	return out
}

// code returns the content of the code section.
func (e *Edit) code() []byte {
	out := leb(uint32(len(e.m.bodies)))
	for i, body := range e.m.bodies {
		list := e.inserts[i]
		slices.SortStableFunc(list, func(a, b insertion) int { return cmp.Compare(a.at, b.at) })
		var b []byte
		from := 0
		for _, in := range list {
			b = append(append(b, body[from:in.at]...), in.code...)
			from = in.at
		}
		out = append(out, leb(uint32(len(b)+len(body)-from))...)
		out = append(append(out, b...), body[from:]...)
	}
	return out
}

// noCode returns the content of a code section whose functions are only "unreachable".
func (e *Edit) noCode() []byte {
	body := []byte{0, OpUnreachable, OpEnd}
	return cat(leb(uint32(len(e.m.bodies))), bytes.Repeat(cat(leb(uint32(len(body))), body), len(e.m.bodies)))
}

// Leb returns the unsigned LEB128 encoding of an index, as instructions have it.
func Leb(v uint32) []byte { return leb(v) }
