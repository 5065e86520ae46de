package guest

import (
	"context"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// checkForms are checks for interrupts as compilers write them, in a function with one
// variable, and how often ProcessInterrupts is called in 3*firstPoll runs of them with
// nothing pending.
var checkForms = map[string]struct {
	code  []byte
	calls int
}{
	"if":                    {[]byte{0x23, 0, 0x28, 2, 0, 0x04, 0x40, 0x10, 0, 0x0b}, 2},
	"around":                {[]byte{0x02, 0x40, 0x23, 0, 0x28, 2, 0, 0x45, 0x0d, 0, 0x10, 0, 0x0b}, 2},
	"address in a variable": {[]byte{0x23, 0, 0x21, 0, 0x20, 0, 0x28, 2, 0, 0x04, 0x40, 0x10, 0, 0x0b}, 2},
	"value in a variable":   {[]byte{0x23, 0, 0x28, 2, 0, 0x21, 0, 0x20, 0, 0x04, 0x40, 0x10, 0, 0x0b}, 2},
	// What only reads the variable must see what is in it.
	"value used otherwise too": {[]byte{0x23, 0, 0x28, 2, 0, 0x21, 0, 0x20, 0, 0x04, 0x40, 0x10, 0, 0x0b, 0x20, 0, 0x1a}, 0},
	"return":                   {[]byte{0x23, 0, 0x28, 2, 0, 0x04, 0x40, 0x0f, 0x0b}, 0},
}

func TestPollSide(t *testing.T) {
	for name, form := range checkForms {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			var w wasmbin.Builder
			w.ImportFunc("env", processInterrupts, wasmbin.FuncType{})
			w.ImportMemory("env", "memory", 1, 1)
			w.ImportGlobal("GOT.mem", "InterruptPending", true)
			w.Export("f", wasmbin.KindFunc, w.Func(wasmbin.FuncType{Params: []byte{wasmbin.I32}}, form.code))
			side := w.Bytes()
			m, err := wasmbin.Decode(side)
			if err != nil {
				t.Fatal(err)
			}
			hooked, _, err := pollSide(m)
			if err != nil {
				t.Fatal(err)
			}
			if hooked == nil {
				if form.calls != 0 {
					t.Fatal("no check was found")
				}
				return
			}
			mod, calls := instantiateSide(t, ctx, hooked)
			for range 3 * firstPoll {
				if _, err := mod.ExportedFunction("f").Call(ctx, 0); err != nil {
					t.Fatal(err)
				}
			}
			if *calls != form.calls {
				t.Errorf("ProcessInterrupts was called %d times, want %d", *calls, form.calls)
			}
			before := *calls
			mod.Memory().WriteUint32Le(8, 1)
			if _, err := mod.ExportedFunction("f").Call(ctx, 0); err != nil || *calls != before+1 {
				t.Errorf("with something pending: %d calls more, %v", *calls-before, err)
			}
		})
	}
}

// instantiateSide runs a side module whose InterruptPending is at 8. ProcessInterrupts does
// as the host does; what is returned counts its calls.
func instantiateSide(t *testing.T, ctx context.Context, code []byte) (api.Module, *int) {
	t.Helper()
	r := wazero.NewRuntime(ctx)
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	calls := new(int)
	var p poller
	if _, err := r.NewHostModuleBuilder("host").NewFunctionBuilder().WithGoFunction(api.GoFunc(func(context.Context, []uint64) {
		*calls++
		p.set(firstPoll)
	}), nil, nil).Export(processInterrupts).Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	var env wasmbin.Builder
	env.Export(processInterrupts, wasmbin.KindFunc, env.ImportFunc("host", processInterrupts, wasmbin.FuncType{}))
	env.Memory(1, 1)
	env.Export("memory", wasmbin.KindMemory, 0)
	var got wasmbin.Builder
	got.Export("InterruptPending", wasmbin.KindGlobal, got.Global(true, 8))
	for name, b := range map[string][]byte{"env": env.Bytes(), "GOT.mem": got.Bytes()} {
		if _, err := r.InstantiateWithConfig(ctx, b, wazero.NewModuleConfig().WithName(name)); err != nil {
			t.Fatal(err)
		}
	}
	mod, err := r.InstantiateWithConfig(ctx, code, wazero.NewModuleConfig().WithName("side"))
	if err != nil {
		t.Fatal(err)
	}
	p.add(mod)
	if len(p.countdowns) != 1 {
		t.Fatal("the module has no countdown")
	}
	return mod, calls
}

// TestPollSideWithout leaves alone what never looks for interrupts.
func TestPollSideWithout(t *testing.T) {
	var w wasmbin.Builder
	w.Export("f", wasmbin.KindFunc, w.Func(wasmbin.FuncType{}, nil))
	m, err := wasmbin.Decode(w.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if hooked, _, err := pollSide(m); hooked != nil || err != nil {
		t.Errorf("%d bytes, %v", len(hooked), err)
	}
}

func TestPollerAdapts(t *testing.T) {
	var p poller
	p.set(firstPoll)
	for _, step := range []struct {
		took time.Duration
		want int32
	}{
		{time.Microsecond, 2 * firstPoll},
		{pollGoal, 2 * firstPoll},
		{20 * pollGoal, firstPoll / 10},
		{time.Hour, 1},
		{0, 2},
	} {
		if p.adapt(step.took); p.every != step.want {
			t.Errorf("after %s: every %d, want %d", step.took, p.every, step.want)
		}
	}
	for range 20 {
		p.adapt(0)
	}
	if p.every != mostChecks {
		t.Errorf("after quick polls: every %d, want %d", p.every, mostChecks)
	}
	p.polled()
	p.restart()
	if p.every != firstPoll || !p.last.IsZero() {
		t.Errorf("after a restart: every %d, last %s", p.every, p.last)
	}
}
