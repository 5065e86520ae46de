package guest

import (
	"errors"
	"fmt"

	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// Symbols are addresses of static variables of PostgreSQL that hold a session's state.
// The module exports no names for them: they are found in the code of functions that have
// one, mostly built-in SQL functions through the table fmgr_builtins.
type Symbols struct {
	PreparedQueries uint32 // prepared_queries, prepare.c: HTAB *
	UnnamedStmt     uint32 // unnamed_stmt_psrc, postgres.c: CachedPlanSource *
	Portals         uint32 // PortalHashTable, portalmem.c: HTAB *
	TempNamespace   uint32 // myTempNamespace, namespace.c: Oid
	LastSequence    uint32 // last_used_seq, sequence.c: SeqTable
	Sequences       uint32 // seqhashtab, sequence.c: HTAB *
	LocalLocks      uint32 // LockMethodLocalHash, lock.c: HTAB *
	ListenChannels  uint32 // listenChannels, async.c: List *
	AmListening     uint32 // amRegisteredListener, async.c: bool
	NotifyPending   uint32 // notifyInterruptPending, async.c: int
	AsyncControl    uint32 // asyncQueueControl, async.c: AsyncQueueControl *
	Waiting         uint32 // waiting, waiteventset.c: int

	// Flags of globals.c, which lie one after the other.
	InterruptPending, QueryCancelPending, ProcDiePending         uint32
	IdleInTxTimeoutPending, TxTimeoutPending, IdleTimeoutPending uint32
	InterruptHoldoff, CritSection                                uint32
}

func findSymbols(m *wasmbin.Module) (Symbols, error) {
	f := finder{m: m}
	if err := f.builtins("pg_my_temp_schema", "pg_listening_channels", "pg_prepared_statement", "pg_cursor", "lastval", "currval_oid", "pg_advisory_unlock_all", "pg_notification_queue_usage"); err != nil {
		return Symbols{}, err
	}
	s := Symbols{
		TempNamespace:   f.firstLoad("pg_my_temp_schema", f.funcs["pg_my_temp_schema"]),
		ListenChannels:  f.firstLoad("pg_listening_channels", f.funcs["pg_listening_channels"]),
		PreparedQueries: f.firstLoad("pg_prepared_statement", f.funcs["pg_prepared_statement"]),
		Portals:         f.firstLoad("pg_cursor", f.funcs["pg_cursor"]),
		LastSequence:    f.firstLoad("lastval", f.funcs["lastval"]),
		Sequences:       f.firstLoad("init_sequence", f.firstCall("currval_oid", f.funcs["currval_oid"])),
		LocalLocks:      f.firstLoad("pg_advisory_unlock_all", f.funcs["pg_advisory_unlock_all"]),
		// LWLockAcquire's argument, MainLWLockArray, is loaded before the control block.
		AsyncControl:  f.nthLoad("pg_notification_queue_usage", f.funcs["pg_notification_queue_usage"], 1),
		UnnamedStmt:   f.dropped("PostgresMainLoopOnce"),
		NotifyPending: f.notifyPending(),
		Waiting:       f.waiting(),
	}
	s.AmListening = s.ListenChannels + 4
	s.InterruptPending = f.global("InterruptPending")
	base := s.InterruptPending
	s.QueryCancelPending, s.ProcDiePending = base+4, base+8
	s.IdleInTxTimeoutPending, s.TxTimeoutPending, s.IdleTimeoutPending = base+20, base+24, base+28
	s.InterruptHoldoff, s.CritSection = base+44, base+52
	for name, want := range map[string]uint32{"QueryCancelPending": s.QueryCancelPending, "ProcDiePending": s.ProcDiePending, "InterruptHoldoffCount": s.InterruptHoldoff, "CritSectionCount": s.CritSection} {
		if got := f.global(name); got != want {
			f.errs = append(f.errs, fmt.Errorf("%s is at %d, not where globals.c has it", name, got))
		}
	}
	return s, errors.Join(f.errs...)
}

// A finder reads variables' addresses out of code.
type finder struct {
	m     *wasmbin.Module
	funcs map[string]uint32
	errs  []error
}

func (f *finder) miss(what string) uint32 {
	f.errs = append(f.errs, errors.New("cannot find "+what))
	return 0
}

func (f *finder) global(name string) uint32 {
	v, ok := f.m.ExportedGlobal(name)
	if !ok {
		return f.miss("exported variable " + name)
	}
	return uint32(v)
}

// builtins finds functions by their name in fmgr_builtins, an array of FmgrBuiltin: foid,
// nargs, strict, retset, funcName, func (16 bytes on wasm32).
func (f *finder) builtins(names ...string) error {
	f.funcs = map[string]uint32{}
	strings := map[uint32]string{}
	for _, seg := range f.m.Data {
		for _, n := range names {
			z := "\x00" + n + "\x00"
			for i := 0; i+len(z) <= len(seg.Data); i++ {
				if seg.Data[i] == 0 && string(seg.Data[i:i+len(z)]) == z {
					strings[seg.Offset+uint32(i)+1] = n
				}
			}
		}
	}
	for _, seg := range f.m.Data {
		start := -seg.Offset & 3
		for i := start; i+8 <= uint32(len(seg.Data)); i += 4 {
			n, ok := strings[le32(seg.Data[i:])]
			if !ok || i < 8 {
				continue
			}
			foid, slot := le32(seg.Data[i-8:]), le32(seg.Data[i+4:])
			if fn, ok := f.m.Table[slot]; ok && foid > 0 && foid < 16384 { // FirstNormalObjectId
				f.funcs[n] = fn
			}
		}
	}
	for _, n := range names {
		if _, ok := f.funcs[n]; !ok {
			f.miss("built-in function " + n)
		}
	}
	return errors.Join(f.errs...)
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func (f *finder) firstLoad(what string, fn uint32) uint32 { return f.nthLoad(what, fn, 0) }

// nthLoad returns the address of the nth (from 0) distinct i32 variable that fn loads.
func (f *finder) nthLoad(what string, fn uint32, n int) uint32 {
	var last wasmbin.Instr
	var seen []uint32
	for in := range f.m.Instructions(fn) {
		if in.Op == wasmbin.OpI32Load && in.Imm == 0 && last.Op == wasmbin.OpI32Const && uint32(last.Imm) > 4096 {
			a := uint32(last.Imm)
			if len(seen) == n {
				return a
			}
			seen = append(seen, a)
		}
		last = in
	}
	return f.miss("a variable in " + what)
}

func (f *finder) firstCall(what string, fn uint32) uint32 {
	for in := range f.m.Instructions(fn) {
		if in.Op == wasmbin.OpCall {
			return uint32(in.Imm)
		}
	}
	return f.miss("a call in " + what)
}

// dropped finds the variable that an exported function tests, clears, and whose former
// value it passes to a function: "if (x) { t = x; x = NULL; Drop(t); }".
func (f *finder) dropped(name string) uint32 {
	e, ok := f.m.Export(name, wasmbin.KindFunc)
	if !ok {
		return f.miss("exported function " + name)
	}
	found := map[uint32]int{}
	var w [10]wasmbin.Instr // the last instructions, newest last
	for in := range f.m.Instructions(e.Index) {
		copy(w[:], w[1:])
		w[9] = in
		a := w[0].Imm
		if w[0].Op == wasmbin.OpI32Const && w[1].Op == wasmbin.OpI32Load && w[2].Op == wasmbin.OpLocalTee && w[3].Op == wasmbin.OpIf &&
			w[4].Op == wasmbin.OpI32Const && w[4].Imm == a && w[5].Op == wasmbin.OpI32Const && w[5].Imm == 0 && w[6].Op == wasmbin.OpI32Store &&
			w[7].Op == wasmbin.OpLocalGet && w[7].Imm == w[2].Imm && w[8].Op == wasmbin.OpCall && w[9].Op == wasmbin.OpEnd {
			found[uint32(a)]++
		}
	}
	if len(found) != 1 {
		return f.miss("the unnamed statement in " + name)
	}
	for a := range found {
		return a
	}
	return 0
}

// notifyPending finds "if (notifyInterruptPending) ProcessNotifyInterrupt(false)".
func (f *finder) notifyPending() uint32 {
	const name = "PostgresSendReadyForQueryIfNecessary"
	e, ok := f.m.Export(name, wasmbin.KindFunc)
	if !ok {
		return f.miss("exported function " + name)
	}
	var w [5]wasmbin.Instr
	for in := range f.m.Instructions(e.Index) {
		copy(w[:], w[1:])
		w[4] = in
		if w[0].Op == wasmbin.OpI32Const && w[1].Op == wasmbin.OpI32Load && w[2].Op == wasmbin.OpIf &&
			w[3].Op == wasmbin.OpI32Const && w[3].Imm == 0 && w[4].Op == wasmbin.OpCall {
			return uint32(w[0].Imm)
		}
	}
	return f.miss("notifyInterruptPending")
}

// waiting finds the flag that WaitEventSetWait sets while it waits: WaitLatch calls it,
// and it stores 1 there after looking at the clock.
func (f *finder) waiting() uint32 {
	latch, ok := f.m.Export("WaitLatch", wasmbin.KindFunc)
	clock, ok2 := f.m.Export("clock_gettime", wasmbin.KindFunc)
	if !ok || !ok2 {
		return f.miss("exported functions WaitLatch and clock_gettime")
	}
	for call := range f.m.Instructions(latch.Index) {
		if call.Op != wasmbin.OpCall {
			continue
		}
		clocked := false
		var w [3]wasmbin.Instr
		for in := range f.m.Instructions(uint32(call.Imm)) {
			copy(w[:], w[1:])
			w[2] = in
			clocked = clocked || in.Op == wasmbin.OpCall && uint32(in.Imm) == clock.Index
			if clocked && w[0].Op == wasmbin.OpI32Const && w[1].Op == wasmbin.OpI32Const && w[1].Imm == 1 && w[2].Op == wasmbin.OpI32Store {
				return uint32(w[0].Imm)
			}
		}
	}
	return f.miss("the flag of WaitEventSetWait")
}
