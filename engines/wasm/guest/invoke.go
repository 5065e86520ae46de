package guest

import (
	"context"
	"errors"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental/table"

	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// errLongjmp unwinds the guest's stack to the nearest invoke_ function.
var errLongjmp = errors.New("longjmp outside of any setjmp")

// invoke is the host side of Emscripten's setjmp: invoke_SIG(slot, args…) calls a slot of
// the table and, when a longjmp comes out of it, restores the stack pointer and sets
// __THREW__, which the caller tests.
func invoke(t wasmbin.FuncType) api.GoModuleFunc {
	params := t.Params[1:]
	return func(ctx context.Context, _ api.Module, s []uint64) {
		in := instanceOf(ctx)
		slot := uint32(s[0])
		f := in.takeSlot(slot, params, t.Results)
		sp := in.sp.Get()
		copy(s, s[1:])
		err := f.CallWithStack(in.ctx, s)
		if err == nil {
			in.giveSlot(slot, f)
			return
		}
		if overflow(err) {
			err = in.raiseTooDeep()
		} else {
			in.giveSlot(slot, f)
		}
		if !errors.Is(err, errLongjmp) {
			panic(err)
		}
		in.sp.Set(sp)
		if len(t.Results) > 0 {
			s[0] = 0
		}
		in.setThrew()
	}
}

// takeSlot returns a handle of the function in a table slot. Handles cannot be used
// again before their call has returned, but afterwards they can, also when it failed; so
// they are kept by slot.
func (in *Instance) takeSlot(slot uint32, params, results []byte) api.Function {
	if int(slot) < len(in.free) {
		if l := in.free[slot]; len(l) > 0 {
			in.free[slot] = l[:len(l)-1]
			return l[len(l)-1]
		}
	}
	return table.LookupFunction(in.main, 0, slot, params, results)
}

func (in *Instance) giveSlot(slot uint32, f api.Function) {
	for int(slot) >= len(in.free) {
		in.free = append(in.free, make([][]api.Function, 1024)...)
	}
	in.free[slot] = append(in.free[slot], f)
}

func (in *Instance) setThrew() {
	if in.threw == 0 { // initdb.wasm does not export the address
		in.Call("setThrew", 1, 0)
		return
	}
	mem := in.Memory()
	if v, _ := mem.ReadUint32Le(in.threw); v == 0 {
		mem.WriteUint32Le(in.threw, 1)
		mem.WriteUint32Le(in.threwValue, 0)
	}
}
