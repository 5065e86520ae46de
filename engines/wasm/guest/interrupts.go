package guest

import (
	"errors"
	"fmt"

	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// Go cannot interrupt compiled WebAssembly: a goroutine that runs a guest goes on until the
// guest calls the host. Meanwhile the garbage collector, which stops all goroutines, waits
// with all the others stopped; and when every processor runs a guest, nobody is left to set
// a flag that would end a statement. So the guest has to call the host now and then, and it
// does so where PostgreSQL looks for interrupts: CHECK_FOR_INTERRUPTS is
//
//	if (InterruptPending) ProcessInterrupts();
//
// and is made
//
//	if (InterruptPending | (--countdown < 0)) ProcessInterrupts();
//
// in every module, where ProcessInterrupts calls the host first, which sets the countdowns
// anew. With nothing pending it does nothing more. Loops in which PostgreSQL does not look
// for interrupts are short, or it would not react to a cancellation either.

const (
	processInterrupts = "ProcessInterrupts"
	hookImport        = "_emscripten_runtime_keepalive_clear"
	countdownGlobal   = "pgx_dev_countdown"
)

// hookInterrupts gives pglite.wasm countdowns, and a call of the host, through an import that
// does nothing else, in the beginning of ProcessInterrupts.
func hookInterrupts(pg *wasmbin.Module, e *wasmbin.Edit) error {
	process, ok := pg.Export(processInterrupts, wasmbin.KindFunc)
	pending, ok2 := pg.ExportedGlobal("InterruptPending")
	if !ok || !ok2 {
		return errors.New("it does not export ProcessInterrupts and InterruptPending")
	}
	hook, ok := importIndex(pg, wasmbin.KindFunc, "env", hookImport)
	if !ok {
		return fmt.Errorf("it does not import %s", hookImport)
	}
	if err := e.PrependCall(process.Index, hook); err != nil {
		return err
	}
	invoke, hasInvoke := importIndex(pg, wasmbin.KindFunc, "env", "invoke_v")
	slot, hasSlot := pg.Slots[process.Index]
	f := checkFinder{
		isAddress: func(in wasmbin.Instr) bool { return in.Op == wasmbin.OpI32Const && in.Imm == pending },
		isCall: func(before, in wasmbin.Instr) bool {
			return in.Imm == int64(process.Index) ||
				hasInvoke && hasSlot && in.Imm == int64(invoke) && before.Op == wasmbin.OpI32Const && before.Imm == int64(slot)
		},
	}
	checks, loads, err := f.edit(pg, e)
	if err != nil {
		return err
	}
	// Some reads of the variable are for other purposes, and a few checks have been turned
	// inside out by the optimiser.
	if checks*10 < loads*9 || checks == 0 {
		return fmt.Errorf("of %d places that look for interrupts, %d are as expected", loads, checks)
	}
	return nil
}

// pollSide returns a side module with a countdown, nil if it never looks for interrupts.
func pollSide(m *wasmbin.Module) ([]byte, Symbols, error) {
	process, direct := importIndex(m, wasmbin.KindFunc, "env", processInterrupts)
	pending, ok := importIndex(m, wasmbin.KindGlobal, "GOT.mem", "InterruptPending")
	if !ok {
		return nil, Symbols{}, nil
	}
	invoke, invokes := importIndex(m, wasmbin.KindFunc, "env", "invoke_v")
	pointer, points := importIndex(m, wasmbin.KindGlobal, "GOT.func", processInterrupts)
	e := m.Edit()
	f := checkFinder{
		isAddress: func(in wasmbin.Instr) bool {
			// The address may have been put into a local variable before.
			return in.Op == wasmbin.OpGlobalGet && in.Imm == int64(pending) || in.Op == wasmbin.OpLocalGet
		},
		isCall: func(before, in wasmbin.Instr) bool {
			return direct && in.Imm == int64(process) ||
				invokes && points && in.Imm == int64(invoke) && before.Op == wasmbin.OpGlobalGet && before.Imm == int64(pointer)
		},
	}
	checks, _, err := f.edit(m, e)
	if err != nil || checks == 0 {
		return nil, Symbols{}, err
	}
	return e.Bytes(), Symbols{}, nil
}

// importIndex returns the index of an import among those of its kind.
func importIndex(m *wasmbin.Module, kind byte, module, name string) (uint32, bool) {
	n := uint32(0)
	for _, im := range m.Imports {
		if im.Kind != kind {
			continue
		}
		if im.Module == module && im.Name == name {
			return n, true
		}
		n++
	}
	return 0, false
}

// A checkFinder finds CHECK_FOR_INTERRUPTS in code.
type checkFinder struct {
	isAddress func(in wasmbin.Instr) bool         // in may put the address of InterruptPending on the stack
	isCall    func(before, in wasmbin.Instr) bool // in, a call, calls ProcessInterrupts
}

// edit adds a countdown to every check, and returns how many there are, and how many reads of
// InterruptPending.
func (f *checkFinder) edit(m *wasmbin.Module, e *wasmbin.Edit) (checks, loads int, err error) {
	var countdown []byte
	for i := range m.Funcs {
		fn := m.ImportedFuncs() + uint32(i)
		var code []wasmbin.Instr
		for in := range m.Instructions(fn) {
			code = append(code, in)
		}
		for k := 1; k < len(code); k++ {
			if code[k].Op != wasmbin.OpI32Load || code[k].Imm != 0 || !f.isAddress(code[k-1]) {
				continue
			}
			loads++
			if !f.checks(code[k+1:]) {
				continue
			}
			if checks++; checks == 1 {
				countdown = countdownCode(e.Global(countdownGlobal, firstPoll))
			}
			if err := e.Insert(fn, code[k].End, countdown...); err != nil {
				return 0, 0, err
			}
		}
	}
	return checks, loads, nil
}

// countdownCode counts down and makes the value on the stack true when it is time.
func countdownCode(global uint32) []byte {
	index := wasmbin.Leb(global)
	code := append([]byte{wasmbin.OpGlobalGet}, index...)
	code = append(code, wasmbin.OpI32Const, 1, wasmbin.OpI32Sub, wasmbin.OpGlobalSet)
	code = append(append(code, index...), wasmbin.OpGlobalGet)
	return append(append(code, index...), wasmbin.OpI32Const, 0, wasmbin.OpI32LtS, wasmbin.OpI32Or)
}

// checks reports whether the value on the stack only decides, in what follows, whether
// ProcessInterrupts is called.
func (f *checkFinder) checks(code []wasmbin.Instr) bool {
	if len(code) == 0 || code[0].Op != wasmbin.OpLocalSet {
		return f.tested(code)
	}
	// It is kept in a variable, and tested on more than one way on.
	found := false
	for k, in := range code[1:] {
		if in.Imm != code[0].Imm {
			continue
		}
		switch in.Op {
		case wasmbin.OpLocalSet, wasmbin.OpLocalTee:
			return found
		case wasmbin.OpLocalGet:
			if !f.tested(code[k+2:]) {
				return false
			}
			found = true
		}
	}
	return found
}

// tested reports whether code begins with a test whose outcome is a call of
// ProcessInterrupts or a way around it. Before a call that may end in a longjmp, __THREW__
// is cleared.
func (f *checkFinder) tested(code []wasmbin.Instr) bool {
	if len(code) > 0 && code[0].Op == wasmbin.OpI32Eqz {
		code = code[1:]
	}
	if len(code) == 0 || code[0].Op != wasmbin.OpIf && code[0].Op != wasmbin.OpBrIf {
		return false
	}
	for k := 1; k < len(code) && k <= 6; k++ {
		switch code[k].Op {
		case wasmbin.OpCall:
			return f.isCall(code[k-1], code[k])
		case wasmbin.OpI32Const, wasmbin.OpGlobalGet, wasmbin.OpLocalGet, wasmbin.OpLocalTee, wasmbin.OpI32Store:
		default:
			return false
		}
	}
	return false
}
